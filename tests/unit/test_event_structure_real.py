from __future__ import annotations

import numpy as np
import pytest

from infra.bench.detection.event_recordings import dialogues, driver_recordings, kitchen_videos
from infra.bench.detection.event_structure import FAULTS, rules_of
from services.alignment.event_structure import check_event_structure
from services.rules.event_structure import EventStructureRules
from services.rules.rule_set import RuleSet
from tests.unit.event_samples import DATA, needs

RULES = rules_of(DATA, RuleSet(id="r", version=1, event_structure=EventStructureRules()))


@needs("epic")
def test_the_kitchen_sounds_that_end_after_their_video_are_all_that_is_found() -> None:
    found = [
        (name, finding.kind, finding.severity, round(finding.measured.value, 3))
        for name, sample in kitchen_videos(DATA)
        for finding in check_event_structure(sample, RULES).findings
        if finding.measured is not None
    ]
    assert sorted(found) == [
        ("P08_15", "outside_media", "minor", 0.118),
        ("P08_15", "outside_media", "minor", 0.118),
        ("P12_03", "outside_media", "minor", 0.147),
    ]


@needs("meld")
def test_the_dialogues_have_exactly_their_known_time_faults() -> None:
    kinds: dict[str, int] = {}
    for _, sample in dialogues(DATA):
        for finding in check_event_structure(sample, RULES).findings:
            kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
    assert kinds == {"no_duration": 1, "duration_implausible": 3, "order_violation": 31}


@needs("openlabel_vcd")
def test_the_driver_looks_at_one_thing_at_a_time() -> None:
    for _, sample in driver_recordings(DATA):
        assert check_event_structure(sample, RULES).findings == ()


@needs("epic")
@pytest.mark.parametrize("video", ["P12_03", "P18_03"])
def test_sounds_that_are_late_by_seconds_are_one_offset(video: str) -> None:
    samples = dict(kitchen_videos(DATA))
    late = next(fault for fault in FAULTS if fault.name == "sounds +2 s")
    spoiled = late.inject(samples[video], np.random.default_rng(0))
    assert spoiled is not None
    (finding,) = [f for f in check_event_structure(spoiled[0], RULES).findings if f.kind == "cross_modal_offset"]
    assert finding.cause is not None
    assert float(finding.cause.estimate["offset_s"]) == pytest.approx(2.0, abs=0.5)
