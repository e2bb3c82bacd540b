"""Which samples a demonstration posts, and what is known about each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infra.demo import faults
from infra.demo.calls import call
from infra.demo.faults import Fault, Injection
from infra.demo.scenes import clip, still
from services.contracts.manifest import Risk, SampleManifest

PROJECT = "demo"


@dataclass(frozen=True, slots=True)
class PlannedSample:
    """A sample to post.

    Attributes:
        posted: What upstream sends.
        truth: The same sample without the disagreement: what the played people see when they look.
        injection: What was done to it; None for a clean one.
    """

    posted: SampleManifest
    truth: SampleManifest
    injection: Injection | None = None


def _plan(truth: SampleManifest, fault: Fault | None, rng: np.random.Generator) -> PlannedSample | None:
    if fault is None:
        return PlannedSample(posted=truth, truth=truth)
    faulty = fault(truth, rng)
    if faulty is None:
        return None
    posted, injection = faulty
    return PlannedSample(posted=posted, truth=truth, injection=injection)


_STILLS: Sequence[tuple[Fault | None, Risk]] = (
    (None, "low"),
    (faults.move_cuboid, "medium"),
    (None, "high"),
    (faults.lose_box, "low"),
    (faults.swap_class, "high"),
    (faults.drop_region, "low"),
    (faults.expire_policy, "medium"),
)


def made_up(folder: Path, *, seed: int, rounds: int) -> tuple[PlannedSample, ...]:
    """Write the assets of made-up samples into ``folder`` and return the plan: 13 samples a round."""
    planned: list[PlannedSample | None] = []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(rounds):
        rng = np.random.default_rng((seed, number))
        base = number * 20
        for offset, (fault, risk) in enumerate(_STILLS):
            planned.append(_plan(still(folder, PROJECT, base + offset, seed, risk=risk), fault, rng))
        labelled = still(folder, PROJECT, base + len(_STILLS), seed)
        planned.append(PlannedSample(posted=labelled.model_copy(update={"annotations": ()}), truth=labelled))
        for offset, fault in enumerate((None, faults.turn_camera)):
            planned.append(_plan(clip(PROJECT, base + offset, seed), fault, rng))
        for offset, fault in enumerate((None, faults.delay_transcript, faults.lose_segment)):
            planned.append(_plan(call(folder, PROJECT, base + offset, seed), fault, rng))
    return tuple(sample for sample in planned if sample is not None)


def from_recordings(manifests: Iterable[SampleManifest], *, seed: int) -> tuple[PlannedSample, ...]:
    """Return every recording once as it is, and once for each fault it can carry, under an id that names the fault."""
    planned: list[PlannedSample] = []
    for number, manifest in enumerate(manifests):
        rng = np.random.default_rng((seed, number))
        planned.append(PlannedSample(posted=manifest, truth=manifest))
        for fault in _faults_for(manifest):
            named = manifest.model_copy(update={"sample_id": f"{manifest.sample_id}.{faults.NAMES[fault]}"})
            sample = _plan(named, fault, rng)
            if sample is not None:
                planned.append(sample)
    return tuple(planned)


def _faults_for(manifest: SampleManifest) -> tuple[Fault, ...]:
    modalities = {stream.modality for stream in manifest.streams}
    if "audio" in modalities:
        return faults.CALL_FAULTS
    if "video" in modalities:
        return (faults.turn_camera,)
    return (faults.move_cuboid, faults.drop_region)
