"""Values of labels and records as they can be compared: quantities with units, dates, and texts that say something."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from services.contracts.base import Scalar

_FACTORS: dict[str, dict[str, float]] = {
    "length": {"mm": 1e-3, "cm": 1e-2, "dm": 0.1, "m": 1.0, "km": 1e3, "in": 0.0254, "ft": 0.3048, "mi": 1609.344},
    "mass": {"mg": 1e-6, "g": 1e-3, "hg": 0.1, "kg": 1.0, "t": 1e3, "oz": 0.028349523125, "lb": 0.45359237},
    "volume": {"ml": 1e-3, "cl": 1e-2, "dl": 0.1, "l": 1.0, "m3": 1e3, "gal": 3.785411784, "floz": 0.0295735295625},
    "time": {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "week": 604_800.0, "year": 31_557_600.0},
    "speed": {"m/s": 1.0, "km/h": 1 / 3.6, "mph": 0.44704, "kn": 1852 / 3600},
    "pressure": {"pa": 1.0, "hpa": 100.0, "kpa": 1e3, "bar": 1e5, "mbar": 100.0, "mmhg": 133.32239, "psi": 6894.757},
    "energy": {"j": 1.0, "kj": 1e3, "cal": 4.184, "kcal": 4184.0, "wh": 3600.0, "kwh": 3.6e6},
    "glucose": {"mmol/l": 18.0182, "mg/dl": 1.0},
    "share": {"1": 1.0, "%": 0.01, "ppm": 1e-6},
}  # fmt: skip
_TEMPERATURES = {"c": (1.0, 0.0), "f": (5 / 9, -160 / 9), "k": (1.0, -273.15)}
_SPELT = {
    "millimetre": "mm", "millimeter": "mm", "centimetre": "cm", "centimeter": "cm", "metre": "m", "meter": "m",
    "kilometre": "km", "kilometer": "km", "inch": "in", "inches": "in", "foot": "ft", "feet": "ft", "mile": "mi",
    "gram": "g", "gramme": "g", "kilogram": "kg", "kilo": "kg", "kgs": "kg", "lbs": "lb", "pound": "lb", "ounce": "oz",
    "tonne": "t", "litre": "l", "liter": "l", "millilitre": "ml", "milliliter": "ml", "gallon": "gal", "sec": "s",
    "second": "s", "minute": "min", "hr": "h", "hour": "h", "day": "d", "yr": "year", "kph": "km/h", "kmh": "km/h",
    "knot": "kn", "percent": "%", "°c": "c", "degc": "c", "celsius": "c", "°f": "f", "degf": "f", "fahrenheit": "f",
    "kelvin": "k", "mm hg": "mmhg", "kilojoule": "kj", "kilocalorie": "kcal", "kilokalori": "kcal", "m³": "m3",
    "fl oz": "floz",
}  # fmt: skip
_QUANTITY = re.compile(
    r"^(?:ca\.?|about|approx\.?|~|≈)?\s*([-+]?\d{1,15}(?:[.,]\d{1,9})?(?:[eE][-+]?\d{1,2})?)\s*"
    r"([A-Za-z°%³][A-Za-z0-9°%³/ ]{0,20})?$"
)
_ISO = re.compile(r"^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](.*))?$")
_NUMERIC = re.compile(r"^(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2})$")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with the unit it was written with; None where it had none."""

    value: float
    unit: str | None = None


def unit_of(text: str) -> str | None:
    """Return the unit in its short form, such as ``kg`` for ``Kilograms``; None for one that is not known."""
    name = text.strip().casefold()
    name = _SPELT.get(name, name)
    if name not in _TEMPERATURES and _dimension(name) is None and name.endswith("s"):
        name = _SPELT.get(name[:-1], name[:-1])
    return name if name in _TEMPERATURES or _dimension(name) is not None else None


def _dimension(unit: str) -> str | None:
    return next((name for name, factors in _FACTORS.items() if unit in factors), None)


def convert(value: float, source: str, target: str) -> float | None:
    """Return ``value`` in another unit; None where the two measure different things.

    Args:
        value: In ``source``.
        source: A unit as :func:`unit_of` returns it.
        target: The unit wanted.
    """
    if source == target:
        return value
    if source in _TEMPERATURES and target in _TEMPERATURES:
        (a, b), (c, d) = _TEMPERATURES[source], _TEMPERATURES[target]
        return (a * value + b - d) / c
    dimension = _dimension(source)
    if dimension is None or dimension != _dimension(target):
        return None
    factors = _FACTORS[dimension]
    return value * factors[source] / factors[target]


def units_like(unit: str) -> Iterable[str]:
    """Yield the other units in use for the same thing: a wrong unit is one of them."""
    if unit in _TEMPERATURES:
        yield from (name for name in _TEMPERATURES if name != unit)
        return
    dimension = _dimension(unit)
    if dimension is not None:
        yield from (name for name in _FACTORS[dimension] if name != unit)


def read_quantity(value: Scalar) -> Quantity | None:
    """Return the number in a value, and its unit where it has one: ``2l``, ``ca 180 g``, ``98.6 °F``, 12.5.

    A comma is a decimal sign where it is the only sign and no three digits follow it.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return Quantity(float(value))
    text = value.strip()
    if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?.*", text):
        text = text.replace(",", "")
    found = _QUANTITY.match(text)
    if found is None:
        return None
    number = float(found[1].replace(",", "."))
    if found[2] is None or not found[2].strip():
        return Quantity(number)
    unit = unit_of(found[2])
    return Quantity(number, unit if unit is not None else found[2].strip())


def read_date(value: Scalar, *, day_first: bool) -> datetime | None:
    """Return the moment a value names, in UTC; a date alone is its midnight, a time without a zone is taken as UTC.

    Args:
        value: ISO 8601, ``20240131``, or three numbers with slashes, dots or dashes. A dot always means day first.
        day_first: How to read three numbers that could be either.
    """
    text = str(value).strip()
    try:
        if re.fullmatch(r"\d{8}", text):
            return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)
        iso = _ISO.match(text)
        if iso is not None:
            date = f"{iso[1]}-{int(iso[2]):02d}-{int(iso[3]):02d}"
            moment = datetime.fromisoformat(f"{date}T{iso[4]}" if iso[4] else date)
            return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        numeric = _NUMERIC.match(text)
        if numeric is None:
            return None
        first, second, year = int(numeric[1]), int(numeric[2]), int(numeric[3])
        year += 0 if year > 99 else 2000 if year < 70 else 1900
        is_day_first = day_first or "." in text or first > 12
        day, month = (first, second) if is_day_first and second <= 12 else (second, first)
        return datetime(year, month, day, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def plain(value: Scalar, *, case_sensitive: bool = False) -> str:
    """Return a value as text without needless white space, and without case unless it counts; 3.0 is 3."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    text = " ".join(str(value).split())
    return text if case_sensitive else text.casefold()


def says_nothing(value: Scalar | None, empty: Iterable[str]) -> bool:
    """Whether a value is missing, blank, or one of the texts that stand for a missing one."""
    if value is None:
        return True
    return isinstance(value, str) and (not value.strip() or plain(value) in {item.casefold() for item in empty})
