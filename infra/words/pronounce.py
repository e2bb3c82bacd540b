"""How written English words are read: the words of a pronouncing dictionary, and a guess where it has none.

A guess is made letter by letter with the commonest sound of each group of letters. That is wrong in detail for many a
name, but near enough for an alignment, which only has to find where the sounds are, not which of two alike they were.
"""

from __future__ import annotations

import re
import unicodedata

_LETTERS = re.compile(r"[a-z]+(?:'[a-z]+)*")
_INITIALS = re.compile(r"[^a-z]*(?:[a-z]\.){2,}[^a-z]*")
_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]

# The sounds of groups of letters in the alphabet of the CMU dictionary, the longest group first.
_SOUNDS = {
    "tion": "SH AH N", "sion": "ZH AH N", "ough": "AO", "eigh": "EY", "tch": "CH", "igh": "AY", "dge": "JH",
    "sch": "SH", "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W", "ck": "K", "ng": "NG", "qu": "K W",
    "gh": "G", "kn": "N", "wr": "R", "ai": "EY", "ay": "EY", "au": "AO", "aw": "AO", "ea": "IY", "ee": "IY",
    "ei": "IY", "ey": "IY", "eu": "Y UW", "ew": "UW", "ie": "IY", "oa": "OW", "oe": "OW", "oi": "OY", "oo": "UW",
    "ou": "AW", "ow": "OW", "oy": "OY", "ue": "UW", "ui": "UW", "ar": "AA R", "er": "ER", "ir": "ER", "or": "AO R",
    "ur": "ER", "ce": "S AH", "ci": "S IH", "cy": "S IY", "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH",
    "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA",
    "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY",
    "z": "Z",
}  # fmt: skip
_LONGEST = max(map(len, _SOUNDS))


def spoken_parts(word: str) -> tuple[str, ...]:
    """Return the dictionary words that a written word is read as; none where it has no sound, as a dash has none.

    Accents and punctuation around it are left out, hyphens separate, whole numbers up to 9,999 are read as such, and
    longer ones digit by digit.
    """
    plain = "".join(
        letter for letter in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(letter)
    )
    parts: list[str] = []
    for piece in re.findall(
        r"[a-z'.]+|[0-9][0-9,]*", plain.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("-", " ")
    ):
        if piece[0].isdigit():
            parts += _number(piece.replace(",", ""))
        elif _INITIALS.fullmatch(piece):
            parts.append(piece.strip("'"))
        else:
            parts += _LETTERS.findall(piece)
    return tuple(parts)


def _number(digits: str) -> list[str]:
    if len(digits) > 4 or digits[0] == "0":
        return [_ONES[int(digit)] for digit in digits]
    value = int(digits)
    words: list[str] = []
    for size, name in ((1_000, "thousand"), (100, "hundred")):
        if value >= size:
            words += [_ONES[value // size], name]
            value %= size
    if value >= 20:
        words.append(_TENS[value // 10 - 2])
        value %= 10
    return [*words, _ONES[value]] if value or not words else words


def guessed_sounds(word: str) -> str:
    """Return a pronunciation of a word that no dictionary has, its sounds separated by spaces.

    Args:
        word: One of :func:`spoken_parts`.
    """
    letters = re.sub(r"(.)\1", r"\1", re.sub(r"[^a-z]", "", word))
    if len(letters) > 2 and letters.endswith("e") and letters[-2] not in "aeiou":
        letters = letters[:-1]
    sounds: list[str] = []
    at = 0
    while at < len(letters):
        size = next(size for size in range(_LONGEST, 0, -1) if letters[at : at + size] in _SOUNDS)
        sounds.append(_SOUNDS[letters[at : at + size]])
        at += size
    return " ".join(sounds)
