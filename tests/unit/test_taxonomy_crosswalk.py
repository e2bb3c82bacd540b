from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.taxonomy.changes import ClassChange, SplitCase, VersionCrosswalk
from services.taxonomy.crosswalk import Crosswalks, crosswalk_between, crosswalk_from_pairs, inverse
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass
from tests.unit.label_cases import DATA, needs

ONE_TO_TWO = VersionCrosswalk(
    source="av@1",
    target="av@2",
    changes=(
        ClassChange(kind="rename", sources=("auto",), targets=("car",)),
        ClassChange(kind="merge", sources=("lorry", "truck"), targets=("truck",)),
        ClassChange(
            kind="split",
            sources=("person",),
            targets=("pedestrian", "rider"),
            cases=(SplitCase(attribute="on_vehicle", values=(True,), target="rider"),),
        ),
        ClassChange(kind="deprecate", sources=("misc",)),
    ),
)
TWO_TO_THREE = VersionCrosswalk(
    source="av@2",
    target="av@3",
    changes=(
        ClassChange(kind="merge", sources=("pedestrian", "rider"), targets=("human",)),
        ClassChange(kind="rename", sources=("car",), targets=("vehicle.car",)),
    ),
)
WALKS = Crosswalks([ONE_TO_TWO, TWO_TO_THREE])


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("auto", "av@2", ("car",)),
        ("lorry", "av@2", ("truck",)),
        ("truck", "av@2", ("truck",)),
        ("person", "av@2", ("pedestrian", "rider")),
        ("misc", "av@2", ()),
        ("tree", "av@2", ("tree",)),
        ("auto", "av@3", ("vehicle.car",)),
        ("person", "av@3", ("human",)),
        ("misc", "av@3", ()),
    ],
)
def test_a_class_goes_along_the_chain(name: str, target: str, expected: tuple[str, ...]) -> None:
    found = WALKS.translate(name, "av@1", target)
    assert found.known
    assert found.candidates == expected


def test_an_attribute_decides_a_split_and_one_is_no_flag() -> None:
    assert WALKS.translate("person", "av@1", "av@2", {"on_vehicle": True}).exact == "rider"
    assert WALKS.translate("person", "av@1", "av@2", {"on_vehicle": 1}).exact is None
    assert WALKS.translate("person", "av@1", "av@2", {"on_vehicle": False}).exact is None


def test_no_way_is_unknown_and_backwards_only_when_asked() -> None:
    assert not WALKS.translate("car", "av@3", "av@1").known
    back = Crosswalks([ONE_TO_TWO, TWO_TO_THREE], backwards=True)
    assert back.translate("truck", "av@2", "av@1").candidates == ("lorry", "truck")
    assert back.translate("vehicle.car", "av@3", "av@1").exact == "auto"
    assert back.route("av@3", "av@1") == ("av@3", "av@2", "av@1")


def test_a_circle_of_versions_ends() -> None:
    circle = [
        VersionCrosswalk(source="a", target="b"), VersionCrosswalk(source="b", target="a"),
    ]  # fmt: skip
    assert Crosswalks(circle, backwards=True).translate("x", "a", "c").known is False
    assert Crosswalks(circle).translate("x", "a", "a").exact == "x"


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "rename", "sources": ("a", "b"), "targets": ("c",)},
        {"kind": "merge", "sources": ("a",), "targets": ("c",)},
        {"kind": "split", "sources": ("a",), "targets": ("c",)},
        {"kind": "deprecate", "sources": ("a",), "targets": ("c",)},
        {"kind": "split", "sources": ("a",), "targets": ("c", "c")},
    ],
)
def test_a_change_of_the_wrong_shape_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ClassChange.model_validate(change)


def test_one_class_has_one_fate() -> None:
    with pytest.raises(ValidationError, match="changed twice"):
        VersionCrosswalk(
            source="a",
            target="b",
            changes=(
                ClassChange(kind="rename", sources=("x",), targets=("y",)),
                ClassChange(kind="deprecate", sources=("x",)),
            ),
        )
    with pytest.raises(ValidationError, match="same version"):
        VersionCrosswalk(source="a", target="a")


def test_two_versions_say_what_changed_between_them() -> None:
    old = Taxonomy(
        id="av",
        version=1,
        classes=(
            TaxonomyClass(id="automobile"),
            TaxonomyClass(id="misc"),
            TaxonomyClass(id="bike", deprecated=True, replaced_by="bicycle"),
            TaxonomyClass(id="bicycle"),
            TaxonomyClass(id="tree"),
        ),
    )
    new = Taxonomy(
        id="av",
        version=2,
        classes=(
            TaxonomyClass(id="car", synonyms=("automobile",)),
            TaxonomyClass(id="bicycle"),
            TaxonomyClass(id="tree"),
        ),
    )
    walk = crosswalk_between(old, new)
    found = {change.kind: (change.sources, change.targets) for change in walk.changes}
    assert found == {
        "rename": (("automobile",), ("car",)),
        "merge": (("bicycle", "bike"), ("bicycle",)),
        "deprecate": (("misc",), ()),
    }


names = st.sampled_from("abcdefg")


@given(st.lists(st.tuples(names, names), max_size=20))
def test_a_table_read_forth_and_back_loses_nothing(pairs: list[tuple[str, str]]) -> None:
    forth = crosswalk_from_pairs("x@1", "y@1", pairs)
    assert crosswalk_from_pairs("x@1", "y@1", reversed(pairs)) == forth
    walks = Crosswalks([forth, inverse(forth)])
    for old, new in pairs:
        assert new in walks.translate(old, "x@1", "y@1").candidates
        # A merge hides behind a split where both meet in one table row; every source is still found again.
        assert old in walks.translate(new, "y@1", "x@1").candidates


@needs("mseg_taxonomy")
def test_the_experts_tables_become_crosswalks() -> None:
    folder = DATA / "mseg_taxonomy/mseg/class_remapping_files"
    checked = 0
    for path in sorted(folder.glob("*_to_*.tsv")):
        with path.open(newline="") as file:
            header, *rows = [row for row in csv.reader(file, delimiter="\t") if len(row) >= 2]
        pairs = [(row[0].strip(), row[1].strip() or None) for row in rows if row[0].strip()]
        walks = Crosswalks([crosswalk_from_pairs(header[0], header[1], pairs)])
        for old, new in pairs:
            found = walks.translate(old, header[0], header[1])
            assert found.known
            assert (new in found.candidates) if new is not None else True
            checked += 1
    assert checked > 300
