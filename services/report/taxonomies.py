"""Taxonomies that differ by data type: does each class mean one thing wherever it is used?

A data type is the modality of the stream that labels stand on. Classes are compared among labels that answer one
question: what a thing is (boxes, cuboids, tracks, masks …), what happens (actions, events, sounds), or that of a label
kind of its own. Over the whole dataset the labels of each class are counted by data type; samples are not kept. A class
is judged where something can be said of it: a taxonomy of the rule set, the same class or the same objects on another
data type. It fails if

* the taxonomy has a complaint about it (unknown, deprecated, not of this data type, an attribute it does not know);
* another data type writes the same class otherwise, and more often: ``traffic_light`` and ``Traffic Light``;
* another data type calls most of the same objects (by ``object_id``) by another class.

A taxonomy as one data type uses it fails if labels of an older version are among them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.alignment.drift_units import newest, split_version
from services.contracts.annotations import Annotation
from services.contracts.dataset_report import ReportEntry
from services.contracts.findings import SEVERITY_ORDER, Finding
from services.report.sample import ReportSample, judged
from services.report.tally import Tally, reason_of
from services.rules.report import ReportRules
from services.rules.rule_set import RuleSet
from services.rules.taxonomy_conformance import TaxonomyConformanceRules
from services.taxonomy.words import folded

_CONFORMANCE = "taxonomy_conformance"
Class = tuple[str, str, str]
"""(data type, question, class as it is written)."""
_THINGS = "things"
_EVENTS = "events"
_QUESTIONS = {
    **dict.fromkeys(
        ("box", "rotated_box", "polygon", "mask", "keypoints", "track", "cuboid", "point_segmentation",
         "spatial_track", "spatial_label"),
        _THINGS,
    ),
    **dict.fromkeys(("action", "event", "sound_event", "acoustic_event"), _EVENTS),
}  # fmt: skip
"""Label kinds that name the same sort of classes; any other kind is a question of its own."""


@dataclass(slots=True)
class _Complaint:
    """What findings say of one class: the first by a fixed order speaks, the kinds are counted."""

    kinds: Counter[str] = field(default_factory=Counter)
    first: tuple[tuple[int, str, str, str], Finding] | None = None

    def add(self, project: str, sample_id: str, finding: Finding) -> None:
        self.kinds[reason_of(finding)] += 1
        key = (-SEVERITY_ORDER[finding.severity], project, sample_id, finding.finding_id)
        if self.first is None or key < self.first[0]:
            self.first = (key, finding)


class TaxonomyUse:
    """Gathers, sample by sample, how each data type uses which class.

    Args:
        rules: The sections ``taxonomy_conformance`` (what is no class) and ``report``.
    """

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._section = rules.report or ReportRules()
        conformance = rules.taxonomy_conformance or TaxonomyConformanceRules()
        self._no_class = frozenset(conformance.exempt_label_kinds)
        self._no_label = frozenset(name.casefold() for name in conformance.exempt_labels)
        self._labels: Counter[Class] = Counter()
        self._conforming: set[Class] = set()
        self._complaints: dict[Class, _Complaint] = defaultdict(_Complaint)
        self._versions: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._shared: dict[tuple[Class, str], Counter[str]] = defaultdict(Counter)
        self._reasons: Counter[tuple[str, str]] = Counter()

    def add(self, item: ReportSample) -> None:
        """Count the labels of one sample."""
        manifest = item.sample.manifest
        modality = {stream.id: stream.modality for stream in manifest.streams}
        by_check = judged(item, self._rules, "taxonomies_by_data_type")
        left_out = by_check.left_out.get(_CONFORMANCE)
        self._reasons.update(by_check.reasons)
        classes: dict[str, Class] = {}
        objects: dict[tuple[str, str], dict[str, set[Class]]] = defaultdict(lambda: defaultdict(set))
        for label in item.sample.annotations:
            if not self._is_class(label) or label.stream not in modality:
                continue
            own = (str(modality[label.stream]), _QUESTIONS.get(label.type, label.type), label.label)
            classes[label.id] = own
            self._labels[own] += 1
            if left_out is not None and label.stream not in left_out:
                self._conforming.add(own)
            if label.object_id is not None:
                objects[label.object_id, own[1]][own[0]].add(own)
            if label.taxonomy_version is not None:
                taxonomy, version = split_version(label.taxonomy_version)
                self._versions[own[0], taxonomy][version] += 1
        for by_type in objects.values():
            self._count_object(by_type)
        for finding in item.findings_of("taxonomies_by_data_type"):
            if finding.kind == "taxonomy_version_mix":
                continue  # versions are compared over the dataset
            named = {classes[name] for name in finding.annotations if name in classes}
            for own in named or {("any data", "any", finding.kind)}:
                self._complaints[own].add(manifest.project, manifest.sample_id, finding)

    def _is_class(self, label: Annotation) -> bool:
        return label.type not in self._no_class and label.label.casefold() not in self._no_label

    def _count_object(self, by_type: dict[str, set[Class]]) -> None:
        # One data type that contradicts itself says nothing about another.
        single = {data_type: next(iter(classes)) for data_type, classes in by_type.items() if len(classes) == 1}
        for data_type, own in single.items():
            for other, there in single.items():
                if other != data_type:
                    self._shared[own, other][there[2]] += 1

    def count(self, tally: Tally) -> None:
        """Judge what was gathered."""
        spellings: dict[tuple[str, str], Counter[Class]] = defaultdict(Counter)
        for own, count in self._labels.items():
            spellings[own[1], folded(own[2])][own] += count
        found: dict[Class, list[ReportEntry]] = defaultdict(list)
        population: set[Class] = {*self._conforming, *self._complaints, *(own for own, _ in self._shared)}
        for own, other in self._shared:
            found[own] += self._called_otherwise(own, other)
        for classes in spellings.values():
            if len({own[0] for own in classes}) > 1:
                population |= set(classes)
                for own in classes:
                    found[own] += _written_otherwise(own, classes)
        for own in self._complaints:
            found[own] += self._complaint(own)
        entries = [_merged(entries) for _, entries in sorted(found.items()) if entries]
        tally.add(len(population), entries)
        tally.add(len(self._versions), list(self._older()))
        self._say_what_is_left(population, tally)

    def _older(self) -> Iterator[ReportEntry]:
        every: dict[str, set[str]] = defaultdict(set)
        for (_, taxonomy), versions in self._versions.items():
            every[taxonomy] |= set(versions)
        for (data_type, taxonomy), versions in sorted(self._versions.items()):
            yield from _older(data_type, taxonomy, versions, newest(every[taxonomy]))

    def _say_what_is_left(self, population: set[Class], tally: Tally) -> None:
        alone = len(self._labels.keys() - population)
        if alone:
            tally.not_judged(
                f"{alone} class{'' if alone == 1 else 'es'} of one data type alone: no taxonomy of the rule set, no "
                "other data type with the class and no object labelled on two data types says what it should be",
                samples=0,
            )
        for (reason, check), samples in self._reasons.items():
            if check == _CONFORMANCE:
                tally.not_judged(reason, check, samples=samples)
        if not self._labels:
            tally.not_judged("no label has a class", samples=0)

    def _called_otherwise(self, own: Class, other: str) -> Iterator[ReportEntry]:
        names = self._shared[own, other]
        total = sum(names.values())
        for name, count in sorted(names.items()):
            if (
                folded(name) != folded(own[2])
                and count >= self._section.min_class_objects
                and count >= self._section.min_class_share * total
            ):
                yield _entry(
                    own,
                    f"{count} of {total} objects that {own[0]} labels call {own[2]!r} are {name!r} on {other}.",
                    "other_class_for_the_same_objects",
                )

    def _complaint(self, own: Class) -> Iterator[ReportEntry]:
        complaint = self._complaints[own]
        if complaint.first is None:
            return
        (_, project, sample_id, identity), finding = complaint.first
        count = sum(complaint.kinds.values())
        also = f" ({count} findings like it, the first in {sample_id})" if count > 1 else ""
        yield ReportEntry(
            project=project,
            sample_id=sample_id,
            place=_place(own),
            sentence=f"{finding.message[:1_700]}{also}",
            reasons=tuple(sorted(complaint.kinds)),
            severity=finding.severity,
            finding_ids=(identity,),
        )


def _place(own: Class) -> str:
    return f"class {own[2]!r} of {own[1].replace('_', ' ')} on {own[0]}"[:2_000]


def _entry(own: Class, sentence: str, reason: str) -> ReportEntry:
    return ReportEntry(place=_place(own), sentence=sentence[:2_000], reasons=(reason,))


def _written_otherwise(own: Class, classes: Counter[Class]) -> Iterator[ReportEntry]:
    """Yield that another data type writes the class otherwise; the spelling of most labels is taken for right."""
    usual: Counter[str] = Counter()
    for (_, _, name), count in classes.items():
        usual[name] += count
    right = min(usual, key=lambda name: (-usual[name], name))
    there = sorted(data_type for data_type, _, name in classes if name == right)
    if own[2] != right and there != [own[0]]:
        where = " and ".join(there)
        sentence = f"{own[0]} labels write {own[2]!r} ({classes[own]} labels) where {where} labels write {right!r}."
        yield _entry(own, sentence, "other_spelling")


def _merged(entries: list[ReportEntry]) -> ReportEntry:
    """Return one entry for one class; the one with a finding speaks first."""
    ordered = sorted(entries, key=lambda one: (not one.finding_ids, one.sentence))
    first = ordered[0]
    return first.model_copy(
        update={
            "sentence": " ".join(one.sentence for one in ordered)[:2_000],
            "reasons": tuple(dict.fromkeys(reason for one in ordered for reason in one.reasons)),
        }
    )


def _older(data_type: str, taxonomy: str, versions: Counter[str], latest: str) -> Iterator[ReportEntry]:
    older = {version: count for version, count in versions.items() if version != latest}
    if older:
        shown = ", ".join(f"{count} of {taxonomy}@{version}" for version, count in sorted(older.items()))
        total = sum(versions.values())
        yield ReportEntry(
            place=f"taxonomy {taxonomy} on {data_type}"[:2_000],
            sentence=f"{shown} among {total} {data_type} labels; the dataset's newest is {taxonomy}@{latest}."[:2_000],
            reasons=("older_taxonomy_version",),
        )
