"""Who made a label, and who has already judged a finding: the people who may not judge it now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from services.contracts.annotations import Annotation
from services.contracts.findings import Finding
from services.contracts.records import LabelSet
from services.contracts.review import Decision
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


def count_human_authors(label_sets: Iterable[LabelSet], annotation_ids: Iterable[str] | None) -> Counter[str]:
    """Return how many of the labels each person made, in any version.

    A label without an author of its own belongs to the author of the first label set that has it in that form;
    so a person who corrected one label does not become the author of its neighbours. What was joined from several
    people's answers was made by all of them.

    Args:
        label_sets: Versions of the labels; predictions are left out.
        annotation_ids: The labels concerned; None for all of them.
    """
    wanted = None if annotation_ids is None else frozenset(annotation_ids)
    made: Counter[str] = Counter()
    answered: set[str] = set()
    before: dict[str, Annotation] = {}
    for labels in sorted(label_sets, key=lambda labels: labels.version):
        if labels.origin == "prediction":
            continue
        now = labels_by_id(labels.annotations)
        if labels.origin in ANSWER_ORIGINS and labels.author.kind == "human":
            answered.add(labels.author.id)
        for name, annotation in now.items():
            if (wanted is not None and name not in wanted) or before.get(name) == annotation:
                continue
            author = annotation.author or labels.author
            if author.kind == "human":
                made[author.id] += 1
            elif labels.origin == "consensus":
                made.update(answered)
        before = now
    return made


def deciders(decisions: Iterable[Decision], finding_ids: Iterable[str]) -> frozenset[str]:
    """Return everybody who has decided on one of these findings."""
    concerned = frozenset(finding_ids)
    return frozenset(decision.actor_id for decision in decisions if concerned & frozenset(decision.finding_ids))
