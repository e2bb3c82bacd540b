"""A correction is right when the check that found the fault no longer does."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from services.alignment.geometry import invert_rigid, matrix_from_rotation_vector
from services.contracts.findings import Cause, Finding, LabelPatch, RuleReference, Suggestion, TimeShift
from services.contracts.incidents import (
    CalibrationCorrection,
    ClockCorrection,
    Correction,
    LabelCorrection,
    MemberValue,
    RotationDeg,
    TimeCorrection,
)
from services.contracts.labels_language import Intent, TranscriptSegment
from services.contracts.manifest import SampleManifest
from services.errors import CorrectionUnfitError
from services.incidents.causes import shared_finding
from services.incidents.corrections import apply_correction, is_met, suggested
from services.incidents.estimates import combine
from services.rules.incidents import IncidentRules, SharedCause
from tests.unit.lidar_camera_scenes import LIDAR_FROM_CAMERA, driving, manifest, sample_of
from tests.unit.test_lidar_camera import check, only

RULES = IncidentRules()


def rule_of(check: str, kind: str) -> SharedCause:
    rule = RULES.shared(check, kind)
    assert rule is not None
    return rule


OFFSET_RULE = rule_of("audio_transcript", "offset")


def with_matrix(base: SampleManifest, stream: str, to: str, matrix: np.ndarray[Any, Any] | None) -> SampleManifest:
    """The manifest with the pose at one stream only."""
    streams = []
    for one in base.streams:
        calibration = one.calibration.model_dump(exclude_none=True) if one.calibration is not None else {}
        calibration.pop("extrinsics", None)
        if one.id == stream and matrix is not None:
            calibration["extrinsics"] = {"to": to, "matrix": matrix.tolist()}
        dumped = one.model_dump(exclude_none=True, exclude={"calibration"})
        streams.append({**dumped, **({"calibration": calibration} if calibration else {})})
    return SampleManifest.model_validate({**base.model_dump(exclude_none=True), "streams": streams})


@pytest.mark.parametrize("turn", [(0.0, 0.0, 1.2), (0.0, 0.7, -1.0), (2.5, 0.0, 0.0)])
@pytest.mark.parametrize("pose_at", ["camera", "lidar"])
def test_the_own_estimate_of_a_turned_calibration_mends_it(turn: tuple[float, float, float], pose_at: str) -> None:
    annotations = driving()
    matrix = LIDAR_FROM_CAMERA.copy()
    matrix[:3, :3] = matrix_from_rotation_vector(np.radians(turn)) @ matrix[:3, :3]
    wrong = manifest(extrinsics={"to": "lidar", "matrix": matrix.tolist()})
    camera = next(stream for stream in wrong.streams if stream.modality in ("video", "image"))
    if pose_at == "lidar":
        wrong = with_matrix(wrong, "lidar", camera.id, invert_rigid(matrix))
    finding = only(check(sample_of(annotations, manifest=wrong)))
    assert finding.kind == "calibration_shift"
    shared = shared_finding(finding, wrong, annotations, RULES)
    assert shared is not None
    estimate = combine([shared.values], shared.rule.values, sigmas=RULES.sigmas)
    correction = suggested(shared.rule, estimate, finding, wrong)
    assert isinstance(correction, CalibrationCorrection)
    assert correction.sensor == (camera.sensor or camera.id)
    corrected = apply_correction(correction, finding, wrong, annotations)
    assert corrected.annotations is annotations
    assert check(sample_of(annotations, manifest=corrected.manifest)).findings == ()
    SampleManifest.model_validate_json(corrected.manifest.model_dump_json(exclude_none=True))


def test_a_given_calibration_takes_the_place_of_the_old_one() -> None:
    annotations = driving()
    matrix = LIDAR_FROM_CAMERA.copy()
    matrix[:3, :3] = matrix_from_rotation_vector(np.radians((0, 0, 1.5))) @ matrix[:3, :3]
    wrong = manifest(extrinsics={"to": "lidar", "matrix": matrix.tolist()})
    right = manifest(extrinsics={"to": "lidar", "matrix": LIDAR_FROM_CAMERA.tolist()})
    finding = only(check(sample_of(annotations, manifest=wrong)))
    camera = next(stream for stream in right.streams if stream.calibration and stream.calibration.intrinsics)
    correction = CalibrationCorrection(sensor=camera.sensor or camera.id, calibration=camera.calibration)
    assert apply_correction(correction, finding, wrong, annotations).manifest == right
    with pytest.raises(CorrectionUnfitError, match="has a calibration that it would change"):
        apply_correction(correction, finding, right, annotations)
    with pytest.raises(CorrectionUnfitError):
        apply_correction(correction.model_copy(update={"sensor": "other"}), finding, wrong, annotations)


def note(**changes: Any) -> Finding:
    values: dict[str, Any] = {
        "finding_id": "f-1",
        "check": "audio_transcript",
        "kind": "offset",
        "severity": "major",
        "message": "Late.",
        "streams": ("call",),
        "annotations": ("t1", "t2"),
        "cause": Cause(kind="offset", group="g", estimate={"offset_s": 1.5, "offset_uncertainty_s": 0.05}),
        "rule": RuleReference(id="default", version=1),
    }
    return Finding(**values | changes)


def call(**stream: Any) -> SampleManifest:
    values = {"id": "call", "modality": "audio", "sensor": "mic-1", **stream}
    return SampleManifest.model_validate_json(
        json.dumps({"format": "concord.sample/1", "sample_id": "s", "project": "p", "streams": [values]})
    )


def segments(by_s: float = 0.0) -> tuple[TranscriptSegment | Intent, ...]:
    made = [
        TranscriptSegment(
            id=f"t{n}", type="transcript_segment", stream="call", label="speech", text="x", start_s=n + by_s,
            end_s=n + 0.5 + by_s,
        )
        for n in (1, 2)
    ]  # fmt: skip
    return (*made, Intent(id="i1", type="intent", stream="call", label="greeting"))


def test_a_transcript_that_is_late_is_moved_by_what_all_samples_say() -> None:
    shift = Suggestion(summary="", time_shift=TimeShift(stream="call", offset_s=-1.4))
    for finding in (note(suggestion=shift), note()):
        estimate = combine(
            [(MemberValue(name="offset_s", value=value, std=0.05),) for value in (1.45, 1.5, 1.55)],
            OFFSET_RULE.values,
            sigmas=4.0,
        )
        correction = suggested(OFFSET_RULE, estimate, finding, call())
        assert correction == TimeCorrection(offset_s=-1.5)
        assert apply_correction(correction, finding, call(), segments(1.5)).annotations == segments()
    with pytest.raises(CorrectionUnfitError, match="which timed labels"):
        apply_correction(TimeCorrection(offset_s=-1.5), note(annotations=("i1",)), call(), segments())


def test_a_drift_is_undone_by_its_inverse() -> None:
    rule = rule_of("audio_transcript", "drift")
    drift, offset_s = 0.02, 0.4
    values = (MemberValue(name="offset_s", value=offset_s), MemberValue(name="drift_ppm", value=drift * 1e6))
    correction = suggested(rule, combine([values], rule.values, sigmas=4.0), note(), call())
    assert isinstance(correction, TimeCorrection)
    right = segments()
    wrong = tuple(
        label.model_copy(
            update={"start_s": label.start_s * (1 + drift) + offset_s, "end_s": label.end_s * (1 + drift) + offset_s}
        )
        if isinstance(label, TranscriptSegment)
        else label
        for label in right
    )
    for after, before in zip(apply_correction(correction, note(), call(), wrong).annotations, right, strict=True):
        if isinstance(after, TranscriptSegment) and isinstance(before, TranscriptSegment):
            assert after.start_s == pytest.approx(before.start_s, abs=2e-4)
    assert is_met(correction, values, rule, sigmas=4.0) is True


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        (
            {"start": "2026-01-01T00:00:10Z", "timestamps": [0.0, 0.1]},
            {"start": "2026-01-01T00:00:09Z", "timestamps": [0.0, 0.1]},
        ),
        ({"timestamps": [1.0, 1.1]}, {"timestamps": [0.0, 0.1]}),
        ({"timestamps": ["2026-01-01T00:00:10Z"]}, {"timestamps": ["2026-01-01T00:00:09Z"]}),
    ],
)
def test_a_clock_is_set_wherever_it_says_its_time(clock: dict[str, Any], expected: dict[str, Any]) -> None:
    moved = apply_correction(ClockCorrection(sensor="mic-1", offset_s=-1.0), note(), call(clock=clock), ()).manifest
    set_right, wanted = moved.streams[0].clock, call(clock=expected).streams[0].clock
    assert set_right is not None
    assert wanted is not None
    assert (set_right.start, len(set_right.timestamps)) == (wanted.start, len(wanted.timestamps))
    for one, other in zip(set_right.timestamps, wanted.timestamps, strict=True):
        assert one == (pytest.approx(other) if isinstance(other, float) else other)
    with pytest.raises(CorrectionUnfitError):
        apply_correction(ClockCorrection(sensor="mic-1", offset_s=-1.0), note(), call(), ())


def test_labels_are_corrected_by_what_each_sample_suggests() -> None:
    fixed = Intent(id="i1", type="intent", stream="call", label="farewell")
    finding = note(suggestion=Suggestion(summary="", patch=LabelPatch(upsert=(fixed,))))
    after = apply_correction(LabelCorrection(), finding, call(), segments()).annotations
    assert [label.label for label in after] == ["speech", "speech", "farewell"]
    with pytest.raises(CorrectionUnfitError, match="no change of labels"):
        apply_correction(LabelCorrection(), note(), call(), segments())
    with pytest.raises(CorrectionUnfitError, match="changes no label"):
        apply_correction(LabelCorrection(), finding, call(), after)


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        (TimeCorrection(offset_s=-1.5), True),
        (TimeCorrection(offset_s=-1.2), True),
        (TimeCorrection(offset_s=-0.9), False),
        (LabelCorrection(), None),
        (CalibrationCorrection(sensor="cam", turned=RotationDeg(yaw_deg=1.0)), None),
    ],
)
def test_a_correction_is_reckoned_against_a_samples_own_estimate(correction: Correction, expected: bool | None) -> None:
    values = (MemberValue(name="offset_s", value=1.45, std=0.05),)
    assert is_met(correction, values, OFFSET_RULE, sigmas=4.0) is expected
