from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from services.alignment.clock import check_clock
from services.alignment.sample import AudioData, CheckOutcome, CheckSample
from services.contracts.labels_visual import ImageClassification
from services.contracts.manifest import Clock, Stream
from services.rules.clock import ClockRules
from services.rules.rule_set import RuleSet
from tests.unit.event_samples import kinds, sample_of

TENTHS = np.arange(100) / 10
BEGIN = datetime(2024, 5, 1, 12, tzinfo=UTC)


def judged(sample: CheckSample, **section: Any) -> CheckOutcome:
    return check_clock(sample, RuleSet(id="r", version=1, clock=ClockRules(**section)))


def stream(name: str, times: Any, **more: Any) -> Stream:
    clock = Clock.model_validate({"timestamps": tuple(float(time) for time in times)})
    return Stream.model_validate({"id": name, "modality": "video", "clock": clock} | more)


def of(*streams: Stream) -> CheckSample:
    return sample_of(streams=streams)


def test_clocks_that_agree_are_silent() -> None:
    assert judged(of(stream("a", TENTHS), stream("b", TENTHS + 0.01))) == CheckOutcome()


def test_a_rule_set_that_does_not_ask_finds_nothing() -> None:
    assert check_clock(of(stream("a", [3, 2, 1])), RuleSet(id="r", version=1)) == CheckOutcome()


def test_without_a_clock_it_is_not_applicable() -> None:
    assert [item.check for item in judged(sample_of()).not_applicable] == ["clock"]


def test_one_item_back_is_one_finding_with_its_place() -> None:
    times = TENTHS.copy()
    times[40] = times[38] - 0.05
    (finding,) = judged(of(stream("a", times))).findings
    assert (finding.kind, finding.frames) == ("non_monotonic", (40,))


def test_a_clock_that_stands_still_has_no_rate() -> None:
    assert kinds(judged(of(stream("a", np.zeros(50))))) == ["no_progress"]


def test_two_items_at_one_moment_are_minor() -> None:
    times = TENTHS.copy()
    times[40] = times[39]
    (finding,) = [item for item in judged(of(stream("a", times))).findings if item.kind == "duplicate_timestamp"]
    assert finding.severity == "minor"


@pytest.mark.parametrize(("lost", "severity"), [(1, "minor"), (8, "major")])
def test_lost_items_are_counted(lost: int, severity: str) -> None:
    (finding,) = judged(of(stream("a", np.delete(TENTHS, slice(30, 30 + lost))))).findings
    assert (finding.kind, finding.severity, finding.frames) == ("drop", severity, (29, 30))
    assert f"about {lost} items" in finding.message


def test_a_stream_full_of_gaps_is_one_finding() -> None:
    times = np.delete(np.arange(1_000) / 10, np.arange(10, 1_000, 12))
    (finding,) = judged(of(stream("a", times))).findings
    assert finding.kind == "drop"
    assert finding.severity == "major"


def test_jitter_is_told_and_photographs_have_none() -> None:
    rng = np.random.default_rng(1)
    assert kinds(judged(of(stream("a", TENTHS + rng.uniform(-0.02, 0.02, 100))))) == ["jitter"]
    assert kinds(judged(of(stream("a", np.cumsum(rng.exponential(60, 100)))))) == []


def test_a_rate_is_held_to_the_expected_and_to_the_decoded_one() -> None:
    camera = Stream(id="cam", modality="video", clock=Clock(rate_hz=25.0))
    assert kinds(judged(of(camera), expected_rate_hz={"video": 30.0})) == ["skew"]
    assert kinds(judged(of(camera), expected_rate_hz={"video": 30.0, "cam": 25.0})) == []
    audio = Stream(id="mic", modality="audio", clock=Clock(rate_hz=16_000.0))
    sample = of(audio)
    for rate_hz, found in ((8_000, ["skew"]), (16_000, []), (0, [])):
        heard = CheckSample(sample.manifest, (), audio={"mic": AudioData(np.zeros(100, np.float32), rate_hz)})
        assert kinds(judged(heard)) == found


@pytest.mark.parametrize("offset_s", [-79_108.0, -0.5, 0.2, 3_600.0])
def test_an_offset_is_one_finding_with_its_uncertainty(offset_s: float) -> None:
    rng = np.random.default_rng(2)
    (finding,) = judged(of(stream("a", TENTHS), stream("b", TENTHS + offset_s + rng.normal(0, 0.002, 100)))).findings
    assert finding.kind == "offset"
    assert finding.cause is not None
    assert float(finding.cause.estimate["offset_s"]) == pytest.approx(offset_s, abs=0.002)
    assert 0 < float(finding.cause.estimate["offset_uncertainty_s"]) < 0.01


def test_a_phase_is_no_fault_unless_the_streams_are_simultaneous() -> None:
    sample = of(stream("a", TENTHS), stream("b", TENTHS + 0.07))
    assert kinds(judged(sample)) == []
    assert kinds(judged(sample, simultaneous=(("a", "b"),))) == ["offset"]


def test_drift_is_told_from_offset() -> None:
    times = np.arange(600) / 10
    (finding,) = judged(of(stream("a", times), stream("b", times * 1.002 + 0.3))).findings
    assert finding.kind == "drift"
    assert finding.cause is not None
    assert float(finding.cause.estimate["drift_ppm"]) == pytest.approx(2_000, abs=20)
    assert float(finding.cause.estimate["offset_s"]) == pytest.approx(0.3, abs=0.01)


def test_of_three_clocks_the_one_that_differs_is_named() -> None:
    (finding,) = judged(of(stream("a", TENTHS + 2), stream("b", TENTHS), stream("c", TENTHS))).findings
    assert (finding.kind, finding.streams[0]) == ("offset", "a")


def test_a_clock_that_was_set_is_one_step_with_its_gap_folded() -> None:
    times = TENTHS + np.where(np.arange(100) >= 60, 2.0, 0.0)
    outcome = judged(of(stream("a", TENTHS), stream("b", times)))
    (finding,) = outcome.findings
    assert (finding.kind, finding.frames) == ("step", (60,))
    assert [item.kind for item in outcome.folded] == ["drop"]
    assert finding.explains == (outcome.folded[0].finding_id,)


def test_irregular_moments_are_paired_by_their_intervals() -> None:
    moments = np.array([0.0, 70, 581, 1416, 1888])
    (finding,) = judged(of(stream("gps", moments), stream("photo", moments - 79_000))).findings
    assert finding.kind == "offset"
    unrelated = np.array([0.0, 900, 960, 1000, 1888])
    assert kinds(judged(of(stream("gps", moments), stream("other", unrelated)))) == []


def test_milliseconds_are_recognised() -> None:
    (finding,) = judged(of(stream("a", TENTHS), stream("b", TENTHS * 1_000))).findings
    assert finding.cause is not None
    assert (finding.kind, finding.cause.kind, finding.streams[0]) == ("contradictory_clock", "unit", "b")


def test_streams_that_share_no_moment_are_told() -> None:
    assert kinds(judged(of(stream("a", TENTHS), stream("b", TENTHS[:50] + 500)))) == ["no_overlap"]


def test_statements_about_one_stream_must_agree() -> None:
    late = Clock.model_validate({"start": BEGIN, "timestamps": [BEGIN + timedelta(seconds=30 + i) for i in range(10)]})
    assert kinds(judged(of(Stream(id="a", modality="video", clock=late)))) == ["contradictory_clock"]
    assert kinds(judged(of(stream("a", TENTHS, duration_s=25.0)))) == ["contradictory_clock"]
    assert kinds(judged(of(stream("a", TENTHS, duration_s=10.0)))) == []


def test_a_clock_far_from_captured_at_is_told() -> None:
    sample = of(Stream(id="a", modality="image", clock=Clock(start=BEGIN)))
    for hours, found in ((-22, ["contradictory_clock"]), (2, [])):
        manifest = sample.manifest.model_copy(update={"captured_at": BEGIN + timedelta(hours=hours)})
        assert kinds(judged(CheckSample(manifest, ()))) == found


def test_labels_for_frames_that_the_clock_lacks_are_one_finding() -> None:
    labels = [ImageClassification(id=f"l{i}", stream="a", label="day", frame=i) for i in (5, 99, 100, 130)]
    (finding,) = judged(sample_of(labels, streams=(stream("a", TENTHS),))).findings
    assert (finding.kind, finding.annotations) == ("frame_outside_clock", ("l100", "l130"))


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.0], [2.0, 1.0], [0.0, 1e9, -1e9]])
def test_short_clocks_do_no_harm(times: list[float]) -> None:
    outcome = judged(of(stream("a", times), stream("b", times)))
    assert judged(of(stream("b", times), stream("a", times))) == outcome
