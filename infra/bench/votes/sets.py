"""Votes of real people on questions whose answer is known, from public data sets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.agreement.ratings import MISSING, Ints
from services.contracts.canonical import parse_json
from services.errors import InvalidInputError

_PAIR = re.compile(r"(\d+)\s*:\s*(true|false)")
_PERSON = re.compile(r"(\d+)\s*:\s*\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class VoteSet:
    """Votes on questions.

    Attributes:
        name: Of the folder.
        about: What was asked, and what is held to be true.
        votes: Shape (questions, people): codes, -1 where somebody was not asked.
        truth: Shape (questions,): codes.
        classes: By code.
    """

    name: str
    about: str
    votes: Ints
    truth: Ints
    classes: tuple[str, ...]


def bluebirds(folder: Path) -> VoteSet | None:
    """Return the votes of ``bluebirds_cubam``: 39 people on 108 pictures, whether a bird is an indigo bunting.

    Source: P. Welinder, S. Branson, S. Belongie and P. Perona, "The multidimensional wisdom of crowds", NIPS 2010.
    """
    place = folder / "bluebirds_cubam" / "demo" / "bluebirds"
    if not (place / "labels.yaml").is_file():
        return None
    truth = {int(item): said == "true" for item, said in _PAIR.findall((place / "gt.yaml").read_text("utf-8"))}
    people = {
        int(person): {int(item): said == "true" for item, said in _PAIR.findall(body)}
        for person, body in _PERSON.findall((place / "labels.yaml").read_text("utf-8"))
    }
    if not truth or not people:
        raise InvalidInputError(f"{place} holds no votes in the form that cubam writes them")
    items = sorted(truth)
    votes = np.array(
        [[int(own[item]) if item in own else MISSING for _, own in sorted(people.items())] for item in items],
        dtype=np.intp,
    )
    return VoteSet(
        "bluebirds_cubam", "whether a picture shows an indigo bunting; gold by experts", votes,
        np.array([int(truth[item]) for item in items], dtype=np.intp), ("no", "yes"),
    )  # fmt: skip


def nlvr(folder: Path) -> VoteSet | None:
    """Return the votes of NLVR's dev set: five people each on whether a sentence is true of a picture.

    The published label is what most of the five said, so all votes are right by construction, and what is measured is
    how many of them are needed to say the same. Source: A. Suhr, M. Lewis, J. Yeh and Y. Artzi, "A corpus of natural
    language for visual reasoning", ACL 2017.
    """
    file = folder / "nlvr" / "dev" / "dev_subset.json"
    if not file.is_file():
        return None
    raw = file.read_bytes()
    whole = raw.lstrip().startswith(b"[")  # as published it is one record a line
    rows = parse_json(raw) if whole else [parse_json(line) for line in raw.splitlines() if line.strip()]
    classes = ("false", "true", "nonsense")
    people = sorted({person for row in rows for person in row["evals"]})
    votes = np.full((len(rows), len(people)), MISSING, dtype=np.intp)
    for index, row in enumerate(rows):
        for person, said in row["evals"].items():
            votes[index, people.index(person)] = classes.index(said)
    truth = np.array([classes.index(row["label"]) for row in rows], dtype=np.intp)
    about = "whether a sentence is true of a picture; the published label is what most of the five said"
    return VoteSet("nlvr", about, votes, truth, classes)


def vote_sets(folder: Path) -> list[VoteSet]:
    """Return the sets of votes below a folder."""
    return [found for found in (bluebirds(folder), nlvr(folder)) if found is not None]
