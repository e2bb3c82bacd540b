"""Known disagreements of mood, put into television dialogues whose words and voices were labelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.bench.detection.event_recordings import dialogues
from infra.bench.detection.fault import Injected, LabelFault
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_language import Emotion, Sentiment
from services.contracts.manifest import Stream

CHECK = "affect_agreement"
_OPPOSITE = {"positive": "negative", "negative": "positive"}
_POLAR = ("joy", "anger", "sadness", "disgust", "fear")


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield every dialogue; a group is an episode."""
    yield from dialogues(data)


def _with(sample: CheckSample, *labels: Annotation) -> CheckSample:
    changed = {label.id: label for label in labels}
    return replace(sample, annotations=tuple(changed.get(label.id, label) for label in sample.annotations))


def _meant(sample: CheckSample) -> list[Sentiment]:
    return [label for label in sample.annotations if isinstance(label, Sentiment)]


def _felt(sample: CheckSample) -> dict[str | None, Emotion]:
    return {label.object_id: label for label in sample.annotations if isinstance(label, Emotion)}


def _flip(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    felt = _felt(sample)
    able = [item for item in _meant(sample) if felt[item.object_id].label in _POLAR]
    if not able:
        return None
    chosen = able[int(rng.integers(len(able)))]
    return _with(sample, chosen.model_copy(update={"label": _OPPOSITE[chosen.label]})), frozenset({chosen.id})


def _calm_words(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    felt = _felt(sample)
    able = [item for item in _meant(sample) if felt[item.object_id].label == "anger"]
    if not able:
        return None
    chosen = able[int(rng.integers(len(able)))]
    return _with(sample, chosen.model_copy(update={"label": "neutral"})), frozenset({chosen.id})


def _contradict(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    able = [item for item in _meant(sample) if item.label != "neutral"]
    if not able:
        return None
    chosen = able[int(rng.integers(len(able)))]
    score = -0.9 if chosen.label == "positive" else 0.9
    return _with(sample, chosen.model_copy(update={"score": score})), frozenset({chosen.id})


def _wrong_record(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    del rng
    values = {"positive": 1.0, "negative": -1.0, "neutral": 0.0}
    mean = float(np.mean([values[item.label] for item in _meant(sample)]))
    history = "happy" if mean < -0.4 else "unhappy" if mean > 0.4 else None
    if history is None:
        return None
    record = Stream(id="crm", modality="record", inline={"ticket_history": history})
    manifest = sample.manifest.model_copy(update={"streams": (*sample.manifest.streams, record)})
    return replace(sample, manifest=manifest), frozenset()


def _shift(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    meant = sorted(_meant(sample), key=lambda item: int(item.attributes["utterance_index"]))
    by = int(rng.choice([-2, -1, 1, 2]))
    names = [item.label for item in meant]
    moved = names[-by:] + names[:-by]
    felt = _felt(sample)
    wrong = [
        name != item.label and felt[item.object_id].label != "surprise" for item, name in zip(meant, moved, strict=True)
    ]
    # With few changes of mood, labels one utterance away are hardly wrong.
    if len(meant) < 10 or sum(wrong) < 5:
        return None
    labels = [item.model_copy(update={"label": name}) for item, name in zip(meant, moved, strict=True)]
    return _with(sample, *labels), frozenset()


def _invert(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    del rng
    polar = [item for item in _meant(sample) if item.label != "neutral"]
    felt = _felt(sample)
    if sum(felt[item.object_id].label != "surprise" for item in polar) < 5:
        return None
    return _with(sample, *(item.model_copy(update={"label": _OPPOSITE[item.label]}) for item in polar)), frozenset()


FAULTS = (
    LabelFault(CHECK, "valence_conflict", _flip),
    LabelFault(CHECK, "intensity_conflict", _calm_words, name="calm words, angry voice"),
    LabelFault(CHECK, "self_contradiction", _contradict),
    LabelFault(CHECK, "record_conflict", _wrong_record),
    LabelFault(CHECK, "shifted_labels", _shift),
    LabelFault(CHECK, "inverted_scale", _invert),
)
