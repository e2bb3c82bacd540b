"""Labels on which several people's answers do not settle."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.alignment.answer_agreement import check_answer_agreement
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.consensus import Answer, Consensus
from services.contracts.findings import Finding
from services.contracts.manifest import SampleManifest
from services.review.overlap import agreed_labels, merged
from services.rules.answer_agreement import AnswerAgreementRules
from services.rules.consensus import ConsensusRules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from tests.unit.test_consensus import answers, box, label

RULES = DEFAULT_RULE_SET
MANIFEST = SampleManifest.model_validate(
    {
        "format": "concord.sample/1",
        "sample_id": "s-1",
        "project": "p",
        "streams": [{"id": "s", "modality": "image", "uri": "a.png"}],
    }
)


def found_in(
    given: Sequence[Answer] | Consensus, *, rules: RuleSet = RULES, now: Sequence[Annotation] | None = None
) -> tuple[Finding, ...]:
    said = given if isinstance(given, Consensus) else merged(given, rules.consensus)
    labels = said.annotations if now is None else tuple(now)
    return check_answer_agreement(CheckSample(MANIFEST, labels, consensus=said), rules).findings


def field(value: str) -> Annotation:
    return label("metadata_field", class_id="weather", value={"kind": "text", "text": value})


def span(start: int, end: int) -> Annotation:
    return label("entity_span", start_char=start, end_char=end)


def segment(text: str) -> Annotation:
    return label("transcript_segment", start_s=0.0, end_s=2.0, text=text)


@pytest.mark.parametrize(
    ("given", "kind", "value", "threshold"),
    [
        ([box("a", 0), None, None], "disputed_presence", 1 / 3, 0.6),
        ([box("a", 0), box("a", 0, class_id="van")], "disputed_class", 0.5, 0.6),
        ([label("image_classification", class_id=name) for name in ("cat", "dog")], "disputed_class", 0.5, 0.6),
        ([field("dry"), field("wet")], "disputed_value", 0.5, 0.6),
        ([box("a", 0), box("a", 30)], "disputed_geometry", 7 / 13, 0.7),
        ([span(0, 10), span(4, 10)], "disputed_interval", 0.6, 0.7),
        ([segment("a b c d"), segment("a x y d")], "disputed_text", 0.5, 0.7),
    ],
)
def test_what_is_disputed_is_told_by_its_kind_with_its_number(
    given: list[Annotation | None], kind: str, value: float, threshold: float
) -> None:
    (finding,) = found_in(answers(*given))
    assert finding.kind == kind
    assert finding.severity == "major"
    assert finding.measured is not None
    assert finding.measured.value == pytest.approx(value)
    assert finding.measured.threshold == threshold
    assert finding.streams == ("s",)
    assert len(finding.annotations) == 1


def test_what_people_agree_on_is_not_told() -> None:
    assert found_in(answers(box("a", 0), box("a", 2), box("a", 1))) == ()
    assert found_in(answers(box("a", 0))) == ()


def test_one_label_in_dispute_says_nothing_of_the_others() -> None:
    findings = found_in(answers([box("a", 0), box("b", 500)], [box("a", 0), box("b", 500, class_id="van")]))
    assert [(finding.kind, finding.annotations) for finding in findings] == [("disputed_class", ("b",))]


def test_a_finding_carries_counts_and_spread_and_no_name() -> None:
    given = answers(box("a", 0), box("a", 30), box("a", 30, class_id="van"), None)
    (finding,) = found_in(given)
    assert finding.cause is not None
    apart = 7 / 13
    mean = (2 * apart + 1) / 3
    assert finding.cause.estimate == {
        "answers": 4, "labelled": 3, "agreement": pytest.approx(0.75 * mean * 2 / 3, abs=1e-6),
        "closeness_mean": pytest.approx(mean, abs=1e-6), "closeness_min": pytest.approx(apart, abs=1e-6),
        "closeness_max": 1.0, "near": 2, "votes_of_car": 2.0, "votes_of_van": 1.0,
    }  # fmt: skip
    told = finding.model_dump_json()
    assert not any(answer.annotator in told for answer in given)
    assert "0.69 close (0.54 to 1.00), 0.70 is asked for" in finding.message


def test_the_same_answers_give_the_same_findings_in_whatever_order_they_came() -> None:
    given = answers([box("a", 0), box("b", 500)], box("a", 0, class_id="van"), box("c", 900))
    assert found_in(given) == found_in(list(reversed(given)))


def test_ids_do_not_depend_on_thresholds_or_on_how_far_people_are_apart() -> None:
    (before,) = found_in(answers(box("a", 0), box("a", 30)))
    (after,) = found_in(answers(box("a", 0), box("a", 25)))
    strict = RULES.model_copy(update={"version": 2, "consensus": ConsensusRules(min_place=0.9)})
    (other,) = found_in(answers(box("a", 0), box("a", 30)), rules=strict)
    assert before.finding_id == after.finding_id == other.finding_id


def test_rules_that_ask_for_less_find_less_in_the_same_answers() -> None:
    said = merged(answers(box("a", 0), box("a", 30)), None)
    lenient = RULES.model_copy(update={"consensus": ConsensusRules(min_place=0.5)})
    assert len(found_in(said)) == 1
    assert found_in(said, rules=lenient) == ()


def test_a_label_that_was_changed_or_removed_since_has_been_decided() -> None:
    said = merged(answers(box("a", 0), box("a", 0, class_id="van")), None)
    (disputed,) = said.annotations
    assert found_in(said, now=[disputed.model_copy(update={"label": "van"})]) == ()
    assert found_in(said, now=[]) == ()
    assert len(found_in(said, now=[disputed, box("z", 700)])) == 1


def test_an_accepted_label_stays_accepted_whatever_later_answers_say() -> None:
    both = answers([box("a", 0), box("b", 500)], [box("a", 0), box("b", 500, class_id="van")])
    first = merged(both, None)
    accepted = agreed_labels(first)
    assert [one.id for one in accepted] == ["a"]
    # Two more who see nothing there: without what was accepted, half of the people would have the label.
    later = [*both, *(one.model_copy(update={"annotator": f"q{i}"}) for i, one in enumerate(answers(None, None)))]
    said = merged(later, None, accepted=accepted)
    by_id = {item.annotation.id: item for item in said.labels}
    assert by_id["a"].annotation == accepted[0]
    assert by_id["a"].state == "accepted"
    assert {finding.annotations for finding in found_in(said)} == {("b",)}
    assert {finding.annotations for finding in found_in(merged(later, None))} == {("a",), ("b",)}


@pytest.mark.parametrize(("bounds", "severity"), [
    ({}, "major"), ({"minor_from": 0.5}, "minor"), ({"critical_below": 0.6}, "critical"),
    ({"severities": {"disputed_class": "info"}}, "info"),
])  # fmt: skip
def test_how_grave_it_is_hangs_on_the_agreement(bounds: dict[str, object], severity: str) -> None:
    rules = RULES.model_copy(update={"answer_agreement": AnswerAgreementRules.model_validate(bounds)})
    (finding,) = found_in(answers(box("a", 0), box("a", 0, class_id="van")), rules=rules)
    assert finding.severity == severity


def test_without_joined_answers_it_can_not_be_judged() -> None:
    outcome = check_answer_agreement(CheckSample(MANIFEST, (box("a", 0),)), RULES)
    assert outcome.findings == ()
    assert len(outcome.not_applicable) == 1
