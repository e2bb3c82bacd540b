"""What holds for every dataset: proofs prove, splits never leak, a diff makes the later labels of the earlier."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from services.contracts.canonical import canonical_json
from services.contracts.datasets import SplitPolicy, SplitShare
from services.datasets.diff import apply_change, label_changes
from services.datasets.merkle import EMPTY_ROOT, MerkleTree, leaf_hash, node_hash, proves
from services.datasets.splits import group_of, split_of

LEAVES = st.lists(st.binary(max_size=8), min_size=1, max_size=40)
VALUES = st.one_of(
    st.integers(-5, 5),
    st.floats(-5, 5).map(lambda value: round(value, 1)),
    st.text("aAbB 1é", max_size=4),
    st.booleans(),
)


def tree_of(leaves: list[bytes], prove: int | None = None) -> MerkleTree:
    tree = MerkleTree(prove=prove)
    for leaf in leaves:
        tree.add(leaf)
    return tree


def root_by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(root_by_definition(leaves[:split]), root_by_definition(leaves[split:]))


@given(LEAVES)
def test_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    assert tree_of(leaves).root() == root_by_definition(leaves).hex()
    assert tree_of([]).root() == EMPTY_ROOT


@given(LEAVES, st.data())
def test_a_proof_proves_its_leaf_in_its_place_and_nothing_else(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    tree = tree_of(leaves, prove=index)
    path, root, size = tree.path(), tree.root(), len(leaves)
    assert proves(leaves[index], index, size, path, root)
    assert len(path) <= max(1, (size - 1).bit_length())
    assert not proves(leaves[index] + b"x", index, size, path, root)
    assert not proves(leaves[index], index, size, (*path, "00" * 32), root)
    assert not proves(leaves[index], size, size, path, root)
    other = data.draw(st.integers(0, size - 1))
    if leaves[other] != leaves[index]:
        assert not proves(leaves[other], index, size, path, root)
    if path:
        assert not proves(leaves[index], index, size, path[:-1], root)
        wrong = ("ff" * 32, *path[1:])
        assert not proves(leaves[index], index, size, wrong, root)


@given(LEAVES, st.data())
def test_every_change_of_a_leaf_changes_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    changed = [*leaves]
    changed[index] = data.draw(st.binary(max_size=8))
    assume(changed != leaves)
    assert tree_of(changed).root() != tree_of(leaves).root()
    assert tree_of(leaves[:-1]).root() != tree_of(leaves).root()


POLICIES = st.builds(
    SplitPolicy,
    group_by=st.sampled_from(
        [("context.attributes.a",), ("context.attributes.a", "context.attributes.b"), ("context.region",)]
    ),
    shares=st.lists(st.integers(1, 100), min_size=1, max_size=5).map(
        lambda weights: tuple(SplitShare(name=f"s{index}", weight=weight) for index, weight in enumerate(weights))
    ),
    salt=st.text(max_size=5),
    missing=st.just("sample"),
)
CONTEXTS = st.fixed_dictionaries(
    {}, optional={"region": st.text("ab ", min_size=1, max_size=2), "attributes": st.dictionaries(
        st.sampled_from(["a", "b", "a.b"]), VALUES)},
)  # fmt: skip


@given(POLICIES, st.lists(CONTEXTS, max_size=30))
def test_no_group_is_in_two_splits(policy: SplitPolicy, contexts: list[dict[str, Any]]) -> None:
    splits: dict[Any, set[str]] = {}
    for index, context in enumerate(contexts):
        body = {"sample_id": f"s{index}", "context": context}
        values = tuple(_value(context, field) for field in policy.group_by)
        split = split_of(policy, group_of(policy, body))
        assert split in {share.name for share in policy.shares}
        assert split == split_of(policy, group_of(policy, body))
        if None not in values:
            splits.setdefault(values, set()).add(split)
    assert all(len(found) == 1 for found in splits.values())


def _value(context: dict[str, Any], field: str) -> Any:
    """The value of a group field as people mean it: 1, 1.0 and "1 " are one patient."""
    name = field.removeprefix("context.")
    value = context.get("region") if name == "region" else context.get("attributes", {}).get(name[-1])
    text = None if value is None else f"{value:g}" if type(value) in (int, float) else str(value)
    return text.casefold().strip() or None if text is not None else None


@given(st.text(max_size=5), st.integers(1, 9))
def test_shares_are_met_about(salt: str, weight: int) -> None:
    policy = SplitPolicy(
        shares=(SplitShare(name="train", weight=weight), SplitShare(name="test", weight=10 - weight)), salt=salt
    )
    found = [split_of(policy, f"group {index}") for index in range(400)]
    # Six standard deviations of a share of 400.
    assert abs(found.count("train") / 400 - weight / 10) < 6 * 0.5 / 20


LABEL = st.fixed_dictionaries(
    {"id": st.sampled_from("abcd"), "type": st.sampled_from(["box", "polygon"]), "stream": st.just("cam"),
     "label": st.sampled_from(["car", "bus"]),
     "attributes": st.dictionaries(st.sampled_from(["x", "y.z"]), VALUES, max_size=2)},
    optional={"box": st.lists(st.integers(0, 3), min_size=4, max_size=4), "frame": st.integers(0, 2),
              "confidence": st.floats(0, 1), "author": st.just({"kind": "human", "id": "ann"})},
)  # fmt: skip
LABELS = st.lists(LABEL, max_size=4, unique_by=lambda label: label["id"])


@given(LABELS, LABELS)
def test_a_diff_applied_to_the_earlier_labels_gives_the_later(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    changes = label_changes(before, after)
    made = apply_change(before, changes)
    wanted = sorted(after, key=lambda label: str(label["id"]))
    # In Python 1 equals 1.0 and True; in a record they do not.
    assert canonical_json(made) == canonical_json(wanted)
    assert label_changes(after, made) == ()
    assert label_changes(before, before) == ()
    unchanged = {change.annotation_id for change in changes}
    assert all(label in after for label in before if label["id"] not in unchanged)
