"""Recorded sentences, receipts, photos and product texts: what is right stays quiet, what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infra.bench.detection.text_recordings import receipts, sentences
from infra.bench.detection.text_visual import FAULTS, clean_samples, rules_of
from services.alignment.text_visual import check_text_visual
from services.rules.rule_set import DEFAULT_RULE_SET

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / "nlvr").exists(), reason="the recorded sentences and receipts are not on this machine"
)


def test_clean_recordings_have_no_major_finding() -> None:
    rules = rules_of(DATA, DEFAULT_RULE_SET)
    labels, major = 0, []
    for _, sample in clean_samples(DATA):
        labels += len(sample.annotations)
        major += [x for x in check_text_visual(sample, rules).findings if x.severity in ("major", "critical")]
    assert labels > 900
    assert major == []


def test_keys_that_their_receipts_do_not_say_are_named() -> None:
    rules = rules_of(DATA, DEFAULT_RULE_SET)
    found = {
        (sample.manifest.sample_id, name)
        for _, sample in receipts(DATA)
        for finding in check_text_visual(sample, rules).findings
        for name in finding.annotations
    }
    assert found == {("sroie-000", "key-company"), ("sroie-002", "key-company")}


def test_sentences_that_people_found_false_are_no_reason_for_a_wrong_finding() -> None:
    # They differ from the true ones in places and touching, which the check does not read: silence is right.
    rules = rules_of(DATA, DEFAULT_RULE_SET)
    assert all(not check_text_visual(sample, rules).findings for _, sample in sentences(DATA, "false"))


def test_every_fault_can_be_injected_and_found() -> None:
    samples = [sample for _, sample in clean_samples(DATA)]
    rules = rules_of(DATA, DEFAULT_RULE_SET)
    for fault in FAULTS:
        hits = trials = 0
        for number, sample in enumerate(samples):
            spoiled = fault.inject(sample, np.random.default_rng((3, number)))
            if spoiled is not None:
                findings = check_text_visual(spoiled[0], rules).findings
                hits += any(
                    x.kind == fault.kind and (not spoiled[1] or bool(spoiled[1] & set(x.annotations))) for x in findings
                )
                trials += 1
        # A changed digit may make an amount that the receipt prints elsewhere.
        assert hits >= 0.8 * trials > 0, fault
