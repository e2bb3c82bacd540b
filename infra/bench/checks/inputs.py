"""A sample of any number of labels for every check, made up, with about one label in a hundred at fault.

Faults are part of the input: a check that is fast on clean labels only is not fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np

from infra.bench.checks.scenes import driving_sample
from infra.bench.checks.speech import spoken_sample, written_sample
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.consensus import Consensus, ConsensusLabel, Support
from services.contracts.label_base import Author
from services.contracts.labels_language import Emotion, EntitySpan, Relation, Sentiment, SoundEvent
from services.contracts.labels_spatial import (
    FieldValue,
    LocationValue,
    MetadataField,
    QuantityValue,
    SensorValue,
    TextValue,
    TimestampValue,
)
from services.contracts.labels_visual import Action, Box
from services.contracts.manifest import Clock, Context, SampleManifest, Stream
from services.rules.coverage import CoverageRules, RequiredLabels, SampleRequirement
from services.rules.event_structure import EventRule, EventStructureRules, SameEvent
from services.rules.record_agreement import RecordAgreementRules, RecordBinding, ToleranceComparison
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from services.rules.taxonomy_conformance import TaxonomyConformanceRules
from services.taxonomy.taxonomy import AttributeRule, Taxonomy, TaxonomyClass

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FAULT_EVERY = 100
MAX_TIMESTAMPS = 1_000_000
_CLASSES = tuple(f"class_{number:03d}" for number in range(200))
_COLOURS = ("red", "grey", "blue", "green")
_SHOWN = ("dog", "cat", "car", "tree")


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of input of one check.

    Attributes:
        check: The check's id.
        name: What the labels are.
        make: From a number of labels to a sample with about so many.
        rules: What it is judged with.
    """

    check: str
    name: str
    make: Callable[[int], CheckSample]
    rules: RuleSet = DEFAULT_RULE_SET


def _sample(labels: Iterator[Annotation], *streams: Stream, context: Context | None = None) -> CheckSample:
    manifest = SampleManifest(
        format="concord.sample/1", sample_id="made-up", project="bench", captured_at=NOON, streams=streams,
        context=context or Context(),
    )  # fmt: skip
    return CheckSample(manifest, tuple(labels))


def _place(index: int) -> tuple[float, float, float, float]:
    """Return a box in pixels; twenty stand in a row, fifty rows on a page, and then they repeat."""
    x, y = 60.0 * (index % 20), 30.0 * (index // 20 % 50)
    return (x, y, x + 50.0, y + 20.0)


def _boxes(labels: int) -> Iterator[Annotation]:
    for index in range(labels):
        fault = index % FAULT_EVERY == 7
        name = _CLASSES[index % len(_CLASSES)]
        yield Box(
            id=f"b{index}", stream="camera", frame=index // 20, box=_place(index),
            label=f"clas{name[5:]}" if fault else name,
            taxonomy_version="bench@1" if index % FAULT_EVERY == 9 else "bench@2",
            attributes={"colour": "pink" if index % FAULT_EVERY == 8 else _COLOURS[index % 4]},
        )  # fmt: skip


def classified(labels: int) -> CheckSample:
    """Return boxes of 200 classes, some misspelt, of an older version, or with an unknown colour."""
    return _sample(_boxes(labels), Stream(id="camera", modality="video"))


def answered(labels: int) -> CheckSample:
    """Return the boxes as three people's answers joined, of which some differ in a class."""
    people = ("ann", "ben", "cem")
    joined = []
    for index, box in enumerate(_boxes(labels)):
        said = ("a", "b", "c") if index % FAULT_EVERY == 7 else (box.label,) * 3
        votes = {name: float(said.count(name)) for name in said}
        joined.append(
            ConsensusLabel(
                annotation=box,
                state="agreed" if len(votes) == 1 else "disputed",
                agreement=0.9 / len(votes),
                support=tuple(
                    Support(annotator=who, annotation_ids=(box.id,), label=name)
                    for who, name in zip(people, said, strict=True)
                ),
                place=0.9,
                place_range=(0.85, 0.95),
                near=3,
                votes=votes,
            )
        )
    sample = classified(labels)
    return replace(sample, consensus=Consensus(annotators=people, labels=tuple(joined)))


def _events(labels: int) -> Iterator[Annotation]:
    rng = np.random.default_rng(1)
    late = rng.normal(0.0, 0.1, labels)
    for index in range(labels):
        pair, fault = index // 2, index // 2 % FAULT_EVERY == 7
        start_s = 4.0 * pair + float(late[index])
        name = ("open", "close")[pair % 2]
        if index % 2:
            length_s = -0.5 if pair % FAULT_EVERY == 8 else 0.8
            yield SoundEvent(id=f"s{index}", stream="mic", label=name, start_s=start_s, end_s=start_s + length_s)
        else:
            start_s += 1.5 if fault else 0.0
            yield Action(
                id=f"a{index}", stream="video", label=name, actor_object_id="p1", start_s=start_s, end_s=start_s + 1.0
            )


def timed(labels: int) -> CheckSample:
    """Return actions of a video, each heard as well, in an order that the rules know."""
    length_s = 2.0 * labels + 10.0
    return _sample(
        _events(labels),
        Stream(id="video", modality="video", duration_s=length_s),
        Stream(id="mic", modality="audio", duration_s=length_s),
    )


def _moods(labels: int) -> Iterator[Annotation]:
    for index in range(labels):
        turn, fault = index // 2, index // 2 % FAULT_EVERY == 7
        pleasant = turn % 3 == 0
        if index % 2:
            said = "joy" if pleasant != fault else "anger"
            yield Emotion(
                id=f"v{index}",
                stream="call",
                label=said,
                object_id=f"u{turn}",
                start_s=3.0 * turn,
                end_s=3.0 * turn + 2,
            )
        else:
            yield Sentiment(
                id=f"t{index}", stream="chat", label="positive" if pleasant else "negative", object_id=f"u{turn}"
            )


def felt(labels: int) -> CheckSample:
    """Return utterances, each with the mood of its words and of its voice, and one record."""
    return _sample(
        _moods(labels),
        Stream(id="chat", modality="text"),
        Stream(id="call", modality="audio"),
        Stream(id="crm", modality="record", inline={"csat": 5}),
    )


def _statements(labels: int) -> Iterator[Annotation]:
    for index in range(labels):
        fault = index // 4 % FAULT_EVERY == 7
        value: FieldValue
        match index % 4:
            case 0:
                name, value = "sensor", SensorValue(sensor="rear" if fault else "front")
            case 1:
                name, value = "asset_id", TextValue(text=f"asset-{index if fault else 1}")
            case 2:
                name, value = "captured_at", TimestampValue(at=NOON + timedelta(days=3 * fault, seconds=index % 60))
            case _:
                name, value = "place", LocationValue(latitude_deg=48.9 if fault else 48.85, longitude_deg=2.35)
        yield MetadataField(id=f"f{index}", stream="camera", label=name, value=value)


def stated(labels: int) -> CheckSample:
    """Return statements of sensor, subject, time and place."""
    return _sample(_statements(labels), Stream(id="camera", modality="image", sensor="front"))


def _products(labels: int) -> Iterator[Annotation]:
    for index in range(labels):
        fault = index % FAULT_EVERY == 7
        attributes = {"weight": 2.0 if fault else 1.0, "colour": _COLOURS[0]}
        yield Box(id=f"p{index}", stream="camera", label=f"sku {index % 20}", box=_place(index), attributes=attributes)


def recorded(labels: int) -> CheckSample:
    """Return products on a shelf beside a record of twenty lines."""
    lines = {f"items.{number}.sku": f"sku {number}" for number in range(20)}
    record = Stream(id="record", modality="record", inline={"weight": 1.0, "colour": "red", **lines})
    return _sample(_products(labels), Stream(id="camera", modality="image"), record)


def _pictured(labels: int) -> Iterator[Annotation]:
    number = count()
    authors = (Author(kind="human", id="ann"), Author(kind="human", id="ben"))
    while True:
        # Ten labels: four things, a phrase with its link, two readings of one sign, one OCR'd sign and its field.
        group = next(number)
        fault = group % (FAULT_EVERY // 10) == 7
        frame = group // 10
        for index, name in enumerate(_SHOWN):
            yield Box(
                id=f"g{group}-{name}", stream="camera", label=name, frame=frame, box=_place(10 * group + index),
                attributes={"colour": _COLOURS[group % 4]},
            )  # fmt: skip
        yield EntitySpan(id=f"g{group}-span", stream="text", label="dog", start_char=2, end_char=5, text="dog")
        yield Relation(
            id=f"g{group}-link", stream="text", label="shows", from_id=f"g{group}-span",
            to_id=f"g{group}-{'cat' if fault else 'dog'}",
        )  # fmt: skip
        for index, author in enumerate(authors):
            word = "halt" if fault and index else "stop"
            yield Box(
                id=f"g{group}-sign-{author.id}", stream="camera", label="sign", frame=frame, author=author,
                box=_place(10 * group + 5), attributes={"text": f"{word} {group % 7}"},
            )  # fmt: skip
        yield Box(
            id=f"g{group}-read", stream="camera", label="sign", frame=frame, box=_place(10 * group + 6),
            attributes={"text": "exit", "ocr_text": "exlt" if fault else "exit"},
        )  # fmt: skip
        yield MetadataField(
            id=f"g{group}-field", stream="record", label="number", object_id=f"n{group}",
            value=QuantityValue(value=group % 7, unit="1"),
        )  # fmt: skip


def described(labels: int) -> CheckSample:
    """Return pictures with a text, phrases linked to boxes, signs read twice, and fields that the page must show."""
    text = Stream(
        id="text", modality="text", inline="A dog and a cat are beside a car. There is a bus. There are no trees."
    )
    camera = Stream(id="camera", modality="video", image_size_px=(1242, 1600))
    found = _pictured(labels)
    return _sample((next(found) for _ in range(labels)), text, camera, Stream(id="record", modality="record"))


def clocked(labels: int) -> CheckSample:
    """Return two streams with a timestamp an item, the second one late, and a label for each item."""
    times = np.arange(min(labels, MAX_TIMESTAMPS)) / 10.0
    noise = np.random.default_rng(1).normal(0.0, 0.001, (2, len(times)))
    streams = (
        Stream(id="camera", modality="video", clock=Clock(timestamps=tuple((times + noise[0]).tolist()))),
        Stream(id="lidar", modality="lidar", clock=Clock(timestamps=tuple((times + 0.4 + noise[1]).tolist()))),
    )
    boxes = (
        Box(id=f"b{index}", stream="camera", label="car", box=_place(index), frame=index + index % FAULT_EVERY // 99)
        for index in range(labels)
    )
    return _sample(boxes, *streams)


def _bench_taxonomy() -> Taxonomy:
    return Taxonomy(
        id="bench",
        version=2,
        classes=tuple(TaxonomyClass(id=name) for name in _CLASSES),
        attributes=(AttributeRule(name="colour", values=_COLOURS),),
    )


def _rules(**sections: object) -> RuleSet:
    return DEFAULT_RULE_SET.model_copy(update=sections)


def cases() -> tuple[Case, ...]:
    """Return the inputs of all checks."""
    order = (
        EventRule(label="open", exclusive_group="door", pairs="close", scope="stream"),
        EventRule(
            label="close",
            exclusive_group="door",
            requires_before=("open",),
            within_s=30.0,
            each_once=True,
            scope="stream",
        ),
    )
    same = (SameEvent(labels=("open", "close"), counterparts=("open", "close"), required=True),)
    events = EventStructureRules(events=order)
    events = events.model_copy(update={"cross_modal": events.cross_modal.model_copy(update={"same_events": same})})
    bindings = (
        RecordBinding(
            id="weight", fields=("weight",), value="attributes.weight", comparison=ToleranceComparison(absolute=0.1)
        ),
        RecordBinding(id="colour", fields=("colour",), value="attributes.colour"),
        RecordBinding(id="sku", fields=("items.*.sku",), both_ways=True),
    )
    required = tuple(RequiredLabels(type="box", label=name, modality="video") for name in (*_CLASSES[:20], "bus"))
    requirement = SampleRequirement(name="street", modalities=("video", "lidar"), labels=required)
    return (
        Case("lidar_camera", "boxes and cuboids", driving_sample),
        Case("track_identity", "boxes and cuboids", driving_sample),
        Case("audio_transcript", "two transcripts and turns", written_sample),
        Case("audio_transcript", "the same and the recording", spoken_sample),
        Case("text_visual", "boxes, phrases, signs", described),
        Case("metadata_source", "statements", stated),
        Case("event_structure", "actions and sounds", timed, _rules(event_structure=events)),
        Case("definition_drift", "boxes", classified),
        Case("answer_agreement", "boxes of three people", answered),
        Case("context_gate", "boxes", classified),
        Case("affect_agreement", "words and voice", felt),
        Case(
            "record_agreement", "products", recorded, _rules(record_agreement=RecordAgreementRules(bindings=bindings))
        ),
        Case(
            "taxonomy_conformance",
            "boxes",
            classified,
            _rules(taxonomy_conformance=TaxonomyConformanceRules(taxonomy=_bench_taxonomy())),
        ),
        Case("clock", "timestamps and boxes", clocked),
        Case("coverage", "boxes", classified, _rules(coverage=CoverageRules(requirements=(requirement,)))),
    )
