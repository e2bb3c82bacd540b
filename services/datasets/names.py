"""How people, and the audit trail, name datasets and their versions."""

from __future__ import annotations

from services.errors import InvalidInputError

CREATED_ACTION = "dataset.created"
VERSIONED_ACTION = "dataset.versioned"
_MOST_VERSIONS = 2**31


def parse_version(text: str) -> tuple[str, int]:
    """Return (dataset, version) of ``NAME@VERSION``.

    Raises:
        InvalidInputError: It has another form.
    """
    name, _, version = text.rpartition("@")
    if not name or not (version.isascii() and version.isdecimal()) or not 1 <= int(version) < _MOST_VERSIONS:
        raise InvalidInputError(f"a version is named NAME@VERSION, such as signs@3; got {text[:100]!r}")
    return name, int(version)


def dataset_subject(name: str) -> str:
    """Return how the audit trail names a dataset."""
    return f"datasets/{name}"


def version_subject(name: str, version: int) -> str:
    """Return how the audit trail names a version."""
    return f"{dataset_subject(name)}/{version}"


def parse_subject(subject: str) -> tuple[str, int | None]:
    """Return (dataset, version or None) of what the audit trail names; what it never writes names no dataset."""
    name, _, version = subject.removeprefix("datasets/").partition("/")
    if not version:
        return name, None
    if version.isascii() and version.isdecimal() and len(version) < 11 and 1 <= int(version) < _MOST_VERSIONS:
        return name, int(version)
    return subject, None
