"""Things that are missing, taken out of recorded dialogues, kitchen videos and a driver's recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.bench.detection.event_recordings import dialogues, driver_recordings, kitchen_videos
from infra.bench.detection.fault import Inject, Injected, LabelFault
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.manifest import Context, Stream
from services.rules.coverage import CoverageRules, Dimension, RequiredLabels, SampleRequirement
from services.rules.rule_set import RuleSet

CHECK = "coverage"
_SCENES = ("dialogue", "kitchen", "driving")


def rules_of(data: Path, rules: RuleSet) -> RuleSet:
    """Return the rules with what these recordings consist of."""
    del data
    section = rules.coverage or CoverageRules()
    requirements = (
        SampleRequirement(
            name="dialogues",
            when={"product": ("dialogue",)},
            modalities=("text", "audio"),
            labels=(
                RequiredLabels(type="sentiment", modality="text"),
                RequiredLabels(type="emotion", modality="audio"),
                RequiredLabels(type="transcript_segment", modality="audio"),
            ),
            attributes=("attributes.scene",),
        ),
        SampleRequirement(
            name="kitchens",
            when={"product": ("kitchen",)},
            modalities=("video", "audio"),
            labels=(RequiredLabels(type="action", modality="video"), RequiredLabels(type="sound_event")),
            attributes=("attributes.scene",),
        ),
        SampleRequirement(
            name="drivers",
            when={"product": ("driving",)},
            modalities=("video",),
            sensors=("face_camera",),
            labels=(RequiredLabels(label="gaze_on_road*", min_time_share=0.98),),
            attributes=("attributes.scene",),
        ),
    )
    dimensions = (Dimension(field="attributes.scene", values=_SCENES),)
    section = section.model_copy(update={"requirements": requirements, "dimensions": dimensions})
    return rules.model_copy(update={"coverage": section})


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield the recordings with the context they have."""
    readers = {"dialogue": dialogues, "kitchen": kitchen_videos, "driving": driver_recordings}
    for product, read in readers.items():
        for name, sample in read(data):
            if product == "kitchen" and len({label.type for label in sample.annotations}) < 2:
                continue
            context = Context(product=product, attributes={"scene": product})
            yield name, replace(sample, manifest=sample.manifest.model_copy(update={"context": context}))


def _with_streams(sample: CheckSample, streams: tuple[Stream, ...]) -> CheckSample:
    names = {stream.id for stream in streams}
    kept = tuple(label for label in sample.annotations if label.stream in names)
    manifest = sample.manifest.model_copy(update={"streams": streams, "annotations": ()})
    return replace(sample, manifest=manifest, annotations=kept)


def _lose_modality(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    streams = sample.manifest.streams
    if len(streams) < 2:
        return None
    lost = int(rng.integers(len(streams)))
    return _with_streams(sample, (*streams[:lost], *streams[lost + 1 :])), frozenset()


def _other_sensor(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    del rng
    if sample.manifest.context.product != "driving":
        return None
    return _with_streams(sample, (Stream(id="body_camera", modality="video"),)), frozenset()


def _lose_labels(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    types = sorted({label.type for label in sample.annotations})
    if len(types) < 2:
        return None
    lost = types[int(rng.integers(len(types)))]
    return _keep(sample, lambda label: label.type != lost), frozenset()


def _lose_interval(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    gaze = [label.id for label in sample.annotations if label.label.startswith("gaze_on_road")]
    if len(gaze) < 2:
        return None
    lost = gaze[int(rng.integers(len(gaze)))]
    return _keep(sample, lambda label: label.id != lost), frozenset()


def _keep(sample: CheckSample, wanted: Callable[[Annotation], bool]) -> CheckSample:
    return replace(sample, annotations=tuple(label for label in sample.annotations if wanted(label)))


def _scene(value: str | None) -> Inject:
    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        del rng
        context = sample.manifest.context.model_copy(update={"attributes": {} if value is None else {"scene": value}})
        return replace(sample, manifest=sample.manifest.model_copy(update={"context": context})), frozenset()

    return inject


FAULTS = (
    LabelFault(CHECK, "missing_modality", _lose_modality),
    LabelFault(CHECK, "missing_stream", _other_sensor),
    LabelFault(CHECK, "missing_labels", _lose_labels),
    LabelFault(CHECK, "low_time_coverage", _lose_interval),
    LabelFault(CHECK, "missing_attribute", _scene(None)),
    LabelFault(CHECK, "unexpected_value", _scene("kichen")),
)
