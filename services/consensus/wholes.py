"""Classes of whole streams, frames and objects, runs of frames, and typed fields: the value is what is voted on."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from services.agreement.ratings import Floats
from services.consensus.family import Family, Labels, Members, keep_medoid
from services.consensus.spans import interval_iou
from services.contracts.annotations import Annotation
from services.contracts.canonical import canonical_json
from services.contracts.labels_spatial import MetadataField
from services.rules.consensus import ConsensusRules

_LONGEST = 200


def _everywhere(one: Labels, other: Labels, _: ConsensusRules) -> Floats:
    return np.ones((len(one), len(other)))


def _object_of(label: Annotation) -> Hashable:
    return label.object_id or ""


def _field_of(label: Annotation) -> Hashable:
    return (label.object_id or "", label.label)


def _value_of(label: Annotation) -> str:
    """Return a field's value as one text, short enough to be a name."""
    text = canonical_json(label.value).decode() if isinstance(label, MetadataField) else label.label
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 18]}… {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _merge_sentiments(members: Members, _: ConsensusRules) -> dict[str, object]:
    """Take the median of the scores of those who gave the common class."""
    labels: Sequence[Any] = members.labels
    scores = [label.score for label in labels if label.score is not None and label.label == members.medoid.label]
    return {"score": float(statistics.median(scores)) if scores else None}


def _frames(labels: Sequence[Any]) -> Floats:
    rows = [[label.frame, (label.frame if label.last_frame is None else label.last_frame) + 1] for label in labels]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _frame_closeness(one: Labels, other: Labels, _: ConsensusRules) -> Floats:
    return interval_iou(_frames(one), _frames(other), 1.0)


def _merge_frames(members: Members, _: ConsensusRules) -> dict[str, object]:
    labels: Sequence[Any] = members.labels
    first = statistics.median_low(label.frame for label in labels)
    last = statistics.median_low(label.frame if label.last_frame is None else label.last_frame for label in labels)
    return {"frame": first, "last_frame": last if any(label.last_frame is not None for label in labels) else None}


CLASS = Family(_everywhere, keep_medoid, whole=True, apart=_object_of)
SENTIMENT = Family(_everywhere, _merge_sentiments, whole=True, apart=_object_of)
FRAME_LABEL = Family(_frame_closeness, _merge_frames, apart=_object_of)
METADATA = Family(_everywhere, keep_medoid, whole=True, voted=_value_of, apart=_field_of)
