"""Extrinsics of one sample that contradict each other: which of them holds can not be told from them alone."""

from __future__ import annotations

from collections.abc import Iterator

from services.alignment.extrinsics import Conflict, conflicts
from services.alignment.lidar_camera_symptoms import CHECK
from services.contracts.findings import Finding, Measured, finding_id
from services.contracts.manifest import SampleManifest
from services.rules.rule_set import RuleSet

KIND = "contradictory_calibration"


def conflict_findings(manifest: SampleManifest, rules: RuleSet) -> Iterator[Finding]:
    """Yield a finding for every stream whose extrinsics lead elsewhere than those of the others.

    Args:
        manifest: The sample's streams.
        rules: ``lidar_camera.max_extrinsics_gap_m`` and ``max_extrinsics_gap_deg``.
    """
    limits = rules.lidar_camera
    for conflict in conflicts(manifest):
        turned = conflict.gap_deg > limits.max_extrinsics_gap_deg
        if not turned and conflict.gap_m <= limits.max_extrinsics_gap_m:
            continue
        streams = (conflict.stream, *conflict.others)
        yield Finding(
            finding_id=finding_id(CHECK, KIND, rules.id, streams=streams, place="/".join(conflict.frames)),
            check=CHECK,
            kind=KIND,
            severity="critical" if conflict.gap_deg >= limits.cause.critical_rotation_deg else "major",
            message=_message(conflict),
            measured=Measured(value=conflict.gap_deg, unit="deg", threshold=limits.max_extrinsics_gap_deg)
            if turned
            else Measured(value=conflict.gap_m, unit="m", threshold=limits.max_extrinsics_gap_m),
            streams=streams,
            rule=rules.reference,
        )


def _message(conflict: Conflict) -> str:
    source, target = conflict.frames
    apart = f"{conflict.gap_m:.3f} m and {conflict.gap_deg:.2f} degrees"
    if source == target:
        return (
            f"The extrinsics of {conflict.stream} lead from {source} to itself and yet move it by {apart}; "
            "leave them out, or name the frame that they lead to."
        )
    other = f"those of {' and '.join(conflict.others)}" if conflict.others else "another way"
    return (
        f"The extrinsics of {conflict.stream} from {source} to {target} and {other} contradict each other: they are "
        f"{apart} apart. Correct or leave out the one that is wrong."
    )
