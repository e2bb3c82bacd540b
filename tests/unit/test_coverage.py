from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from infra.bench.detection.coverage import FAULTS, clean_samples, rules_of
from infra.bench.detection.event_recordings import dialogues
from services.alignment.coverage import check_coverage, covered_s
from services.alignment.dataset_coverage import DatasetCoverage, dataset_coverage
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_visual import Box
from services.contracts.manifest import Context, Stream
from services.rules.coverage import CoverageRules, Dimension, EdgeCase, RequiredLabels, SampleRequirement
from services.rules.rule_set import RuleSet
from tests.unit.event_samples import AUDIO, DATA, VIDEO, action, kinds, needs, sample_of, sound

PLACE = "attributes.place"
TIME = "attributes.time"


def rules(**section: Any) -> RuleSet:
    return RuleSet(id="r", version=1, coverage=CoverageRules(**section))


def judged(sample: CheckSample, *requirements: SampleRequirement, **section: Any) -> CheckOutcome:
    return check_coverage(sample, rules(requirements=requirements, **section))


def box(name: str, label: str, **more: Any) -> Box:
    return Box.model_validate({"id": name, "stream": "video", "label": label, "box": [0, 0, 9, 9]} | more)


def test_nothing_is_asked_for_unless_a_rule_does() -> None:
    assert check_coverage(sample_of(), RuleSet(id="r", version=1)) == CheckOutcome()
    assert judged(sample_of()) == CheckOutcome()


def test_what_was_not_sent_is_named_once() -> None:
    need = SampleRequirement(
        name="rig", modalities=("video", "lidar"), sensors=("video", "top"), labels=(RequiredLabels(modality="lidar"),)
    )
    outcome = judged(sample_of(), need, need)
    assert kinds(outcome) == ["missing_modality", "missing_stream"]
    assert "send one" in outcome.findings[0].message


def test_streams_with_labels_only_lack_their_content() -> None:
    need = SampleRequirement(name="media", modalities=("video", "audio"), content=True)
    sample = sample_of(streams=(VIDEO.model_copy(update={"uri": "a.mp4"}), AUDIO))
    (finding,) = judged(sample, need).findings
    assert (finding.kind, finding.streams) == ("missing_content", ("audio",))


@pytest.mark.parametrize(
    ("required", "found"),
    [
        ({"type": "action"}, False), ({"label": "CUT"}, False), ({"label": "cu*"}, False),
        ({"modality": "audio"}, True),
        ({"type": "action", "min_count": 3}, True), ({"label": "cut", "attributes": {"hand": ["left"]}}, False),
        ({"label": "cut", "attributes": {"hand": ["right"]}}, True), ({"type": "box"}, True),
    ],
)  # fmt: skip
def test_labels_are_required_by_kind_class_modality_and_attribute(required: dict[str, Any], found: bool) -> None:
    labels = [action("a", "cut", 0, 1, attributes={"hand": "left"}), action("b", "cut", 2, 3)]
    need = SampleRequirement(name="n", labels=(RequiredLabels.model_validate(required),))
    assert kinds(judged(sample_of(labels), need)) == (["missing_labels"] if found else [])


def test_each_camera_can_be_asked_for_labels() -> None:
    second = Stream(id="rear", modality="video")
    need = SampleRequirement(name="n", labels=(RequiredLabels(type="action", modality="video", each_stream=True),))
    (finding,) = judged(sample_of([action("a", "cut", 0, 1)], streams=(VIDEO, second)), need).findings
    assert (finding.kind, finding.streams) == ("missing_labels", ("rear",))
    with pytest.raises(ValidationError, match="needs a modality"):
        RequiredLabels(each_stream=True)


def test_the_share_of_time_that_labels_cover_is_measured() -> None:
    need = SampleRequirement(name="gaze", labels=(RequiredLabels(type="action", min_time_share=0.5),))
    labels = [action("a", "x", 0, 30), action("b", "x", 20, 40), action("c", "x", 90, 130), action("d", "x", 9, 5)]
    assert judged(sample_of(labels), need).findings == ()
    (finding,) = judged(sample_of(labels[:2]), need).findings
    assert finding.measured is not None
    assert finding.measured.value == pytest.approx(0.4)
    outcome = judged(sample_of(labels, streams=(Stream(id="video", modality="video"),)), need)
    assert outcome.findings == ()
    assert outcome.not_applicable[0].streams == ("video",)


def test_covered_time_counts_overlaps_once() -> None:
    assert covered_s([(5, 9), (0, 6), (8, 8), (20, 10), (-3, 1)], 8.5) == pytest.approx(8.5)
    assert covered_s([], 10) == 0


def test_conditions_and_facts() -> None:
    need = SampleRequirement(
        name="night", when={TIME: ("Night",), "region": ("DE", "FR")}, attributes=(PLACE, "product")
    )
    context = Context(region="de", attributes={"time": "night", "place": "city"})
    assert kinds(judged(sample_of(context=context), need)) == ["missing_attribute"]
    assert judged(sample_of(context=Context(region="US", attributes={"time": "night"})), need).findings == ()


def test_a_value_that_no_dimension_knows_is_told() -> None:
    dimension = Dimension(field=TIME, values=("day", "night"))
    context = Context(attributes={"time": "nigth"})
    assert kinds(judged(sample_of(context=context), dimensions=(dimension,))) == ["unexpected_value"]


def dataset() -> list[CheckSample]:
    rows = [("day", "city")] * 6 + [("day", "country")] * 3 + [("night", "city")]
    return [
        sample_of(
            [box("b", "pedestrian", occlusion=2)] if number == 9 else [box("b", "car")],
            context=Context(attributes={"time": time, "place": place} if number != 0 else {"place": place}),
            name=f"s{number}",
        )
        for number, (time, place) in enumerate(rows)
    ]


SECTION: dict[str, Any] = {
    "dimensions": (
        Dimension(field=TIME, values=("day", "night", "dawn"), min_share=0.2),
        Dimension(field=PLACE, values=("city", "country", "tunnel")),
        Dimension(field="labels.box", values=("car", "pedestrian", "cyclist")),
    ),
    "combinations": ((TIME, PLACE),),
    "impossible": ({TIME: ("dawn",), PLACE: ("tunnel",)},),
    "edge_cases": (
        EdgeCase(
            name="hidden pedestrian at night", when={TIME: ("night",)},
            labels=(RequiredLabels(label="pedestrian", attributes={"occlusion": ("2", "3")}),),
        ),
        EdgeCase(name="hidden cyclist", labels=(RequiredLabels(label="cyclist"),), min_samples=5),
    ),
    "requirements": (SampleRequirement(name="time", attributes=(TIME,)),),
}  # fmt: skip


def counts(result: DatasetCoverage) -> dict[str, tuple[int, int]]:
    return {count.name: (count.found, count.required) for count in result.counts}


def test_a_dataset_is_counted_by_scenario_combination_and_edge_case() -> None:
    result = dataset_coverage(iter(dataset()), rules(**SECTION))
    found = counts(result)
    assert result.samples == 10
    assert found[f"{TIME}=day"] == (8, 2)
    assert found[f"{TIME}=night"] == (1, 2)
    assert found[f"{PLACE}=tunnel"] == (0, 1)
    assert found["labels.box=pedestrian"] == (1, 1)
    assert found[f"{TIME}=night & {PLACE}=city"] == (1, 1)
    assert found[f"{TIME}=night & {PLACE}=country"] == (0, 1)
    assert f"{TIME}=dawn & {PLACE}=tunnel" not in found
    assert found["hidden pedestrian at night"] == (1, 1)
    assert found["hidden cyclist"] == (0, 5)
    assert (result.incomplete, result.unknown[TIME]) == (("s0",), 1)
    assert {gap.name for gap in result.gaps} >= {"hidden cyclist", f"{TIME}=night", "labels.box=cyclist"}
    assert result.score == pytest.approx(1 - len(result.gaps) / len(result.counts))
    lacking = next(count for count in result.counts if count.name == f"{PLACE}=tunnel")
    assert lacking.share_low == 0
    assert 0.2 < lacking.share_high < 0.35  # none in ten says little: up to 28 % may be out there


def test_a_dataset_in_any_order_is_the_same_and_an_empty_one_has_nothing() -> None:
    samples = dataset()
    assert dataset_coverage(samples, rules(**SECTION)) == dataset_coverage(samples[::-1], rules(**SECTION))
    empty = dataset_coverage([], rules(**SECTION))
    assert (empty.samples, empty.score) == (0, 0.0)
    assert dataset_coverage(samples, RuleSet(id="r", version=1)).score == 1.0


@pytest.mark.parametrize(
    "section",
    [
        {"combinations": ((TIME, PLACE),)},
        {"dimensions": (Dimension(field=TIME, values=("a",)), Dimension(field=TIME, values=("b",)))},
    ],
)
def test_rules_that_contradict_themselves_are_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CoverageRules(**section)


@needs("meld", "epic", "openlabel_vcd")
def test_recordings_are_complete_until_something_is_taken_out() -> None:
    own = rules_of(DATA, rules())
    samples: Sequence[CheckSample] = [sample for _, sample in clean_samples(DATA)]
    assert len(samples) > 1_400
    assert all(check_coverage(sample, own).findings == () for sample in samples)
    for fault in FAULTS:
        spoiled = [fault.inject(sample, np.random.default_rng(1)) for sample in (*samples[:20], *samples[-12:])]
        found = [fault.kind in kinds(check_coverage(one[0], own)) for one in spoiled if one is not None]
        assert found
        assert all(found), fault.kind


@needs("meld")
def test_the_dialogues_lack_emotions_that_the_other_team_knows() -> None:
    emotions = ("neutral", "joy", "anger", "sadness", "surprise", "disgust", "fear", "peaceful", "powerful")
    section = {"dimensions": (Dimension(field="labels.emotion", values=emotions, min_share=0.1),)}
    result = dataset_coverage((sample for _, sample in dialogues(DATA)), rules(**section))
    assert {gap.name for gap in result.gaps} == {"labels.emotion=peaceful", "labels.emotion=powerful"}


def test_other_kinds_of_facts() -> None:
    labels: list[Annotation] = [action("a", "cut", 0, 1, attributes={"n": 2.0}), sound("s", "hum", 0, 1)]
    section = {
        "dimensions": (
            Dimension(field="modality", values=("video", "lidar")),
            Dimension(field="label_attributes.n", values=("2",)),
            Dimension(field="risk", values=("low",)),
        )
    }  # fmt: skip
    found = counts(dataset_coverage([sample_of(labels)], rules(**section)))
    assert found == {
        "modality=video": (1, 1),
        "modality=lidar": (0, 1),
        "label_attributes.n=2": (1, 1),
        "risk=low": (1, 1),
    }
