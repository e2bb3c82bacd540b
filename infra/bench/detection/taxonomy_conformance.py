"""Known faults of class and attribute, put into labels of the classes that experts mapped across data sets."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.bench.detection.fault import Inject, Injected, LabelFault
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.base import Scalar
from services.contracts.labels_language import SoundEvent
from services.contracts.labels_visual import Box, Polygon
from services.contracts.manifest import Context, SampleManifest, Stream
from services.rules.rule_set import RuleSet
from services.rules.taxonomy_conformance import TaxonomyConformanceRules
from services.taxonomy.changes import VersionCrosswalk
from services.taxonomy.crosswalk import Crosswalks, crosswalk_from_pairs
from services.taxonomy.taxonomy import AttributeRule, Taxonomy, TaxonomyClass

CHECK = "taxonomy_conformance"
_SETS = (
    "mapillary-public65", "coco-panoptic-133", "ade20k-150", "idd-39", "cityscapes-34", "cityscapes-19", "bdd",
    "nyudepthv2-37", "scannet-37", "sunrgbd-37", "kitti-19", "voc2012", "camvid-11", "wilddash-19",
)  # fmt: skip
_OLD = "street_sign_old"


def _table(data: Path) -> list[dict[str, str]]:
    path = data / "mseg_taxonomy/mseg/class_remapping_files/MSeg_master.tsv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _members(cell: str | None) -> list[str]:
    inner = (cell or "").strip().strip("{}")
    return [name for name in (re.sub(r"\s+", " ", part).strip() for part in inner.split(",")) if name]


def expert_taxonomy(data: Path) -> tuple[Taxonomy | None, tuple[VersionCrosswalk, ...]]:
    """Return the experts' universal taxonomy and its crosswalks from the data sets; None where it is not there."""
    rows = [row for row in _table(data) if len(_members(row["universal"])) == 1]
    if not rows:
        return None, ()
    names = sorted({_members(row["universal"])[0] for row in rows})
    classes = [TaxonomyClass(id=name, modalities=("image", "video"), label_kinds=("polygon", "mask")) for name in names]
    classes.append(TaxonomyClass(id=_OLD, deprecated=True, replaced_by="traffic_sign"))
    crowd = AttributeRule(name="crowd", type="flag", required=True)
    light = AttributeRule(name="light", values=("day", "dusk", "night"))
    taxonomy = Taxonomy(id="mseg", version=1, classes=tuple(classes), attributes=(crowd, light))
    walks = tuple(
        crosswalk_from_pairs(
            name, "mseg@1", [(old, _members(row["universal"])[0]) for row in rows for old in _members(row.get(name))]
        )
        for name in _SETS
    )
    return taxonomy, walks


def rules_of(data: Path, rules: RuleSet) -> RuleSet:
    """Hold the labels to the experts' taxonomy."""
    taxonomy, walks = expert_taxonomy(data)
    section = TaxonomyConformanceRules(taxonomy=taxonomy, crosswalks=walks)
    return rules.model_copy(update={"taxonomy_conformance": section})


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield one sample a data set (a group): one polygon of each of its classes, under the experts' names."""
    taxonomy, walks = expert_taxonomy(data)
    if taxonomy is None:
        return
    translator = Crosswalks(walks)
    for walk in walks:
        names = sorted({old for change in walk.changes for old in change.sources})
        labels = []
        theirs: dict[str, Scalar] = {}
        for index, old in enumerate(names):
            found = translator.translate(old, walk.source, walk.target)
            if found.exact is not None:
                theirs[f"p{index:03d}"] = old
                labels.append(
                    Polygon(
                        id=f"p{index:03d}",
                        stream="cam",
                        label=found.exact,
                        taxonomy_version="mseg@1",
                        points_px=((0, 0), (9, 0), (9, 9)),
                        attributes={"crowd": index % 2 == 0, "light": "day"},
                    )
                )
        streams = (Stream(id="cam", modality="image"), Stream(id="mic", modality="audio"))
        manifest = SampleManifest(
            format="concord.sample/1",
            sample_id=walk.source,
            project="bench",
            streams=streams,
            context=Context(attributes=theirs),
        )
        yield walk.source, CheckSample(manifest, tuple(labels))


Change = Callable[[Annotation, np.random.Generator], Annotation | None]


def _changing(change: Change) -> Inject:
    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        for index in rng.permutation(len(sample.annotations)):
            changed = change(sample.annotations[index], rng)
            if changed is not None:
                labels = list(sample.annotations)
                labels[index] = changed
                return replace(sample, annotations=tuple(labels)), frozenset({changed.id})
        return None

    return inject


def _with(**changes: object) -> Change:
    return lambda label, _: label.model_copy(update=changes)


def _misspelt(label: Annotation, rng: np.random.Generator) -> Annotation | None:
    name = label.label
    at = int(rng.integers(1, len(name))) if len(name) > 3 else 0
    # A letter that no class has makes sure that the misspelt word is none.
    return label.model_copy(update={"label": f"{name[:at]}q{name[at:]}"})


def _shouted(label: Annotation, rng: np.random.Generator) -> Annotation | None:
    return label.model_copy(update={"label": label.label.upper().replace("_", "-")})


def _as_sound(label: Annotation, rng: np.random.Generator) -> Annotation:
    return SoundEvent(
        id=label.id, stream="mic", label=label.label, start_s=0, end_s=1, taxonomy_version="mseg@1",
        attributes=label.attributes,
    )  # fmt: skip


def _as_box(label: Annotation, rng: np.random.Generator) -> Annotation:
    return Box(
        id=label.id, stream="cam", label=label.label, box=(0, 0, 9, 9), taxonomy_version="mseg@1",
        attributes=label.attributes,
    )  # fmt: skip


def _without(name: str) -> Change:
    def change(label: Annotation, _: np.random.Generator) -> Annotation:
        return label.model_copy(update={"attributes": {k: v for k, v in label.attributes.items() if k != name}})

    return change


def _attribute(name: str, *values: object) -> Change:
    def change(label: Annotation, rng: np.random.Generator) -> Annotation:
        value = values[int(rng.integers(len(values)))]
        return label.model_copy(update={"attributes": {**label.attributes, name: value}})

    return change


def _in_other_words(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Label one thing as the data set itself calls it, where that differs from the experts' name."""
    theirs = sample.manifest.context.attributes
    places = [index for index, label in enumerate(sample.annotations) if theirs[label.id] != label.label]
    if not places:
        return None
    labels = list(sample.annotations)
    at = places[int(rng.integers(len(places)))]
    old, version = theirs[labels[at].id], sample.manifest.sample_id
    labels[at] = labels[at].model_copy(update={"label": old, "taxonomy_version": version})
    return replace(sample, annotations=tuple(labels)), frozenset({labels[at].id})


FAULTS = (
    LabelFault(CHECK, "unknown_class", _changing(_misspelt), frozenset({"not_canonical"}), "one letter too many"),
    LabelFault(CHECK, "unknown_class", _changing(_with(label="zzyzx")), name="no such class"),
    LabelFault(CHECK, "not_canonical", _changing(_shouted), name="other spelling"),
    LabelFault(CHECK, "deprecated_class", _changing(_with(label=_OLD))),
    LabelFault(CHECK, "wrong_modality", _changing(_as_sound)),
    LabelFault(CHECK, "wrong_label_kind", _changing(_as_box)),
    LabelFault(CHECK, "missing_attribute", _changing(_without("crowd"))),
    LabelFault(CHECK, "wrong_attribute", _changing(_attribute("crowd", "maybe", 1, 0.5)), name="another type"),
    LabelFault(CHECK, "wrong_attribute", _changing(_attribute("light", "noon", "bright")), name="another value"),
    LabelFault(CHECK, "unknown_version", _changing(_with(taxonomy_version="mseg@0"))),
    LabelFault(CHECK, "crosswalk_available", _in_other_words),
)
