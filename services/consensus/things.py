"""Which things several people labelled, kind by kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from services.agreement.ratings import Floats
from services.consensus.clusters import clusters_of, matched_to, without_duplicates
from services.consensus.family import Family
from services.consensus.items import Item, content_key
from services.consensus.places import BOX, CUBOID, KEYPOINTS, MASK, POINTS, POLYGON, ROTATED_BOX
from services.consensus.relations import RELATION
from services.consensus.spans import SPAN, SUMMARY, TIMED, TRANSCRIPT
from services.consensus.tracks import LINE, PLACE, SPATIAL_TRACK, TRACK
from services.consensus.wholes import CLASS, FRAME_LABEL, METADATA, SENTIMENT
from services.contracts.annotations import Annotation
from services.rules.consensus import ConsensusRules

FAMILIES: Mapping[str, Family] = {
    "box": BOX, "rotated_box": ROTATED_BOX, "polygon": POLYGON, "mask": MASK, "keypoints": KEYPOINTS,
    "image_classification": CLASS, "frame_label": FRAME_LABEL, "track": TRACK, "action": TIMED, "event": TIMED,
    "entity_span": SPAN, "intent": CLASS, "sentiment": SENTIMENT, "text_classification": CLASS, "relation": RELATION,
    "summary": SUMMARY, "transcript_segment": TRANSCRIPT, "speaker_turn": TIMED, "sound_event": TIMED,
    "emotion": TIMED, "acoustic_event": TIMED, "cuboid": CUBOID, "point_segmentation": POINTS,
    "spatial_track": SPATIAL_TRACK, "lane_marking": LINE, "spatial_label": PLACE, "metadata_field": METADATA,
}  # fmt: skip
_HAS_FRAMES = frozenset({"frame_label"})

Group = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class Thing:
    """Labels of one thing, at most one a person, and the label that was accepted of it, if one was."""

    kind: str
    members: tuple[Item, ...]
    accepted: Annotation | None = None


def group_of(label: Annotation) -> Group:
    """Return what labels must have in common to be of one thing."""
    frame = -1 if label.frame is None or label.type in _HAS_FRAMES else label.frame
    return label.type, label.stream, frame, repr(FAMILIES[label.type].apart(label))


def things_of(items: Sequence[Item], accepted: Sequence[Annotation], rules: ConsensusRules) -> list[Thing]:
    """Return every thing that anybody labelled or that was accepted, by kind, stream and frame.

    Args:
        items: Labels in a stable order; relations told by the common ids of their ends.
        accepted: Labels that stand already; each is a thing of its own.
        rules: Thresholds.
    """
    groups: dict[Group, tuple[list[Item], list[Annotation]]] = defaultdict(lambda: ([], []))
    for item in items:
        groups[group_of(item.label)][0].append(item)
    for label in sorted(accepted, key=content_key):
        groups[group_of(label)][1].append(label)
    found: list[Thing] = []
    for group, (given, standing) in sorted(groups.items()):
        family = FAMILIES[group[0]]
        closeness = partial(_call, family, rules)
        minimum = rules.match_of(group[0])
        own = without_duplicates(given, partial(_duplicate, family, rules), rules.duplicate_min)
        members, left = matched_to(standing, own, closeness, minimum=minimum, class_penalty=rules.class_penalty)
        found += [Thing(group[0], tuple(one), label) for label, one in zip(standing, members, strict=True)]
        clusters = clusters_of(left, closeness, minimum=minimum, class_penalty=rules.class_penalty)
        found += [Thing(group[0], tuple(one)) for one in clusters]
    return found


def _call(family: Family, rules: ConsensusRules, one: Sequence[Annotation], other: Sequence[Annotation]) -> Floats:
    return family.closeness(one, other, rules)


def _duplicate(family: Family, rules: ConsensusRules, one: Sequence[Annotation], other: Sequence[Annotation]) -> Floats:
    return family.duplicate(one, other, rules)
