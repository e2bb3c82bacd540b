from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.definition_drift import check_definition_drift, definition_drift
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.findings import Finding
from services.contracts.label_base import Author
from services.contracts.labels_language import SoundEvent
from services.contracts.labels_visual import Track, TrackBox
from services.rules.definition_drift import DefinitionDriftRules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from services.taxonomy.changes import ClassChange, VersionCrosswalk
from tests.unit.label_cases import author, box, image_class, kinds, sample_of

CLASSES = ("car", "cat", "dog", "tree")
STEP = VersionCrosswalk(
    source="av@1", target="av@2", changes=(ClassChange(kind="rename", sources=("auto",), targets=("car",)),)
)


def rules(**changes: Any) -> RuleSet:
    section = DefinitionDriftRules(**{"crosswalks": (STEP,), **changes})
    return DEFAULT_RULE_SET.model_copy(update={"definition_drift": section})


RULES = rules()
Change = Callable[[str, str, np.random.Generator], str]


def crowd(
    change: Change, *, teams: Sequence[str] = ("blue", "red"), samples: int = 120, seed: int = 0
) -> list[CheckSample]:
    """Photos that every team classifies; ``change`` says what a team says instead of the truth."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(samples):
        truth = str(rng.choice(CLASSES))
        labels = [image_class(f"{team}-a", change(team, truth, rng), team=team) for team in teams]
        made.append(sample_of(labels, sample_id=f"s{index:03d}"))
    return made


def with_noise(share: float) -> Change:
    return lambda _, truth, rng: str(rng.choice(CLASSES)) if rng.random() < share else truth


def drawn(
    grow: Callable[[str, str], tuple[float, float, float, float]], *, teams: Sequence[str] = ("blue", "red"),
    samples: int = 30, seed: int = 0, noise_px: float = 2.0,
) -> list[CheckSample]:  # fmt: skip
    """Photos with three boxes each, drawn by every team with noise; ``grow`` moves the edges outwards by pixels."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(samples):
        labels: list[Annotation] = []
        for number in range(3):
            name = CLASSES[number]
            low = np.array([400.0 * number, 50.0])
            size = rng.uniform(60, 200, 2)
            for team in teams:
                out = np.array(grow(team, name)) * (-1, -1, 1, 1)
                edges = np.concatenate([low, low + size]) + out + rng.normal(0, noise_px, 4)
                labels.append(box(f"{team}-{number}", name, (edges[0], edges[1], edges[2], edges[3]), team=team))
        made.append(sample_of(labels, sample_id=f"s{index:03d}"))
    return made


def only(outcome: CheckOutcome) -> Finding:
    (finding,) = outcome.findings
    return finding


def facts(finding: Finding) -> dict[str, Any]:
    assert finding.cause is not None
    return dict(finding.cause.estimate)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.15])
def test_teams_that_err_at_random_now_and_then_do_not_drift(noise: float) -> None:
    for seed in range(5):
        assert definition_drift(crowd(with_noise(noise), seed=seed), RULES) == CheckOutcome()


def test_one_class_called_by_another_name_is_a_confusion_with_its_direction() -> None:
    def change(team: str, truth: str, rng: np.random.Generator) -> str:
        return "cat" if team == "red" and truth == "dog" and rng.random() < 0.6 else truth

    outcome = definition_drift(crowd(change, samples=200), RULES)
    finding = only(outcome)
    assert finding.kind == "class_confusion"
    found = facts(finding)
    assert (found["party_a"], found["party_b"]) == ("blue", "red")
    assert found["direction"] == "one way"
    assert found["a_says_second_b_first"] > 20
    assert found["a_says_first_b_second"] == 0
    assert (found["class_a"], found["class_b"]) == ("cat", "dog")
    assert "usage_shift" not in kinds(outcome.findings)


def test_two_classes_swapped_are_a_confusion_that_explains_the_low_agreement() -> None:
    swap = {"cat": "dog", "dog": "cat"}
    outcome = definition_drift(crowd(lambda team, truth, _: swap.get(truth, truth) if team == "red" else truth), RULES)
    finding = only(outcome)
    assert finding.kind == "class_confusion"
    assert facts(finding)["direction"] == "both ways"
    assert "agreement_low" in kinds(outcome.folded)
    assert set(finding.explains) == {item.finding_id for item in outcome.folded}


def test_guessing_is_low_agreement_with_its_interval() -> None:
    finding = only(definition_drift(crowd(with_noise(0.7)), RULES))
    assert finding.kind == "agreement_low"
    found = facts(finding)
    assert found["alpha_low"] <= found["krippendorff_alpha"] <= found["alpha_high"] < 0.667
    assert finding.measured is not None
    assert finding.measured.value == pytest.approx(found["krippendorff_alpha"], abs=1e-3)


def test_one_team_against_three_others_is_one_finding() -> None:
    def change(team: str, truth: str, _: np.random.Generator) -> str:
        return "cat" if team == "red" and truth == "dog" else truth

    outcome = definition_drift(crowd(change, teams=("blue", "green", "red", "white")), RULES)
    finding = only(outcome)
    assert (finding.kind, facts(finding)["party"]) == ("class_confusion", "red")
    assert len([item for item in outcome.folded if item.kind == "class_confusion"]) == 3


def test_a_class_that_everybody_guesses_is_one_finding_for_all() -> None:
    outcome = definition_drift(crowd(with_noise(0.8), teams=("blue", "green", "red", "white")), RULES)
    assert kinds(outcome.findings) == ["agreement_low"]
    assert len([item for item in outcome.folded if item.kind == "agreement_low"]) == 6


@pytest.mark.parametrize(
    ("edges", "direction"),
    [
        ((-4, -4, -4, -4), "tighter"),
        ((4, 4, 4, 4), "looser"),
        ((-9, 0, 9, 0), "aside"),
        ((0, 0, 0, -8), "tighter"),
    ],
)
def test_a_teams_way_of_drawing_is_one_bias_with_its_size(edges: tuple[float, ...], direction: str) -> None:
    def grow(team: str, _: str) -> tuple[float, float, float, float]:
        return (edges[0], edges[1], edges[2], edges[3]) if team == "blue" else (0.0, 0.0, 0.0, 0.0)

    finding = only(definition_drift(drawn(grow), RULES))
    assert finding.kind == "boundary_bias"
    found = facts(finding)
    assert found["direction"] == direction
    for name, true in (
        ("width", edges[0] + edges[2]), ("height", edges[1] + edges[3]),
        ("right", (edges[2] - edges[0]) / 2), ("down", (edges[3] - edges[1]) / 2),
    ):  # fmt: skip
        assert abs(found[f"{name}_px"] - true) <= max(found[f"{name}_px_uncertainty"], 0.5)


def test_a_bias_of_one_class_is_told_of_that_class() -> None:
    outcome = definition_drift(
        drawn(lambda team, name: (8, 8, 8, 8) if (team, name) == ("red", "cat") else (0, 0, 0, 0), samples=60), RULES
    )
    assert {facts(item).get("class") for item in outcome.findings} >= {"cat"}


def test_hands_that_shake_are_no_bias() -> None:
    for seed in range(10):
        made = drawn(lambda team, name: (0, 0, 0, 0), noise_px=5.0, seed=seed)
        assert definition_drift(made, RULES) == CheckOutcome()


def test_truncated_occluded_and_ignored_boxes_tell_no_boundary() -> None:
    made = drawn(lambda team, name: (-8, -8, -8, -8) if team == "blue" else (0, 0, 0, 0))
    for update in ({"truncation": 0.4}, {"occlusion": 2}, {"ignore": True}):
        hidden = [
            sample_of([label.model_copy(update=update) for label in one.annotations], sample_id=one.manifest.sample_id)
            for one in made
        ]
        assert not definition_drift(hidden, RULES).findings


def heard(late_s: float, longer_s: float, seed: int = 0) -> list[CheckSample]:
    rng = np.random.default_rng(seed)
    made = []
    for index in range(20):
        labels: list[Annotation] = []
        for number in range(4):
            start, length = 10.0 * number + rng.uniform(0, 3), rng.uniform(1.5, 4)
            for team, late, longer in (("blue", 0.0, 0.0), ("red", late_s, longer_s)):
                ends = np.array([start + late, start + late + length + longer]) + rng.normal(0, 0.08, 2)
                event = SoundEvent(
                    id=f"{team}{number}",
                    stream="mic",
                    label="door",
                    start_s=ends[0],
                    end_s=ends[1],
                    author=author(team),
                )
                labels.append(event)
        made.append(sample_of(labels, sample_id=f"s{index}"))
    return made


@pytest.mark.parametrize(
    ("late_s", "longer_s", "direction"),
    [(0.3, 0.0, "earlier"), (-0.3, 0.0, "later"), (0.0, 0.4, "shorter"), (0.0, -0.4, "longer")],
)
def test_a_bias_in_time_is_measured_in_seconds(late_s: float, longer_s: float, direction: str) -> None:
    finding = only(definition_drift(heard(late_s, longer_s), RULES))
    assert (finding.kind, facts(finding)["direction"]) == ("boundary_bias", direction)
    assert facts(finding)["start_s"] == pytest.approx(-late_s, abs=0.06)
    assert facts(finding)["length_s"] == pytest.approx(-longer_s, abs=0.06)
    assert definition_drift(heard(0, 0), RULES) == CheckOutcome()


def test_a_class_that_one_team_leaves_out_is_a_shift_of_usage() -> None:
    made = drawn(lambda team, name: (0, 0, 0, 0))
    without = [
        sample_of(
            [item for item in one.annotations if not (item.label == "dog" and item.id.startswith("red"))],
            sample_id=one.manifest.sample_id,
        )
        for one in made
    ]
    finding = only(definition_drift(without, RULES))
    assert finding.kind == "usage_shift"
    assert facts(finding)["paired"] is True
    assert facts(finding)["share_of_dog"] == pytest.approx(1 / 3, abs=0.01)


def test_usage_over_different_samples_is_a_hint_only() -> None:
    rng = np.random.default_rng(0)
    made = [
        sample_of(
            [box(f"{i}", str(rng.choice(("car", "van"), p=(0.9, 0.1) if team == "blue" else (0.4, 0.6))), team=team)
             for i in range(12)],
            sample_id=f"{team}{index}",
        )
        for team in ("blue", "red") for index in range(20)
    ]  # fmt: skip
    finding = only(definition_drift(made, RULES))
    assert (finding.kind, finding.severity, facts(finding)["paired"]) == ("usage_shift", "minor", False)


def test_versions_are_mixed_and_their_renames_are_no_confusion() -> None:
    made = []
    for index in range(60):
        name = CLASSES[index % 4]
        old = "auto" if name == "car" else name
        labels = [
            image_class("a", name, team="blue", version="av@2"),
            image_class("b", old, team="red", version="av@1"),
        ]
        made.append(sample_of(labels, sample_id=f"s{index}"))
    finding = only(definition_drift(made, RULES))
    assert finding.kind == "taxonomy_version_mix"
    found = facts(finding)
    assert (found["newest"], found["labels_of_1"], found["labels_of_2"]) == ("2", 60, 60)
    without = definition_drift(made, rules(crosswalks=()))
    assert kinds(without.findings) == ["class_confusion", "taxonomy_version_mix"]


def test_a_sample_of_two_versions_is_translated() -> None:
    labels = [box("a", "auto", version="av@1"), box("b", "tree", version="av@1"), box("c", "car", version="av@2")]
    finding = only(check_definition_drift(sample_of(labels), RULES))
    assert (finding.kind, finding.annotations) == ("taxonomy_version_mix", ("a", "b"))
    assert finding.suggestion is not None
    assert finding.suggestion.patch is not None
    fixed = finding.suggestion.patch.upsert
    assert [(label.label, label.taxonomy_version) for label in fixed] == [("car", "av@2"), ("tree", "av@2")]
    assert check_definition_drift(sample_of([*fixed, labels[2]]), RULES) == CheckOutcome()
    assert only(check_definition_drift(sample_of(labels), rules(crosswalks=()))).suggestion is None


def test_labels_of_two_taxonomies_or_without_a_version_are_no_mix() -> None:
    labels = [box("a", "car", version="av@2"), box("b", "car", version="coco@1"), box("c", "car")]
    assert check_definition_drift(sample_of(labels), RULES) == CheckOutcome()
    assert check_definition_drift(sample_of([box("c", "car")]), RULES).not_applicable


def test_tracks_are_compared_frame_by_frame_with_objects_as_clusters() -> None:
    rng = np.random.default_rng(0)
    labels: list[Annotation] = []
    for number in range(10):
        for team, grow in (("blue", -5.0), ("red", 0.0)):
            boxes = tuple(
                TrackBox(
                    frame=frame,
                    box=(100.0 * number - grow, 10 - grow, 100.0 * number + 80 + grow + rng.normal(), 90 + grow),
                )
                for frame in range(6)
            )
            labels.append(
                Track(
                    id=f"{team}{number}",
                    stream="cam",
                    label="car",
                    object_id=f"o{number}",
                    boxes=boxes,
                    author=author(team),
                )
            )
    finding = only(definition_drift([sample_of(labels)], RULES))
    assert (finding.kind, facts(finding)["clusters"], facts(finding)["direction"]) == ("boundary_bias", 10, "tighter")


def test_what_can_not_be_compared_is_not_applicable() -> None:
    assert definition_drift([], RULES).not_applicable
    assert definition_drift([sample_of([])], RULES).not_applicable
    alone = [sample_of([box("a", "car", team="blue")], sample_id=f"s{i}") for i in range(3)]
    assert definition_drift(alone, RULES).not_applicable
    apart = [sample_of([box("a", "car", team=f"t{i % 2}")], sample_id=f"s{i}") for i in range(4)]
    assert "same thing" in definition_drift(apart, RULES).not_applicable[0].reason


def test_a_consensus_is_no_party() -> None:
    made = crowd(lambda team, truth, rng: "cat" if team == "blue" else truth)
    consensus = [
        sample_of(
            [label.model_copy(update={"author": Author(kind="consensus", id="c")}) if label.id[0] == "r" else label
             for label in one.annotations],
            sample_id=one.manifest.sample_id,
        )
        for one in made
    ]  # fmt: skip
    assert not definition_drift(consensus, RULES).findings


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_neither_order_nor_the_names_of_labels_matter(seed: int, noise: float) -> None:
    made = crowd(with_noise(noise), samples=40, seed=seed) + drawn(lambda team, _: (0, 0, 0, 0), samples=9, seed=seed)
    made = [sample_of(one.annotations, sample_id=f"x{index}") for index, one in enumerate(made)]
    rng = np.random.default_rng(seed)
    first = definition_drift(made, RULES)
    mixed = [made[index] for index in rng.permutation(len(made))]
    turned = [sample_of(one.annotations[::-1], sample_id=one.manifest.sample_id) for one in mixed]
    again = definition_drift(turned, RULES)
    assert [item.finding_id for item in again.findings] == [item.finding_id for item in first.findings]
    assert [item.finding_id for item in again.folded] == [item.finding_id for item in first.folded]
    named = [
        sample_of([label.model_copy(update={"id": f"n{label.id}"}) for label in one.annotations],
                  sample_id=one.manifest.sample_id)
        for one in made
    ]  # fmt: skip
    assert [item.finding_id for item in definition_drift(named, RULES).findings] == [
        item.finding_id for item in first.findings
    ]
