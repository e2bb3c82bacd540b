"""Small samples for the tests of taxonomy, record and drift checks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.base import Scalar
from services.contracts.findings import Finding
from services.contracts.label_base import Author
from services.contracts.labels_visual import Box, ImageClassification
from services.contracts.manifest import SampleManifest, Stream

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def needs(folder: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (DATA / folder).is_dir(), reason=f"{folder} is not on this machine")


def author(team: str, name: str = "") -> Author:
    return Author(kind="human", id=name or f"{team}-1", team=team)


def sample_of(
    labels: Iterable[Annotation], *streams: Stream, sample_id: str = "s", record: dict[str, Scalar] | None = None
) -> CheckSample:
    given = streams or (
        Stream(id="cam", modality="image"),
        Stream(id="mic", modality="audio"),
        Stream(id="record", modality="record", inline=record if record is not None else {}),
    )
    manifest = SampleManifest(format="concord.sample/1", sample_id=sample_id, project="p", streams=given)
    return CheckSample(manifest, tuple(labels))


def box(
    name: str,
    label: str,
    px: tuple[float, float, float, float] = (0, 0, 10, 10),
    *,
    stream: str = "cam",
    frame: int | None = None,
    object_id: str | None = None,
    team: str | None = None,
    version: str | None = None,
    attributes: dict[str, Scalar] | None = None,
) -> Box:
    return Box(
        id=name,
        stream=stream,
        label=label,
        box=px,
        frame=frame,
        object_id=object_id,
        author=author(team) if team is not None else None,
        taxonomy_version=version,
        attributes=attributes or {},
    )


def image_class(
    name: str, label: str, *, team: str | None = None, version: str | None = None, stream: str = "cam"
) -> ImageClassification:
    return ImageClassification(
        id=name,
        stream=stream,
        label=label,
        author=author(team) if team is not None else None,
        taxonomy_version=version,
    )


def kinds(findings: Iterable[Finding]) -> list[str]:
    return sorted(finding.kind for finding in findings)
