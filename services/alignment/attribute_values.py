"""The values of attributes: are they what a taxonomy allows, and if not, what was surely meant?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.contracts.base import Scalar
from services.taxonomy.taxonomy import AttributeRule
from services.taxonomy.words import folded


def of_type(rule: AttributeRule, value: Scalar) -> bool:
    """Whether a value is of the rule's type; true and false are no numbers."""
    fits: dict[str, Callable[[], bool]] = {
        "text": lambda: isinstance(value, str),
        "flag": lambda: isinstance(value, bool),
        "integer": lambda: isinstance(value, int) and not isinstance(value, bool),
        "number": lambda: isinstance(value, int | float) and not isinstance(value, bool),
    }
    return fits[rule.type]()


def among(value: Scalar, allowed: Sequence[Scalar]) -> bool:
    """Whether a value is one of those allowed; 1 is not true."""
    return any(value == item and isinstance(value, bool) == isinstance(item, bool) for item in allowed)


def converted(rule: AttributeRule, value: Scalar) -> Scalar | None:
    """Return the value that was surely meant: another type's text, another case, or a listed synonym."""
    text = str(value).strip()
    for item in rule.values:
        if folded(str(item)) == folded(text):
            return item
    for name, others in sorted(rule.synonyms.items()):
        if folded(text) in {folded(name), *(folded(other) for other in others)}:
            return next((item for item in rule.values if str(item) == name), name)
    if rule.type == "flag":
        return {"true": True, "yes": True, "false": False, "no": False}.get(text.casefold())
    if rule.type in ("integer", "number") and isinstance(value, str):
        return _number(text, whole=rule.type == "integer")
    if rule.type == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if rule.type == "text" and not isinstance(value, str):
        return text
    return None


def _number(text: str, *, whole: bool) -> int | float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if not abs(number) <= 1e12:
        return None
    if whole:
        return int(number) if number.is_integer() else None
    return number
