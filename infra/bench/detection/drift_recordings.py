"""Datasets that several parties labelled: people and a detector on one road, and crowds on one question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from infra.storage import kitti_folder
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import TextClassification
from services.contracts.labels_visual import Box, ImageClassification
from services.contracts.manifest import SampleManifest, Stream
from services.formats.kitti import parse_calibration, read_detections

_LEAST_SCORE = 0.8


def _manifest(name: str, stream: Stream) -> SampleManifest:
    return SampleManifest(format="concord.sample/1", sample_id=name, project="bench", streams=(stream,))


def road_samples(data: Path, *, clip_frames: int = 10) -> Iterator[tuple[str, CheckSample]]:
    """Yield clips of the tracking sequences that a detector labelled too; a group is a sequence.

    People's boxes are of the team ``people``, those of the detector (score 0.8 and more) of the team ``pointrcnn``.
    """
    root = data / "kitti_tracking"
    people = Author(kind="human", id="kitti", team="people")
    detector = Author(kind="model", id="pointrcnn", team="pointrcnn")
    for manifest in kitti_folder.iter_manifests(root, "bench", clip_frames=clip_frames) if root.is_dir() else ():
        if not manifest.label_files:
            continue
        sequence = Path(manifest.label_files[0].uri).stem.split("_")[-1]
        labels: list[Annotation] = [
            label.model_copy(update={"author": people}) for label in manifest.annotations if isinstance(label, Box)
        ]
        calibration = parse_calibration((root / "calib" / f"{sequence}.txt").read_text())
        for file in manifest.label_files:
            found = read_detections(
                (root / "pointrcnn" / Path(file.uri).name).read_text(),
                calibration,
                camera_stream=file.stream,
                lidar_stream=file.spatial_stream or file.stream,
                frames=file.frames,
                author=detector,
            )
            labels += [
                label.model_copy(update={"object_id": None})
                for label in found
                if isinstance(label, Box) and (label.confidence or 0.0) >= _LEAST_SCORE
            ]
        yield sequence, CheckSample(manifest.model_copy(update={"annotations": ()}), tuple(labels))


def crowd_samples(data: Path) -> Iterator[CheckSample]:
    """Yield 108 photos of birds, each judged by 39 people: is it an Indigo Bunting?"""
    path = data / "bluebirds_cubam/demo/bluebirds/labels.yaml"
    text = path.read_text() if path.is_file() else ""
    by_image: dict[str, list[ImageClassification]] = {}
    for worker, votes in re.findall(r"(\d+): \{([^}]*)\}", text):
        for image, said in re.findall(r"(\d+): (true|false)", votes):
            author = Author(kind="human", id=f"w{worker}")
            label = ImageClassification(id=f"w{worker}", stream="photo", label=said, author=author)
            by_image.setdefault(image, []).append(label)
    for image, labels in sorted(by_image.items()):
        yield CheckSample(_manifest(f"bird-{image}", Stream(id="photo", modality="image")), tuple(labels))


def sentence_samples(data: Path) -> Iterator[CheckSample]:
    """Yield 100 sentences about a picture, each judged true or false by five people."""
    path = data / "nlvr/dev/dev_subset.json"
    for entry in json.loads(path.read_text()) if path.is_file() else ():
        labels = tuple(
            TextClassification(id=rater, stream="text", label=said, author=Author(kind="human", id=rater))
            for rater, said in sorted(entry["evals"].items())
        )
        stream = Stream(id="text", modality="text", inline=entry["sentence"])
        yield CheckSample(_manifest(f"nlvr-{entry['identifier']}", stream), labels)
