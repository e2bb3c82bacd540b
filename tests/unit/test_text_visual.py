"""What a text claims against what is labelled."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.text_visual import check_text_visual
from services.contracts.annotations import Annotation
from services.contracts.labels_language import EntitySpan, Relation, Summary
from services.contracts.labels_spatial import MetadataField, QuantityValue, TextValue
from services.contracts.labels_visual import Box, ImageClassification, Track, TrackBox
from tests.unit.text_pictures import box, boxes, check, kinds, rules, sample


@pytest.mark.parametrize(
    "text",
    [
        "Two dogs and a cat.", "2 puppies beside a cat", "Three animals", "A dog.", "At least one dog on the grass",
        "There are no cars.", "No more than two dogs.", "A couple of dogs.", "The dogs look at the cat.",
        "A dog house.",
        "Is there a car?", "A dog or a bus.", "If a car comes, the dogs bark.", "Some dogs.", "An opinion about dogs.",
        "Two dogs. One of the dogs barks.", "There isn't a car.", "", "no dogs that sing",
        "There is no cat with a bus.",
    ],
)  # fmt: skip
def test_what_agrees_or_is_not_claimed_is_no_finding(text: str) -> None:
    assert check(text, boxes(dog=2, cat=1)).findings == ()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Two dogs and a car.", "mentioned_not_seen"),
        ("A red bus waits beside two dogs.", "mentioned_not_seen"),
        ("Three dogs.", "count_mismatch"),
        ("There is exactly one dog.", "count_mismatch"),
        ("At least five animals", "count_mismatch"),
        ("a dozen dogs", "count_mismatch"),
        ("at most 1 dog", "count_mismatch"),
        ("more than two dogs", "count_mismatch"),
        ("There are no dogs.", "negation_conflict"),
        ("There aren't any cats", "negation_conflict"),
        ("No animals in the picture.", "negation_conflict"),
    ],
)
def test_what_the_labels_contradict_is_named(text: str, kind: str) -> None:
    assert kinds(check(text, boxes(dog=2, cat=1))) == {kind: "major"}


def test_a_count_says_what_was_claimed_and_seen() -> None:
    (finding,) = check("Three dogs run.", boxes(dog=2)).findings
    assert finding.measured is not None
    assert (finding.measured.value, finding.measured.threshold) == (2.0, 3.0)
    assert finding.annotations == ("dog-0", "dog-1")


def test_a_place_makes_an_upper_limit_uncertain_and_a_clause_forbids_it() -> None:
    assert kinds(check("One dog on the sofa.", boxes(dog=2))) == {"count_mismatch": "minor"}
    assert kinds(check("One dog with a hat.", boxes(dog=2))) == {}


def test_phrases_for_one_class_add_up() -> None:
    assert check("Two men and a woman.", boxes(person=3)).findings == ()
    assert kinds(check("Two men and a woman.", boxes(person=4))) == {"count_mismatch": "major"}


def test_attributes_are_compared_through_synonyms() -> None:
    cars = [box("a", "car", colour_of := 0, attributes={"colour": "silver"}), box("b", "dog", 1 + colour_of)]
    assert check("A grey car and a dog.", cars).findings == ()
    assert kinds(check("A blue car and a dog.", cars)) == {"attribute_mismatch": "major"}
    assert kinds(check("The car is red.", cars)) == {"attribute_mismatch": "major"}
    assert check("There is no blue car.", cars).findings == ()
    assert kinds(check("There is no grey car.", cars)) == {"negation_conflict": "major"}


def test_an_attribute_that_no_label_states_is_not_judged() -> None:
    assert check("A blue car.", boxes(car=1)).findings == ()


def test_the_text_of_another_picture_is_one_finding() -> None:
    outcome = check("A bus and two dogs.", [box("a", "person", attributes={}), box("b", "traffic light", 1)])
    (finding,) = outcome.findings
    assert finding.kind == "mentioned_not_seen"
    assert finding.cause is not None
    assert finding.cause.kind == "wrong_text"
    assert set(finding.explains) == {item.finding_id for item in outcome.folded}


def test_large_things_and_required_classes_need_a_mention() -> None:
    large = Box(id="big", stream="camera", label="bus", box=(0, 0, 400, 300))
    assert kinds(check("Two dogs.", [*boxes(dog=2), large])) == {"seen_not_mentioned": "minor"}
    assert kinds(check("Two dogs beside a vehicle.", [*boxes(dog=2), large])) == {}
    assert kinds(check("Two dogs.", boxes(dog=2, person=1), must_mention=("person",))) == {
        "seen_not_mentioned": "major"
    }


def test_a_class_that_is_never_labelled_is_not_missed() -> None:
    assert check("Two dogs and a car.", boxes(dog=2), labelled_classes=("animal",)).findings == ()


def test_without_a_taxonomy_the_labelled_classes_are_read() -> None:
    assert kinds(check("Three dogs and a bus", boxes(dog=2), taxonomy=None)) == {"count_mismatch": "major"}
    assert kinds(check("No dogs", boxes(dog=2), taxonomy=None)) == {"negation_conflict": "major"}


def test_one_thing_in_many_frames_is_one() -> None:
    frames = tuple(TrackBox(frame=frame, box=(0, 0, 9, 9)) for frame in range(5))
    track = Track(id="t", stream="camera", label="dog", object_id="o", boxes=frames)
    same = box("b", "dog", object_id="o")
    assert check("A dog.", [track, same]).findings == ()
    assert kinds(check("Two dogs.", [track, same])) == {"count_mismatch": "major"}


def test_a_region_to_ignore_may_hold_any_number() -> None:
    assert check("Nine dogs.", [*boxes(dog=2), box("crowd", "dog", 5, ignore=True)]).findings == ()


def test_the_class_of_a_whole_image_leaves_room_for_other_things() -> None:
    whole = ImageClassification(id="w", stream="camera", label="dog")
    assert check("A dog beside a bus.", [whole]).findings == ()
    assert kinds(check("A bus.", [whole])) == {"mentioned_not_seen": "major"}


def test_summaries_and_caption_fields_are_read_too() -> None:
    summary = Summary(id="sum", stream="camera", label="summary", text="Three dogs.")
    field = MetadataField(id="alt", stream="record", label="caption", value=TextValue(text="No dogs."))
    outcome = check(None, [*boxes(dog=2), summary, field])
    assert kinds(outcome) == {"count_mismatch": "major", "negation_conflict": "major"}


def test_another_language_or_no_labels_is_not_applicable() -> None:
    swedish = "Vindruvor med ljus druvsaft passar bra till frukost och som mellanmål"
    outcome = check(swedish, boxes(dog=1))
    assert outcome.findings == ()
    assert "English" in outcome.not_applicable[0].reason
    assert check("Two dogs.", []).not_applicable[0].reason.startswith("nothing is labelled")
    assert check(None, boxes(dog=1)).not_applicable[0].reason.startswith("the sample has no text")


def _grounded(label: str, phrase: str, *, to_id: str) -> list[Annotation]:
    text = "A red car and a dog."
    start = text.index(phrase)
    span = EntitySpan(
        id="span", stream="caption", label=label, start_char=start, end_char=start + len(phrase), text=phrase
    )
    return [span, Relation(id="link", stream="caption", label="shows", from_id="span", to_id=to_id)]


def test_a_phrase_linked_to_another_class_is_relinked() -> None:
    seen: list[Annotation] = [box("car-1", "car"), box("dog-1", "dog", 1)]
    assert check("A red car and a dog.", [*seen, *_grounded("dog", "dog", to_id="dog-1")]).findings == ()
    (finding,) = check("A red car and a dog.", [*seen, *_grounded("dog", "dog", to_id="car-1")]).findings
    assert finding.kind == "grounding_mismatch"
    assert finding.suggestion is not None
    assert finding.suggestion.patch is not None
    (fixed,) = finding.suggestion.patch.upsert
    assert isinstance(fixed, Relation)
    span, _ = _grounded("dog", "dog", to_id="x")
    repaired: list[Annotation] = [*seen, span, fixed]
    assert check("A red car and a dog.", repaired).findings == ()


def test_a_phrase_linked_to_another_colour_or_to_nothing_is_named() -> None:
    seen: list[Annotation] = [
        box("blue", "car", attributes={"colour": "blue"}), box("red", "car", 1, attributes={"colour": "red"}),
        box("dog-1", "dog", 2),
    ]  # fmt: skip
    wrong = check("A red car and a dog.", [*seen, *_grounded("car", "red car", to_id="blue")])
    assert kinds(wrong) == {"grounding_mismatch": "major"}
    assert kinds(check("A red car and a dog.", [*seen, *_grounded("car", "red car", to_id="red")])) == {}
    assert kinds(check("A red car and a dog.", [*seen, *_grounded("car", "red car", to_id="gone")])) == {
        "grounding_mismatch": "major"
    }


def test_a_shared_object_id_is_a_link() -> None:
    span = EntitySpan(id="span", stream="caption", label="dog", start_char=2, end_char=5, object_id="o7")
    labels: list[Annotation] = [box("a", "car", object_id="o7"), box("b", "dog", 1), span]
    assert kinds(check("A dog and a car.", labels)) == {"grounding_mismatch": "major"}


def _page() -> list[Box]:
    lines = ("INDAH GIFT & HOME", "27, JALAN DEDAP 13,", "81100 JOHOR", "19/10/2018 20:49", "TOTAL RM 1,060.30")
    return [
        Box(id=f"t{at}", stream="camera", label="text", box=(10, 20 * at, 300, 20 * at + 15), attributes={"text": line})
        for at, line in enumerate(lines)
    ]


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        ("Indah Gift and Home", "major"), ("INDAH GIFT&HOME", None), ("2018-10-19", None), ("20/10/2018", "major"),
        ("1060.30", None), ("RM 1,060.3", None), ("60.30", "major"), ("1060.80", "major"),
        ("INDAH GIFT & HOMF", "minor"),
        ("27, JALAN DEDAP 13, 81100 JOHOR", None), ("SOMEBODY ELSE LTD", "major"), ("19 Oct 2018", None),
    ],
)  # fmt: skip
def test_a_field_must_be_on_the_page(value: str, severity: str | None) -> None:
    field = MetadataField(id="key", stream="record", label="field", value=TextValue(text=value))
    expected = {"region_text_mismatch": severity} if severity else {}
    assert kinds(check(None, [*_page(), field])) == expected


def test_quantities_are_looked_up_and_other_fields_can_be_left_out() -> None:
    field = MetadataField(id="key", stream="record", label="total", value=QuantityValue(value=61.0, unit="MYR"))
    assert kinds(check(None, [*_page(), field])) == {"region_text_mismatch": "major"}
    assert kinds(check(None, [*_page(), field], document_fields=("date",))) == {}


def test_regions_are_held_against_ocr_readers_and_links() -> None:
    read = {"text": "STOP", "ocr_text": "SHOP AHEAD"}
    assert kinds(check(None, [box("a", "sign", attributes=read)])) == {"region_text_mismatch": "major"}
    assert kinds(check(None, [box("a", "sign", attributes={"text": "Stop", "ocr_text": "STOP"})])) == {}
    one, two = ({"kind": kind, "id": kind} for kind in ("human", "model"))
    pair = [
        box("a", "sign", author=one, attributes={"text": "STOP"}),
        box("b", "sign", author=two, attributes={"text": "YIELD"}),
    ]
    assert kinds(check(None, pair)) == {"region_text_mismatch": "major"}
    field = MetadataField(id="key", stream="record", label="plate", value=TextValue(text="AB 123"))
    link = Relation(id="l", stream="record", label="read_at", from_id="key", to_id="c")
    assert kinds(check(None, [box("c", "plate", attributes={"text": "AB-123"}), field, link])) == {}
    assert kinds(check(None, [box("c", "plate", attributes={"text": "AB-128"}), field, link])) == {
        "region_text_mismatch": "major"
    }


def test_the_order_of_labels_changes_nothing() -> None:
    labels = [*boxes(dog=2, cat=1, car=2), *_page(), *_grounded("dog", "dog", to_id="car-0")]
    first = check("Three dogs, a bus and no cars.", labels)
    random.Random(4).shuffle(labels)  # noqa: S311 - an order, no secret
    assert check("Three dogs, a bus and no cars.", labels) == first
    assert {finding.kind for finding in first.findings} >= {"count_mismatch", "negation_conflict"}


def test_other_ids_give_the_same_findings() -> None:
    one = sample("Three dogs and a bus.", boxes(dog=2))
    other = replace(one, annotations=tuple(x.model_copy(update={"id": f"n-{x.id}"}) for x in one.annotations))
    first, second = (check_text_visual(item, rules()) for item in (one, other))
    assert [(x.kind, x.message) for x in first.findings] == [(x.kind, x.message) for x in second.findings]


_VOCABULARY = (
    "a an the no two 3 dozen dogs dog cats car red grey and or without there are is isn't exactly at least most of ,"
    " . ? with on in picture puppies if one none 99999 \u00e9 \U0001f600 - '"
)
_WORDS = st.sampled_from(_VOCABULARY.split())


@settings(max_examples=200, deadline=None)
@given(st.lists(_WORDS, max_size=25), st.integers(0, 3), st.integers(0, 2))
def test_any_words_are_read_without_a_crash(words: list[str], dogs: int, cars: int) -> None:
    text = " ".join(words)
    first = check(text, boxes(dog=dogs, car=cars))
    assert first == check(text, boxes(dog=dogs, car=cars))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_looked_up_without_a_crash(value: str, written: str) -> None:
    value, written = value.replace("\0", ""), written.replace("\0", "")
    field = MetadataField(id="key", stream="record", label="field", value=TextValue(text=value))
    labels = [box(f"r{at}", "text", at, attributes={"text": written}) for at in range(3)]
    assert check(None, [*labels, field]) == check(None, [field, *labels])
