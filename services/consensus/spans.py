"""Intervals of time, spans of text, transcripts, and texts as a whole.

Ends are joined by their medians, each for itself; spans take the lower median, which somebody gave.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from services.agreement.ratings import Floats
from services.consensus.family import Family, Labels, Members, keep_medoid
from services.consensus.places import median
from services.consensus.votes import majority
from services.consensus.words import closeness_of_texts, vote_words
from services.contracts.labels_language import TranscriptSegment
from services.rules.consensus import ConsensusRules

_NUMBERS = ("valence", "arousal", "level_db")
_NAMES = ("speaker", "language", "actor_object_id", "phase")


def interval_iou(one: Floats, other: Floats, moment_tolerance: float) -> Floats:
    """Return the intersection over union of intervals (n, 2) and (m, 2): (n, m).

    Two moments, which have no duration, are as close as their distance is small against the tolerance; a moment and an
    interval have nothing in common. An interval told backwards is read forwards.
    """
    a, b = np.sort(one, axis=1)[:, None, :], np.sort(other, axis=1)[None, :, :]
    shared = np.maximum(np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0]), 0.0)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    near = np.maximum(0.0, 1.0 - np.abs(a[..., 0] - b[..., 0]) / moment_tolerance)
    return np.asarray(np.where((union <= 0) & (shared <= 0), near, iou))


def _times(labels: Sequence[Any]) -> Floats:
    return np.array([[label.start_s, label.end_s] for label in labels], dtype=np.float64).reshape(-1, 2)


def _timed_closeness(one: Labels, other: Labels, rules: ConsensusRules) -> Floats:
    return interval_iou(_times(one), _times(other), rules.moment_tolerance_s)


def _merge_timed(members: Members, _: ConsensusRules) -> dict[str, object]:
    start_s, end_s = median(_times(members.labels).tolist())
    return {"start_s": start_s, "end_s": end_s} | _common(members)


def _common(members: Members) -> dict[str, object]:
    """Return what else such labels say: numbers by the median of those given, names by majority."""
    fields = type(members.medoid).model_fields
    found: dict[str, object] = {}
    for name in _NUMBERS:
        if name in fields:
            given = [getattr(label, name) for label in members.labels if getattr(label, name) is not None]
            found[name] = float(statistics.median(given)) if given else None
    for name in _NAMES:
        if name in fields:
            said = zip(members.annotators, (getattr(label, name) for label in members.labels), strict=True)
            found[name] = majority(said, members.weights).winner
    return found


def _characters(labels: Sequence[Any]) -> Floats:
    return np.array([[label.start_char, label.end_char] for label in labels], dtype=np.float64).reshape(-1, 2)


def _span_closeness(one: Labels, other: Labels, _: ConsensusRules) -> Floats:
    return interval_iou(_characters(one), _characters(other), 1.0)


def _merge_spans(members: Members, _: ConsensusRules) -> dict[str, object]:
    labels: Sequence[Any] = members.labels
    start = statistics.median_low(label.start_char for label in labels)
    end = statistics.median_low(label.end_char for label in labels)
    exact = [
        (who, label.text)
        for who, label in zip(members.annotators, labels, strict=True)
        if (label.start_char, label.end_char) == (start, end) and label.text is not None
    ]
    return {"start_char": start, "end_char": end, "text": majority(exact, members.weights).winner if exact else None}


def _texts(labels: Sequence[Any]) -> list[str]:
    return [label.text for label in labels]


def _text_closeness(one: Labels, other: Labels, _: ConsensusRules) -> Floats:
    return closeness_of_texts(_texts(one), _texts(other))


def _merge_transcripts(members: Members, rules: ConsensusRules) -> dict[str, object]:
    voted = vote_words(list(zip(members.annotators, _texts(members.labels), strict=True)), members.weights)
    found = _merge_timed(members, rules) | {"text": voted.text}
    # Times of words are of the words that one person heard; they are kept where these are the words.
    same = [label for label in members.labels if isinstance(label, TranscriptSegment) and label.text == voted.text]
    return found | {"words": same[0].words if same else ()}


def _everywhere(one: Labels, other: Labels, _: ConsensusRules) -> Floats:
    return np.ones((len(one), len(other)))


TIMED = Family(_timed_closeness, _merge_timed)
SPAN = Family(_span_closeness, _merge_spans)
TRANSCRIPT = Family(_timed_closeness, _merge_transcripts, _text_closeness)
SUMMARY = Family(_everywhere, keep_medoid, _text_closeness)
