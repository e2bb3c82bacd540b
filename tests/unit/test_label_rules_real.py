from __future__ import annotations

import numpy as np
import pytest

from infra.bench.detection import definition_drift as drift_bench
from infra.bench.detection import record_agreement, taxonomy_conformance
from infra.bench.detection.drift_recordings import crowd_samples, road_samples, sentence_samples
from infra.bench.detection.fault import LabelFault
from services.agreement.alpha import krippendorff_alpha
from services.agreement.ratings import encode
from services.alignment.definition_drift import definition_drift
from services.alignment.record_agreement import check_record_agreement
from services.alignment.taxonomy_conformance import check_taxonomy_conformance
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.label_cases import DATA, needs


@needs("mseg_taxonomy")
def test_the_classes_of_14_data_sets_conform_to_what_the_experts_mapped_them_to() -> None:
    rules = taxonomy_conformance.rules_of(DATA, DEFAULT_RULE_SET)
    samples = list(taxonomy_conformance.clean_samples(DATA))
    assert len(samples) == 14
    assert sum(len(sample.annotations) for _, sample in samples) > 500
    assert all(check_taxonomy_conformance(sample, rules).findings == () for _, sample in samples)


@needs("grocery_store")
@needs("abcd_support")
def test_photos_and_chats_agree_with_their_records() -> None:
    rules = record_agreement.rules_of(DATA, DEFAULT_RULE_SET)
    samples = list(record_agreement.clean_samples(DATA))
    assert len(samples) == 66
    for _, sample in samples:
        assert check_record_agreement(sample, rules).findings == ()


@needs("mseg_taxonomy")
@needs("grocery_store")
@needs("abcd_support")
@pytest.mark.parametrize(
    "fault", [*taxonomy_conformance.FAULTS, *record_agreement.FAULTS], ids=lambda fault: f"{fault.kind}-{fault.name}"
)
def test_a_known_fault_is_found_by_its_kind(fault: LabelFault) -> None:
    module = taxonomy_conformance if fault.check == taxonomy_conformance.CHECK else record_agreement
    check = check_taxonomy_conformance if module is taxonomy_conformance else check_record_agreement
    rules = module.rules_of(DATA, DEFAULT_RULE_SET)
    injected = 0
    for index, (_, sample) in enumerate(module.clean_samples(DATA)):
        spoiled = fault.inject(sample, np.random.default_rng(index)) if index % 3 == 0 else None
        if spoiled is not None:
            changed, concerned = spoiled
            found = [item for item in check(changed, rules).findings if concerned & set(item.annotations)]
            assert {item.kind for item in found} & {fault.kind, *fault.also}
            injected += 1
    assert injected


@needs("kitti_tracking")
def test_people_and_a_detector_on_one_road_do_not_drift() -> None:
    assert definition_drift((sample for _, sample in road_samples(DATA)), DEFAULT_RULE_SET).findings == ()


@needs("bluebirds_cubam")
def test_39_people_who_can_not_tell_birds_apart_are_one_finding() -> None:
    samples = list(crowd_samples(DATA))
    assert len(samples) == 108
    outcome = definition_drift(samples, DEFAULT_RULE_SET)
    (finding,) = outcome.findings
    assert finding.kind == "agreement_low"
    assert finding.cause is not None
    votes = [{label.author.id: label.label for label in one.annotations if label.author} for one in samples]
    alpha = krippendorff_alpha(encode(votes)[0].astype(np.float64)).value
    assert finding.cause.estimate["krippendorff_alpha_of_all"] == pytest.approx(alpha, abs=1e-4)


@needs("nlvr")
def test_votes_on_sentences_agree_well_enough() -> None:
    assert definition_drift(sentence_samples(DATA), DEFAULT_RULE_SET).findings == ()


@needs("kitti_tracking")
@pytest.mark.parametrize("fault", drift_bench.DATASET_FAULTS, ids=lambda fault: fault.name)
def test_a_second_team_that_drifts_is_found_and_one_that_does_not_is_left_alone(
    fault: drift_bench.DatasetFault,
) -> None:
    rng = np.random.default_rng(0)
    samples = [sample for group, sample in drift_bench.clean_samples(DATA) if group == "0000"]
    made = [drift_bench.second_team(sample, fault.drift, rng) for sample in samples]
    found = definition_drift(made, DEFAULT_RULE_SET).findings
    assert {finding.kind for finding in found} == ({fault.kind} if fault.kind else set())
