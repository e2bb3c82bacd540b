"""The labels of a sample that several people labelled, each with what stands behind it. Pure functions.

Labels of one kind, stream and frame are grouped into things (:mod:`services.consensus.clusters`); the class of each is
voted (:mod:`services.consensus.votes`), its place joined by the kind's own rule. Every thing that anybody labelled is
a label of the consensus, agreed on or not: what only one of five saw is told as disputed, not left out.

Nothing depends on the order of the answers or of the labels in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from services.consensus.disputes import disputes_of
from services.consensus.family import Closeness, Family, Members, Weights, closeness_of
from services.consensus.items import content_key, items_of
from services.consensus.relations import resolved
from services.consensus.things import FAMILIES, Thing, things_of
from services.consensus.votes import Vote, common_attributes, majority
from services.contracts.annotations import Annotation
from services.contracts.canonical import content_sha256
from services.contracts.consensus import Answer, Consensus, ConsensusLabel, ConsensusState, Support
from services.contracts.label_base import Author
from services.contracts.labels_language import Relation
from services.rules.consensus import ConsensusRules

CONSENSUS_AUTHOR = Author(kind="consensus", id="consensus")


def consensus(
    answers: Iterable[Answer],
    rules: ConsensusRules | None = None,
    *,
    accepted: Sequence[Annotation] = (),
    weights: Weights | None = None,
) -> Consensus:
    """Return what several people say together of one sample.

    Args:
        answers: Everybody's labels; an answer without labels is one too. Several of one person count as one.
        rules: Thresholds; the defaults if left out.
        accepted: Labels that were accepted before. Each stays word for word, in state ``accepted``, whatever the
            answers say; those who labelled the same thing are named as its support.
        weights: Weight of each person's vote on classes and words, such as
            :attr:`services.consensus.dawid_skene.DawidSkene.skills`; who is missing has 1.
    """
    section = rules or ConsensusRules()
    annotators, items = items_of(answers)
    plain = [item for item in items if not isinstance(item.label, Relation)]
    things = things_of(plain, [label for label in accepted if not isinstance(label, Relation)], section)
    maker = _Maker(annotators, section, weights)
    labels = maker.labels(things, taken={label.id for label in accepted})
    relations = [item for item in items if isinstance(item.label, Relation)]
    kept = [label for label in accepted if isinstance(label, Relation)]
    names = _names(labels)
    while relations or kept:
        # A relation may lead to another one, which has its common id only then.
        ready, relations = resolved(relations, names)
        if not ready and not kept:
            break
        things = things_of(ready, kept, section)
        more = maker.labels(things, taken={label.id for label in accepted} | {one.annotation.id for one in labels})
        kept = []
        labels += more
        names |= _names(more)
    labels.sort(key=_order)
    return Consensus(annotators=annotators, labels=tuple(labels))


def _names(labels: Iterable[ConsensusLabel]) -> dict[tuple[str, str], str]:
    return {
        (one.annotator, name): label.annotation.id
        for label in labels
        for one in label.support
        for name in one.annotation_ids
    }


def _order(item: ConsensusLabel) -> tuple[str, int, str, bytes, str]:
    label = item.annotation
    return label.stream, -1 if label.frame is None else label.frame, label.type, content_key(label), label.id


class _Maker:
    """Makes labels of things.

    Args:
        annotators: Everybody who answered, sorted.
        rules: Thresholds.
        weights: Weights of votes.
    """

    def __init__(self, annotators: tuple[str, ...], rules: ConsensusRules, weights: Weights | None) -> None:
        self._annotators = annotators
        self._rules = rules
        self._weights = weights

    def labels(self, things: Sequence[Thing], taken: set[str]) -> list[ConsensusLabel]:
        """Return the label of each thing; ids in ``taken`` are given to nothing new."""
        wanted = [None if thing.accepted is not None else _common_id(thing) for thing in things]
        claims = Counter(name for name in wanted if name is not None)
        used = set(taken)
        found = []
        for thing, name in zip(things, wanted, strict=True):
            if thing.accepted is not None:
                found.append(self._label(thing, thing.accepted.id))
                continue
            own = name if name is not None and claims[name] == 1 and name not in taken else _made_id(thing, used)
            used.add(own)
            found.append(self._label(thing, own))
        return found

    def _label(self, thing: Thing, name: str) -> ConsensusLabel:
        family = FAMILIES[thing.kind]
        members = thing.members
        who = tuple(item.annotator for item in members)
        labels = tuple(item.label for item in members)
        minimum = self._rules.place_of(thing.kind)
        close = Closeness() if family.whole else closeness_of(labels, family, self._rules, minimum)
        vote = (
            majority(((item.annotator, family.voted(item.label)) for item in members), self._weights)
            if members
            else None
        )
        enough = len(self._annotators) >= self._rules.min_answers
        share = len(members) / len(self._annotators) if self._annotators else 0.0
        agreement = share * (1.0 if close.mean is None else close.mean) * (vote.share if vote is not None else 0.0)
        votes = {} if vote is None else dict(sorted(vote.weights.items()))
        disputes = disputes_of(thing.kind, share, close.mean, votes, self._rules) if enough else ()
        state: ConsensusState
        if thing.accepted is not None:
            annotation, state, disputes = thing.accepted, "accepted", ()
        else:
            assert vote is not None  # a thing that was not accepted is of somebody  # noqa: S101
            annotation = self._merged(Members(who, labels, labels[close.medoid], self._weights), family, vote, name)
            state = "single" if not enough else "disputed" if disputes else "agreed"
        return ConsensusLabel(
            annotation=annotation,
            state=state,
            agreement=min(1.0, agreement) if enough else None,
            support=tuple(
                Support(
                    annotator=item.annotator,
                    annotation_ids=item.ids,
                    label=item.label.label,
                    voted=None if family.voted(item.label) == item.label.label else family.voted(item.label),
                )
                for item in sorted(members, key=lambda item: item.annotator)
            ),
            absent=tuple(name for name in self._annotators if name not in who),
            place=close.mean,
            place_range=None if close.mean is None else (close.farthest, close.closest),
            near=None if close.mean is None else close.near,
            votes=votes,
            disputes=disputes,
        )

    def _merged(self, members: Members, family: Family, vote: Vote[str], name: str) -> Annotation:
        winners = [
            (who, label)
            for who, label in zip(members.annotators, members.labels, strict=True)
            if family.voted(label) == vote.winner
        ]
        base = members.medoid if family.voted(members.medoid) == vote.winner or not family.whole else winners[0][1]
        told = Members(members.annotators, members.labels, base, members.weights)
        update: dict[str, object] = {
            "id": name,
            "label": winners[0][1].label,
            "author": CONSENSUS_AUTHOR,
            "confidence": None,
            "object_id": majority(
                ((who, label.object_id or "") for who, label in zip(members.annotators, members.labels, strict=True)),
                members.weights,
            ).winner
            or base.object_id,
            "taxonomy_version": majority(
                ((who, label.taxonomy_version or "") for who, label in winners), members.weights
            ).winner
            or None,
            "attributes": common_attributes((who, label.attributes) for who, label in winners),
        }
        update |= family.merge(told, self._rules)
        return base.model_copy(update=update)


def _common_id(thing: Thing) -> str | None:
    """Return the id that more than half of the people gave their label of the thing, such as that of a pre-label."""
    counts = Counter(name for item in thing.members for name in item.ids)
    most = [name for name, count in counts.items() if 2 * count > len(thing.members)]
    return min(most) if most else None


def _made_id(thing: Thing, used: set[str]) -> str:
    digest = content_sha256([thing.kind, *(item.key.decode() for item in thing.members)])
    name = f"c-{digest[:16]}"
    repeat = 1
    while name in used:
        repeat += 1
        name = f"c-{digest[:16]}-{repeat}"
    return name
