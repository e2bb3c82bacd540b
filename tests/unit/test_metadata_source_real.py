"""Recorded photos: cameras that are a day off, and what their files say of themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infra.bench.detection.metadata_source import FAULTS, clean_samples, photos, products
from infra.storage.decode import read_facts
from services.alignment.metadata_source import check_metadata_source
from services.alignment.metadata_swaps import find_swaps
from services.contracts.manifest import Stream
from services.rules.metadata_source import MetadataSourceRules
from services.rules.rule_set import RuleSet

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
RULES = RuleSet(id="r", version=1, metadata_source=MetadataSourceRules())
needs_data = pytest.mark.skipif(not (DATA / "exif_gps").exists(), reason="the recorded photos are not on this machine")


@needs_data
def test_every_photo_of_the_camera_that_is_a_day_off_is_found_with_one_cause() -> None:
    causes = set()
    for _, sample in photos(DATA):
        findings = check_metadata_source(sample, RULES).findings
        if sample.asset_facts["photo"].gps_at is None:
            assert findings == ()
            continue
        (finding,) = findings
        assert finding.kind == "outside_time_window"
        assert finding.cause is not None
        assert finding.cause.estimate["days"] == -1
        assert finding.cause.estimate["utc_offset_h"] == 2.0
        causes.add(finding.cause.group)
    assert causes == {"camera_clock:nikon-coolpix-p6000"}


@needs_data
def test_clean_recordings_have_no_finding() -> None:
    samples = [sample for _, sample in clean_samples(DATA)]
    assert len(samples) > 80
    assert [x for sample in samples for x in check_metadata_source(sample, RULES).findings] == []


@needs_data
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name or fault.kind)
def test_a_known_fault_is_found(fault: object) -> None:
    hits = trials = 0
    for number, (_, sample) in enumerate(clean_samples(DATA)):
        spoiled = fault.inject(sample, np.random.default_rng((5, number)))  # type: ignore[attr-defined]
        if spoiled is not None:
            trials += 1
            found = [x for x in check_metadata_source(spoiled[0], RULES).findings if x.kind == fault.kind]  # type: ignore[attr-defined]
            hits += any(not spoiled[1] or set(x.annotations) & spoiled[1] for x in found)
    assert hits >= 0.98 * trials > 0


@needs_data
def test_exchanged_products_are_named_in_pairs() -> None:
    samples = [sample for _, sample in products(DATA)]
    rng = np.random.default_rng(2)
    order = rng.permutation(len(samples))[:20]
    expected = set()
    for first, second in zip(order[::2], order[1::2], strict=True):
        one, two = samples[first], samples[second]
        for target, source, at in ((one, two, first), (two, one, second)):
            manifest = target.manifest.model_copy(update={"streams": source.manifest.streams})
            samples[at] = replace(target, manifest=manifest, annotations=source.annotations)
        expected.add(tuple(sorted((one.manifest.sample_id, two.manifest.sample_id))))
    assert {swap.samples for swap in find_swaps(samples, RULES)} == expected


@needs_data
def test_damaged_exif_says_nothing_and_stops_nobody() -> None:
    content = next((DATA / "exif_gps").rglob("*.jpg")).read_bytes()
    rng = np.random.default_rng(1)
    photo = Stream(id="photo", modality="image")
    for _ in range(60):
        damaged = bytearray(content[: int(rng.integers(10, 6_000))])
        for place in rng.integers(2, len(damaged), 8):
            damaged[place] = int(rng.integers(256))
        facts = read_facts(photo, bytes(damaged), sha256="0" * 64)
        assert facts.sha256 == "0" * 64
        assert facts.latitude_deg is None or abs(facts.latitude_deg) <= 90
