"""What patches and submissions do to a label set."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.annotations import Annotation
from services.contracts.findings import LabelPatch
from services.contracts.label_base import Author
from services.contracts.labels_language import Intent, Relation
from services.errors import DecisionInvalidError
from services.review.labels import apply_patch, apply_submission, labels_by_id, labels_sha256

STREAMS = frozenset({"note"})
AUTHOR = Author(kind="human", id="author")


def intent(name: str, label: str = "greeting", **changes: Any) -> Intent:
    return Intent(**{"id": name, "stream": "note", "label": label, "author": AUTHOR, **changes})


def relation(name: str, from_id: str, to_id: str) -> Relation:
    return Relation(id=name, stream="note", label="answers", from_id=from_id, to_id=to_id)


def patched(before: tuple[Annotation, ...], **patch: Any) -> tuple[tuple[Annotation, ...], tuple[str, ...]]:
    change = apply_patch(before, LabelPatch(**patch), actor_id="me", streams=STREAMS)
    return change.annotations, change.changed


def test_a_replaced_label_keeps_its_place_and_a_new_one_follows() -> None:
    after, changed = patched(
        (intent("a"), intent("b"), intent("c")), upsert=(intent("z"), intent("b", "order")), remove=("a",)
    )
    assert [(label.id, label.label) for label in after] == [("b", "order"), ("c", "greeting"), ("z", "greeting")]
    assert changed == ("a", "b", "z")
    assert [label.author.id for label in after if label.author] == ["me", "author", "me"]


def test_the_same_label_under_another_name_is_no_change() -> None:
    after, changed = patched((intent("a"),), upsert=(intent("a", author=Author(kind="model", id="m")),))
    assert changed == ()
    assert after[0].author == AUTHOR


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"remove": ("x",)}, "/patch/remove/0"),
        ({"remove": ("a", "a")}, "/patch/remove/1"),
        ({"remove": ("a",), "upsert": (intent("a"),)}, "/patch/remove/0"),
        ({"upsert": (intent("n"), intent("n"))}, "/patch/upsert/1/id"),
        ({"upsert": (intent("n", stream="cam"),)}, "/patch/upsert/0/stream"),
        ({"upsert": (relation("r", "a", "nobody"),)}, "/patch/upsert/0/to_id"),
        ({"upsert": (intent("n"), relation("r", "nobody", "n"))}, "/patch/upsert/1/from_id"),
    ],
)
def test_a_patch_that_does_not_fit_names_its_place(patch: dict[str, Any], pointer: str) -> None:
    with pytest.raises(DecisionInvalidError) as refused:
        patched((intent("a"), intent("b")), **patch)
    assert [place for place, _ in refused.value.places] == [pointer]


def test_a_label_that_a_relation_needs_is_not_removed_alone() -> None:
    before = (intent("a"), intent("b"), relation("r", "a", "b"))
    with pytest.raises(DecisionInvalidError, match="'r' would point to 'b'"):
        patched(before, remove=("b",))
    assert patched(before, remove=("b", "r"))[1] == ("b", "r")


def test_a_submission_names_the_relation_that_points_to_nothing() -> None:
    submitted = (intent("a"), relation("r", "a", "gone"))
    with pytest.raises(DecisionInvalidError) as refused:
        apply_submission((), submitted, actor_id="me", streams=STREAMS)
    assert [place for place, _ in refused.value.places] == ["/annotations/1/to_id"]


def test_a_relation_that_was_broken_before_stops_nobody() -> None:
    assert patched((intent("a"), relation("r", "a", "gone")), upsert=(intent("a", "order"),))[1] == ("a",)


def test_a_submission_sets_the_order_and_credits_what_is_new() -> None:
    change = apply_submission(
        (intent("a"), intent("b")), (intent("n"), intent("a", author=None)), actor_id="me", streams=STREAMS
    )
    assert [(label.id, label.author.id if label.author else None) for label in change.annotations] == [
        ("n", "me"),
        ("a", "author"),
    ]
    assert change.changed == ("b", "n")
    with pytest.raises(DecisionInvalidError) as refused:
        apply_submission((), (intent("n"), intent("n")), actor_id="me", streams=STREAMS)
    assert refused.value.places[0][0] == "/annotations/1/id"


def test_the_hash_tells_change_and_absence_but_neither_author_nor_order() -> None:
    labels = (intent("a"), intent("b"))
    whole = labels_sha256(("a", "b"), labels)
    assert whole == labels_sha256(("b", "a", "a"), labels_by_id(reversed(labels)))
    assert whole == labels_sha256(("a", "b"), (intent("a", author=None), intent("b")))
    assert whole == labels_sha256(("a", "b"), (*labels, intent("c")))
    others = {
        labels_sha256(("a", "b"), (intent("a", "order"), intent("b"))),
        labels_sha256(("a", "b"), (intent("a"),)),
        labels_sha256(("a",), labels),
        labels_sha256((), labels),
    }
    assert whole not in others
    assert len(others) == 4


NAMES = st.sampled_from([f"l{number}" for number in range(8)])
LABELS = st.builds(intent, NAMES, st.sampled_from(["greeting", "order", "complaint"]))
SETS = st.lists(LABELS, unique_by=lambda label: label.id, max_size=8).map(tuple)


@given(before=SETS, upsert=SETS, remove=st.sets(NAMES))
def test_any_valid_patch_gives_a_valid_set_once(
    before: tuple[Intent, ...], upsert: tuple[Intent, ...], remove: set[str]
) -> None:
    known, put = {label.id for label in before}, {label.id for label in upsert}
    patch = LabelPatch(upsert=upsert, remove=tuple(sorted(remove & known - put)))
    change = apply_patch(before, patch, actor_id="me", streams=STREAMS)
    after = labels_by_id(change.annotations)
    assert len(after) == len(change.annotations)
    assert set(after) == (known | put) - set(patch.remove)
    untouched = [label for label in before if label.id not in change.changed]
    assert [after[label.id] for label in untouched] == untouched
    assert all(after[name].author == Author(kind="human", id="me") for name in change.changed if name in after)
    # What was removed is not there to remove again; the rest of the patch changes nothing the second time.
    again = LabelPatch(upsert=upsert)
    assert apply_patch(change.annotations, again, actor_id="you", streams=STREAMS).changed == ()


@given(before=SETS, submitted=SETS)
def test_any_submission_is_the_set_that_was_sent(before: tuple[Intent, ...], submitted: tuple[Intent, ...]) -> None:
    change = apply_submission(before, submitted, actor_id="me", streams=STREAMS)
    assert [(label.id, label.label) for label in change.annotations] == [(label.id, label.label) for label in submitted]
    old, new = labels_by_id(before), labels_by_id(change.annotations)
    assert set(change.changed) == {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
