"""Who made a label, and who has already judged a finding: the people who may not judge it now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.contracts.annotations import Annotation
from services.contracts.findings import Finding
from services.contracts.records import LabelSet
from services.contracts.review import JUDGING_KINDS, Decision
from services.review.labels import labels_by_id, labels_sha256
from services.review.overlap import ANSWER_ORIGINS


def concerned_ids(finding: Finding, annotations: Iterable[Annotation]) -> tuple[str, ...]:
    """Return the ids of the labels a finding is about.

    A finding that names no label is about all labels of its streams: an offset between a recording and its
    transcript is about every segment. One that names neither is about no label.
    """
    if finding.annotations:
        return finding.annotations
    streams = frozenset(finding.streams)
    return tuple(annotation.id for annotation in annotations if annotation.stream in streams)


def concerned_sha256(finding: Finding, annotations: Mapping[str, Annotation] | Iterable[Annotation]) -> str:
    """Return the hash of the labels a finding is about, as :func:`labels_sha256` makes it."""
    by_id = annotations if isinstance(annotations, Mapping) else labels_by_id(annotations)
    return labels_sha256(concerned_ids(finding, by_id.values()), by_id)


@dataclass(frozen=True, slots=True)
class EarlierWork:
    """What people did in earlier revisions of a sample.

    Attributes:
        label_sets: All versions of their labels.
        decisions: All decisions on them.
    """

    label_sets: tuple[LabelSet, ...] = ()
    decisions: tuple[Decision, ...] = ()

    def questioned(self, finding_ids: Iterable[str]) -> frozenset[str]:
        """Return whose verdicts are in question when these findings are asked about again.

        Of each finding those count that were given in the newest revision in which anybody judged it.
        """
        wanted = frozenset(finding_ids)
        judged: dict[str, dict[int, set[str]]] = {}
        for decision in self.decisions:
            for name in wanted.intersection(decision.finding_ids):
                if decision.task_kind in JUDGING_KINDS:
                    judged.setdefault(name, {}).setdefault(decision.ref.revision, set()).add(decision.actor_id)
        return frozenset().union(*(people[max(people)] for people in judged.values()))


NO_EARLIER_WORK = EarlierWork()


def count_human_authors(
    label_sets: Iterable[LabelSet], annotation_ids: Iterable[str] | None, earlier: Iterable[LabelSet] = ()
) -> Counter[str]:
    """Return how many of the labels each person made, in any version.

    A label without an author of its own belongs to the author of the first label set that has it in that form;
    so a person who corrected one label does not become the author of its neighbours. What was joined from several
    people's answers was made by all of them. A label that is as it was in an earlier revision was made by who made it
    there, whoever handed it in again; and so was one that was carried over to another taxonomy.

    Args:
        label_sets: Versions of the labels; predictions are left out.
        annotation_ids: The labels concerned; None for all of them.
        earlier: The same of the sample's earlier revisions.
    """
    makers = _Makers(None if annotation_ids is None else frozenset(annotation_ids))
    for labels in sorted(earlier, key=_order):
        makers.add(labels)
    makers.made.clear()
    for labels in sorted(label_sets, key=_order):
        makers.add(labels)
    return makers.made


def _order(labels: LabelSet) -> tuple[int, int]:
    return labels.ref.revision, labels.version


class _Makers:
    """Who made the labels, told version by version.

    Attributes:
        made: How many labels each person made.
    """

    def __init__(self, wanted: frozenset[str] | None) -> None:
        self.made: Counter[str] = Counter()
        self._wanted = wanted
        self._revision = 0
        self._answered: set[str] = set()
        self._before: dict[str, Annotation] = {}
        self._people: dict[str, frozenset[str]] = {}
        # Every form that a label has had, without its author, with who made it; those of the revision that is told
        # now stand apart until it is over.
        self._forms: dict[str, list[tuple[Annotation, frozenset[str]]]] = {}
        self._new_forms: list[tuple[Annotation, frozenset[str]]] = []

    def add(self, labels: LabelSet) -> None:
        """Add the next version."""
        if labels.origin == "prediction":
            return
        if labels.ref.revision != self._revision:
            self._begin(labels.ref.revision)
        if labels.origin in ANSWER_ORIGINS and labels.author.kind == "human":
            self._answered.add(labels.author.id)
        wanted = self._wanted
        now = {label.id: label for label in labels.annotations if wanted is None or label.id in wanted}
        for name, label in now.items():
            if self._before.get(name) == label:
                continue
            form = _form(label)
            renamed = labels.origin == "migration" and name in self._before
            people = self._people[name] if renamed else self._makers_of(form, label, labels)
            if not renamed:
                self.made.update(people)
            self._people[name] = people
            self._new_forms.append((form, people))
        self._before = now

    def _begin(self, revision: int) -> None:
        for form, people in self._new_forms:
            self._forms.setdefault(form.id, []).append((form, people))
        self._new_forms.clear()
        self._answered.clear()
        self._before = {}
        self._revision = revision

    def _makers_of(self, form: Annotation, label: Annotation, labels: LabelSet) -> frozenset[str]:
        known = [people for earlier, people in self._forms.get(form.id, ()) if earlier == form]
        if labels.origin == "migration" and form.id in self._people:
            return self._people[form.id]
        inherited = frozenset().union(*known)
        if labels.origin == "incident" and known:
            return inherited
        author = label.author or labels.author
        if author.kind == "human":
            return inherited | {author.id}
        return inherited | self._answered if labels.origin == "consensus" else inherited


def _form(label: Annotation) -> Annotation:
    return label if label.author is None else label.model_copy(update={"author": None})


def deciders(decisions: Iterable[Decision], finding_ids: Iterable[str]) -> frozenset[str]:
    """Return everybody who has decided on one of these findings."""
    concerned = frozenset(finding_ids)
    return frozenset(decision.actor_id for decision in decisions if concerned & frozenset(decision.finding_ids))
