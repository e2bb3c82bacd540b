"""What must hold of a consensus whatever people say."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.consensus.build import consensus
from services.consensus.words import vote_words
from services.contracts.annotations import Annotation
from services.contracts.consensus import Answer

LABEL: TypeAdapter[Annotation] = TypeAdapter(Annotation)
_at = st.integers(0, 30).map(float)
_side = st.integers(5, 30).map(float)
_class = st.sampled_from(["car", "van", "bus"])


def _label(kind: str, name: int, class_id: str, fields: dict[str, Any]) -> Annotation:
    return LABEL.validate_python({"type": kind, "id": f"a{name}", "stream": "s", "label": class_id, **fields})


@st.composite
def _labels(draw: st.DrawFn, name: int) -> Annotation:
    kind = draw(st.sampled_from(["box", "event", "image_classification", "entity_span", "transcript_segment", "cuboid",
                                 "mask", "track"]))  # fmt: skip
    x, y, w = draw(_at), draw(_at), draw(_side)
    fields: dict[str, Any]
    if kind == "box":
        fields = {"box": [x, y, x + w, y + w]}
    elif kind in ("event", "transcript_segment"):
        fields = {"start_s": x, "end_s": x + w}
        if kind == "transcript_segment":
            fields["text"] = " ".join(draw(st.lists(st.sampled_from(["go", "to", "two", "no"]), max_size=4)))
    elif kind == "entity_span":
        fields = {"start_char": int(x), "end_char": int(x + w)}
    elif kind == "cuboid":
        fields = {"center_m": [x, y, 0], "size_m": [w, w / 2, 2], "yaw_rad": draw(st.sampled_from([0.0, 1.5, 3.1]))}
    elif kind == "mask":
        first = draw(st.integers(0, 40))
        fields = {"rle": {"size": [10, 10], "counts": [first, 30, 70 - first]}}
    elif kind == "track":
        frames = range(draw(st.integers(0, 3)), draw(st.integers(4, 6)))
        fields = {"object_id": f"o{name}", "boxes": [{"frame": f, "box": [x, y, x + w, y + w]} for f in frames]}
    else:
        fields = {}
    return _label(kind, name, draw(_class), fields)


@st.composite
def _answers(draw: st.DrawFn) -> list[Answer]:
    people = draw(st.integers(0, 4))
    return [
        Answer(
            annotator=f"p{person}",
            annotations=tuple(draw(_labels(number)) for number in range(draw(st.integers(0, 4)))),
        )
        for person in range(people)
    ]


def _shuffled(answers: list[Answer], seed: int) -> list[Answer]:
    rng = random.Random(seed)  # noqa: S311 - no secret
    moved = []
    for answer in answers:
        labels = list(answer.annotations)
        rng.shuffle(labels)
        moved.append(answer.model_copy(update={"annotations": tuple(labels)}))
    rng.shuffle(moved)
    return moved


@settings(deadline=None, max_examples=150)
@given(_answers(), st.integers(0, 1_000))
def test_the_order_of_people_and_labels_changes_nothing(answers: list[Answer], seed: int) -> None:
    assert consensus(_shuffled(answers, seed)) == consensus(answers)


@settings(deadline=None, max_examples=100)
@given(_answers())
def test_every_label_of_everybody_stands_behind_exactly_one(answers: list[Answer]) -> None:
    found = consensus(answers)
    behind = sorted(
        (one.annotator, name) for label in found.labels for one in label.support for name in one.annotation_ids
    )
    assert behind == sorted((answer.annotator, label.id) for answer in answers for label in answer.annotations)
    assert len({label.annotation.id for label in found.labels}) == len(found.labels)
    for label in found.labels:
        who = [one.annotator for one in label.support]
        assert len(set(who)) == len(who)
        assert sorted((*who, *label.absent)) == list(found.annotators)
        assert label.annotation == LABEL.validate_python(label.annotation.model_dump())


@settings(deadline=None, max_examples=100)
@given(_answers(), _answers())
def test_what_was_accepted_stays_whatever_is_answered_later(first: list[Answer], later: list[Answer]) -> None:
    accepted = consensus(first).annotations
    found = consensus(later, accepted=accepted)
    standing = {label.annotation.id: label for label in found.labels if label.state == "accepted"}
    assert {name: label.annotation for name, label in standing.items()} == {label.id: label for label in accepted}


@settings(deadline=None, max_examples=60)
@given(_answers(), st.integers(2, 4))
def test_what_all_answer_alike_is_agreed(answers: list[Answer], people: int) -> None:
    labels = answers[0].annotations if answers else ()
    found = consensus([Answer(annotator=f"q{person}", annotations=labels) for person in range(people)])
    assert {label.state for label in found.labels} <= {"agreed"}
    assert [label.agreement for label in found.labels] == pytest.approx([1.0] * len(found.labels))


_text = st.lists(st.sampled_from(["go", "to", "two", "no", "Go,"]), max_size=6).map(" ".join)


@settings(deadline=None)
@given(st.lists(_text, min_size=1, max_size=5), st.integers(0, 1_000))
def test_the_order_of_texts_changes_no_vote(texts: list[str], seed: int) -> None:
    given_texts = [(f"p{number}", text) for number, text in enumerate(texts)]
    moved = list(given_texts)
    random.Random(seed).shuffle(moved)  # noqa: S311 - no secret
    assert vote_words(moved) == vote_words(given_texts)
    assert vote_words([(who, texts[0]) for who, _ in given_texts]).share == 1.0
