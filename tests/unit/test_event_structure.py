from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.alignment.event_structure import check_event_structure
from services.alignment.sample import AudioData, CheckOutcome, CheckSample
from services.alignment.time_fault_finding import apply_time_shift
from services.contracts.annotations import Annotation
from services.contracts.labels_language import Emotion, SpeakerTurn, TranscriptSegment
from services.contracts.manifest import Clock, Stream
from services.rules.event_structure import CrossModalRules, EventRule, EventStructureRules, SameEvent
from services.rules.rule_set import RuleSet
from tests.unit.event_samples import AUDIO, VIDEO, action, kinds, mark, sample_of, sound, told


def judged(sample: CheckSample, **section: Any) -> CheckOutcome:
    return check_event_structure(sample, RuleSet(id="r", version=1, event_structure=EventStructureRules(**section)))


def turn(name: str, speaker: str, start_s: float, end_s: float) -> SpeakerTurn:
    return SpeakerTurn(id=name, stream="audio", speaker=speaker, start_s=start_s, end_s=end_s)


def felt(name: str, start_s: float, number: int | None = None, length_s: float = 1.0) -> Emotion:
    attributes: dict[str, bool | int | float | str] = {} if number is None else {"sequence": number}
    return Emotion(
        id=name, stream="audio", label="joy", start_s=start_s, end_s=start_s + length_s, attributes=attributes
    )


def test_a_rule_set_that_does_not_ask_finds_nothing() -> None:
    outcome = check_event_structure(sample_of([action("a", "cut", 5, 1)]), RuleSet(id="r", version=1))
    assert outcome == CheckOutcome()


def test_without_events_it_is_not_applicable() -> None:
    outcome = judged(sample_of())
    assert outcome.findings == ()
    assert [item.check for item in outcome.not_applicable] == ["event_structure"]


def test_an_end_before_the_start_comes_with_a_fix_that_is_clean() -> None:
    sample = sample_of([action("a", "cut", 5, 3)])
    (finding,) = judged(sample).findings
    assert finding.kind == "negative_duration"
    assert finding.suggestion is not None
    assert finding.suggestion.patch is not None
    assert judged(sample_of(finding.suggestion.patch.upsert)).findings == ()


def test_no_duration_is_a_fault_but_not_for_moments() -> None:
    labels: list[Annotation] = [
        action("a", "cut", 5, 5),
        mark("b", "lap", "start", 6),
        mark("c", "lap", "end", 8),
        sound("d", "Click", 7, 7),
    ]
    assert told(judged(sample_of(labels), instant_labels=("click",))) == [("no_duration", ("a",))]


def test_an_implausible_length_is_minor_and_a_class_has_its_own_limit() -> None:
    labels: list[Annotation] = [felt("long", 0, length_s=31), action("brief", "sleep", 1, 2)]
    outcome = judged(sample_of(labels), events=(EventRule(label="sleep", min_duration_s=60),))
    assert told(outcome) == [("duration_implausible", ("brief",)), ("duration_implausible", ("long",))]
    assert {finding.severity for finding in outcome.findings} == {"minor"}


def test_outside_media_says_how_far_and_can_be_cut() -> None:
    labels = [sound("tail", "hum", 90, 100.3), sound("after", "hum", 101, 102), sound("ok", "hum", 99, 100.05)]
    labels.append(sound("early", "hum", -2, 1))
    outcome = judged(sample_of(labels))
    by_id = {finding.annotations[0]: finding for finding in outcome.findings}
    assert set(by_id) == {"tail", "after", "early"}
    assert by_id["tail"].severity == "minor"
    assert by_id["after"].severity == "major"
    assert by_id["tail"].measured is not None
    assert by_id["tail"].measured.value == pytest.approx(0.3)
    suggestion = by_id["tail"].suggestion
    assert suggestion is not None
    assert suggestion.patch is not None
    assert judged(sample_of(suggestion.patch.upsert)).findings == ()
    assert by_id["after"].suggestion is None


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (Stream(id="video", modality="video", clock=Clock(timestamps=tuple(i / 10 for i in range(100)))), True),
        (Stream(id="video", modality="video", clock=Clock(rate_hz=10.0)), False),
        (Stream(id="video", modality="video"), False),
        (Stream(id="video", modality="video", clock=Clock(timestamps=(1.0, 1.0))), False),
    ],
)
def test_the_length_of_the_recording_comes_from_its_clock_too(stream: Stream, found: bool) -> None:
    outcome = judged(sample_of([action("a", "cut", 11, 12)], streams=(stream,)))
    assert kinds(outcome) == (["outside_media"] if found else [])
    assert bool(outcome.not_applicable) != found


def test_the_decoded_recording_is_believed_before_what_is_declared() -> None:
    sample = sample_of([sound("a", "hum", 3, 4)])
    heard = CheckSample(
        sample.manifest, sample.annotations, audio={"audio": AudioData(np.zeros(16_000, np.float32), 8_000)}
    )
    assert kinds(judged(heard)) == ["outside_media"]


def test_segments_are_left_to_the_transcript_check_while_it_is_on() -> None:
    labels = [TranscriptSegment(id="t", stream="audio", text="hi", start_s=5, end_s=4)]
    section = EventStructureRules()
    on = RuleSet(id="r", version=1, event_structure=section)
    off = on.model_copy(update={"audio_transcript": on.audio_transcript.model_copy(update={"enabled": False})})
    assert check_event_structure(sample_of(labels), on).findings == ()
    assert kinds(check_event_structure(sample_of(labels), off)) == ["negative_duration"]


def test_what_has_no_predecessor_is_told_from_what_comes_too_early() -> None:
    rules = (EventRule(label="close", requires_before=("open",), each_once=True),)
    good = [
        action("o1", "open", 1, 2),
        action("c1", "close", 3, 4),
        action("o2", "open", 5, 6),
        action("c2", "close", 7, 8),
    ]
    assert judged(sample_of(good), events=rules).findings == ()
    assert told(judged(sample_of(good[:2] + good[3:]), events=rules)) == [("missing_predecessor", ("c2",))]
    early = [good[0], good[1], action("c2", "close", 5, 6), action("o2", "open", 7, 8)]
    assert told(judged(sample_of(early), events=rules)) == [("order_violation", ("c2", "o2"))]


def test_a_class_that_is_missing_at_all_is_one_finding() -> None:
    labels = [action(f"c{i}", "close", 5 * i, 5 * i + 1) for i in range(6)]
    (finding,) = judged(sample_of(labels), events=(EventRule(label="close", requires_before=("open",)),)).findings
    assert finding.kind == "missing_predecessor"
    assert len(finding.annotations) == 6


def test_a_predecessor_of_another_object_or_too_long_ago_does_not_count() -> None:
    labels = [action("o", "open", 1, 2, object_id="a"), action("c", "close", 50, 51, object_id="b")]
    by_object = (EventRule(label="close", requires_before=("open",), scope="object"),)
    assert kinds(judged(sample_of(labels), events=by_object)) == ["missing_predecessor"]
    recent = (EventRule(label="close", requires_before=("open",), within_s=10),)
    assert kinds(judged(sample_of(labels), events=recent)) == ["missing_predecessor"]
    assert kinds(judged(sample_of(labels), events=(EventRule(label="close", requires_before=("open",)),))) == []


def test_numbered_events_that_fall_back_are_one_finding_a_run() -> None:
    labels = [felt(f"e{i}", 10.0 * i, i) for i in range(8)]
    assert judged(sample_of(labels)).findings == ()
    labels[5] = felt("e5", 2.0, 5)
    (finding,) = judged(sample_of(labels)).findings
    assert finding.kind == "order_violation"
    assert "e5" in finding.annotations
    assert finding.severity == "major"


def test_emotions_without_numbers_are_judged_by_habit_and_mildly() -> None:
    labels = [felt(f"e{i}", 10.0 * i) for i in range(8)]
    labels[5] = felt("e5", 2.0)
    (finding,) = judged(sample_of(labels)).findings
    assert (finding.kind, finding.severity) == ("order_violation", "minor")
    assert judged(sample_of(labels[::-1])).findings == ()


def test_events_of_one_group_exclude_each_other() -> None:
    rules = (EventRule(label="gaze/*", exclusive_group="gaze"),)
    labels = [action("a", "gaze/road", 0, 10), action("b", "gaze/phone", 9.5, 12), action("c", "talk", 0, 50)]
    (finding,) = judged(sample_of(labels), events=rules).findings
    assert finding.kind == "exclusive_overlap"
    assert finding.measured is not None
    assert finding.measured.value == pytest.approx(0.5)
    touching = [labels[0], action("b", "gaze/phone", 9.9, 12)]
    assert judged(sample_of(touching), events=rules).findings == ()


def test_a_speaker_has_one_turn_at_a_time() -> None:
    labels = [turn("a", "x", 0, 5), turn("b", "x", 4, 6), turn("c", "y", 0, 6)]
    assert told(judged(sample_of(labels))) == [("exclusive_overlap", ("a", "b"))]
    assert judged(sample_of(labels), one_turn_per_speaker=False).findings == ()


def test_starts_without_ends_and_ends_without_starts() -> None:
    labels: list[Annotation] = [
        mark("s1", "lap", "start", 1), mark("e1", "lap", "end", 2), mark("s2", "lap", "start", 3),
        mark("s3", "lap", "start", 5), mark("e3", "lap", "end", 6), mark("e4", "lap", "end", 7),
    ]  # fmt: skip
    assert told(judged(sample_of(labels))) == [("unpaired_end", ("e4",)), ("unpaired_start", ("s2",))]


def test_two_classes_can_be_a_pair_that_may_stay_open() -> None:
    labels: list[Annotation] = [
        action("off0", "off", 0, 1),
        action("on", "on", 3, 4),
        action("off", "off", 5, 6),
        action("on2", "on", 9, 10),
    ]
    strict = EventRule(label="on", pairs="off")
    assert told(judged(sample_of(labels), events=(strict,))) == [
        ("unpaired_end", ("off0",)),
        ("unpaired_start", ("on2",)),
    ]
    assert judged(sample_of(labels), events=(EventRule(label="on", pairs="off", may_stay_open=True),)).findings == ()


def seen_and_heard(late_s: float, count: int = 8) -> CheckSample:
    rng = np.random.default_rng(3)
    starts = np.sort(rng.uniform(5, 90, count))
    labels: list[Any] = [action(f"v{i}", "Slam", t, t + 0.4) for i, t in enumerate(starts)]
    labels += [sound(f"a{i}", "slam", t + late_s, t + 0.4 + late_s) for i, t in enumerate(starts)]
    return sample_of(labels)


@pytest.mark.parametrize("late_s", [-8.0, -2.0, -0.6, 0.6, 1.5, 6.0])
def test_a_late_stream_is_one_cause_and_its_repair_is_clean(late_s: float) -> None:
    sample = seen_and_heard(late_s)
    outcome = judged(sample)
    (finding,) = [item for item in outcome.findings if item.kind == "cross_modal_offset"]
    assert finding.cause is not None
    assert float(finding.cause.estimate["offset_s"]) == pytest.approx(late_s, abs=0.05)
    assert set(finding.explains) == {item.finding_id for item in outcome.folded}
    assert finding.suggestion is not None
    assert finding.suggestion.time_shift is not None
    repaired = apply_time_shift(sample.annotations, finding.suggestion.time_shift)
    assert judged(sample_of(repaired)).findings == ()


def test_one_event_at_two_times_is_one_finding_about_it() -> None:
    sample = seen_and_heard(0.0)
    labels: list[Annotation] = [
        label
        if label.id != "a3"
        else label.model_copy(update={"start_s": label.start_s + 1.5, "end_s": label.end_s + 1.5})  # type: ignore[union-attr]
        for label in sample.annotations
    ]
    assert told(judged(sample_of(labels))) == [("cross_modal_offset", ("a3", "v3"))]


def test_streams_that_start_at_different_moments_are_compared_on_one_clock() -> None:
    sample = seen_and_heard(-2.0)
    clocks = [Clock.model_validate({"start": f"2024-01-01T00:00:0{s}Z"}) for s in (0, 2)]
    streams = (VIDEO.model_copy(update={"clock": clocks[0]}), AUDIO.model_copy(update={"clock": clocks[1]}))
    assert judged(sample_of(sample.annotations, streams=streams)).findings == ()


def test_a_rule_names_what_one_event_is_called_in_the_other_modality() -> None:
    rules = CrossModalRules(same_events=(SameEvent(labels=("open *",), counterparts=("creak",), required=True),))
    labels: list[Annotation] = [
        action("a", "open door", 5, 6),
        action("b", "open window", 50, 51),
        sound("c", "creak", 5, 6),
    ]
    assert told(judged(sample_of(labels), cross_modal=rules)) == [("missing_counterpart", ("b",))]
