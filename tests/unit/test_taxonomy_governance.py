"""What a version must be before it is published, and what differs between two."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.contracts.canonical import content_sha256
from services.taxonomy.changes import ClassChange, SplitCase, VersionCrosswalk
from services.taxonomy.crosswalk import Crosswalks
from services.taxonomy.governance import diff, document_faults, left_without_class, step_between, steps_of
from services.taxonomy.lookup import TaxonomyIndex
from services.taxonomy.taxonomy import Equivalence, Taxonomy, TaxonomyClass


def taxonomy(version: int, *classes: TaxonomyClass | str, **more: Any) -> Taxonomy:
    made = tuple(TaxonomyClass(id=item) if isinstance(item, str) else item for item in classes)
    return Taxonomy(id="av", version=version, classes=made, **more)


def step(source: int, target: int, *changes: ClassChange) -> VersionCrosswalk:
    return VersionCrosswalk(source=f"av@{source}", target=f"av@{target}", changes=changes)


def rename(old: str, new: str) -> ClassChange:
    return ClassChange(kind="rename", sources=(old,), targets=(new,))


def test_document_without_the_newer_fields_keeps_its_hash() -> None:
    # As it was before there were steps, equivalences and examples: stored rule sets hold such documents.
    assert content_sha256(taxonomy(1, "car")) == content_sha256(
        {
            "id": "av",
            "version": 1,
            "language": "en",
            "classes": [
                {
                    "id": "car", "definition": "", "synonyms": [], "parents": [], "modalities": [],
                    "label_kinds": [], "attributes": [], "deprecated": False,
                }
            ],
            "attributes": [],
            "crosswalks": [],
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"steps": (step(1, 3, rename("auto", "car")),)}, "another version; write 'av@2'"),
        ({"steps": (step(1, 2, rename("auto", "ship")),)}, "'ship', which is no class here"),
        ({"steps": (step(1, 2), step(1, 2))}, "two steps start from 'av@1'"),
        ({"equivalences": (Equivalence(members={"image": ("car",), "audio": ("horn",)}),)}, "'horn' is no class here"),
    ],
)
def test_step_or_equivalence_that_leads_nowhere_is_refused_by_name(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        taxonomy(2, "car", **more)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"target": "a"}, "must ask something"),
        ({"target": "a", "attribute": "x"}, "give both or neither"),
        ({"target": "a", "values": (1,)}, "give both or neither"),
    ],
)
def test_case_that_asks_nothing_or_half_is_refused(case: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SplitCase.model_validate(case)


def test_every_fault_of_a_draft_is_told_with_its_place() -> None:
    draft = taxonomy(
        2,
        TaxonomyClass(id="car", synonyms=("auto", "van")),
        TaxonomyClass(id="truck", synonyms=("Auto", "lorry", "Siren")),
        TaxonomyClass(id="Car"),
        TaxonomyClass(id="siren", modalities=("audio",)),
        equivalences=(Equivalence(members={"image": ("siren",), "audio": ("siren",)}),),
        steps=(step(1, 2, rename("automobile", "car")),),
    )
    faults = {fault.place: fault.sentence for fault in document_faults(draft, {"av@1": taxonomy(1, "auto")})}
    assert set(faults) == {
        "/classes/2/id",
        "/classes/1/synonyms/0",
        "/classes/1/synonyms/2",
        "/equivalences/0/members/image",
        "/steps/0/changes/0/sources",
    }
    assert "a synonym of 'car' and of 'truck'" in faults["/classes/1/synonyms/0"]
    assert "is the class 'siren'" in faults["/classes/1/synonyms/2"]
    assert "'automobile' is no class of av@1" in faults["/steps/0/changes/0/sources"]
    assert document_faults(taxonomy(1, "car", TaxonomyClass(id="truck", synonyms=("lorry",))), {}) == ()


def test_class_that_nobody_speaks_of_is_left_without_one_and_a_dropped_one_is_not() -> None:
    old = taxonomy(1, "car", "lorry", "misc", "ghost")
    new = taxonomy(
        2,
        "car",
        TaxonomyClass(id="truck", synonyms=("lorry",)),
        steps=(step(1, 2, rename("lorry", "truck"), ClassChange(kind="deprecate", sources=("misc",))),),
    )
    assert left_without_class(old, new, Crosswalks(steps_of((old, new)))) == {"ghost"}
    told = diff(old, new)
    assert (told.added, told.removed) == (("truck",), ("ghost", "lorry", "misc"))
    assert told.left_without_class == ("ghost",)
    unstated = new.model_copy(update={"steps": None})
    assert left_without_class(old, unstated, Crosswalks([step_between(old, unstated)])) == {"misc", "ghost"}


def test_steps_of_a_taxonomy_lead_from_the_first_version_to_the_last() -> None:
    versions = (
        taxonomy(1, "auto"),
        taxonomy(2, "car", steps=(step(1, 2, rename("auto", "car")),)),
        taxonomy(4, "vehicle", steps=(step(2, 4, rename("car", "vehicle")),)),
    )
    walks = Crosswalks(steps_of(versions))
    assert walks.translate("auto", "av@1", "av@4").exact == "vehicle"


def test_equivalents_are_named_by_modality() -> None:
    index = TaxonomyIndex(
        taxonomy(
            1,
            "ambulance",
            "siren",
            "car",
            equivalences=(Equivalence(members={"image": ("ambulance",), "audio": ("siren",)}),),
        )
    )
    assert index.equivalents("siren", "image") == ("ambulance",)
    assert index.equivalents("ambulance", "audio") == ("siren",)
    assert index.equivalents("car", "audio") == ()
