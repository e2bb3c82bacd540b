"""What was said of a sample: of a revision, and of those that taxonomy migrations made it of.

A migrated revision has labels and nothing else; who made them and who decided stands with the revision before. Labels
of earlier revisions are told in the words of the newest one, carried over by the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.contracts.annotations import Annotations
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import SampleManifest
from services.contracts.records import LabelSet
from services.contracts.review import Decision, StoredFinding
from services.errors import NotFoundError
from services.ground_truth.made_of import may_be_carried, older_ref
from services.ports.database import Transaction
from services.taxonomy.carriers import MigrationCarriers
from services.taxonomy.migrating import Carrier, uses_of


@dataclass(frozen=True, slots=True)
class RevisionHistory:
    """What was said of one revision.

    Attributes:
        ref: The revision.
        label_sets: All versions of the labels, predictions included, oldest first, in the newest revision's words; each
            keeps the hash of what was said.
        decisions: All decisions, oldest first.
    """

    ref: RevisionRef
    label_sets: tuple[LabelSet, ...]
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class SampleHistory:
    """A revision and those it was made of.

    Attributes:
        revisions: The oldest first; the last one is the revision itself.
        as_said: Labels that were carried over, as they were said, by the hash of their label set.
    """

    revisions: tuple[RevisionHistory, ...]
    as_said: dict[str, Annotations]

    @property
    def ref(self) -> RevisionRef:
        """The revision itself."""
        return self.revisions[-1].ref

    @property
    def label_sets(self) -> tuple[LabelSet, ...]:
        """All label sets, those of older revisions first."""
        return tuple(one for revision in self.revisions for one in revision.label_sets)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All decisions, those about older revisions first."""
        return tuple(one for revision in self.revisions for one in revision.decisions)


class HistoryReader:
    """Reads histories of one project; keeps the steps of its migrations.

    Args:
        project: The project.
    """

    def __init__(self, project: str) -> None:
        self._carriers = MigrationCarriers(project)

    async def read(self, tx: Transaction, ref: RevisionRef) -> SampleHistory:
        """Return what was said of a revision, and of those it was made of."""
        own = await _revision(tx, ref)
        way = await tx.taxonomy_migrations.way(ref) if may_be_carried(own.label_sets) else ()
        if not way:
            return SampleHistory((own,), {})
        manifest = await _manifest(tx, ref)
        told: list[RevisionHistory] = []
        as_said: dict[str, Annotations] = {}
        for made, carried in way:
            older = await _revision(tx, older_ref(made, carried))
            told.append(older)
            as_said |= {one.sha256: one.annotations for one in older.label_sets}
            carrier = await self._carriers.of(tx, carried)
            if carrier is not None:
                told = [_in_words_of(one, carrier, manifest) for one in told]
        return SampleHistory((*told, own), as_said)


async def findings_of(tx: Transaction, history: SampleHistory) -> tuple[StoredFinding, ...]:
    """Return the findings about a revision and those it was made of, by id; of one that was made again the newest."""
    found: dict[str, StoredFinding] = {}
    for revision in history.revisions:
        found |= {one.finding.finding_id: one for one in await tx.review.findings(revision.ref)}
    return tuple(found[name] for name in sorted(found))


async def _revision(tx: Transaction, ref: RevisionRef) -> RevisionHistory:
    return RevisionHistory(ref, await tx.samples.label_sets(ref), await tx.review.decisions(ref))


async def _manifest(tx: Transaction, ref: RevisionRef) -> SampleManifest:
    revision = await tx.samples.get(ref)
    if revision is None:
        raise NotFoundError(f"there is no revision {ref.revision} of sample {ref.sample_id} in {ref.project}")
    return revision.manifest


def _in_words_of(revision: RevisionHistory, carrier: Carrier, manifest: SampleManifest) -> RevisionHistory:
    def carried(labels: LabelSet) -> LabelSet:
        plan = carrier.plan(uses_of(manifest, labels.annotations))
        return labels.model_copy(update={"annotations": carrier.carried(labels.annotations, plan)})

    return replace(revision, label_sets=tuple(carried(one) for one in revision.label_sets))
