from __future__ import annotations

import numpy as np
import pytest

from infra.bench.detection import record_agreement, taxonomy_conformance
from infra.bench.detection.fault import LabelFault
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
