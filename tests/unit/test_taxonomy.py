"""The taxonomy's contract and its look-ups."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from services.contracts.annotations import LABEL_KINDS
from services.taxonomy.changes import LabelKind
from services.taxonomy.lookup import TaxonomyIndex
from services.taxonomy.taxonomy import AttributeRule, Crosswalk, Taxonomy, TaxonomyClass
from services.taxonomy.words import folded, singulars

ROAD = Taxonomy(
    id="road",
    version=3,
    classes=(
        TaxonomyClass(id="vehicle", attributes=(AttributeRule(name="colour", values=("red", "blue")),)),
        TaxonomyClass(id="car", parents=("vehicle",), synonyms=("automobile", "sedan"), modalities=("image", "lidar")),
        TaxonomyClass(id="taxi", parents=("car",), synonyms=("cab",)),
        TaxonomyClass(id="bus", parents=("vehicle",)),
        TaxonomyClass(id="person", synonyms=("pedestrian",), label_kinds=("box", "cuboid")),
        TaxonomyClass(id="Traffic_light"),
        TaxonomyClass(id="lorry", deprecated=True, replaced_by="truck"),
        TaxonomyClass(id="truck", parents=("vehicle",)),
    ),
    attributes=(AttributeRule(name="night", type="flag"),),
    crosswalks=(Crosswalk(source="kitti", classes={"Van": "car"}),),
)


@pytest.mark.parametrize(
    ("mention", "expected"),
    [
        ("car", "car"), ("Cars", "car"), ("AUTOMOBILES", "car"), ("buses", "bus"), ("people", "person"),
        ("pedestrians", "person"), ("traffic lights", "Traffic_light"), ("TrafficLight", "Traffic_light"),
        ("traffic-light", "Traffic_light"), ("cabs", "taxi"), ("cat", None), ("", None),
    ],
)  # fmt: skip
def test_a_mention_is_normalised_by_case_plural_and_synonym(mention: str, expected: str | None) -> None:
    assert TaxonomyIndex(ROAD).normalise(mention) == expected


def test_a_word_of_two_classes_is_not_decided() -> None:
    taxonomy = Taxonomy(
        id="t", version=1,
        classes=tuple(TaxonomyClass(id=name, synonyms=("bat",)) for name in ("baseball bat", "flying bat")),
    )  # fmt: skip
    index = TaxonomyIndex(taxonomy)
    assert index.classes_of("bats") == ("baseball bat", "flying bat")
    assert index.normalise("bats") is None


def test_kinds_of_reach_through_levels() -> None:
    index = TaxonomyIndex(ROAD)
    assert index.ancestors("taxi") == {"car", "vehicle"}
    assert index.descendants("vehicle") == {"car", "taxi", "bus", "truck"}
    assert index.is_a("taxi", "vehicle")
    assert index.is_a("car", "car")
    assert not index.is_a("vehicle", "taxi")
    assert index.related("vehicle", "taxi")
    assert not index.related("bus", "car")
    assert index.ancestors("unknown") == frozenset()


def test_what_applies_to_a_class_is_inherited() -> None:
    index = TaxonomyIndex(ROAD)
    assert set(index.attributes_of("taxi")) == {"colour", "night"}
    assert index.modalities_of("taxi") == {"image", "lidar"}
    assert index.modalities_of("bus") == frozenset()
    assert index.label_kinds_of("person") == {"box", "cuboid"}


def test_replacements_and_crosswalks_are_followed() -> None:
    index = TaxonomyIndex(ROAD)
    assert index.current("lorry") == "truck"
    assert index.crosswalk("Van", "kitti") == "car"
    assert index.crosswalk("Van", "coco") is None
    assert ROAD.reference == "road@3"


def _classes(**parents: tuple[str, ...]) -> tuple[TaxonomyClass, ...]:
    return tuple(TaxonomyClass(id=name, parents=named) for name, named in parents.items())


def test_a_cycle_is_refused_and_named() -> None:
    with pytest.raises(ValidationError, match=r"parents form a cycle: b → c → d → b"):
        Taxonomy(id="t", version=1, classes=_classes(a=("b",), b=("c",), c=("d",), d=("b",)))
    with pytest.raises(ValidationError, match=r"a → a"):
        Taxonomy(id="t", version=1, classes=_classes(a=("a",)))


def test_two_ways_to_one_ancestor_are_no_cycle() -> None:
    taxonomy = Taxonomy(id="t", version=1, classes=_classes(a=("b", "c"), b=("d",), c=("d",), d=()))
    assert TaxonomyIndex(taxonomy).ancestors("a") == {"b", "c", "d"}


def test_a_long_chain_needs_no_recursion() -> None:
    chain = tuple(
        TaxonomyClass(id=f"c{index}", parents=(f"c{index + 1}",) if index < 4_999 else ()) for index in range(5_000)
    )
    assert len(TaxonomyIndex(Taxonomy(id="t", version=1, classes=chain)).ancestors("c0")) == 4_999


def test_a_name_that_does_not_resolve_is_refused() -> None:
    with pytest.raises(ValidationError, match="is no class here"):
        Taxonomy(id="t", version=1, classes=_classes(a=("missing",)))
    with pytest.raises(ValidationError, match="used twice"):
        Taxonomy(id="t", version=1, classes=(TaxonomyClass(id="a"), TaxonomyClass(id="a")))
    with pytest.raises(ValidationError, match="set deprecated as well"):
        TaxonomyClass(id="a", replaced_by="b")


def test_every_label_kind_can_be_named() -> None:
    kinds = {kind.model_fields["type"].default for kind in LABEL_KINDS}
    assert kinds == set(get_args(LabelKind))


@pytest.mark.parametrize(
    ("plural", "singular"),
    [("vases", "vase"), ("boxes", "box"), ("tomatoes", "tomato"), ("berries", "berry"), ("cookies", "cookie"),
     ("firemen", "fireman"), ("glasses", "glass"), ("fire hydrants", "fire hydrant"), ("knives", "knife")],
)  # fmt: skip
def test_the_singular_is_among_the_proposals(plural: str, singular: str) -> None:
    assert singular in singulars(plural)


@pytest.mark.parametrize("word", ["bus", "glass", "tennis", "gas", "", "s"])
def test_a_singular_stays(word: str) -> None:
    assert singulars(word) == ()


def test_folding_joins_spellings() -> None:
    assert {folded("Traffic_light"), folded("trafficLight"), folded("  TRAFFIC-Light ")} == {"traffic light"}
