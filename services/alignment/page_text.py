"""Is a value written on a page? Texts by their letters, amounts by their number, dates by their day."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from functools import cached_property

from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

from services.contracts.label_base import BoxPx

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905 - a list of twelve quotes reads worse
_DATE = re.compile(
    r"(?<!\d)(?:(\d{1,4})\s?[-/.]\s?(\d{1,2})\s?[-/.]\s?(\d{4}|\d{2})"
    r"|(\d{1,2})[\s-]{0,2}([a-z]{3})[a-z]*\.?,?[\s-]{0,2}(\d{4}|\d{2})"
    r"|([a-z]{3})[a-z]*\.?\s?(\d{1,2}),?\s(\d{4}))(?!\d)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\d.,])-?\d{1,3}(?:[,' ]\d{3})+(?:\.\d+)?(?![\d])|(?<![\d.,])-?\d+(?:[.,]\d+)*(?!\d)")
_AMOUNT = re.compile(r"^[^\W\d_]{0,4}[\s$€£¥]*(-?\d[\d.,' ]*)\s*[%$€£¥]?\s*[^\W\d_]{0,4}$")
_MAX_CODE_DIGITS = 9
_MAX_LETTERS_BESIDE_DATE = 5
_MAX_TILES = 40
_MAX_NEEDLE = 2_000


def fold_letters(text: str) -> str:
    """Return the letters and digits of a text, without case."""
    return "".join(character for character in unicodedata.normalize("NFKC", text).casefold() if character.isalnum())


def dates_of(text: str) -> frozenset[date]:
    """Return the days that the dates in a text may mean; ``01/02/2020`` may mean two."""
    found: set[date] = set()
    for match in _DATE.finditer(text):
        found.update(_days(match))
    return frozenset(found)


def days_of_date(text: str) -> frozenset[date]:
    """Return the days of a text that is a date and little else, such as a time of day."""
    rest = _DATE.sub("", text)
    return dates_of(text) if sum(character.isalpha() for character in rest) <= _MAX_LETTERS_BESIDE_DATE else frozenset()


def _days(match: re.Match[str]) -> Iterator[date]:
    first, second, third, day, month, year, month_2, day_2, year_2 = match.groups()
    options: list[tuple[str, str | int, str]] = []
    if first is not None:
        if len(first) == 4:
            options.append((first, second, third))
        else:
            options += [(third, second, first), (third, first, second)]
            if len(third) == 2:
                options.append((first, second, third))
    else:
        name = (month or month_2 or "").casefold()
        if name in _MONTHS:
            options.append((year or year_2, _MONTHS.index(name) + 1, day or day_2))
    for a_year, a_month, a_day in options:
        number = int(a_year)
        try:
            yield date(number + 2000 if len(a_year) == 2 else number, int(a_month), int(a_day))
        except ValueError:
            continue


def number_in(text: str) -> Decimal | None:
    """Return the number that a written one means: ``1,234.50`` and ``1234.5`` are one number."""
    text = text.replace(" ", "").replace("'", "").rstrip(".,")
    if "," in text and "." in text:
        text = text.replace("." if text.rfind(",") > text.rfind(".") else ",", "").replace(",", ".")
    elif re.fullmatch(r"-?\d{1,3}(,\d{3})+", text):
        text = text.replace(",", "")
    else:
        text = text.replace(",", ".")
    if not re.fullmatch(r"-?\d{1,30}(\.\d{1,30})?", text):
        return None
    return Decimal(text)


def amount_of(text: str) -> Decimal | None:
    """Return the number of a text that is nothing but an amount; an identifier with leading zeros is none."""
    match = _AMOUNT.match(text.strip())
    if match is None:
        return None
    digits = sum(character.isdigit() for character in match.group(1))
    if digits > _MAX_CODE_DIGITS or re.match(r"-?0\d", match.group(1)):
        return None
    if any(character.isalpha() for character in text) and not re.search(r"[.,]\d", match.group(1)):
        return None  # ``RM 1.50`` is an amount, ``AB 150`` a number plate
    return number_in(match.group(1))


def is_numeric(text: str) -> bool:
    """Whether a text is an amount or holds a date."""
    return bool(days_of_date(text)) or amount_of(text) is not None


def same_value(one: str, other: str) -> float | None:
    """Return None if two texts mean the same, else the share of letters that differ (normalised edit distance)."""
    days, other_days = days_of_date(one), days_of_date(other)
    if days and other_days:
        same = bool(days & other_days)
    else:
        amount, other_amount = amount_of(one), amount_of(other)
        if amount is not None and other_amount is not None:
            same = amount == other_amount
        else:
            same = fold_letters(one) == fold_letters(other)
    return None if same else max(Levenshtein.normalized_distance(one.casefold(), other.casefold()), 1e-6)


class Page:
    """The text of an image, region by region.

    Args:
        regions: (box in pixels, text), in any order.
    """

    def __init__(self, regions: Sequence[tuple[BoxPx, str]]) -> None:
        self._texts = _in_reading_order(regions)
        self._folded = [fold_letters(text) for text in self._texts]

    @cached_property
    def _joined(self) -> str:
        return "".join(self._folded)

    @cached_property
    def _days(self) -> frozenset[date]:
        return frozenset(day for text in (*self._texts, " ".join(self._texts)) for day in dates_of(text))

    @cached_property
    def _numbers(self) -> frozenset[Decimal]:
        found = (number_in(match.group()) for text in self._texts for match in _NUMBER.finditer(text))
        return frozenset(number for number in found if number is not None)

    def missing(self, value: str) -> float | None:
        """Return None if ``value`` is on the page, else the share of its letters that even the nearest text lacks."""
        days = days_of_date(value)
        if days:
            return None if days & self._days else self._error(value)
        amount = amount_of(value)
        if amount is not None:
            return None if amount in self._numbers else self._error(value)
        needle = fold_letters(value)[:_MAX_NEEDLE]
        if not needle or needle in self._joined or self._is_tiled(needle):
            return None
        return self._error(value)

    def nearest(self, value: str) -> str:
        """Return the region, or the run of them, that is most like ``value``; empty if nothing is alike."""
        needle = fold_letters(value)[:_MAX_NEEDLE]
        best, best_score = "", 60.0
        longest = max(len(needle) * 1.5, 8)
        for first in range(len(self._texts)):
            run = ""
            for last in range(first, min(first + 6, len(self._texts))):
                run += self._folded[last]
                if len(run) > longest:
                    break
                score = fuzz.ratio(run, needle, score_cutoff=best_score)
                if score > best_score:
                    best, best_score = " ".join(self._texts[first : last + 1]), score
        return best

    def _error(self, value: str) -> float:
        needle = fold_letters(value)[:_MAX_NEEDLE]
        aligned = fuzz.partial_ratio_alignment(needle, self._joined) if needle and self._joined else None
        if aligned is None:
            return 1.0
        part = self._joined[aligned.dest_start : aligned.dest_end]
        return min(max(Levenshtein.distance(needle, part) / len(needle), 1e-6), 1.0)

    def _is_tiled(self, needle: str) -> bool:
        """Whether whole regions, one after the other, spell ``needle``: columns break the reading order."""
        pieces = {piece for piece in self._folded if len(piece) >= 2 and piece in needle}
        reached = {0}
        for _ in range(_MAX_TILES):
            further = {at + len(piece) for at in reached for piece in pieces if needle.startswith(piece, at)} - reached
            if len(needle) in further:
                return True
            if not further:
                return False
            reached |= further
        return False


def _in_reading_order(regions: Sequence[tuple[BoxPx, str]]) -> list[str]:
    """Return the texts line by line: a region whose middle lies within the line's height belongs to it."""
    waiting = sorted(regions, key=lambda item: ((item[0][1] + item[0][3]) / 2, item[0][0], item[1]))
    lines: list[list[tuple[BoxPx, str]]] = []
    bottom = float("-inf")
    for box, text in waiting:
        middle = (box[1] + box[3]) / 2
        if middle > bottom:
            lines.append([])
            bottom = middle + (box[3] - box[1]) / 2
        lines[-1].append((box, text))
    return [text for line in lines for _, text in sorted(line, key=lambda item: (item[0][0], item[1]))]
