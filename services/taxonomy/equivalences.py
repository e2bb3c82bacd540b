"""What several modalities call by different classes, told to the checks that hold one modality against another."""

from __future__ import annotations

from collections.abc import Iterable

from services.contracts.manifest import Modality
from services.rules.event_structure import SameEvent
from services.rules.rule_set import RuleSet
from services.taxonomy.taxonomy import Equivalence, Taxonomy

_SEEN: tuple[Modality, ...] = ("image", "video")
_MEASURED: tuple[Modality, ...] = ("lidar",)
_HEARD: tuple[Modality, ...] = ("audio",)
_MOST = 500


def with_equivalences(rules: RuleSet, taxonomy: Taxonomy) -> RuleSet:
    """Return rules that take for one thing what the taxonomy says is one, beside what they say themselves.

    Names in pictures and in point clouds become ``equivalent_labels`` of ``lidar_camera``, names of what is seen and of
    what is heard ``same_events`` of ``event_structure``. A section that the rules do not have is not made.
    """
    equivalences = taxonomy.equivalences or ()
    changed: dict[str, object] = {}
    section = rules.lidar_camera
    groups = [(*seen, *measured) for seen, measured in _both(equivalences, _SEEN, _MEASURED)]
    if groups:
        joined = _joined([*section.equivalent_labels, *groups])
        changed["lidar_camera"] = section.model_copy(update={"equivalent_labels": joined[:_MOST]})
    events = rules.event_structure
    pairs = [SameEvent(labels=seen, counterparts=heard) for seen, heard in _both(equivalences, _SEEN, _HEARD)]
    if events is not None and pairs:
        same = (*events.cross_modal.same_events, *pairs)[:_MOST]
        cross_modal = events.cross_modal.model_copy(update={"same_events": same})
        changed["event_structure"] = events.model_copy(update={"cross_modal": cross_modal})
    return rules.model_copy(update=changed) if changed else rules


def _both(
    equivalences: Iterable[Equivalence], first: Iterable[Modality], second: Iterable[Modality]
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the names on both sides, of each equivalence that has some on both."""
    found = [(_names(item, first), _names(item, second)) for item in equivalences]
    return [(left, right) for left, right in found if left and right]


def _names(equivalence: Equivalence, modalities: Iterable[Modality]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for modality in modalities for name in equivalence.members.get(modality, ())))


def _joined(groups: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Return groups of names of which no two share one, whatever the case; what shares a name is one group."""
    joined: list[tuple[str, ...]] = []
    for group in groups:
        keys = {name.casefold() for name in group}
        sharing = [other for other in joined if any(name.casefold() in keys for name in other)]
        joined = [other for other in joined if other not in sharing]
        joined.append(tuple(dict.fromkeys(name for names in (*sharing, group) for name in names)))
    return tuple(joined)
