"""Six kinds of tampering with the audit chain, at random places, by somebody who may do everything in the database.

Every example takes a fresh copy of the same true store: the chain as rows is put back before each.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from services.audit.chain import GENESIS_SHA256, recomputed
from services.audit.verify import verify_project
from services.contracts.canonical import canonical_json
from services.contracts.records import AuditEntry
from services.contracts.verification import Anchor
from tests.committed import committed_sample
from tests.intake_events import PROJECT, add_project

pytestmark = pytest.mark.servers

EXAMPLES = 12
_COLUMNS = "project, sequence, at, actor, action, subject, body, previous_sha256, sha256"


@dataclass
class Forger:
    """Somebody with the owner's rights, all guards off, and some luck."""

    connection: asyncpg.Connection[Any]
    chance: random.Random

    async def entries(self) -> list[AuditEntry]:
        rows = await self.connection.fetch(
            f"SELECT {_COLUMNS} FROM audit_entries WHERE project = $1 ORDER BY sequence",  # noqa: S608
            PROJECT,
        )
        return [AuditEntry(**{**dict(row), "body": json.loads(row["body"])}) for row in rows]

    async def write(self, entries: list[AuditEntry]) -> None:
        """Put these entries in the place of all, as they are."""
        await self.connection.execute("DELETE FROM audit_entries WHERE project = $1", PROJECT)
        await self.connection.executemany(
            f"INSERT INTO audit_entries ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",  # noqa: S608
            [
                (
                    *(e.project, e.sequence, e.at, e.actor, e.action, e.subject),
                    *(canonical_json(e.body).decode(), e.previous_sha256, e.sha256),
                )
                for e in entries
            ],
        )

    async def set_head(self, entry: AuditEntry) -> None:
        await self.connection.execute(
            "UPDATE audit_heads SET sequence = $2, sha256 = $3 WHERE project = $1",
            PROJECT,
            entry.sequence,
            entry.sha256,
        )


def edited(entry: AuditEntry, chance: random.Random) -> AuditEntry:
    """One member of an entry changed, the hashes left as they are."""
    changes: list[dict[str, Any]] = [
        {"actor": "eve"},
        {"action": "sample.rejected" if entry.action != "sample.rejected" else "sample.accepted"},
        {"subject": "samples/s-9/revisions/1"},
        {"body": {**entry.body, "said": "otherwise"}},
        {"body": {}} if entry.body else {"body": {"x": 1}},
        {"at": entry.at.replace(microsecond=(entry.at.microsecond + 1) % 1_000_000)},
        {"previous_sha256": "e" * 64},
        {"sha256": "e" * 64},
    ]
    return entry.model_copy(update=chance.choice(changes))


def rechained(entries: list[AuditEntry]) -> list[AuditEntry]:
    """The same entries in this order, numbered and hashed so that the chain holds in itself."""
    previous, made = GENESIS_SHA256, []
    for number, entry in enumerate(entries, start=1):
        made.append(recomputed(entry.model_copy(update={"sequence": number, "previous_sha256": previous})))
        previous = made[-1].sha256
    return made


async def edit(forger: Forger) -> None:
    entries = await forger.entries()
    place = forger.chance.randrange(len(entries))
    entries[place] = edited(entries[place], forger.chance)
    await forger.write(entries)


async def delete(forger: Forger) -> None:
    entries = await forger.entries()
    del entries[forger.chance.randrange(len(entries))]
    await forger.write(entries)


async def insert(forger: Forger) -> None:
    """An entry more, with a right hash of its own; those behind it move on by one, as they are."""
    entries = await forger.entries()
    place = forger.chance.randrange(len(entries) + 1)
    like = entries[min(place, len(entries) - 1)]
    previous = entries[place - 1].sha256 if place else GENESIS_SHA256
    invented = recomputed(like.model_copy(update={"sequence": place + 1, "actor": "eve", "previous_sha256": previous}))
    moved = [entry.model_copy(update={"sequence": entry.sequence + 1}) for entry in entries[place:]]
    await forger.write([*entries[:place], invented, *moved])


async def reorder(forger: Forger) -> None:
    entries = await forger.entries()
    one, other = forger.chance.sample(range(len(entries)), 2)
    entries[one], entries[other] = (
        entries[other].model_copy(update={"sequence": entries[one].sequence}),
        entries[one].model_copy(update={"sequence": entries[other].sequence}),
    )
    await forger.write(entries)


async def truncate(forger: Forger) -> None:
    """The end is cut off; every second time the head is set to fit."""
    entries = await forger.entries()
    kept = entries[: forger.chance.randrange(len(entries))]
    await forger.write(kept)
    if kept and forger.chance.random() < 0.5:
        await forger.set_head(kept[-1])


async def rewrite(forger: Forger) -> None:
    """Some entries are changed, left out or moved, and all hashes and the head made to fit: only an anchor tells."""
    entries = await forger.entries()
    place = forger.chance.randrange(len(entries))
    how = forger.chance.choice(("edit", "delete", "move"))
    if how == "edit":
        entries[place] = entries[place].model_copy(update={"actor": "eve"})
    else:
        taken = entries.pop(place)
        if how == "move":
            entries.insert((place + forger.chance.randrange(1, len(entries))) % len(entries), taken)
    made = rechained(entries)
    await forger.write(made)
    await forger.set_head(made[-1])


KINDS: dict[str, Callable[[Forger], Awaitable[None]]] = {
    "edit": edit,
    "delete": delete,
    "insert": insert,
    "reorder": reorder,
    "truncate": truncate,
    "rewrite": rewrite,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_tampering_at_random_places_is_found_and_the_true_chain_is_not(
    database: PostgresDatabase, database_url: str, kind: str
) -> None:
    await add_project(database)
    for name in ("s-1", "s-2"):
        await committed_sample(database, name)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SET session_replication_role = replica")
        chance = random.Random(f"audit {kind}")  # noqa: S311 - the same places every time
        forger = Forger(connection, chance)
        true = await forger.entries()
        anchors = [Anchor(sequence=entry.sequence, sha256=entry.sha256) for entry in (true[len(true) // 2], true[-1])]
        assert (await verify_project(database, PROJECT, anchors=anchors)).faults == ()
        for number in range(EXAMPLES):
            await KINDS[kind](forger)
            report = await verify_project(database, PROJECT, anchors=anchors if kind == "rewrite" else ())
            assert not report.audit_verified, (kind, number)
            await forger.write(true)
            await forger.set_head(true[-1])
        assert (await verify_project(database, PROJECT, anchors=anchors)).faults == ()
    finally:
        await connection.close()


async def test_every_line_of_a_file_of_anchors_is_held_against_the_chain(database: PostgresDatabase) -> None:
    await add_project(database)
    await committed_sample(database, "s-1")
    async with database.transaction() as tx:
        entries = await tx.audit.list(PROJECT, after=0, limit=1_000)
    anchors = [Anchor(sequence=entry.sequence, sha256=entry.sha256) for entry in entries]
    assert (await verify_project(database, PROJECT, anchors=[*anchors, anchors[0]])).faults == ()
    wrong = [Anchor(sequence=2, sha256="0" * 64), Anchor(sequence=4, sha256="1" * 64), anchors[3]]
    report = await verify_project(database, PROJECT, anchors=[*wrong, Anchor(sequence=999, sha256="2" * 64)])
    assert [(item.kind, item.subject) for item in report.faults] == [
        ("anchor-mismatch", "audit/2"),
        ("anchor-mismatch", "audit/4"),
        ("anchor-missing", "audit/999"),
    ]
