from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infra.bench.detection.camera_pairs import RIGHT
from infra.bench.detection.track_identity import FAULTS, clean_samples, mot_sample
from services.alignment.sample import CheckSample
from services.alignment.track_identity import check_track_identity
from services.contracts.findings import Finding
from services.rules.rule_set import DEFAULT_RULE_SET
from services.rules.track_identity import TrackIdentityRules

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
RULES = DEFAULT_RULE_SET.model_copy(update={"track_identity": TrackIdentityRules()})
SEEDS = 3

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared data beside the checkout")


@pytest.fixture(scope="module")
def samples() -> list[tuple[str, CheckSample]]:
    return list(clean_samples(DATA))


def found(sample: CheckSample) -> tuple[Finding, ...]:
    return check_track_identity(sample, RULES).findings


def test_human_labels_are_clean(samples: list[tuple[str, CheckSample]]) -> None:
    assert {group for group, _ in samples} >= {"kitti-tracking-0000", "kitti-tracking-0003", "mot-TUD-Campus"}
    for group, sample in samples:
        # Boxes that are projected into a second camera end at its edges, which is a gap and no other fault.
        projected = any(stream.id == RIGHT for stream in sample.manifest.streams)
        assert {finding.kind for finding in found(sample)} <= ({"gap"} if projected else set()), group


def test_of_seven_real_switches_the_three_that_motion_can_show_are_found() -> None:
    # By CLEAR MOT with the truth: frames 23, 25, 32, 37, 40, 48 and 56. The others pause for longer than any motion
    # holds (16 to 24 frames), or come back as a box of another shape.
    findings = found(mot_sample(DATA / "mot_motmetrics" / "TUD-Campus" / "test.txt"))
    assert sorted((finding.frames[0], finding.kind) for finding in findings) == [
        (25, "switch"), (37, "split"), (40, "switch"),
    ]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{fault.kind}: {fault.name}" for fault in FAULTS])
def test_injected_faults_are_found_and_named(fault: object, samples: list[tuple[str, CheckSample]]) -> None:
    chosen = next(one for one in FAULTS if one is fault)
    injected = hit = 0
    for index, (_, sample) in enumerate(samples):
        for seed in range(SEEDS):
            spoiled = chosen.inject(sample, np.random.default_rng([index, seed]))
            if spoiled is None:
                continue
            changed, concerned = spoiled
            injected += 1
            kinds = {chosen.kind, *chosen.also}
            hit += any(f.kind in kinds and concerned & set(f.annotations) for f in found(changed))
    assert injected >= 6
    assert hit >= 0.9 * injected
