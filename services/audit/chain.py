"""The hash chain that makes an audit trail tamper-evident.

Each entry's hash covers the entry and the hash before it, so that an edit, a deletion, an insertion or a new order
breaks every link after it (Haber and Stornetta, 1991: "How to time-stamp a digital document").
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.contracts.canonical import canonical_json, time_text
from services.contracts.records import AuditEntry

GENESIS_SHA256 = "0" * 64


@dataclass(frozen=True, slots=True)
class LinkText:
    """The canonical text of an entry, without what is known only when it is chained.

    Attributes:
        to_time: Up to the text of its time.
        to_body: From there up to its body.
        body: Its body.
        to_previous: From there up to the hash before it.
        to_sequence: From there up to its sequence.
        rest: From there.
    """

    to_time: str
    to_body: str
    body: str
    to_previous: str
    to_sequence: str
    rest: str

    def sha256(self, at: datetime, previous_sha256: str, sequence: int) -> str:
        """Return the hash of the entry in its place."""
        parts = (
            self.to_time, time_text(at), self.to_body, self.body, self.to_previous, previous_sha256, self.to_sequence,
            str(sequence), self.rest,
        )  # fmt: skip
        return hashlib.sha256("".join(parts).encode()).hexdigest()


def link_text(*, project: str, actor: str, action: str, subject: str, body: dict[str, Any]) -> LinkText:
    """Return the text that an entry's hash is of: :func:`canonical_json` of all its fields, so in their order."""
    fields = {"action": action, "actor": actor, "body": body, "project": project, "subject": subject}
    named = {name: canonical_json(value).decode() for name, value in fields.items()}
    return LinkText(
        to_time=f'{{"action":{named["action"]},"actor":{named["actor"]},"at":"',
        to_body='","body":',
        body=named["body"],
        to_previous=',"previous":"',
        to_sequence=f'","project":{named["project"]},"sequence":',
        rest=f',"subject":{named["subject"]}}}',
    )


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
    link = link_text(project=project, actor=actor, action=action, subject=subject, body=body)
    return AuditEntry(
        project=project,
        sequence=sequence,
        at=at,
        actor=actor,
        action=action,
        subject=subject,
        body=body,
        previous_sha256=previous_sha256,
        sha256=link.sha256(at, previous_sha256, sequence),
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
