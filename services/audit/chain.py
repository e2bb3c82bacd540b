"""The hash chain that makes an audit trail tamper-evident.

Each entry's hash covers the entry and the hash before it, so that an edit, a deletion, an insertion or a new order
breaks every link after it (Haber and Stornetta, 1991: "How to time-stamp a digital document").
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.contracts.canonical import content_sha256, time_text
from services.contracts.records import AuditEntry

GENESIS_SHA256 = "0" * 64


def chain_entry(
    *,
    project: str,
    sequence: int,
    at: datetime,
    actor: str,
    action: str,
    subject: str,
    body: dict[str, Any],
    previous_sha256: str,
) -> AuditEntry:
    """Return the entry that follows ``previous_sha256``, with its own hash."""
    digest = content_sha256(
        {
            "project": project,
            "sequence": sequence,
            "at": time_text(at),
            "actor": actor,
            "action": action,
            "subject": subject,
            "body": body,
            "previous": previous_sha256,
        }
    )
    return AuditEntry(
        project=project,
        sequence=sequence,
        at=at,
        actor=actor,
        action=action,
        subject=subject,
        body=body,
        previous_sha256=previous_sha256,
        sha256=digest,
    )


def recomputed(entry: AuditEntry) -> AuditEntry:
    """Return ``entry`` with the hash that its content really has."""
    chained = chain_entry(
        project=entry.project,
        sequence=entry.sequence,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        body=entry.body,
        previous_sha256=entry.previous_sha256,
    )
    return entry.model_copy(update={"sha256": chained.sha256})
