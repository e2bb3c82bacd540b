"""Known drift between two teams: within a sample (versions), and over a dataset (classes, boundaries, usage).

A drift of teams shows only over a dataset, so :data:`DATASET_FAULTS` are scored by :func:`score_datasets`, dataset by
dataset. The second team is made of the first one's labels with the jitter of a careful hand; the faults are put on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from infra.bench.detection.drift_recordings import crowd_samples, road_samples, sentence_samples
from infra.bench.detection.fault import Injected, LabelFault
from infra.storage import kitti_folder
from services.alignment.definition_drift import definition_drift
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.findings import SEVERITY_ORDER
from services.contracts.label_base import Author
from services.contracts.labels_visual import Box
from services.rules.rule_set import RuleSet

CHECK = "definition_drift"
_VERSION = "kitti@2"
_JITTER_SHARE = 0.02
_LEAST_CHANGED = 20
_FIRST = Author(kind="human", id="anna", team="first")
_SECOND = Author(kind="human", id="bert", team="second")


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield clips of the tracking sequences, all labels of one version; a group is a sequence."""
    root = data / "kitti_tracking"
    for manifest in kitti_folder.iter_manifests(root, "bench", clip_frames=10) if root.is_dir() else ():
        boxes = tuple(
            label.model_copy(update={"author": _FIRST, "taxonomy_version": _VERSION})
            for label in manifest.annotations
            if isinstance(label, Box)
        )
        yield manifest.sample_id.split("-")[2], CheckSample(manifest.model_copy(update={"annotations": ()}), boxes)


def _older(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    places = [index for index, label in enumerate(sample.annotations) if not getattr(label, "ignore", False)]
    if len(places) < 2:
        return None
    at = places[int(rng.integers(len(places)))]
    labels = list(sample.annotations)
    labels[at] = labels[at].model_copy(update={"taxonomy_version": "kitti@1"})
    return replace(sample, annotations=tuple(labels)), frozenset({labels[at].id})


FAULTS = (LabelFault(CHECK, "taxonomy_version_mix", _older),)

Drift = Callable[[Box, np.random.Generator], Box | None]
"""What the second team does with a label; None leaves it out."""


@dataclass(frozen=True, slots=True)
class DatasetFault:
    """One way in which a second team drifts.

    Attributes:
        kind: The finding that names it; empty for a control, where nothing may be found.
        name: What is done.
        drift: Done to each label of the second team.
    """

    kind: str
    name: str
    drift: Drift


@dataclass(frozen=True, slots=True)
class DatasetScore:
    """How often one drift was found, and what else of major or above was said."""

    kind: str
    name: str
    group: str
    injected: int
    found: int
    false_alarms: int
    labels: int


def _edges(left: float, top: float, right: float, bottom: float) -> Drift:
    """Move the edges outwards by shares of the box's sides."""

    def drift(label: Box, _: np.random.Generator) -> Box:
        x_min, y_min, x_max, y_max = label.box
        width, height = x_max - x_min, y_max - y_min
        moved = (x_min - left * width, y_min - top * height, x_max + right * width, y_max + bottom * height)
        return label.model_copy(update={"box": moved})

    return drift


def _says(old: str, new: str, share: float) -> Drift:
    return lambda label, rng: (
        label.model_copy(update={"label": new}) if label.label == old and rng.random() < share else label
    )


def _guesses(share: float) -> Drift:
    names = ("car", "van", "truck", "cyclist", "pedestrian")
    return lambda label, rng: (
        label.model_copy(update={"label": names[rng.integers(len(names))]}) if rng.random() < share else label
    )


def _leaves_out(name: str) -> Drift:
    return lambda label, _: None if label.label == name else label


DATASET_FAULTS = (
    DatasetFault("", "jitter only", lambda label, _: label),
    DatasetFault("boundary_bias", "6 % tighter", _edges(-0.03, -0.03, -0.03, -0.03)),
    DatasetFault("boundary_bias", "10 % tighter", _edges(-0.05, -0.05, -0.05, -0.05)),
    DatasetFault("boundary_bias", "8 % looser", _edges(0.04, 0.04, 0.04, 0.04)),
    DatasetFault("boundary_bias", "10 % cut off below", _edges(0, 0, 0, -0.10)),
    DatasetFault("boundary_bias", "6 % aside", _edges(-0.06, 0, 0.06, 0)),
    DatasetFault("class_confusion", "half of the cars are vans", _says("car", "van", 0.5)),
    DatasetFault("class_confusion", "all vans are cars", _says("van", "car", 1.0)),
    DatasetFault("agreement_low", "80 % guessed", _guesses(0.8)),
    DatasetFault("usage_shift", "vans left out", _leaves_out("van")),
)


def second_team(sample: CheckSample, drift: Drift, rng: np.random.Generator) -> CheckSample:
    """Return the sample with a second team's labels beside the first one's."""
    labels: list[Annotation] = list(sample.annotations)
    for label in sample.annotations:
        if not isinstance(label, Box):
            continue
        x_min, y_min, x_max, y_max = label.box
        sides = np.array([x_max - x_min, y_max - y_min] * 2)
        edges = np.array(label.box) + np.clip(rng.normal(0, _JITTER_SHARE, 4), -0.06, 0.06) * sides
        box = (float(edges[0]), float(edges[1]), float(edges[2]), float(edges[3]))
        copy = label.model_copy(update={"id": f"second-{label.id}", "author": _SECOND, "box": box, "object_id": None})
        drifted = drift(copy, rng)
        if drifted is not None:
            labels.append(drifted)
    return replace(sample, annotations=tuple(labels))


def score_datasets(data: Path, rules: RuleSet, *, seeds: int) -> Iterator[DatasetScore]:
    """Yield the score of each drift on each sequence, and of what really different parties labelled."""
    groups: dict[str, list[CheckSample]] = {}
    for group, sample in clean_samples(data):
        groups.setdefault(group, []).append(sample)
    for fault in DATASET_FAULTS:
        for group, samples in groups.items():
            yield _score(fault, group, samples, rules, seeds)
    for name, real in (
        ("people and PointRCNN", [sample for _, sample in road_samples(data)]),
        ("39 people on birds", list(crowd_samples(data))),
        ("sentences, five votes", list(sentence_samples(data))),
    ):
        found = definition_drift(real, rules).findings
        labels = sum(len(sample.annotations) for sample in real)
        yield DatasetScore("", name, "all", 1, 0, sum(SEVERITY_ORDER[item.severity] >= 2 for item in found), labels)


def _score(fault: DatasetFault, group: str, samples: Sequence[CheckSample], rules: RuleSet, seeds: int) -> DatasetScore:
    hits = alarms = labels = injected = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        made = [second_team(sample, fault.drift, rng) for sample in samples]
        if fault.kind and _changed(fault, samples) < _LEAST_CHANGED:
            continue
        injected += 1
        labels += sum(len(sample.annotations) for sample in made)
        found = definition_drift(made, rules).findings
        hits += any(item.kind == fault.kind for item in found)
        alarms += sum(item.kind != fault.kind and SEVERITY_ORDER[item.severity] >= 2 for item in found)
    return DatasetScore(fault.kind, fault.name, group, injected, hits, alarms, labels)


def _changed(fault: DatasetFault, samples: Sequence[CheckSample]) -> int:
    rng = np.random.default_rng(0)
    boxes = [label for sample in samples for label in sample.annotations if isinstance(label, Box) and not label.ignore]
    return sum(fault.drift(label, rng) != label for label in boxes)
