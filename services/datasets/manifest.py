"""What of a version is hashed, and holding a version against its members."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from services.contracts.canonical import canonical_json, content_sha256
from services.contracts.datasets import Dataset, DatasetVersion, Member, MemberRecord, SplitPolicy, VersionContent
from services.datasets.merkle import MerkleTree
from services.datasets.splits import group_of, split_of
from services.errors import InvalidInputError


def leaf_of(member: Member) -> dict[str, Any]:
    """Return what the leaf of a member says: the record by its hash, and its split."""
    return {
        "sample_id": member.sample_id,
        "revision": member.revision,
        "content_sha256": member.content_sha256,
        "split": member.split,
    }


def leaf_bytes(member: Member) -> bytes:
    """Return what the hash of a leaf is of."""
    return canonical_json(leaf_of(member))


def manifest_sha256(content: VersionContent) -> str:
    """Return the hash of a version."""
    return content_sha256(content)


def told_of_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return what the audit trail says about a dataset, so that a verifier can compare all of it."""
    return dataset.model_dump(mode="json", include={"selection", "split"}, exclude_none=True)


def told_of_version(version: DatasetVersion) -> dict[str, Any]:
    """Return what the audit trail says about a version, so that a verifier can compare all of it."""
    return {
        "manifest_sha256": version.manifest_sha256,
        "merkle_root": version.content.merkle_root,
        "samples": version.content.samples,
    }


def policy_faults(policy: SplitPolicy, member: Member, body: dict[str, Any] | None) -> Iterable[str]:
    """Yield why a member is not where its record and the policy put it; of an erased record, the policy alone."""
    if body is not None:
        try:
            group = group_of(policy, body)
        except InvalidInputError as error:
            yield error.detail
        else:
            if group != member.group:
                yield f"its group is {member.group!r}, and by its record {group!r}"
    if split_of(policy, member.group) != member.split:
        yield f"it is in split {member.split!r}, and its group belongs to {split_of(policy, member.group)!r}"


async def version_faults(version: DatasetVersion, members: AsyncIterator[MemberRecord]) -> AsyncIterator[str]:
    """Yield everything that contradicts a version; nothing where it holds.

    Recomputed are the hash of every record, the group and split of every member, the order, the root and the hash of
    the version. A leak can not hide: a group's split follows from the policy alone. Of a record whose content was
    erased only the place is: the version holds its hash as before.

    Args:
        version: As it is told.
        members: All its members with their records, by position.
    """
    content = version.content
    tree = MerkleTree()
    labels = erased = 0
    before = ""
    async for item in members:
        member, record = item.member, item.record
        if member.position != tree.size or member.sample_id <= before:
            yield f"{member.sample_id}: it stands at position {member.position}, out of order"
        before = member.sample_id
        tree.add(leaf_bytes(member))
        erased += record.is_erased
        labels += 0 if record.is_erased else member.labels
        for fault in _member_faults(content.split, item):
            yield f"{member.sample_id}: {fault}"
    if tree.size != content.samples:
        yield f"the version says {content.samples} samples, and has {tree.size}"
    if labels > content.labels or (labels < content.labels and not erased):
        yield f"the version says {content.labels} labels, and has {labels}"
    if tree.root() != content.merkle_root:
        yield f"the Merkle root of the members is {tree.root()}, and the version says {content.merkle_root}"
    if manifest_sha256(content) != version.manifest_sha256:
        yield f"the hash of the version is {manifest_sha256(content)}, and it says {version.manifest_sha256}"


def _member_faults(policy: SplitPolicy, item: MemberRecord) -> Iterable[str]:
    member, record = item.member, item.record
    if (record.ref.sample_id, record.ref.revision) != (member.sample_id, member.revision):
        yield "the record is of another revision"
    if record.is_erased:
        if record.content_sha256 != member.content_sha256:
            yield "the record is not the one that the version names"
        yield from policy_faults(policy, member, None)
        return
    if content_sha256(record.body) != member.content_sha256:
        # What it says about its group and labels is then of no weight.
        yield "the record is not the one that the version names"
        return
    if len(record.body["annotations"]) != member.labels:
        yield f"it is said to have {member.labels} labels, and has {len(record.body['annotations'])}"
    yield from policy_faults(policy, member, record.body)
