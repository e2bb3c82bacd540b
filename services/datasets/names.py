"""How people name a version of a dataset."""

from __future__ import annotations

from services.errors import InvalidInputError


def parse_version(text: str) -> tuple[str, int]:
    """Return (dataset, version) of ``NAME@VERSION``.

    Raises:
        InvalidInputError: It has another form.
    """
    name, _, version = text.rpartition("@")
    if not name or not (version.isascii() and version.isdecimal()) or not 1 <= int(version) < 2**31:
        raise InvalidInputError(f"a version is named NAME@VERSION, such as signs@3; got {text[:100]!r}")
    return name, int(version)
