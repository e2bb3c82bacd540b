"""Every label format of an export is read again with the same labels, or the loss is listed."""

from __future__ import annotations

from collections.abc import Iterable
from math import atan2
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from infra.checks.batch import read_labels
from infra.storage.assets import FileAssetReader
from infra.storage.found import FoundSample
from infra.storage.manifest_files import find_samples
from services.contracts.annotations import Annotation, Annotations
from services.contracts.labels_spatial import Cuboid
from services.datasets.documents import DOCUMENT_FORMATS, sample_files
from services.formats.result import Dropped
from tests.dataset_bodies import bodies

HELD = {
    "manifest": 20, "openlabel": 10, "coco": 8, "cvat": 10, "datumaro": 10, "kitti": 6, "kitti_tracking": 6, "mot": 6,
    "label_studio": 14, "nuscenes": 4, "rttm": 2, "srt": 2, "webvtt": 2, "textgrid": 4,
}  # fmt: skip
"""How many of the twenty labels a format holds, whole or but for the fields that are listed."""

_LABELS: TypeAdapter[Annotations] = TypeAdapter(Annotations)


def fields_of(label: Annotation) -> dict[str, Any]:
    """What a label says, attributes by name; ids and authors are made by whoever reads where a format has none."""
    said = label.model_dump(mode="json", exclude={"id", "author", "attributes"}, exclude_defaults=True)
    if isinstance(label, Cuboid):
        # A yaw and a quaternion are two ways to say one rotation.
        turned = said.pop("rotation_wxyz", None)
        said["yaw_rad"] = label.yaw_rad if turned is None else 2 * atan2(turned[3], turned[0])
    return {**said, "type": label.type, **{f"attributes.{name}": value for name, value in label.attributes.items()}}


def held(form: str, labels: Iterable[Annotation], dropped: Iterable[Dropped]) -> list[dict[str, Any]]:
    """What a format says that it holds: every label but for the fields that are listed as lost."""
    lost: dict[str, set[str]] = {}
    for item in dropped:
        lost.setdefault(item.place, set()).update(item.what.split(", "))
    if form.startswith("kitti"):
        # One line holds a box and its cuboid; what it has no place for is told of the box.
        lost["k1"] = lost.get("b1", set())
    if "*" in lost:
        return []
    return [
        {name: value for name, value in fields_of(label).items() if name not in lost.get(label.id, ())}
        for label in labels
        if label.type not in lost.get(label.id, ())
    ]


def is_said(wanted: dict[str, Any], label: Annotation) -> bool:
    """Whether a label that was read says it; it may say more: frame 0 of a picture, the number of its object."""
    told = fields_of(label)
    return all(_is_near(told.get(name), value) for name, value in wanted.items())


def _is_near(told: Any, wanted: Any) -> bool:
    # KITTI writes angles with six decimals, and nuScenes quaternions with nine.
    return bool(told == pytest.approx(wanted, abs=2e-6)) if isinstance(wanted, float) else bool(told == wanted)


async def read_again(folder: Path) -> tuple[Annotation, ...]:
    reader = FileAssetReader((folder,), 10**8, 30.0)
    labels: tuple[Annotation, ...] = ()
    for found in find_samples(folder, project="own"):
        assert isinstance(found, FoundSample), found
        read, losses = await read_labels(found.manifest, reader)
        assert not losses
        labels += read
    return labels


@pytest.mark.parametrize("form", DOCUMENT_FORMATS)
async def test_read_again_gives_the_same_labels_or_the_loss_is_listed(tmp_path: Path, form: str) -> None:
    kept = 0
    for index, body in enumerate(bodies()):
        truth = _LABELS.validate_python(body["annotations"])
        written = sample_files(form, body)
        for name, data in written.files.items():
            place = tmp_path / str(index) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        # The tables of nuScenes are a scene and a keyframe, each with the cuboids of both.
        read = {label.id: label for label in await read_again(tmp_path / str(index))}.values()
        wanted = held(form, truth, written.dropped)
        for one in wanted:
            assert any(is_said(one, label) for label in read), (body["sample_id"], one, read, written.dropped)
        assert len(read) == len(wanted), "what is read is what is held"
        kept += len(wanted)
    assert kept == HELD[form]
