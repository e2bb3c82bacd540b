"""The 27 label kinds as one discriminated union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.contracts.canonical import content_sha256
from services.contracts.labels_language import (
    LANGUAGE_KINDS,
    AcousticEvent,
    Emotion,
    EntitySpan,
    Intent,
    Relation,
    Sentiment,
    SoundEvent,
    SpeakerTurn,
    Summary,
    TextClassification,
    TranscriptSegment,
)
from services.contracts.labels_spatial import (
    SPATIAL_KINDS,
    Cuboid,
    LaneMarking,
    MetadataField,
    PointSegmentation,
    SpatialLabel,
    SpatialTrack,
)
from services.contracts.labels_visual import (
    VISUAL_KINDS,
    Action,
    Box,
    Event,
    FrameLabel,
    ImageClassification,
    Keypoints,
    Mask,
    Polygon,
    RotatedBox,
    Track,
)

Annotation = Annotated[
    Box | RotatedBox | Polygon | Mask | Keypoints | ImageClassification
    | FrameLabel | Track | Action | Event
    | EntitySpan | Intent | Sentiment | TextClassification | Relation | Summary
    | TranscriptSegment | SpeakerTurn | SoundEvent | Emotion | AcousticEvent
    | Cuboid | PointSegmentation | SpatialTrack | LaneMarking | SpatialLabel
    | MetadataField,
    Field(discriminator="type"),
]  # fmt: skip

LABEL_KINDS = (*VISUAL_KINDS, *LANGUAGE_KINDS, *SPATIAL_KINDS)

MAX_ANNOTATIONS = 100_000
Annotations = Annotated[tuple[Annotation, ...], Field(max_length=MAX_ANNOTATIONS)]


def annotations_sha256(annotations: Annotations) -> str:
    """Return the hash that a label set has: of its labels in canonical form, in their order."""
    return content_sha256([label.model_dump(mode="json", exclude_none=True) for label in annotations])
