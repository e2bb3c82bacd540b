from datetime import UTC, datetime

import pytest

from services.audit.chain import GENESIS_SHA256, chain_entry, recomputed
from services.audit.links import ChainWalk
from services.contracts.records import AuditEntry
from services.contracts.verification import Anchor, Fault

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def chain(length: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for number in range(1, length + 1):
        entries.append(
            chain_entry(
                project="p",
                sequence=number,
                at=NOW,
                actor="u1",
                action="key.issued",
                subject=f"keys/{number}",
                body={"n": number},
                previous_sha256=entries[-1].sha256 if entries else GENESIS_SHA256,
            )
        )
    return entries


def kinds(entries: list[AuditEntry], head: AuditEntry | None, anchor: Anchor | None = None) -> list[str]:
    walk = ChainWalk([] if anchor is None else [anchor])
    found: list[Fault] = []
    for start in range(0, len(entries), 2):
        found += walk.follow(entries[start : start + 2])
    found += walk.end((0, GENESIS_SHA256) if head is None else (head.sequence, head.sha256))
    return [item.kind for item in found]


def test_a_true_chain_and_an_empty_one_have_no_fault() -> None:
    entries = chain(5)
    assert kinds(entries, entries[-1]) == []
    assert kinds([], None) == []


def test_an_edited_entry_is_found() -> None:
    entries = chain(5)
    entries[2] = entries[2].model_copy(update={"actor": "eve"})
    assert kinds(entries, entries[-1]) == ["entry-edited"]


def test_an_edited_entry_with_its_own_hash_mended_breaks_the_next_link() -> None:
    entries = chain(5)
    entries[2] = recomputed(entries[2].model_copy(update={"actor": "eve"}))
    assert kinds(entries, entries[-1]) == ["chain-broken"]


def test_a_deleted_entry_is_found() -> None:
    entries = chain(5)
    head = entries[-1]
    del entries[2]
    assert kinds(entries, head) == ["sequence-gap", "chain-broken"]


def test_an_inserted_entry_is_found() -> None:
    entries = chain(5)
    extra = recomputed(entries[2].model_copy(update={"sequence": 6, "previous_sha256": entries[4].sha256}))
    assert kinds([*entries, extra], entries[-1]) == ["head-mismatch"]


def test_swapped_entries_are_found() -> None:
    entries = chain(5)
    head = entries[-1]
    first, second = entries[1], entries[2]
    entries[1] = second.model_copy(update={"sequence": 2})
    entries[2] = first.model_copy(update={"sequence": 3})
    assert set(kinds(entries, head)) == {"entry-edited", "chain-broken"}


def test_a_cut_chain_is_found_by_its_head() -> None:
    entries = chain(5)
    assert kinds(entries[:3], entries[-1]) == ["chain-truncated"]
    assert kinds([], entries[-1]) == ["chain-truncated"]


def test_a_cut_or_rewritten_chain_with_its_head_mended_is_found_by_an_anchor_only() -> None:
    entries = chain(5)
    anchor = Anchor(sequence=4, sha256=entries[3].sha256)
    assert kinds(entries[:3], entries[2]) == []
    assert kinds(entries[:3], entries[2], anchor) == ["anchor-missing"]
    rewritten = entries[:3]
    for entry in entries[3:]:
        changed = entry.model_copy(update={"actor": "eve", "previous_sha256": rewritten[-1].sha256})
        rewritten.append(recomputed(changed))
    assert kinds(rewritten, rewritten[-1]) == []
    assert kinds(rewritten, rewritten[-1], anchor) == ["anchor-mismatch"]
    assert kinds(entries, entries[-1], anchor) == []


@pytest.mark.parametrize("length", [1, 4])
def test_a_head_with_another_hash_is_found(length: int) -> None:
    entries = chain(length)
    head = entries[-1].model_copy(update={"sha256": "f" * 64})
    assert kinds(entries, head) == ["head-mismatch"]
