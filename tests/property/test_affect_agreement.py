from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.affect_agreement import check_affect_agreement
from services.contracts.annotations import Annotation
from services.contracts.labels_language import Emotion, Sentiment
from services.contracts.manifest import Stream
from services.rules.affect_agreement import AffectAgreementRules
from services.rules.rule_set import RuleSet
from tests.unit.event_samples import sample_of

RULES = RuleSet(id="r", version=1, affect_agreement=AffectAgreementRules(min_cause_conflicts=2))
STREAMS = tuple(Stream.model_validate({"id": name, "modality": name}) for name in ("text", "audio", "video", "record"))
CLASSES = st.sampled_from(["positive", "negative", "neutral", "joy", "anger", "surprise", "never heard of"])
NUMBERS = st.none() | st.floats(-1, 1)
ROWS = st.lists(
    st.tuples(
        st.booleans(), CLASSES, NUMBERS, st.sampled_from([None, "u1", "u2", "u3", "x"]), st.floats(-1e6, 1e6),
        st.floats(-1e6, 1e6), st.sampled_from(["text", "audio", "video", "record"]),
    ),
    max_size=14,
)  # fmt: skip


@given(rows=ROWS, data=st.data())
@settings(max_examples=80, deadline=None)
def test_any_moods_in_any_order_give_the_same_findings(
    rows: list[tuple[bool, str, float | None, str | None, float, float, str]], data: st.DataObject
) -> None:
    labels: list[Annotation] = [
        Sentiment(id=f"l{i}", stream=stream, label=label, score=number, object_id=key)
        if words
        else Emotion(id=f"l{i}", stream=stream, label=label, valence=number, object_id=key, start_s=one, end_s=other)
        for i, (words, label, number, key, one, other, stream) in enumerate(rows)
    ]
    once = check_affect_agreement(sample_of(labels, streams=STREAMS), RULES)
    mixed = check_affect_agreement(sample_of(data.draw(st.permutations(labels)), streams=STREAMS), RULES)
    assert {item.finding_id for item in once.findings} == {item.finding_id for item in mixed.findings}
    assert {item.finding_id for item in once.folded} == {item.finding_id for item in mixed.folded}
    ids = [item.finding_id for item in (*once.findings, *once.folded)]
    assert len(ids) == len(set(ids))
