"""What to label next."""

from __future__ import annotations

from collections import Counter

from services.contracts.annotations import Annotation
from services.contracts.lifecycle import RevisionRef, Stage
from services.feedback.models import QualityTally
from services.feedback.ranking import Ranking
from tests.review_world import box

MODEL = ("detector", "1")


def known() -> QualityTally:
    """Ninety cars that were found, and ten vans of which half were not."""
    tally = QualityTally()
    for step in range(90):
        tally.add([(MODEL, [box(f"a{step}")])], [box(f"a{step}")])
    for step in range(10):
        van = box(f"b{step}", label="van")
        tally.add([(MODEL, [van] if step % 2 else [])], [van])
    return tally


def ranked(samples: dict[str, list[Annotation]], limit: int = 10) -> Ranking:
    tally = known()
    ranking = Ranking(tally.classes(), tally.truth, limit=limit)
    for name, labels in samples.items():
        ref = RevisionRef(project="p", sample_id=name, revision=1)
        ranking.add(ref, Stage.RECEIVED, [(MODEL, labels)] if labels else [])
    return ranking


def test_weak_rare_unsure_and_unknown_come_first_and_nothing_predicted_last() -> None:
    ranking = ranked(
        {
            "empty": [],
            "sure": [box(confidence=0.99)],
            "unsure": [box(confidence=0.4)],
            "van": [box(label="van", confidence=0.99)],
            "new": [box(label="tram", confidence=0.5)],
        }
    )
    best = ranking.best()
    assert [one.ref.sample_id for one in best] == ["new", "van", "unsure", "sure", "empty"]
    assert (ranking.candidates, ranking.unpredicted) == (5, 1)
    new, van = best[0], best[1]
    assert new.parts is not None
    assert (new.parts.weakness, new.parts.doubt, new.parts.rarity, new.weakest) == (1.0, 0.5, 1.0, "box/tram")
    assert van.parts is not None
    assert van.parts.rarity == round(1 - 10 / 90, 6)
    assert van.parts.doubt is not None
    assert van.score == round((van.parts.weakness + van.parts.doubt + van.parts.rarity) / 3, 6)
    assert best[-1].score is None


def test_without_a_confidence_the_score_is_of_what_is_told() -> None:
    (only,) = ranked({"s": [box(label="tram")]}).best()
    assert only.parts is not None
    assert (only.parts.doubt, only.score) == (None, 1.0)


def test_only_the_best_are_kept_whatever_the_order() -> None:
    labels: dict[str, list[Annotation]] = {f"s{step:04}": [box(confidence=step / 1000)] for step in range(1000)}
    forwards = ranked(labels, limit=7).best()
    backwards = ranked(dict(reversed(labels.items())), limit=7).best()
    assert forwards == backwards
    assert [one.ref.sample_id for one in forwards] == [f"s{step:04}" for step in range(7)]


def test_of_nothing_known_everything_is_weak_and_rare() -> None:
    ranking = Ranking((), Counter(), limit=1)
    ranking.add(RevisionRef(project="p", sample_id="s", revision=1), Stage.RECEIVED, [(MODEL, [box()])])
    (only,) = ranking.best()
    assert only.score == 1.0
