"""Personal text in the audit trail: hashed in as a salted commitment, kept beside the chain, and so erasable.

An entry's body holds ``{"commitment": …}`` in place of the text, and the hash of the entry covers that. The text and
its salt stand in a row of their own. Without the salt nobody finds the text by trying (Halevi and Micali, 1996:
"Practical and provably-secure commitment schemes from collision-free hashing"); the chain holds with and without it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from services.audit.faults import fault
from services.contracts.canonical import content_sha256
from services.contracts.records import AuditEntry, PersonalText
from services.contracts.verification import Fault

_COMMITMENT = "commitment"
_SALT_BYTES = 32


def commit_texts(texts: Mapping[str, str | None]) -> tuple[dict[str, Any], tuple[PersonalText, ...]]:
    """Return what the body of an entry says in the place of these texts, and the texts with fresh salts.

    A text that is None hides nothing and stays None.
    """
    body: dict[str, Any] = {}
    kept = []
    for name, value in texts.items():
        if value is None:
            body[name] = None
            continue
        salt = secrets.token_hex(_SALT_BYTES)
        body[name] = {_COMMITMENT: commitment_of(salt, value)}
        kept.append(PersonalText(name=name, salt=salt, value=value))
    return body, tuple(kept)


def commitment_of(salt: str, value: str) -> str:
    """Return the SHA-256 that binds to a text without showing it."""
    return content_sha256([salt, value])


def is_redacted(entry: AuditEntry) -> bool:
    """Whether personal text of an entry was erased."""
    return any(text.value is None for text in entry.personal)


def contradicts(entry: AuditEntry, name: str, stored: str | None) -> bool:
    """Whether an entry tells another text than is stored; what was erased contradicts nothing."""
    told = entry.body.get(name)
    if _committed(told) is None:
        return bool(told != stored)
    text = next((text for text in entry.personal if text.name == name), None)
    return text is not None and text.value is not None and text.value != stored


def text_of(entry: AuditEntry, name: str) -> Any:
    """Return what an entry tells under a name, as a person reads it."""
    told = entry.body.get(name)
    if _committed(told) is None:
        return told
    return next((text.value for text in entry.personal if text.name == name), None)


def personal_faults(subject: str, entry: AuditEntry) -> Iterator[Fault]:
    """Yield what is wrong with the personal text of an entry."""
    committed = {name: digest for name, told in entry.body.items() if (digest := _committed(told)) is not None}
    kept = {text.name: text for text in entry.personal}
    for name in sorted(committed.keys() - kept.keys()):
        yield fault("personal-missing", subject, f"its {name} is neither there nor told to be erased")
    for name in sorted(kept.keys() - committed.keys()):
        yield fault("personal-stray", subject, f"a text is kept as its {name}, which it does not have")
    for name in sorted(committed.keys() & kept.keys()):
        text = kept[name]
        if text.salt is None or text.value is None:
            continue
        if commitment_of(text.salt, text.value) != committed[name]:
            yield fault("personal-edited", subject, f"the text kept as its {name} is not the one that it commits to")


def _committed(told: Any) -> str | None:
    digest = told.get(_COMMITMENT) if isinstance(told, dict) and len(told) == 1 else None
    return digest if isinstance(digest, str) else None
