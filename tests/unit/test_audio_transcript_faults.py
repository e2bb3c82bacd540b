from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from infra.bench.detection.audio_transcript import FAULTS, clean_samples
from infra.bench.detection.fault import LabelFault
from services.alignment.audio_transcript import check_audio_transcript
from services.alignment.sample import CheckSample
from services.alignment.suggestions import apply_suggestion
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.spoken_calls import DATA, needs_call, needs_sentences

pytestmark = [needs_call, needs_sentences]


@pytest.fixture(scope="module")
def recordings() -> list[CheckSample]:
    return [sample for _, sample in clean_samples(DATA)]


def test_recorded_speech_with_its_own_words_raises_no_alarm(recordings: list[CheckSample]) -> None:
    for sample in recordings:
        assert check_audio_transcript(sample, DEFAULT_RULE_SET).findings == ()


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{fault.kind}: {fault.name}" for fault in FAULTS])
def test_a_known_fault_in_recorded_speech_is_found_and_named(fault: LabelFault, recordings: list[CheckSample]) -> None:
    injected = 0
    for number, sample in enumerate(recordings):
        spoiled = fault.inject(sample, np.random.default_rng([7, number]))
        if spoiled is None:
            continue
        changed, concerned = spoiled
        injected += 1
        findings = check_audio_transcript(changed, DEFAULT_RULE_SET).findings
        named = [one for one in findings if one.kind == fault.kind]
        assert named, fault
        assert not concerned or any(not one.annotations or concerned & set(one.annotations) for one in named)
    assert injected


@pytest.mark.parametrize("fault", [one for one in FAULTS if one.kind == "importer_error"], ids=lambda one: one.name)
def test_times_in_another_unit_are_one_finding_whose_fix_leaves_none(
    fault: LabelFault, recordings: list[CheckSample]
) -> None:
    for sample in recordings:
        spoiled = fault.inject(sample, np.random.default_rng(0))
        assert spoiled is not None
        outcome = check_audio_transcript(spoiled[0], DEFAULT_RULE_SET)
        (finding,) = outcome.findings
        assert set(finding.explains) == {one.finding_id for one in outcome.folded}
        assert finding.suggestion is not None
        mended = replace(sample, annotations=apply_suggestion(spoiled[0].annotations, finding.suggestion))
        assert check_audio_transcript(mended, DEFAULT_RULE_SET).findings == ()
