"""Which entries of an audit chain somebody wants to see."""

from __future__ import annotations

from services.contracts.base import Contract, Name, Text, UtcDatetime


class AuditFilter(Contract):
    """Everything that is given must hold."""

    actor: Name | None = None
    action: Name | None = None
    subject: Text | None = None
    since: UtcDatetime | None = None
    until: UtcDatetime | None = None


EVERY_ENTRY = AuditFilter()
