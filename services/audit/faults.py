"""Collects faults, as many as a report can carry, and counts the rest."""

from __future__ import annotations

from collections.abc import Iterable

from services.contracts.records import AuditEntry
from services.contracts.verification import Fault
from services.errors import IntegrityError

MAX_FAULTS = 1_000
UNREADABLE = (ValueError, IntegrityError)
"""What reading a row raises that was changed into something the contract does not allow."""
_MAX_TEXT = 2_000


def fault(kind: str, subject: str, detail: str) -> Fault:
    """Return a fault; texts that a tampered row made too long, or unprintable, are cut and cleaned."""
    return Fault(kind=kind, subject=_clean(subject), detail=_clean(detail))


def hash_faults(kind: str, subject: str, sha256: str, entries: Iterable[AuditEntry], action: str) -> list[Fault]:
    """Return what the audit trail says otherwise about something that is told of once, with its hash.

    Args:
        kind: Of the fault.
        subject: As the audit trail names it.
        sha256: Of what is stored.
        entries: About the subject.
        action: Of the entry that tells of it.
    """
    told = [entry.body.get("sha256") for entry in entries if entry.action == action]
    if told == [sha256]:
        return []
    said = ", ".join(map(str, told)) or "nothing"
    return [fault(kind, subject, f"it has the hash {sha256}, the audit trail tells {said}")]


class FaultList:
    """Faults in the order they were found."""

    def __init__(self, limit: int = MAX_FAULTS) -> None:
        self._limit = limit
        self._faults: dict[Fault, None] = {}
        self.count = 0

    def add(self, found: Iterable[Fault]) -> None:
        """Keep each fault once, or only count it when there are too many."""
        for item in found:
            if item in self._faults:
                continue
            self.count += 1
            if len(self._faults) < self._limit:
                self._faults[item] = None

    @property
    def kept(self) -> tuple[Fault, ...]:
        """The first faults."""
        return tuple(self._faults)


def _clean(text: str) -> str:
    return text.replace("\x00", "")[:_MAX_TEXT]
