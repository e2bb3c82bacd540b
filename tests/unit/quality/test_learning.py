"""How often people are right, learned from their answers alone."""

from __future__ import annotations

import random

import numpy as np
import pytest

from services.contracts.quality import AnnotatorSkill
from services.quality.learning import Unit, learn_skills, unit_of
from services.review.overlap import merged
from services.review.worth import NOTHING, SHARE_BEFORE_ANY
from tests.unit.test_consensus import answers, box, label

CLASSES = ("car", "van", NOTHING)
RIGHT = {"anna": 0.95, "ben": 0.8, "cem": 0.6}


def by_name(skills: tuple[AnnotatorSkill, ...]) -> dict[tuple[str | None, str | None], AnnotatorSkill]:
    return {(skill.actor_id, skill.label): skill for skill in skills}


def made_up(count: int, seed: int) -> list[tuple[str, Unit]]:
    """Things with what is true of them, and what three people of known quality say."""
    rng = random.Random(seed)  # noqa: S311 - not a secret
    found = []
    for _ in range(count):
        truth = rng.choice(CLASSES)
        others = [name for name in CLASSES if name != truth]
        said = {person: truth if rng.random() < right else rng.choice(others) for person, right in RIGHT.items()}
        found.append((truth, Unit(said)))
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everybody_is_found_as_good_as_they_are(seed: int) -> None:
    found = by_name(learn_skills([unit for _, unit in made_up(3_000, seed)], 10.0))
    for person, right in RIGHT.items():
        assert found[person, None].share == pytest.approx(right, abs=0.05)
    assert found[None, None].share == pytest.approx(np.mean(list(RIGHT.values())), abs=0.04)


def test_somebody_who_calls_every_van_a_car_is_found_by_class() -> None:
    units = [Unit({"anna": truth, "ben": truth, "cem": "car"}) for truth in ("car", "van") * 50]
    found = by_name(learn_skills(units, 10.0))
    assert found["cem", "van"].right == pytest.approx(0.0, abs=0.1)
    assert found["cem", "van"].share < 0.35
    assert found["cem", "car"].share > 0.8
    assert found["anna", "van"].share > 0.85


def test_what_is_known_counts_for_more_than_what_most_say() -> None:
    units = [Unit({"anna": "van", "ben": "car", "cem": "car"}, known="van") for _ in range(20)]
    found = by_name(learn_skills(units, 1.0))
    assert found["anna", None].share > 0.9
    assert found["ben", None].share < 0.2
    assert (found["ben", "van"].judged, found["ben", "van"].right) == (20, 0)


def test_a_class_that_nobody_named_can_be_known() -> None:
    found = by_name(learn_skills([Unit({"anna": "car", "ben": "van"}, known="bus")], 10.0))
    assert (found["anna", "bus"].judged, found["anna", "bus"].right) == (1, 0)


def test_somebody_new_is_as_good_as_people_are_on_the_whole() -> None:
    units = [Unit({"anna": "car", "ben": "car"}) for _ in range(50)]
    found = by_name(learn_skills([*units, Unit({"new": "van", "anna": "car", "ben": "car"})], 10.0))
    assert found["new", None].judged == pytest.approx(1.0)
    assert 0.75 < found["new", None].share < found["anna", None].share
    assert (found["new", None].low, found["new", None].high) == pytest.approx((0.0, 0.793), abs=1e-3)


def test_two_who_differ_on_everything_are_equally_good_and_no_better_than_assumed() -> None:
    found = by_name(learn_skills([Unit({"anna": "car", "ben": "van"}) for _ in range(30)], 10.0))
    assert found["anna", None].share == pytest.approx(found["ben", None].share, abs=1e-6)
    assert found["anna", None].share < SHARE_BEFORE_ANY


def test_the_order_of_things_changes_nothing() -> None:
    units = [unit for _, unit in made_up(200, 7)]
    forth, back = learn_skills(units, 10.0), learn_skills(units[::-1], 10.0)
    assert [(skill.actor_id, skill.label) for skill in forth] == [(skill.actor_id, skill.label) for skill in back]
    assert [skill.share for skill in forth] == pytest.approx([skill.share for skill in back], abs=1e-6)


def test_without_answers_nothing_is_learned() -> None:
    assert learn_skills([], 10.0) == ()


def test_who_did_not_label_a_thing_said_that_it_is_not_there() -> None:
    (item,) = merged(answers(box("a", 0), box("a", 2, class_id="van"), None), None).labels
    assert unit_of(item) == Unit({"p0": "car", "p1": "van", "p2": NOTHING})
    (field,) = merged(answers(*[label("metadata_field", value={"kind": "text", "text": "dry"})] * 2), None).labels
    assert unit_of(field) is None
