"""Values that must never change: roots and splits that were told are compared with those of later programs."""

from __future__ import annotations

import pytest

from services.contracts.datasets import Member, SplitPolicy
from services.datasets.manifest import leaf_bytes
from services.datasets.merkle import MerkleTree
from services.datasets.names import parse_version
from services.datasets.splits import group_of, split_of
from services.errors import InvalidInputError

# The leaves and roots of Certificate Transparency's reference tests.
LEAVES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_roots_are_those_of_certificate_transparency(size: int, root: str) -> None:
    tree = MerkleTree()
    for leaf in LEAVES[:size]:
        tree.add(bytes.fromhex(leaf))
    assert tree.root() == root


def test_a_leaf_is_what_it_was() -> None:
    member = Member(
        position=0, sample_id="s", revision=2, content_sha256="ab" * 32, split="train", group="g", labels=3
    )  # fmt: skip
    assert leaf_bytes(member) == (
        b'{"content_sha256":"' + b"ab" * 32 + b'","revision":2,"sample_id":"s","split":"train"}'
    )


def body(**attributes: object) -> dict[str, object]:
    return {"sample_id": "s1", "context": {"risk": "low", "attributes": attributes}}


PATIENT = SplitPolicy.model_validate({"group_by": ["context.attributes.patient"], "salt": "x"})


def test_groups_stay_in_the_split_that_they_were_in() -> None:
    found = [split_of(PATIENT, group_of(PATIENT, body(patient=f"P{index}"))) for index in range(12)]
    others = {index: split for index, split in enumerate(found) if split != "train"}
    assert others == {7: "validation"}


@pytest.mark.parametrize("value", [7, 7.0, "7", " 7 ", "\uff17"])
def test_one_patient_written_in_several_ways_is_one_group(value: object) -> None:
    assert group_of(PATIENT, body(patient=value)) == '["7"]'


def test_a_patient_without_a_name_is_no_group() -> None:
    for missing in (body(), body(patient="  "), {"sample_id": "s1", "context": {}}):
        with pytest.raises(InvalidInputError, match="has no context"):
            group_of(PATIENT, missing)
    alone = PATIENT.model_copy(update={"missing": "sample"})
    assert group_of(alone, body()) == "sample:s1"


def test_a_group_too_long_to_keep_is_kept_by_its_hash() -> None:
    long = group_of(PATIENT, body(patient="x" * 1_000))
    assert long.startswith("sha256:")
    assert long != group_of(PATIENT, body(patient="x" * 1_001))


@pytest.mark.parametrize("text", ["signs", "signs@", "@3", "signs@0", "signs@-1", "signs@x", "signs@³"])
def test_what_names_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="such as signs@3"):
        parse_version(text)
    assert parse_version("a@b@3") == ("a@b", 3)
