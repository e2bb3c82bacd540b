"""What mends a cause, and what it does to one sample: a corrected manifest, or corrected labels. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from services.alignment.geometry import Floats, invert_rigid, matrix_from_rotation_vector, rigid
from services.alignment.suggestions import apply_suggestion
from services.contracts.annotations import Annotation
from services.contracts.findings import Finding, Suggestion, TimeShift
from services.contracts.incidents import (
    CalibrationCorrection,
    ClockCorrection,
    CombinedEstimate,
    Correction,
    LabelCorrection,
    RotationDeg,
    TimeCorrection,
)
from services.contracts.label_base import TimedLabel
from services.contracts.manifest import Calibration, Clock, Extrinsics, SampleManifest, Stream
from services.errors import CorrectionUnfitError
from services.incidents.causes import sensor_of
from services.incidents.estimates import Values
from services.rules.incidents import SharedCause

_CAMERAS = frozenset({"image", "video"})


@dataclass(frozen=True, slots=True)
class Corrected:
    """A sample with a correction applied.

    Attributes:
        manifest: The manifest; the same object where the correction is one of labels.
        annotations: The labels; the same where the correction is one of the manifest.
    """

    manifest: SampleManifest
    annotations: tuple[Annotation, ...]


def suggested(
    rule: SharedCause, estimate: CombinedEstimate, finding: Finding, manifest: SampleManifest
) -> Correction | None:
    """Return the correction that an incident's own estimate asks for; None where a person must say.

    Args:
        rule: How causes of its kind are shared, and what mends them.
        estimate: What all samples say together.
        finding: The finding of one member.
        manifest: Its sample, which names the sensors.
    """
    if rule.remedy == "labels":
        return LabelCorrection() if finding.suggestion is not None else None
    means = {value.name: value.mean for value in estimate.values}
    if rule.remedy == "calibration" and means:
        camera = _camera_of(finding, manifest)
        turned = RotationDeg(**{name: round(means[name], 4) for name in RotationDeg.model_fields if name in means})
        return None if camera is None else CalibrationCorrection(sensor=camera, turned=turned)
    if "offset_s" not in means:
        return None
    if rule.remedy == "clock" and finding.streams:
        sensor = sensor_of(manifest, finding.streams[0])
        return ClockCorrection(sensor=sensor, offset_s=round(-means["offset_s"], 6))
    if rule.remedy == "time_shift":
        drift = means.get("drift_ppm", 0.0) * 1e-6
        # t_wrong = t * (1 + drift) + offset, so that t = (t_wrong - offset) / (1 + drift).
        return TimeCorrection(offset_s=round(-means["offset_s"], 4), drift=round(1.0 / (1.0 + drift) - 1.0, 8))
    return None


def apply_correction(
    correction: Correction, finding: Finding, manifest: SampleManifest, annotations: tuple[Annotation, ...]
) -> Corrected:
    """Return the sample with the correction applied to it.

    Args:
        correction: What is to be done.
        finding: The sample's own finding; it names the streams, and the labels where its suggestion is the fix.
        manifest: The sample.
        annotations: Its newest labels.

    Raises:
        CorrectionUnfitError: The sample has nothing that the correction could change.
    """
    if isinstance(correction, CalibrationCorrection):
        return Corrected(_recalibrated(correction, finding, manifest), annotations)
    if isinstance(correction, ClockCorrection):
        return Corrected(_with_clock(correction, manifest), annotations)
    if isinstance(correction, TimeCorrection):
        suggestion = Suggestion(summary="", time_shift=_shift(correction, finding, annotations))
    elif finding.suggestion is not None:
        suggestion = finding.suggestion
    else:
        raise CorrectionUnfitError("the finding suggests no change of labels for this sample")
    after = apply_suggestion(annotations, suggestion)
    if after == annotations:
        raise CorrectionUnfitError("it changes no label of this sample")
    return Corrected(manifest, after)


def is_met(correction: Correction, values: Values, rule: SharedCause, *, sigmas: float) -> bool | None:
    """Return whether a correction meets a sample's own estimate within its uncertainty; None where it can not be told.

    A new calibration, and labels that each sample corrects by itself, are not told apart by a number.
    """
    wanted = _numbers(correction)
    compared = [(item, wanted[item.name]) for item in values if item.name in wanted]
    if not compared:
        return None
    tolerance = {value.name: value.tolerance for value in rule.values}
    return all(
        abs(item.value - number) <= tolerance.get(item.name, 0.0) + sigmas * (item.std or 0.0)
        for item, number in compared
    )


def _numbers(correction: Correction) -> dict[str, float]:
    """Return the estimate that a correction takes for true."""
    if isinstance(correction, CalibrationCorrection) and correction.turned is not None:
        return correction.turned.model_dump()
    if isinstance(correction, ClockCorrection):
        return {"offset_s": -correction.offset_s}
    if isinstance(correction, TimeCorrection):
        drift_ppm = (1.0 / (1.0 + correction.drift) - 1.0) * 1e6
        return {"offset_s": -correction.offset_s, "drift_ppm": drift_ppm}
    return {}


def _camera_of(finding: Finding, manifest: SampleManifest) -> str | None:
    for stream in manifest.streams:
        if stream.id in finding.streams and stream.modality in _CAMERAS:
            return stream.sensor or stream.id
    return None


def _recalibrated(correction: CalibrationCorrection, finding: Finding, manifest: SampleManifest) -> SampleManifest:
    streams = _streams_of(correction.sensor, manifest)
    changed: dict[str, Stream] = {}
    for stream in streams:
        if correction.calibration is not None:
            changed[stream.id] = stream.model_copy(update={"calibration": correction.calibration})
        elif correction.turned is not None:
            for other in _turned_back(stream, correction.turned, finding, manifest):
                changed[other.id] = other
    if not changed or all(changed[stream.id] == stream for stream in manifest.streams if stream.id in changed):
        raise CorrectionUnfitError(f"no stream of sensor {correction.sensor} has a calibration that it would change")
    return _with_streams(manifest, changed)


def _turned_back(camera: Stream, turned: RotationDeg, finding: Finding, manifest: SampleManifest) -> list[Stream]:
    """Return the streams whose extrinsics hold the camera's pose, with the turn undone.

    The pose stands with the camera (``to_from_camera``), or with the other stream of the finding
    (``camera_from_spatial``) where that one leads into the camera's frame.
    """
    true_from_calibrated = rigid(matrix_from_rotation_vector(-_rotation_rad(turned)), np.zeros(3))
    own = camera.calibration.extrinsics if camera.calibration is not None else None
    if own is not None:
        matrix = np.asarray(own.matrix, dtype=np.float64) @ invert_rigid(true_from_calibrated)
        return [_with_matrix(camera, own, matrix)]
    frames = {camera.id, camera.coordinate_frame}
    others = []
    for stream in manifest.streams:
        extrinsics = stream.calibration.extrinsics if stream.calibration is not None else None
        if extrinsics is not None and extrinsics.to in frames and stream.id in finding.streams:
            matrix = true_from_calibrated @ np.asarray(extrinsics.matrix, dtype=np.float64)
            others.append(_with_matrix(stream, extrinsics, matrix))
    return others


def _rotation_rad(turned: RotationDeg) -> Floats:
    """Return the rotation vector in the camera's frame; the signs are those in which the finding names the angles."""
    return np.array(
        [math.radians(turned.pitch_deg), math.radians(turned.yaw_deg), -math.radians(turned.roll_deg)],
        dtype=np.float64,
    )


def _with_matrix(stream: Stream, extrinsics: Extrinsics, matrix: Floats) -> Stream:
    rows = tuple(tuple(float(value) for value in row) for row in matrix)
    calibration = stream.calibration or Calibration()
    corrected = Extrinsics.model_validate({"to": extrinsics.to, "matrix": rows})
    return stream.model_copy(update={"calibration": calibration.model_copy(update={"extrinsics": corrected})})


def _with_clock(correction: ClockCorrection, manifest: SampleManifest) -> SampleManifest:
    changed = {}
    for stream in _streams_of(correction.sensor, manifest):
        if stream.clock is not None:
            moved = _moved_clock(stream.clock, correction.offset_s)
            if moved != stream.clock:
                changed[stream.id] = stream.model_copy(update={"clock": moved})
    if not changed:
        raise CorrectionUnfitError(f"no stream of sensor {correction.sensor} has a clock that it would change")
    return _with_streams(manifest, changed)


def _moved_clock(clock: Clock, offset_s: float) -> Clock:
    """Return the clock with every time moved: its start, where there is one, or else its timestamps."""
    by = timedelta(seconds=offset_s)
    if clock.start is not None and not any(isinstance(item, datetime) for item in clock.timestamps):
        # Timestamps in seconds count from the start, and move with it.
        return clock.model_copy(update={"start": clock.start + by})
    moved = tuple(item + by if isinstance(item, datetime) else item + offset_s for item in clock.timestamps)
    start = None if clock.start is None else clock.start + by
    return clock.model_copy(update={"start": start, "timestamps": moved})


def _streams_of(sensor: str, manifest: SampleManifest) -> list[Stream]:
    return [stream for stream in manifest.streams if sensor_of(manifest, stream.id) == sensor]


def _with_streams(manifest: SampleManifest, changed: dict[str, Stream]) -> SampleManifest:
    return manifest.model_copy(update={"streams": tuple(changed.get(one.id, one) for one in manifest.streams)})


def _shift(correction: TimeCorrection, finding: Finding, annotations: Sequence[Annotation]) -> TimeShift:
    """Return the movement of the sample's own labels: those that its finding means, else the timed ones it names."""
    own = finding.suggestion.time_shift if finding.suggestion is not None else None
    if own is not None:
        return own.model_copy(update={"offset_s": correction.offset_s, "drift": correction.drift})
    named = frozenset(finding.annotations)
    timed = [label for label in annotations if isinstance(label, TimedLabel) and label.id in named]
    streams = {label.stream for label in timed}
    if len(streams) != 1:
        raise CorrectionUnfitError("the finding does not say which timed labels of this sample are to be moved")
    types = tuple(sorted({label.type for label in timed}))
    return TimeShift(stream=streams.pop(), types=types, offset_s=correction.offset_s, drift=correction.drift)
