from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.record_agreement import check_record_agreement
from services.alignment.record_values import Quantity, convert, read_date, read_quantity
from services.alignment.sample import CheckOutcome
from services.contracts.annotations import Annotation
from services.contracts.base import Scalar
from services.contracts.labels_language import EntitySpan
from services.contracts.labels_spatial import MetadataField, QuantityValue, TextValue
from services.contracts.manifest import Stream
from services.rules.record_agreement import (
    DateComparison,
    EqualComparison,
    OneOfComparison,
    RecordAgreementRules,
    RecordBinding,
    TextComparison,
    ToleranceComparison,
)
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from tests.unit.label_cases import box, image_class, kinds, sample_of


def rules(*bindings: RecordBinding, **changes: Any) -> RuleSet:
    section = RecordAgreementRules(bindings=bindings, **changes)
    return DEFAULT_RULE_SET.model_copy(update={"record_agreement": section})


def bind(field: str | tuple[str, ...], comparison: Any = None, **changes: Any) -> RecordBinding:
    fields = (field,) if isinstance(field, str) else field
    return RecordBinding(id="b", fields=fields, comparison=comparison or EqualComparison(), **changes)


def check(
    label: Annotation | list[Annotation], record: dict[str, Scalar] | None, *bindings: RecordBinding
) -> CheckOutcome:
    labels = label if isinstance(label, list) else [label]
    return check_record_agreement(sample_of(labels, record=record or {}), rules(*bindings))


WEIGHT = bind("weight", ToleranceComparison(relative=0.02, unit="kg"), value="attributes.weight")
DAY = bind("admitted", DateComparison(days_before=1, days_after=2), value="attributes.day")


@pytest.mark.parametrize(
    ("comparison", "says", "recorded", "kind"),
    [
        (EqualComparison(), " Penicillin ", "penicillin", None),
        (EqualComparison(), "aspirin", "penicillin", "field_mismatch"),
        (EqualComparison(case_sensitive=True), "A1", "a1", "field_mismatch"),
        (EqualComparison(), 3, "3.0", None),
        (EqualComparison(), "007", "7", "field_mismatch"),
        (EqualComparison(), True, "true", None),
        (OneOfComparison(allowed={"Granny-Smith": ("Apple",)}), "granny-smith", "apple", None),
        (OneOfComparison(allowed={"Granny-Smith": ("Apple",)}), "granny-smith", "pear", "field_mismatch"),
        (OneOfComparison(allowed={"Granny-Smith": ("Apple",)}), "kiwi", "pear", "value_unreadable"),
        (ToleranceComparison(absolute=2, unit="g"), "180 g", "0.181kg", None),
        (ToleranceComparison(absolute=2, unit="g"), "180 g", "0.19kg", "field_mismatch"),
        (ToleranceComparison(relative=0.01, unit="kg"), 154.3, 70, "unit_mismatch"),
        (ToleranceComparison(relative=0.01, unit="c"), 98.6, 37.0, "unit_mismatch"),
        (ToleranceComparison(relative=0.01, unit="kg"), "70 cm", 70, "unit_mismatch"),
        (ToleranceComparison(relative=0.01), "heavy", 70, "value_unreadable"),
        (ToleranceComparison(relative=0.05), 104, 100, None),
        (DateComparison(), "2024-01-31", "31.01.2024", None),
        (DateComparison(days_after=1), "2024-02-01", "2024-01-31", None),
        (DateComparison(days_before=1), "2024-02-01", "2024-01-31", "field_mismatch"),
        (DateComparison(), "soon", "2024-01-31", "value_unreadable"),
        (TextComparison(min_similarity=0.9), "Main Street 12", "main  street 12", None),
        (TextComparison(min_similarity=0.9), "Main Street 12", "Station Road 7", "field_mismatch"),
        (TextComparison(min_similarity=0.9, any_order=True), "Smith John", "John Smith", None),
        (TextComparison(contains=True), "Royal Gala", "Apple Royal Gala Class 1", None),
    ],
)
def test_each_comparison_tells_agreement_from_its_kind(
    comparison: Any, says: Any, recorded: Any, kind: str | None
) -> None:
    label = box("a", "thing", attributes={"says": says})
    outcome = check(label, {"field": recorded}, bind("field", comparison, value="attributes.says"))
    assert kinds(outcome.findings) == ([] if kind is None else [kind])
    for finding in outcome.findings:
        assert finding.annotations == ("a",)
        assert "record" in finding.streams


def test_a_wrong_unit_is_named_with_what_was_meant() -> None:
    (finding,) = check(box("a", "patient", attributes={"weight": 154.3}), {"weight": 70.0}, WEIGHT).findings
    assert finding.cause is not None
    assert finding.cause.kind == "wrong_unit"
    assert finding.cause.estimate == {"written": "kg", "meant": "lb"}


def test_a_unit_beside_the_value_counts() -> None:
    label = box("a", "patient", attributes={"weight": 154.3, "weight_unit": "lbs"})
    assert check(label, {"weight": 70, "weight.unit": "kg"}, WEIGHT) == CheckOutcome()
    assert kinds(check(label, {"weight": 75, "weight.unit": "kg"}, WEIGHT).findings) == ["field_mismatch"]


def test_a_record_of_metadata_fields_is_a_record() -> None:
    def field(value: Any, name: str = "weight") -> MetadataField:
        return MetadataField(id="r", stream="record", label=name, value=value)

    label = box("a", "patient", attributes={"weight": "70 kg"})
    assert check([label, field(QuantityValue(value=154.3, unit="lb"))], {}, WEIGHT) == CheckOutcome()
    assert kinds(check([label, field(QuantityValue(value=80, unit="kg"))], {}, WEIGHT).findings) == ["field_mismatch"]
    assert kinds(check([label, field(TextValue(text="n/a"))], {}, WEIGHT).findings) == ["record_missing_field"]


def test_a_value_of_many_is_in_the_record_or_not() -> None:
    binding = bind("items.*.sku", value="label", both_ways=True)
    record: dict[str, Scalar] = {"items.0.sku": "milk", "items.1.sku": "bread", "items.1.price": "milk"}
    assert kinds(check([box("a", "Milk"), box("b", "bread")], record, binding).findings) == []
    assert kinds(check([box("a", "milk"), box("b", "beer")], record, binding).findings) == [
        "not_in_record",
        "not_labelled",
    ]


def test_the_number_of_labels_is_held_to_the_stock() -> None:
    binding = bind("stock", ToleranceComparison(absolute=0), value="count", labels=("bottle",))
    bottles: list[Annotation] = [box(f"b{index}", "bottle") for index in range(3)]
    assert check([*bottles, box("x", "can")], {"stock": 3}, binding) == CheckOutcome()
    (finding,) = check(bottles[:2], {"stock": 3}, binding).findings
    assert (finding.kind, finding.annotations) == ("field_mismatch", ("b0", "b1"))


def test_a_record_without_the_field_is_one_finding_for_all_labels() -> None:
    labels: list[Annotation] = [box(f"a{index}", "car", attributes={"weight": 1}) for index in range(5)]
    (finding,) = check(labels, {"height": 1}, WEIGHT).findings
    assert (finding.kind, finding.streams) == ("record_missing_field", ("record",))
    assert check(labels, {"height": 1}, bind("weight", required_in_record=False)) == CheckOutcome()


def test_a_label_without_the_value_is_a_finding_only_when_asked_for() -> None:
    assert check(box("a", "patient"), {"weight": 70}, WEIGHT) == CheckOutcome()
    asked = WEIGHT.model_copy(update={"required_in_label": True})
    assert kinds(check(box("a", "patient"), {"weight": 70}, asked).findings) == ["label_missing_value"]


def test_the_records_value_is_suggested_where_the_record_is_right() -> None:
    binding = bind("product", value="label", record_is_right=True)
    (finding,) = check(image_class("a", "pear"), {"product": "apple"}, binding).findings
    assert finding.suggestion is not None
    assert finding.suggestion.patch is not None
    (fixed,) = finding.suggestion.patch.upsert
    assert fixed.label == "apple"
    assert check(fixed, {"product": "apple"}, binding) == CheckOutcome()


def test_many_labels_against_one_field_are_one_cause() -> None:
    labels: list[Annotation] = [box(f"a{index}", "car", attributes={"weight": 900}) for index in range(20)]
    outcome = check(labels, {"weight": 1400}, WEIGHT)
    (finding,) = outcome.findings
    assert finding.cause is not None
    assert finding.cause.kind == "record_field"
    assert len(outcome.folded) == len(finding.explains) == len(finding.annotations) == 20


def test_a_nested_json_record_is_read_and_a_broken_one_is_not_applicable() -> None:
    def with_record(text: str) -> CheckOutcome:
        record = Stream(id="ehr", modality="record", inline=text)
        sample = sample_of([EntitySpan(id="a", stream="chat", label="id", start_char=0, end_char=2, text="77")],
                           Stream(id="chat", modality="text"), record)  # fmt: skip
        return check_record_agreement(sample, rules(bind("order.items.*.id", value="text")))

    assert with_record('{"order": {"items": [{"id": "76"}, {"id": "77"}]}}') == CheckOutcome()
    assert kinds(with_record('{"order": {"items": [{"id": "76"}]}}').findings) == ["not_in_record"]
    assert with_record('{"order": ').not_applicable[0].streams == ("ehr",)


def test_without_bindings_or_record_the_check_is_not_applicable() -> None:
    assert check(box("a", "car"), {"x": 1}).not_applicable
    no_record = sample_of([box("a", "car")], Stream(id="cam", modality="image"))
    assert check_record_agreement(no_record, rules(WEIGHT)).not_applicable
    assert check_record_agreement(
        no_record, DEFAULT_RULE_SET.model_copy(update={"record_agreement": None})
    ).not_applicable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2l", Quantity(2, "l")),
        ("ca 180g", Quantity(180, "g")),
        ("98.6 °F", Quantity(98.6, "f")),
        ("1,5 Litres", Quantity(1.5, "l")),
        ("1,234.5 kg", Quantity(1234.5, "kg")),
        ("12 parsecs", Quantity(12, "parsecs")),
        ("-3e2", Quantity(-300)),
        ("two", None),
        (True, None),
        ("1e99 kg", Quantity(1e99, "kg")),
    ],
)
def test_quantities_are_read_as_people_write_them(text: Any, expected: Quantity | None) -> None:
    assert read_quantity(text) == expected


def test_units_convert_there_and_back() -> None:
    assert convert(212, "f", "c") == pytest.approx(100)
    assert convert(100, "km/h", "m/s") == pytest.approx(27.7778, abs=1e-4)
    assert convert(1, "kg", "m") is None


@pytest.mark.parametrize(
    "text", ["2024-13-01", "31.31.2024", "x", "0000-00-00", "99999999", "9999-12-31T23:59:59-12:00"]
)
def test_a_date_that_is_none_is_none(text: str) -> None:
    assert read_date(text, day_first=False) is None


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
values = st.one_of(texts, st.integers(-(2**53), 2**53), st.booleans(), st.floats(-1e12, 1e12))
comparisons = st.sampled_from([
    EqualComparison(), TextComparison(), DateComparison(), ToleranceComparison(unit="kg"), ToleranceComparison(),
    OneOfComparison(allowed={"a": ("b",)}),
])  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(values, max_size=5), values, comparisons, st.integers(0, 99))
def test_any_values_give_an_answer_that_knows_no_order(
    says: list[Any], recorded: Any, comparison: Any, seed: int
) -> None:
    labels: list[Annotation] = [box(f"a{index}", "x", attributes={"v": value}) for index, value in enumerate(says)]
    binding = bind("f", comparison, value="attributes.v")
    outcome = check(labels, {"f": recorded}, binding)
    order = np.random.default_rng(seed).permutation(len(labels))
    assert check([labels[index] for index in order], {"f": recorded}, binding) == outcome
    for one in labels:
        same = check(one.model_copy(update={"attributes": {"v": recorded}}), {"f": recorded}, binding)
        if isinstance(comparison, EqualComparison | TextComparison):
            assert set(kinds(same.findings)) <= {"record_missing_field"}
