"""Labels that somebody made, held against the known ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from services.contracts.annotations import Annotation
from services.contracts.labels_language import Intent
from services.contracts.labels_visual import Box
from services.contracts.lifecycle import RevisionRef
from services.contracts.quality import GoldAnswer
from services.contracts.review import Decision, TaskKind, Verdict
from services.quality.labelling import score_labels
from services.quality.report import QualityBuilder
from services.quality.scoring import JudgedSample, score_sample
from services.rules.consensus import ConsensusRules

RULES = ConsensusRules(min_place=0.7)


def box(label_id: str, x_min: float, label: str = "car", width: float = 40.0) -> Box:
    return Box(id=label_id, stream="cam", label=label, frame=0, box=(x_min, 10.0, x_min + width, 50.0))


def intent(label_id: str, word: str) -> Intent:
    return Intent(id=label_id, stream="note", label=word)


def submitted(verdict: Verdict = Verdict.SUBMIT, kind: TaskKind = TaskKind.ANNOTATE) -> Decision:
    return Decision(
        decision_id=UUID(int=1),
        task_id=UUID(int=2),
        ref=RevisionRef(project="p", sample_id="s-1", revision=1),
        task_kind=kind,
        actor_id="ann",
        verdict=verdict,
        finding_ids=(),
        fence=1,
        label_version_before=0,
        label_version_after=1,
        content_sha256="ab" * 32,
        decided_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def judged(*made: Annotation, known: tuple[Annotation, ...], **given: Any) -> JudgedSample:
    gold = GoldAnswer(sample_id="s-1", labels=known, **given)
    return JudgedSample(findings={}, decisions=(submitted(),), labels={1: made}, gold=gold)


def told(*made: Annotation, known: tuple[Annotation, ...], **given: Any) -> list[tuple[str, str, str | None]]:
    found = score_labels(judged(*made, known=known, **given), RULES)
    return sorted((one.kind, one.label, one.fault) for one in found)


KNOWN = (box("k1", 10.0), box("k2", 200.0, "van"))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ((box("x", 10.0), box("y", 200.0, "van")), [("box", "car", None), ("box", "van", None)]),
        ((box("x", 12.0), box("y", 200.0, "car")), [("box", "car", None), ("box", "van", "class")]),
        ((box("x", 20.0), box("y", 200.0, "van")), [("box", "car", "place"), ("box", "van", None)]),
        ((box("y", 201.0, "van"),), [("box", "car", "missed"), ("box", "van", None)]),
        ((), [("box", "car", "missed"), ("box", "van", "missed")]),
    ],
)
def test_what_is_known_is_labelled_as_it_is_or_not(
    made: tuple[Annotation, ...], expected: list[tuple[str, str, str | None]]
) -> None:
    assert told(*made, known=KNOWN) == expected


def test_a_label_too_many_is_wrong_where_the_known_ones_are_all() -> None:
    more = (*KNOWN, box("z", 400.0, "bus"))
    right = [("box", "car", None), ("box", "van", None)]
    assert told(*more, known=KNOWN) == right
    assert told(*more, known=KNOWN, complete=True) == [("box", "bus", "added"), *right]


def test_that_there_is_nothing_is_known_too() -> None:
    assert told(known=(), complete=True) == [("(nothing)", "(nothing)", None)]
    assert told(box("z", 400.0, "bus"), known=(), complete=True) == [("box", "bus", "added")]
    with pytest.raises(ValidationError, match="complete"):
        GoldAnswer(sample_id="s-1")


def test_each_kind_is_matched_by_its_own_rule() -> None:
    known = (intent("k", "refund"), box("k1", 10.0))
    assert told(intent("i", "refund"), box("b", 10.0), known=known) == [
        ("box", "car", None),
        ("intent", "refund", None),
    ]
    assert told(intent("i", "thanks"), known=known) == [("box", "car", "missed"), ("intent", "refund", "class")]


def test_only_labels_that_somebody_hands_in_are_scored() -> None:
    sample = judged(box("x", 10.0), known=KNOWN)
    for other in (
        submitted(Verdict.ESCALATE),
        submitted(Verdict.SUBMIT, TaskKind.REWORK),
        submitted(Verdict.APPROVE, TaskKind.REVIEW),
    ):
        given = JudgedSample(findings={}, decisions=(other,), labels=sample.labels, gold=sample.gold)
        assert list(score_labels(given, RULES)) == []
        assert list(score_sample(given)) == [], "only labels are known"
    assert list(score_labels(JudgedSample({}, (submitted(),), sample.labels), RULES)) == []


def test_the_report_counts_labels_by_person_kind_and_class() -> None:
    builder = QualityBuilder("p", bar=0.8, max_listed=1)
    builder.add_labels(score_labels(judged(box("x", 10.0), box("z", 400.0, "bus"), known=KNOWN, complete=True), RULES))
    report = builder.finish()
    assert [(one.actor_id, one.judged, one.right) for one in report.people] == [("ann", 3, 1)]
    assert [(one.check, one.judged, one.right) for one in report.by_check] == [("labels/box", 3, 1)]
    assert {one.label: one.right for one in report.by_label} == {"bus": 0, "van": 0, "car": 1}
    (wrong,) = report.wrong_labels
    assert (wrong.fault, report.unlisted_labels) in {("added", 1), ("missed", 1)}
