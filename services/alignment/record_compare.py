"""Compare one value of a label with one value of a record, by the rule's comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from rapidfuzz import fuzz
from rapidfuzz.distance import Indel

from services.alignment.record_values import Quantity, convert, plain, read_date, read_quantity, unit_of, units_like
from services.contracts.base import Scalar
from services.contracts.findings import Measured
from services.rules.record_agreement import (
    DateComparison,
    EqualComparison,
    OneOfComparison,
    RecordAgreementRules,
    RecordBinding,
    TextComparison,
    ToleranceComparison,
)

Verdict = Literal["same", "field_mismatch", "unit_mismatch", "value_unreadable"]


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison says.

    Attributes:
        verdict: ``same``, or the kind of disagreement.
        why: Half a sentence about the numbers; empty where there are none.
        distance: Greater is farther, to find the nearest of several record values.
        measured: The number behind it.
        units: (unit written, unit it seems to be) where a conversion explains the difference.
    """

    verdict: Verdict
    why: str = ""
    distance: float = 0.0
    measured: Measured | None = None
    units: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A value and the unit that stands beside it, if any."""

    value: Scalar
    unit: str | None = None


SAME = Compared("same")


def compare(label: Value, record: Value, binding: RecordBinding, rules: RecordAgreementRules) -> Compared:
    """Return whether two values agree.

    Args:
        label: What the label says.
        record: What the record says.
        binding: Its comparison is used.
        rules: For rounding and for the blame of units.
    """
    how = binding.comparison
    if isinstance(how, EqualComparison):
        return _equal(label.value, record.value, case_sensitive=how.case_sensitive, precision=rules.numeric_precision)
    if isinstance(how, OneOfComparison):
        return _one_of(label.value, record.value, how)
    if isinstance(how, ToleranceComparison):
        return _within(label, record, how, rules)
    if isinstance(how, DateComparison):
        return _in_window(label.value, record.value, how)
    return _near_text(label.value, record.value, how)


def _equal(label: Scalar, record: Scalar, *, case_sensitive: bool, precision: float) -> Compared:
    if plain(label, case_sensitive=case_sensitive) == plain(record, case_sensitive=case_sensitive):
        return SAME
    one, other = read_quantity(label), read_quantity(record)
    if one is not None and other is not None and one.unit == other.unit and _is_number(label, record):
        apart = abs(one.value - other.value)
        if apart <= precision * max(abs(one.value), abs(other.value)):
            return SAME
        return Compared("field_mismatch", distance=apart, measured=Measured(value=min(apart, 1e300), unit="difference"))
    return Compared("field_mismatch", distance=1.0 - Indel.normalized_similarity(plain(label), plain(record)))


def _is_number(*values: Scalar) -> bool:
    # An id such as 007 is a text of digits: only where one side is a number is the other read as one.
    return any(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _one_of(label: Scalar, record: Scalar, how: OneOfComparison) -> Compared:
    wanted = plain(label, case_sensitive=how.case_sensitive)
    for name, allowed in how.allowed.items():
        if plain(name, case_sensitive=how.case_sensitive) == wanted:
            values = [plain(item, case_sensitive=how.case_sensitive) for item in allowed]
            if plain(record, case_sensitive=how.case_sensitive) in values:
                return SAME
            shown = ", ".join(str(item) for item in allowed[:5])
            return Compared("field_mismatch", f"it stands for {shown}", 1.0)
    return Compared("value_unreadable", "the rule does not say what it stands for")


def _within(label: Value, record: Value, how: ToleranceComparison, rules: RecordAgreementRules) -> Compared:
    one = _quantity(label, how.label_unit)
    other = _quantity(record, how.record_unit)
    if one is None or other is None:
        which = "label's" if one is None else "record's"
        return Compared("value_unreadable", f"the {which} value is no number")
    target = unit_of(how.unit) if how.unit is not None else None
    if target is None and one.unit is not None and other.unit is not None:
        target = unit_of(other.unit) or other.unit
    a, b = (item.value if target is None or item.unit is None else _to(item, target) for item in (one, other))
    if a is None or b is None:
        wrong = one if a is None else other
        return Compared("unit_mismatch", f"{wrong.unit} is no unit of what is measured in {target}", 1e12)
    limit = max(how.absolute, how.relative * abs(b), rules.numeric_precision * max(abs(a), abs(b)))
    apart = abs(a - b)
    if apart <= limit:
        return SAME
    unit = target or one.unit or "1"
    measured = Measured(value=min(apart, 1e300), unit=unit, threshold=limit)
    why = f"{apart:.6g} {unit} apart where {limit:.6g} are tolerated"
    for candidate in sorted(units_like(target)) if target is not None else ():
        for value, item in ((a, one), (b, other)):
            other_value = b if value is a else a
            again = convert(value, candidate, target or "")
            near = max(limit, rules.conversion_tolerance * abs(other_value))
            if (
                again is not None
                and value
                and abs(again - other_value) <= near
                and abs(again - other_value) < apart / 4
            ):
                written = item.unit or target or ""
                side = "label" if item is one else "record"
                said = f"{why}; read as {candidate} the {side}'s {item.value:g} {written} agrees"
                return Compared("unit_mismatch", said, apart, measured, (written, candidate))
    return Compared("field_mismatch", why, apart, measured)


def _to(item: Quantity, target: str) -> float | None:
    source = unit_of(item.unit or "") or item.unit or ""
    return item.value if source == target else convert(item.value, source, target)


def _quantity(value: Value, assumed: str | None) -> Quantity | None:
    found = read_quantity(value.value)
    if found is None or found.unit is not None:
        return found
    named = value.unit or assumed
    return Quantity(found.value, (unit_of(named) or named) if named is not None else None)


def _in_window(label: Scalar, record: Scalar, how: DateComparison) -> Compared:
    one, other = (read_date(value, day_first=how.day_first) for value in (label, record))
    if one is None or other is None:
        which = "label's" if one is None else "record's"
        return Compared("value_unreadable", f"the {which} value is no date")
    days = (one - other) / timedelta(days=1)
    if -how.days_before <= days <= how.days_after:
        return SAME
    limit = how.days_after if days > 0 else how.days_before
    side = "after" if days > 0 else "before"
    measured = Measured(value=abs(days), unit="d", threshold=limit)
    return Compared("field_mismatch", f"{abs(days):.4g} days {side} it; {limit:g} are tolerated", abs(days), measured)


def _near_text(label: Scalar, record: Scalar, how: TextComparison) -> Compared:
    one, other = plain(label), plain(record)
    if how.contains and one and other and (one in other or other in one):
        return SAME
    similarity = fuzz.token_sort_ratio(one, other) / 100.0 if how.any_order else Indel.normalized_similarity(one, other)
    if similarity >= how.min_similarity:
        return SAME
    measured = Measured(value=similarity, unit="similarity", threshold=how.min_similarity)
    why = f"similarity {similarity:.2f} where {how.min_similarity:g} is asked for"
    return Compared("field_mismatch", why, 1.0 - similarity, measured)


def nearest(compared: Sequence[Compared]) -> Compared:
    """Return the comparison that comes closest to agreement; the first of equals."""
    rank = {"same": 0, "unit_mismatch": 1, "field_mismatch": 2, "value_unreadable": 3}
    return min(compared, key=lambda item: (rank[item.verdict], item.distance))
