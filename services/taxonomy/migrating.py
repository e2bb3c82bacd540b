"""What becomes of the labels of a sample under another version of the taxonomy. Pure functions.

A preview counts with the same functions by which a migration is applied, so that the two say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.contracts.annotations import Annotation, Annotations
from services.contracts.base import Scalar
from services.contracts.canonical import content_sha256
from services.contracts.lifecycle import Stage
from services.contracts.manifest import Modality, SampleManifest
from services.contracts.taxonomies import APPLIED, LEFT_TO_PEOPLE, ClassCount, MigrationCounts, Outcome
from services.taxonomy.changes import NOT_CLASSES, LabelKind, VersionCrosswalk
from services.taxonomy.crosswalk import Crosswalks, Translation
from services.taxonomy.lookup import TaxonomyIndex
from services.taxonomy.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class LabelUse:
    """What decides the fate of a label.

    Attributes:
        annotation_id: Its id in the sample.
        label: Its class.
        kind: The kind of label.
        modality: Of its stream; None where the sample has no such stream.
        version: Its ``taxonomy_version``, if it names one.
        attributes: Its attributes.
    """

    annotation_id: str
    label: str
    kind: LabelKind
    modality: Modality | None
    version: str | None
    attributes: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a label.

    Attributes:
        version: The version it is read by.
        outcome: See :data:`services.contracts.taxonomies.Outcome`.
        target: Its class afterwards; None where people decide, and where nothing is known.
    """

    version: str
    outcome: Outcome
    target: str | None = None


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """What becomes of a sample: the fate of each label by annotation id, in the labels' order."""

    fates: tuple[tuple[LabelUse, Fate], ...]

    @property
    def changes(self) -> bool:
        """Whether any label changes by itself or is left to people."""
        return any(fate.outcome in APPLIED or fate.outcome in LEFT_TO_PEOPLE for _, fate in self.fates)

    @property
    def applies(self) -> bool:
        """Whether any label changes by itself."""
        return any(fate.outcome in APPLIED for _, fate in self.fates)

    @property
    def left_open(self) -> bool:
        """Whether people must decide about a label."""
        return any(fate.outcome in LEFT_TO_PEOPLE for _, fate in self.fates)


class Carrier:
    """Carries labels over to one version of a taxonomy.

    Args:
        target: The version.
        steps: Every step that may lie on the way to it, its own included.
        unversioned: The version by which labels that name none are read; None for ``target``'s own.
    """

    def __init__(self, target: Taxonomy, steps: Iterable[VersionCrosswalk], *, unversioned: str | None = None) -> None:
        self.target = target
        self._steps = tuple(steps)
        self._walks = Crosswalks(self._steps)
        self._index = TaxonomyIndex(target)
        self._unversioned = unversioned or target.reference

    @property
    def steps(self) -> tuple[VersionCrosswalk, ...]:
        """Every step that may lie on the way."""
        return self._steps

    @property
    def sha256(self) -> str:
        """Hash of the target and every step."""
        return content_sha256(
            {
                "target": content_sha256(self.target),
                "unversioned": self._unversioned,
                "steps": [step.model_dump(mode="json", exclude_none=True) for step in self._steps],
            }
        )

    def fate(self, use: LabelUse) -> Fate:
        """Return what becomes of a label."""
        version = use.version or self._unversioned
        here = self.target.reference
        if version == here:
            return Fate(version, "untouched" if self._index.get(use.label) is not None else "unknown", use.label)
        found = self._walks.translate(
            use.label, version, here, use.attributes, modality=use.modality, label_kind=use.kind
        )
        if not found.known:
            known = self._index.crosswalk(use.label, version)
            found = Translation((known,), kinds=("rename",)) if known is not None else found
        if not found.known:
            return Fate(version, "unknown")
        if found.exact is None:
            return Fate(version, "split_open" if found.candidates else "dropped")
        if self._index.get(found.exact) is None:
            return Fate(version, "unknown")
        if not found.kinds:
            return Fate(version, "untouched", found.exact)
        if not self._may_stand(found.exact, use):
            return Fate(version, "misplaced")
        if "split" in found.kinds:
            return Fate(version, "split_decided", found.exact)
        return Fate(version, "merged" if "merge" in found.kinds else "renamed", found.exact)

    def has_class_for(self, label: str, version: str | None) -> bool:
        """Whether a label has a class here, or a change says that it has none any more.

        A label of another version of this taxonomy has the class of its name; one of another taxonomy must be led here.

        Args:
            label: Its class, as its version writes it.
            version: Its ``taxonomy_version``, if it names one.
        """
        source, here = version or self._unversioned, self.target.reference
        own = source.rpartition("@")[0] == self.target.id
        if (own and self._index.get(label) is not None) or self._index.crosswalk(label, source) is not None:
            return True
        found = self._walks.translate(label, source, here)
        return source != here and found.known and all(self._index.get(name) is not None for name in found.candidates)

    def _may_stand(self, class_id: str, use: LabelUse) -> bool:
        modalities, kinds = self._index.modalities_of(class_id), self._index.label_kinds_of(class_id)
        return (not modalities or use.modality is None or use.modality in modalities) and (
            not kinds or use.kind in kinds
        )

    def plan(self, uses: Iterable[LabelUse]) -> SamplePlan:
        """Return what becomes of a sample's labels; kinds of label that carry no class are left out."""
        return SamplePlan(tuple((use, self.fate(use)) for use in uses if use.kind not in NOT_CLASSES))

    def carries(self, plan: SamplePlan) -> bool:
        """Whether any label is another one once it is carried over, if only by the version that it names."""
        here = self.target.reference
        return any(
            fate.outcome in APPLIED or (fate.outcome == "untouched" and use.version not in (None, here))
            for use, fate in plan.fates
        )

    def carried(self, annotations: Annotations, plan: SamplePlan) -> Annotations:
        """Return the labels as they are afterwards; those left to people stay as they are, version and all."""
        fates = {use.annotation_id: fate for use, fate in plan.fates}
        return tuple(self._rewritten(item, fates.get(item.id)) for item in annotations)

    def _rewritten(self, item: Annotation, fate: Fate | None) -> Annotation:
        if fate is None or fate.target is None or fate.outcome == "unknown":
            return item
        return item.model_copy(update={"label": fate.target, "taxonomy_version": self.target.reference})


def names_at_risk(now: Carrier, then: Carrier | None, versions: Iterable[str]) -> frozenset[str]:
    """Return the classes of labels that have a class now, and might have none then.

    Args:
        now: To the version that a project has.
        then: To the one it is to have; None for none.
        versions: Published versions of the taxonomy that it has.
    """
    names = {item.id for item in now.target.classes}
    names.update(name for step in now.steps for change in step.changes for name in change.sources)
    names.update(name for walk in now.target.crosswalks for name in walk.classes)
    sources: set[str | None] = {None, *versions, *(step.source for step in now.steps)}
    sources.update(walk.source for walk in now.target.crosswalks)
    return frozenset(name for name in names if any(vanishes(now, then, name, source) for source in sources))


def vanishes(now: Carrier, then: Carrier | None, label: str, version: str | None) -> bool:
    """Whether a label has a class now and would have none then."""
    return now.has_class_for(label, version) and (then is None or not then.has_class_for(label, version))


def uses_of(manifest: SampleManifest, annotations: Iterable[Annotation]) -> tuple[LabelUse, ...]:
    """Return what decides the fate of labels, in their order."""
    modalities = {stream.id: stream.modality for stream in manifest.streams}
    return tuple(
        LabelUse(
            annotation_id=item.id,
            label=item.label,
            kind=item.type,
            modality=modalities.get(item.stream),
            version=item.taxonomy_version,
            attributes=item.attributes,
        )
        for item in annotations
    )


@dataclass(slots=True)
class Tally:
    """Counts what becomes of samples."""

    migrated: int = 0
    reopened: int = 0
    untouched: int = 0
    rechecked: int = 0
    elsewhere: dict[str, int] = field(default_factory=dict)
    _classes: dict[tuple[str, str, Outcome, str], list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, counts: MigrationCounts) -> Tally:
        """Return a tally that goes on from ``counts``."""
        tally = cls(counts.migrated, counts.reopened, counts.untouched, counts.rechecked, dict(counts.elsewhere))
        for item in counts.classes:
            tally._classes[item.version, item.label, item.outcome, item.target or ""] = [item.labels, item.samples]
        return tally

    def add(self, stage: Stage, plan: SamplePlan, *, rechecked: bool = False) -> None:
        """Count a sample; only committed ones are migrated, and some of the others are checked again at once."""
        if stage is not Stage.COMMITTED:
            self.rechecked += rechecked
            self.elsewhere[stage.value] = self.elsewhere.get(stage.value, 0) + 1
            return
        if plan.left_open:
            self.reopened += 1
        elif plan.applies:
            self.migrated += 1
        else:
            self.untouched += 1
        labels: dict[tuple[str, str, Outcome, str], int] = {}
        for use, fate in plan.fates:
            key = (fate.version, use.label, fate.outcome, fate.target or "")
            labels[key] = labels.get(key, 0) + 1
        for key, count in labels.items():
            kept = self._classes.setdefault(key, [0, 0])
            kept[0] += count
            kept[1] += 1

    def counts(self) -> MigrationCounts:
        """Return what was counted, in one order whatever came first."""
        return MigrationCounts(
            classes=tuple(
                ClassCount(
                    version=version,
                    label=label,
                    outcome=outcome,
                    target=target or None,
                    labels=labels,
                    samples=samples,
                )
                for (version, label, outcome, target), (labels, samples) in sorted(self._classes.items())
            ),
            migrated=self.migrated,
            reopened=self.reopened,
            untouched=self.untouched,
            rechecked=self.rechecked,
            elsewhere=dict(sorted(self.elsewhere.items())),
        )
