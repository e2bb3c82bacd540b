from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from infra.bench.detection.event_recordings import dialogues
from services.alignment.affect_agreement import check_affect_agreement
from services.alignment.sample import CheckOutcome
from services.contracts.annotations import Annotation
from services.contracts.labels_language import Emotion, Relation, Sentiment, TextClassification, TranscriptSegment
from services.contracts.labels_spatial import MetadataField
from services.contracts.manifest import Stream
from services.rules.affect_agreement import AffectAgreementRules, RecordField
from services.rules.rule_set import RuleSet
from tests.unit.event_samples import DATA, kinds, needs, sample_of, told

TEXT = Stream(id="chat", modality="text")
SPEECH = Stream(id="call", modality="audio")
RULES = RuleSet(id="r", version=1, affect_agreement=AffectAgreementRules())


def judged(labels: Sequence[Any], *streams: Stream, **section: Any) -> CheckOutcome:
    rules = RULES.model_copy(update={"affect_agreement": AffectAgreementRules(**section)})
    return check_affect_agreement(sample_of(labels, streams=(TEXT, SPEECH, *streams)), rules)


def said(name: str, label: str, utterance: str | None = None, **more: Any) -> Sentiment:
    return Sentiment.model_validate({"id": name, "stream": "chat", "label": label, "object_id": utterance} | more)


def felt(name: str, label: str, utterance: str | None = None, start_s: float = 0.0, **more: Any) -> Emotion:
    fields = {"id": name, "stream": "call", "label": label, "object_id": utterance}
    return Emotion.model_validate(fields | {"start_s": start_s, "end_s": start_s + 2.0} | more)


def record(**fields: Any) -> Stream:
    return Stream(id="crm", modality="record", inline=fields)


def test_a_rule_set_that_does_not_ask_finds_nothing() -> None:
    sample = sample_of([said("t", "positive", "u"), felt("v", "anger", "u")], streams=(TEXT, SPEECH))
    assert check_affect_agreement(sample, RuleSet(id="r", version=1)) == CheckOutcome()


def test_one_side_alone_is_not_applicable() -> None:
    outcome = judged([said("t", "positive")])
    assert outcome.findings == ()
    assert "only its words" in outcome.not_applicable[0].reason
    assert judged([]).not_applicable[0].reason.startswith("nothing")


def test_opposite_moods_of_one_utterance_are_a_valence_conflict() -> None:
    outcome = judged(
        [said("t", "positive", "u"), felt("v", "anger", "u"), said("t2", "negative", "w"), felt("v2", "sad", "w")]
    )
    assert told(outcome) == [("valence_conflict", ("t", "v"))]
    assert outcome.findings[0].severity == "major"


@pytest.mark.parametrize(
    ("words", "voice", "severity"),
    [("neutral", "anger", "major"), ("neutral", "joy", "minor"), ("negative", "calm", "minor")],
)
def test_calm_words_in_an_angry_voice_are_graver_than_the_reverse(words: str, voice: str, severity: str) -> None:
    (finding,) = judged([said("t", words, "u"), felt("v", voice, "u")]).findings
    assert (finding.kind, finding.severity) == ("intensity_conflict", severity)


@pytest.mark.parametrize("voice", ["surprise", "joy", "Happy"])
def test_classes_that_may_be_either_and_other_names_agree(voice: str) -> None:
    assert judged([said("t", "positive", "u"), felt("v", voice, "u")]) == CheckOutcome()


def test_an_unknown_class_is_named_and_can_be_added() -> None:
    labels = [said("t", "positive", "u"), felt("v", "grumpy", "u"), felt("v2", "joy", "u")]
    assert "grumpy" in judged(labels).not_applicable[0].reason
    assert kinds(judged(labels[:2], valences={"Grumpy": -0.8})) == ["valence_conflict"]


def test_a_number_goes_before_the_class_and_must_not_contradict_it() -> None:
    labels = [said("t", "neutral", "u", score=-0.9), felt("v", "anger", "u")]
    assert judged(labels).findings == ()
    assert told(judged([said("t", "positive", "u", score=-0.9), felt("v", "joy", "u")])) == [
        ("self_contradiction", ("t",))
    ]


def test_utterances_are_joined_by_attribute_relation_and_time() -> None:
    by_attribute = [said("t", "positive", attributes={"turn": 3}), felt("v", "anger", attributes={"turn": 3})]
    segment = TranscriptSegment(id="s", stream="call", text="fine", start_s=10, end_s=12)
    related = [said("t", "positive"), segment, Relation(id="r", stream="chat", label="of", from_id="t", to_id="s")]
    for labels in (by_attribute, [*related, felt("v", "anger", start_s=10.2), felt("far", "joy", start_s=30)]):
        assert told(judged(labels)) == [("valence_conflict", ("t", "v"))]


def test_without_utterances_the_conversation_is_judged() -> None:
    labels = [said("t1", "neutral"), said("t2", "positive"), felt("v1", "anger"), felt("v2", "sad", start_s=5)]
    (finding,) = judged(labels).findings
    assert (finding.kind, finding.severity) == ("conversation_conflict", "major")
    assert judged([said("t1", "neutral"), felt("v1", "calm")]).findings == ()


def test_calm_words_an_angry_voice_and_an_unhappy_history() -> None:
    labels = [said("t", "neutral", "u"), felt("v", "anger", "u")]
    outcome = judged(labels, record(ticket_history="unhappy", csat=1))
    assert kinds(outcome) == ["intensity_conflict", "record_conflict", "record_conflict"]
    conflict = next(item for item in outcome.findings if item.kind == "record_conflict")
    assert "the voice agree" in conflict.message
    assert (
        judged([said("t", "negative", "u"), felt("v", "anger", "u")], record(ticket_history="unhappy")).findings == ()
    )


def test_a_record_speaks_through_labels_and_the_rules_own_fields() -> None:
    crm = Stream(id="crm", modality="record")
    label = MetadataField.model_validate(
        {"id": "m", "stream": "crm", "label": "stars", "value": {"kind": "quantity", "value": 5, "unit": "stars"}}
    )
    complaint = TextClassification(id="c", stream="crm", label="complaint")
    fields = (RecordField(name="stars", scale=(1, 5)),)
    assert kinds(judged([said("t", "negative"), label], crm, record_fields=fields)) == ["record_conflict"]
    assert kinds(judged([said("t", "positive"), complaint], crm)) == ["record_conflict"]


def conversation(shift: int = 0, *, inverted: bool = False) -> list[Annotation]:
    moods = ["neutral", "joy", "anger", "neutral", "sad", "joy", "joy", "anger", "neutral", "neutral", "fear", "joy"]
    words = {"neutral": "neutral", "joy": "positive", "anger": "negative", "sad": "negative", "fear": "negative"}
    turned = {"positive": "negative", "negative": "positive", "neutral": "neutral"}
    labels: list[Annotation] = []
    for i, mood in enumerate(moods):
        word = words[moods[(i - shift) % len(moods)]]
        labels += [felt(f"v{i}", mood, f"u{i}", 3.0 * i), said(f"t{i}", turned[word] if inverted else word, f"u{i}")]
    return labels


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_labels_at_the_wrong_utterances_are_one_cause(shift: int) -> None:
    outcome = judged(conversation(shift))
    (cause,) = [item for item in outcome.findings if item.cause is not None]
    assert cause.kind == "shifted_labels"
    assert cause.cause is not None
    assert cause.cause.estimate["shift_utterances"] == shift
    assert set(cause.explains) == {item.finding_id for item in outcome.folded}
    assert len(outcome.folded) >= 4


def test_a_scale_upside_down_is_one_cause() -> None:
    outcome = judged(conversation(inverted=True))
    assert kinds(outcome) == ["inverted_scale"]
    assert {item.kind for item in outcome.folded} == {"valence_conflict"}
    assert judged(conversation()).findings == ()


@needs("meld")
def test_the_dialogues_two_labellings_agree() -> None:
    labels = found = 0
    for _, sample in dialogues(DATA):
        labels += len(sample.annotations)
        found += len(check_affect_agreement(sample, RULES).findings)
    assert labels == 41_124
    assert found == 0


def test_the_order_of_the_labels_does_not_matter() -> None:
    labels = conversation(1)
    assert judged(labels) == judged(labels[::-1])
    assert judged(labels).findings[0].finding_id == judged(labels[5:] + labels[:5]).findings[0].finding_id
