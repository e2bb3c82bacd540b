from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.audio_transcript import check_audio_transcript
from services.alignment.sample import AudioData
from services.alignment.speech_activity import detect_speech
from services.alignment.time_alignment import Correction
from services.contracts.labels_language import SpeakerTurn, TranscriptSegment
from services.formats.rttm import parse_rttm, write_rttm
from services.rules.audio_transcript import SpeechActivityRules
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.spoken_calls import Call, made_call, moved, turn

CALL = made_call(1, seconds=25)
MINUTE = made_call(2, seconds=60)
TIMES = st.floats(-100, 200, allow_nan=False)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@given(offset_s=st.floats(-6, 6).filter(lambda value: abs(value) > 0.4))
@settings(max_examples=12, deadline=None)
def test_any_shift_is_found_within_a_tenth_of_a_second(offset_s: float) -> None:
    outcome = check_audio_transcript(MINUTE.sample(moved(MINUTE.segments, offset_s)), DEFAULT_RULE_SET)
    (finding,) = outcome.findings
    assert finding.kind == "offset"
    assert finding.measured is not None
    assert abs(finding.measured.value - offset_s) < 0.1


@given(order=st.permutations(range(len(CALL.segments))), shift_s=st.sampled_from([0.0, 1.5]))
@settings(max_examples=12, deadline=None)
def test_findings_do_not_depend_on_the_order_of_the_labels(order: list[int], shift_s: float) -> None:
    labels = moved(CALL.segments, shift_s)
    expected = check_audio_transcript(CALL.sample(labels), DEFAULT_RULE_SET)
    mixed = check_audio_transcript(CALL.sample([labels[index] for index in order]), DEFAULT_RULE_SET)

    def ids(outcome_findings: object) -> set[str]:
        assert isinstance(outcome_findings, tuple)
        return {finding.finding_id for finding in outcome_findings if finding.kind != "out_of_order"}

    assert ids(mixed.findings) == ids(expected.findings)
    assert ids(mixed.folded) == ids(expected.folded)


@given(
    times=st.lists(st.tuples(TIMES, TIMES, st.sampled_from(["a", "b", None]), TEXT), max_size=12),
    turns=st.lists(st.tuples(TIMES, TIMES, st.sampled_from(["x", "y"])), max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_whatever_the_times_the_check_answers_the_same_twice(
    times: list[tuple[float, float, str | None, str]], turns: list[tuple[float, float, str]]
) -> None:
    labels = [
        TranscriptSegment(
            id=f"s{index}", stream="audio", start_s=a, end_s=b, speaker=who, text=text.replace("\x00", "")
        )
        for index, (a, b, who, text) in enumerate(times)
    ]
    sample = CALL.sample([*labels, *(turn(f"t{index}", a, b, who) for index, (a, b, who) in enumerate(turns))])
    once = check_audio_transcript(sample, DEFAULT_RULE_SET)
    assert once == check_audio_transcript(sample, DEFAULT_RULE_SET)
    ids = [finding.finding_id for finding in (*once.findings, *once.folded)]
    assert len(ids) == len(set(ids))
    explained = {name for finding in once.findings for name in finding.explains}
    assert explained == {finding.finding_id for finding in once.folded}


@given(
    samples=st.integers(0, 4_000),
    rate_hz=st.sampled_from([2_000, 8_000, 11_025, 22_050, 48_000]),
    level=st.sampled_from([0.0, 1e-9, 0.1, 1.0, float("nan"), float("inf")]),
)
@settings(max_examples=40, deadline=None)
def test_any_sound_gives_one_judgement_a_frame(samples: int, rate_hz: int, level: float) -> None:
    sound = np.full(samples, level, dtype=np.float32)
    activity = detect_speech(AudioData(sound, rate_hz), SpeechActivityRules())
    assert len(activity.active) == len(activity.probability) == int(samples / rate_hz / 0.01 + 1e-9)
    assert np.isfinite(activity.probability).all()
    assert ((activity.probability >= 0) & (activity.probability <= 1)).all()


@given(offset_s=st.floats(-10, 10), drift=st.floats(-0.05, 0.05), time_s=st.floats(-1e4, 1e4))
def test_a_correction_undoes_its_fault(offset_s: float, drift: float, time_s: float) -> None:
    faulty = time_s * (1 + drift) + offset_s
    correction = Correction(-offset_s, 1 / (1 + drift) - 1)
    assert abs(correction.apply(faulty) - time_s) < 1e-6


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**6), st.sampled_from(["a", "b-1", "c.d"])), max_size=20)
)
def test_rttm_survives_writing_and_reading(rows: list[tuple[int, int, str]]) -> None:
    turns = [turn(f"t{i}", start / 1000, (start + length) / 1000, who) for i, (start, length, who) in enumerate(rows)]
    again = parse_rttm(write_rttm(turns, recording="x"), stream="audio")
    assert [(t.speaker, t.start_s, t.end_s) for t in again if isinstance(t, SpeakerTurn)] == [
        (t.speaker, t.start_s, t.end_s) for t in turns
    ]


def test_the_same_call_twice_has_the_same_findings() -> None:
    call = Call(CALL.manifest, CALL.audio, CALL.segments)
    outcomes = [check_audio_transcript(call.sample(moved(CALL.segments, 1.0)), DEFAULT_RULE_SET) for _ in range(2)]
    assert outcomes[0] == outcomes[1]
