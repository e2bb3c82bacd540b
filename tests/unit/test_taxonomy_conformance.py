from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.sample import CheckOutcome
from services.alignment.taxonomy_conformance import check_taxonomy_conformance
from services.contracts.annotations import Annotation
from services.contracts.labels_language import SoundEvent, TranscriptSegment
from services.rules.meaning import MeaningRules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from services.rules.taxonomy_conformance import TaxonomyConformanceRules
from services.taxonomy.changes import ClassChange, VersionCrosswalk
from services.taxonomy.taxonomy import AttributeRule, Crosswalk, Taxonomy, TaxonomyClass
from tests.unit.label_cases import box, kinds, sample_of
from tests.unit.near_words import NearWords

TAXONOMY = Taxonomy(
    id="av",
    version=2,
    classes=(
        TaxonomyClass(id="vehicle", modalities=("image", "lidar"), label_kinds=("box", "cuboid")),
        TaxonomyClass(
            id="car",
            parents=("vehicle",),
            synonyms=("automobile",),
            attributes=(
                AttributeRule(name="colour", values=("red", "grey"), synonyms={"grey": ("gray", "silver")}),
                AttributeRule(name="doors", type="integer", values=(2, 3, 4, 5)),
                AttributeRule(name="parked", type="flag"),
            ),
        ),
        TaxonomyClass(id="truck", parents=("vehicle",)),
        TaxonomyClass(
            id="traffic_light", attributes=(AttributeRule(name="state", values=("red", "green"), required=True),)
        ),
        TaxonomyClass(id="siren", modalities=("audio",), label_kinds=("sound_event",)),
        TaxonomyClass(id="lorry", deprecated=True, replaced_by="truck"),
        TaxonomyClass(id="misc", deprecated=True),
        TaxonomyClass(id="pedestrian"),
        TaxonomyClass(id="rider"),
    ),
    crosswalks=(Crosswalk(source="coco", classes={"person": "pedestrian"}),),
)
STEP = VersionCrosswalk(
    source="av@1",
    target="av@2",
    changes=(
        ClassChange(kind="rename", sources=("auto",), targets=("car",)),
        ClassChange(kind="split", sources=("human",), targets=("pedestrian", "rider")),
        ClassChange(kind="deprecate", sources=("junk",)),
    ),
)

NEAR = NearWords({"passer by": ("pedestrian", 0.7), "zeppelin": ("vehicle", 0.3), "pedestrain": ("car", 0.9)})


def rules(**changes: Any) -> RuleSet:
    section = TaxonomyConformanceRules(taxonomy=TAXONOMY, crosswalks=(STEP,), **changes)
    return DEFAULT_RULE_SET.model_copy(update={"taxonomy_conformance": section})


RULES = rules()


def check(*labels: Annotation, rule_set: RuleSet = RULES) -> CheckOutcome:
    return check_taxonomy_conformance(sample_of(labels), rule_set)


def fixed(outcome: CheckOutcome) -> Annotation:
    (finding,) = outcome.findings
    assert finding.suggestion is not None
    assert finding.suggestion.patch is not None
    (label,) = finding.suggestion.patch.upsert
    return label


def test_labels_of_the_taxonomy_have_no_finding() -> None:
    good = (
        box("a", "car", version="av@2", attributes={"colour": "grey", "doors": 4, "parked": True}),
        box("b", "traffic_light", attributes={"state": "red"}),
        SoundEvent(id="c", stream="mic", label="siren", start_s=0, end_s=1),
        TranscriptSegment(id="d", stream="mic", start_s=0, end_s=1, text="hello"),
        box("e", "DontCare"),
    )
    assert check(*good) == CheckOutcome()


@pytest.mark.parametrize(
    ("label", "kind", "becomes"),
    [
        (box("a", "zeppelin"), "unknown_class", None),
        (box("a", "pedestrain"), "unknown_class", "pedestrian"),
        (box("a", "auto"), "unknown_class", "car"),
        (box("a", "Automobiles"), "not_canonical", "car"),
        (box("a", "Car"), "not_canonical", "car"),
        (box("a", "lorry"), "deprecated_class", "truck"),
        (box("a", "misc"), "deprecated_class", None),
        (box("a", "car", stream="mic"), "wrong_modality", None),
        (box("a", "traffic_light"), "missing_attribute", None),
        (box("a", "auto", version="av@1"), "crosswalk_available", "car"),
        (box("a", "truck", version="av@1"), "crosswalk_available", "truck"),
        (box("a", "person", version="coco"), "crosswalk_available", "pedestrian"),
        (box("a", "human", version="av@1"), "crosswalk_ambiguous", None),
        (box("a", "junk", version="av@1"), "deprecated_class", None),
        (box("a", "car", version="av@9"), "unknown_version", None),
        (box("a", "nothing_known", version="av@1"), "unknown_version", None),
    ],
)
def test_each_fault_has_its_kind_and_its_fix(label: Annotation, kind: str, becomes: str | None) -> None:
    outcome = check(label)
    assert kinds(outcome.findings) == [kind]
    assert outcome.findings[0].annotations == ("a",)
    if becomes is None:
        assert outcome.findings[0].suggestion is None
    else:
        corrected = fixed(outcome)
        assert (corrected.label, corrected.taxonomy_version) == (becomes, "av@2")
        assert check(corrected) == CheckOutcome()


def test_a_box_of_a_sound_is_of_the_wrong_kind_and_in_the_wrong_place() -> None:
    assert kinds(check(box("a", "siren")).findings) == ["wrong_label_kind", "wrong_modality"]


@pytest.mark.parametrize(
    ("name", "value", "becomes"),
    [
        ("colour", "GREY ", "grey"),
        ("colour", "silver", "grey"),
        ("colour", "purple", None),
        ("doors", "4", 4),
        ("doors", 4.0, 4),
        ("doors", 7, None),
        ("doors", True, None),
        ("parked", "yes", True),
        ("parked", 1, None),
    ],
)
def test_a_wrong_attribute_is_mended_where_it_is_clear_what_was_meant(name: str, value: Any, becomes: Any) -> None:
    outcome = check(box("a", "car", attributes={name: value}))
    assert kinds(outcome.findings) == ["wrong_attribute"]
    if becomes is None:
        assert outcome.findings[0].suggestion is None
    else:
        corrected = fixed(outcome)
        assert corrected.attributes[name] == becomes
        assert type(corrected.attributes[name]) is type(becomes)
        assert check(corrected) == CheckOutcome()


def test_attributes_that_nobody_named_are_findings_only_when_asked_for() -> None:
    label = box("a", "truck", attributes={"smell": "diesel"})
    assert check(label) == CheckOutcome()
    assert kinds(check(label, rule_set=rules(report_unknown_attributes=True)).findings) == ["unknown_attribute"]


def test_a_label_without_a_version_is_a_finding_only_when_asked_for() -> None:
    assert kinds(check(box("a", "car"), rule_set=rules(require_version=True)).findings) == ["unknown_version"]


def test_a_fix_that_would_bring_another_fault_is_not_suggested() -> None:
    label = SoundEvent(id="a", stream="mic", label="auto", taxonomy_version="av@1", start_s=0, end_s=1)
    (finding,) = check(label).findings
    assert finding.kind == "crosswalk_available"
    assert finding.suggestion is None


def test_an_importers_fault_is_one_finding_with_the_others_folded() -> None:
    labels = [box(f"a{index}", "auto", version="av@1", frame=index) for index in range(50)]
    outcome = check(*labels, box("z", "zeppelin"))
    assert kinds(outcome.findings) == ["crosswalk_available", "unknown_class"]
    assert len(outcome.folded) == 50
    whole = next(finding for finding in outcome.findings if finding.cause is not None)
    assert set(whole.explains) == {finding.finding_id for finding in outcome.folded}
    assert whole.suggestion is not None
    assert whole.suggestion.patch is not None
    assert check(*whole.suggestion.patch.upsert) == CheckOutcome()


def test_without_a_taxonomy_or_a_label_the_check_is_not_applicable() -> None:
    for outcome in (check(rule_set=RULES), check(box("a", "car"), rule_set=DEFAULT_RULE_SET)):
        assert len(outcome.not_applicable) == 1
        assert not outcome.findings
    none = DEFAULT_RULE_SET.model_copy(update={"taxonomy_conformance": None})
    assert check(box("a", "car"), rule_set=none).not_applicable


def test_a_label_of_a_stream_that_does_not_exist_is_judged_by_its_class() -> None:
    assert check(box("a", "car", stream="ghost")) == CheckOutcome()
    assert kinds(check(box("a", "ghost-class", stream="ghost")).findings) == ["unknown_class"]


label_texts = st.sampled_from(["car", "Car", "auto", "human", "lorry", "traffic_light", "zeppelin", "misc", "persn"])
versions = st.sampled_from([None, "av@2", "av@1", "coco", "av@9"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(label_texts, versions), max_size=12), st.integers(0, 1000))
def test_order_changes_nothing_and_names_change_only_names(labels: list[tuple[str, str | None]], seed: int) -> None:
    given_labels = [box(f"a{index:02d}", name, version=version) for index, (name, version) in enumerate(labels)]
    order = np.random.default_rng(seed).permutation(len(labels))
    first = check(*given_labels)
    assert check(*(given_labels[index] for index in order)) == first
    renamed = check(*(label.model_copy(update={"id": f"b{label.id}"}) for label in given_labels))
    assert kinds(renamed.findings) == kinds(first.findings)
    sample = sample_of(given_labels)
    assert check_taxonomy_conformance(replace(sample), RULES) == first


def asked_by_meaning(*labels: Annotation, near: NearWords | None = NEAR, **meaning: Any) -> CheckOutcome:
    sample = replace(sample_of(labels), text_encoder=near)
    return check_taxonomy_conformance(sample, rules(meaning=MeaningRules(**meaning)))


def test_an_unknown_class_is_asked_about_by_its_meaning_and_never_changed() -> None:
    (finding,) = asked_by_meaning(box("a", "Passer-By")).findings
    assert (finding.kind, finding.severity) == ("unknown_class", "major")
    assert finding.suggestion is not None
    assert finding.suggestion.patch is None
    assert finding.suggestion.summary == "Did you mean 'pedestrian'? Its meaning is near (0.70)."
    (alone,) = check(box("a", "Passer-By")).findings
    assert alone.finding_id == finding.finding_id
    assert alone.suggestion is None


def test_one_question_stands_for_many_labels_with_one_unknown_class() -> None:
    outcome = asked_by_meaning(*(box(name, "passer by") for name in "abc"))
    (finding,) = outcome.findings
    assert finding.suggestion is not None
    assert finding.suggestion.summary.startswith("Did you mean 'pedestrian'?")


def test_what_is_known_or_misspelt_or_far_is_not_looked_up() -> None:
    assert fixed(asked_by_meaning(box("a", "automobile"))).label == "car"
    assert fixed(asked_by_meaning(box("a", "pedestrain"))).label == "pedestrian"
    assert asked_by_meaning(box("a", "zeppelin")).findings[0].suggestion is None
    assert asked_by_meaning(box("a", "passer by"), min_similarity=0.71).findings[0].suggestion is None


def test_without_a_model_the_labels_are_judged_and_the_reason_told() -> None:
    outcome = asked_by_meaning(box("a", "passer by"), near=None)
    assert [finding.kind for finding in outcome.findings] == ["unknown_class"]
    assert "not looked up by their meaning: no semantic model" in outcome.not_applicable[0].reason
