"""Replays of votes: made ones, and the real ones where they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from infra.bench.votes.replay import Course, asked_by_value, courses, fixed, learned
from infra.bench.votes.score import BY_VALUE, score_votes
from infra.bench.votes.sets import VoteSet, bluebirds, nlvr, vote_sets
from infra.cli.main import app
from services.rules.asking import AskingRules
from tests.unit.label_cases import DATA, needs


def made(questions: int = 60, people: int = 9, seed: int = 1) -> VoteSet:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, questions)
    rights = np.linspace(0.55, 0.95, people)
    votes = np.where(rng.random((questions, people)) < rights, truth[:, None], 1 - truth[:, None])
    return VoteSet("made", "whether a coin shows heads", votes.astype(np.intp), truth.astype(np.intp), ("no", "yes"))


def test_a_course_stops_where_an_answer_is_not_worth_its_price() -> None:
    course = Course((0.5, 0.2, 0.3, 0.01, 0.0), (0, 1, 1, 0, 0))
    assert course.stopped(AskingRules(price=0.25, min_answers=1)) == (1, 1)
    assert course.stopped(AskingRules(price=0.25, min_answers=2)) == (0, 3)
    assert course.stopped(AskingRules(price=0.001, min_answers=1)) == (0, 4)
    assert course.stopped(AskingRules(price=0.001, min_answers=1, max_answers=2)) == (1, 2)


def test_a_course_at_a_low_price_tells_what_happens_at_a_higher_one() -> None:
    data = made()
    people = learned(data.votes, 2, 10.0)
    for choose in (False, True):
        low = courses(data.votes, people, AskingRules(price=1e-9), np.random.default_rng(5), choose=choose)
        for price in (0.03, 0.003):
            rules = AskingRules(price=price)
            own = courses(data.votes, people, rules, np.random.default_rng(5), choose=choose)
            one, other = asked_by_value(low, rules), asked_by_value(own, rules)
            assert one.votes.tolist() == other.votes.tolist()
            assert one.decided.tolist() == other.decided.tolist()


def test_fixed_overlap_takes_as_many_votes_as_it_says() -> None:
    data = made()
    rng = np.random.default_rng(2)
    assert set(fixed(data.votes, 2, 3.0, rng, None).votes.tolist()) == {3}
    assert set(fixed(data.votes, 2, 2.5, rng, None).votes.tolist()) == {2, 3}
    assert (fixed(data.votes, 2, 9.0, rng, None).decided == (data.votes.sum(axis=1) > 4)).all()


def test_asking_by_value_is_scored_against_fixed_overlap_and_all_votes() -> None:
    found = score_votes(made(), seeds=2, tell=lambda _: None)
    rows = {row.policy: row for row in found.policies}
    assert rows[BY_VALUE].accuracy > rows["as many, fixed, by majority"].accuracy
    assert rows[BY_VALUE].votes < rows["all votes, by majority"].votes == 9.0
    assert sum(found.chosen.values()) == 2


@needs("bluebirds_cubam")
def test_the_bluebirds_are_read_as_published() -> None:
    data = bluebirds(DATA)
    assert data is not None
    assert (data.votes.shape, int((data.votes < 0).sum()), int(data.truth.sum())) == ((108, 39), 0, 48)
    assert round(float(((data.votes.mean(axis=1) > 0.5) == data.truth).mean()), 3) == 0.759


@needs("nlvr")
def test_the_sentences_are_read_as_published() -> None:
    data = nlvr(DATA)
    assert data is not None
    assert data.votes.shape == (100, 10)
    assert set((data.votes >= 0).sum(axis=1).tolist()) == {5}


def test_a_folder_without_votes_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "votes", str(tmp_path)])
    assert (result.exit_code, "holds no votes" in result.output) == (2, True)


def test_votes_are_printed_for_people_and_for_programs(tmp_path: Path) -> None:
    rows = [
        {"label": "true" if i % 2 else "false", "evals": {f"r{j}": "true" if i % 2 else "false" for j in range(5)}}
        for i in range(12)
    ]
    folder = tmp_path / "nlvr" / "dev"
    folder.mkdir(parents=True)
    (folder / "dev_subset.json").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    assert [one.name for one in vote_sets(tmp_path)] == ["nlvr"]
    told = CliRunner().invoke(app, ["bench", "votes", str(tmp_path), "--seeds", "2", "--json"])
    assert told.exit_code == 0, told.output
    (one,) = json.loads(told.stdout)["sets"]
    assert (one["questions"], one["holds"]) == (12, True)
    shown = CliRunner().invoke(app, ["bench", "votes", str(tmp_path), "--seeds", "2"])
    assert BY_VALUE in shown.stdout


@pytest.mark.parametrize("pooling", [0.0, 10.0])
def test_people_are_learned_from_votes_alone(pooling: float) -> None:
    data = made(400, 5)
    people = learned(data.votes, 2, pooling)
    rights = np.einsum("rcc->r", people.confusions) / 2
    assert (np.diff(rights) > -0.03).all()
    assert people.average.sum(axis=1) == pytest.approx([1.0, 1.0])
