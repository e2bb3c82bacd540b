"""What several teams labelled alike: units of one thing each, with every team's label of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from services.alignment.geometry import Floats
from services.alignment.matching import assign, iou_matrix
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.label_base import TimedLabel
from services.contracts.labels_language import EntitySpan
from services.contracts.labels_visual import Box, Polygon, Track
from services.rules.definition_drift import DefinitionDriftRules
from services.taxonomy.crosswalk import Crosswalks

_WHOLE = ("image_classification", "frame_label", "text_classification", "intent", "sentiment", "spatial_label")


@dataclass(frozen=True, slots=True)
class Item:
    """One label, or one frame of a track, of one party.

    Attributes:
        party: Whose it is.
        label: The class, translated to the newest version where a crosswalk is exact.
        name: Sample and label id, for examples.
        extent: (x_min, y_min, x_max, y_max) px, (start, 0, end, 1) s or characters; None where it has no boundary.
        object_id: Identity, if any.
        clear: Whether its boundary can be seen: neither truncated nor occluded more than the rules allow.
    """

    party: str
    label: str
    name: str
    extent: tuple[float, float, float, float] | None = None
    object_id: str | None = None
    clear: bool = True


@dataclass(slots=True)
class Unit:
    """One thing, and each party's label of it.

    Attributes:
        question: What was asked: ``box``, or the label kind.
        sample: Index of the sample.
        cluster: What belongs together, so that it is no independent evidence.
        items: One item a party.
    """

    question: str
    sample: int
    cluster: str
    items: dict[str, Item] = field(default_factory=dict)


@dataclass(slots=True)
class Gathered:
    """A dataset as the comparisons need it.

    Attributes:
        units: Things that at least two parties labelled.
        usage: For each party and question, and each sample it labelled: how often it used each class.
        recordings: The recording or other cluster of each sample.
        versions: Labels by (taxonomy, version, party).
        samples: Number of samples.
    """

    units: list[Unit] = field(default_factory=list)
    usage: dict[tuple[str, str], dict[int, Counter[str]]] = field(default_factory=dict)
    recordings: list[str] = field(default_factory=list)
    versions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    samples: int = 0

    @property
    def parties(self) -> tuple[str, ...]:
        """Everyone who labelled anything, sorted."""
        return tuple(sorted({party for party, _ in self.usage}))

    def by_question(self) -> dict[str, list[Unit]]:
        """Return the units of each question, sorted by question."""
        found: dict[str, list[Unit]] = {}
        for unit in self.units:
            found.setdefault(unit.question, []).append(unit)
        return dict(sorted(found.items()))


def party_of(label: Annotation, section: DefinitionDriftRules) -> str | None:
    """Return whose definition a label follows; None where nobody is named, or an exempt author."""
    author = label.author
    if author is None or author.kind in section.exempt_author_kinds:
        return None
    if section.group_by == "team" and author.team is not None:
        return author.team
    return author.id if author.kind == "human" else f"{author.kind}:{author.id}"


def split_version(version: str) -> tuple[str, str]:
    """Return (taxonomy, version) of ``av@3``; a name without a version is a taxonomy of its own."""
    name, at, number = version.rpartition("@")
    return (name, number) if at else (version, "")


def newest(versions: Iterable[str]) -> str:
    """Return the highest version: by number where both are numbers, else by text."""
    return max(versions, key=lambda text: (text.isdigit(), int(text) if text.isdigit() else 0, text))


def is_judged(label: Annotation, section: DefinitionDriftRules) -> bool:
    """Whether a label takes part at all."""
    return (
        label.type not in section.exempt_label_kinds
        and label.label.casefold() not in {name.casefold() for name in section.exempt_labels}
        and not getattr(label, "ignore", False)
    )


def gather(samples: Iterable[CheckSample], section: DefinitionDriftRules) -> Gathered:
    """Read a dataset once, and match what the parties labelled alike.

    Classifications are matched by stream, frame and object; boxes, polygons and tracks by overlap in the image, one to
    one; timed labels by overlap in time; spans by characters.
    """
    found = Gathered()
    kept = list(samples)
    latest: dict[str, set[str]] = {}
    for sample in kept:
        for label in sample.annotations:
            if label.taxonomy_version is not None and is_judged(label, section):
                taxonomy, version = split_version(label.taxonomy_version)
                latest.setdefault(taxonomy, set()).add(version)
    targets = {taxonomy: f"{taxonomy}@{newest(versions)}" for taxonomy, versions in latest.items()}
    walks = Crosswalks(section.crosswalks)
    for index, sample in enumerate(kept):
        found.samples += 1
        name = section.cluster_attribute
        attribute = sample.manifest.context.attributes.get(name) if name is not None else None
        found.recordings.append(sample.manifest.sample_id if attribute is None else f"{name}={attribute}")
        groups: dict[tuple[str, str, int, str], dict[str, list[Item]]] = {}
        for label in sample.annotations:
            party = party_of(label, section)
            if not is_judged(label, section):
                continue
            if label.taxonomy_version is not None:
                taxonomy, version = split_version(label.taxonomy_version)
                found.versions[taxonomy, version, party or "nobody"] += 1
            if party is None:
                continue
            for question, frame, item in _items(label, party, sample, section, walks, targets):
                object_id = item.object_id or "" if item.extent is None else ""
                groups.setdefault((question, label.stream, frame, object_id), {}).setdefault(party, []).append(item)
                found.usage.setdefault((party, question), {}).setdefault(index, Counter())[item.label] += 1
        for (question, *place), parties in sorted(groups.items()):
            found.units.extend(_units(question, index, place, parties, section))
    _set_clusters(found, section)
    return found


def _items(
    label: Annotation,
    party: str,
    sample: CheckSample,
    section: DefinitionDriftRules,
    walks: Crosswalks,
    targets: dict[str, str],
) -> Iterator[tuple[str, int, Item]]:
    name = f"{sample.manifest.sample_id}/{label.id}"
    class_id = label.label
    if label.taxonomy_version is not None:
        target = targets[split_version(label.taxonomy_version)[0]]
        if target != label.taxonomy_version:
            moved = walks.translate(class_id, label.taxonomy_version, target, label.attributes)
            class_id = moved.exact or class_id
    frame = label.frame if label.frame is not None else -1
    if isinstance(label, Track):
        for one in label.boxes:
            clear = _clear(one.truncation, one.occlusion, section)
            if not one.ignore:
                yield "box", one.frame, Item(party, class_id, name, one.box, label.object_id, clear)
    elif isinstance(label, Box):
        clear = _clear(label.truncation, label.occlusion, section)
        yield "box", frame, Item(party, class_id, name, label.box, label.object_id, clear)
    elif isinstance(label, Polygon):
        points = np.asarray(label.points_px)
        low, high = points.min(axis=0), points.max(axis=0)
        clear = _clear(label.truncation, label.occlusion, section)
        extent = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        yield "polygon", frame, Item(party, class_id, name, extent, label.object_id, clear)
    elif isinstance(label, TimedLabel):
        if label.end_s > label.start_s:
            yield label.type, -1, Item(party, class_id, name, (label.start_s, 0.0, label.end_s, 1.0))
    elif isinstance(label, EntitySpan):
        yield label.type, -1, Item(party, class_id, name, (label.start_char, 0.0, label.end_char, 1.0))
    elif label.type in _WHOLE:
        yield label.type, frame, Item(party, class_id, name, None, label.object_id)


def _clear(truncation: float | None, occlusion: int | None, section: DefinitionDriftRules) -> bool:
    return (truncation or 0.0) <= section.max_truncation and (occlusion or 0) <= section.max_occlusion


def _units(
    question: str, sample: int, place: Sequence[object], parties: dict[str, list[Item]], section: DefinitionDriftRules
) -> list[Unit]:
    if len(parties) < 2:
        return []
    units: list[Unit] = []
    for party in sorted(parties):
        items = sorted(parties[party], key=lambda item: (item.extent or (), item.label, item.name))
        left = _matched(units, items, section)
        for item in left:
            cluster = f"{sample}/{'/'.join(str(part) for part in place)}/{len(units)}"
            units.append(Unit(question, sample, cluster, {party: item}))
    return [unit for unit in units if len(unit.items) > 1]


def _matched(units: list[Unit], items: list[Item], section: DefinitionDriftRules) -> list[Item]:
    """Put each item into the unit it belongs to; return those that belong to none."""
    if not units or not items:
        return items
    if items[0].extent is None:
        # With several classes of one thing, those both parties name are the same one; of the rest only single ones.
        left, free = [], list(units)
        for item in items:
            same = next((unit for unit in free if any(one.label == item.label for one in unit.items.values())), None)
            if same is None:
                left.append(item)
            else:
                same.items[item.party] = item
                free.remove(same)
        if len(left) == 1 and len(free) == 1:
            free[0].items[left[0].party] = left[0]
            return []
        return left
    known = _extents([next(iter(unit.items.values())) for unit in units])
    rows, columns = assign(iou_matrix(known, _extents(items)), minimum=section.match_min_overlap)
    taken = set(columns.tolist())
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        units[row].items[items[column].party] = items[column]
    return [item for index, item in enumerate(items) if index not in taken]


def _extents(items: Sequence[Item]) -> Floats:
    return np.array([item.extent for item in items], dtype=np.float64)


def _set_clusters(found: Gathered, section: DefinitionDriftRules) -> None:
    """Make samples the clusters where there are enough of them, and else the objects in them."""
    recordings = {found.recordings[unit.sample] for unit in found.units}
    for unit in found.units:
        if len(recordings) >= section.min_clusters:
            unit.cluster = found.recordings[unit.sample]
        else:
            known = sorted(item.object_id for item in unit.items.values() if item.object_id is not None)
            if known:
                unit.cluster = f"{found.recordings[unit.sample]}/{known[0]}"


def pairs_of(units: Sequence[Unit]) -> list[tuple[str, str]]:
    """Return the pairs of parties that share a unit, sorted."""
    parties = sorted({party for unit in units for party in unit.items})
    shared = {pair for unit in units for pair in combinations(sorted(unit.items), 2)}
    return [pair for pair in combinations(parties, 2) if pair in shared]
