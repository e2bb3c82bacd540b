"""What several people labelled, thing by thing, as the numbers of agreement need it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from services.agreement.measures import matched_boundaries
from services.agreement.ratings import Floats
from services.agreement.word_errors import word_errors
from services.consensus.items import items_of
from services.consensus.things import FAMILIES, things_of
from services.contracts.annotations import Annotation
from services.contracts.base import Name
from services.contracts.consensus import Answer
from services.contracts.label_base import Author, TimedLabel
from services.contracts.labels_language import EntitySpan, Relation
from services.rules.consensus import ConsensusRules

TEXT_KINDS = frozenset({"transcript_segment", "summary"})
_EXACT = 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """One person's label of a thing."""

    person: str
    label: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing, and everybody's label of it.

    Attributes:
        kind: The kind of label.
        sample: Index of the sample.
        place: Kind, stream and frame, for people.
        judgements: By person.
        closeness: Shape (people, people): how close two labels are; None where there is no place.
        errors: Word errors and mean words of each pair (i, j), i < j, of texts.
    """

    kind: str
    sample: int
    place: str
    judgements: tuple[Judgement, ...]
    closeness: Floats | None = None
    errors: dict[tuple[int, int], tuple[int, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Boundaries:
    """The ends of the intervals that two people marked in one stream."""

    kind: str
    sample: int
    place: str
    people: tuple[str, str]
    matched: int
    counts: tuple[int, int]


@dataclass(slots=True)
class Gathered:
    """All answers, thing by thing.

    Attributes:
        samples: (project, sample id).
        answered: Who answered each sample.
        windows: When each answered each sample, by (sample, person): days since 1970, UTC.
        teams: Each person's team.
        units: Things, those of a single person too.
        boundaries: Of intervals.
    """

    samples: list[tuple[str, str]] = field(default_factory=list)
    answered: list[tuple[str, ...]] = field(default_factory=list)
    windows: dict[tuple[int, str], int] = field(default_factory=dict)
    teams: dict[str, Name] = field(default_factory=dict)
    units: list[Unit] = field(default_factory=list)
    boundaries: list[Boundaries] = field(default_factory=list)

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody who answered a sample that somebody else answered too, sorted."""
        return tuple(sorted({person for people in self.answered for person in people}))

    def add(self, project: str, sample_id: str, answers: Sequence[Answer], rules: ConsensusRules) -> bool:
        """Gather one sample; False where fewer than two people answered."""
        people, items = items_of(answers)
        if len(people) < 2:
            return False
        index = len(self.samples)
        self.samples.append((project, sample_id))
        self.answered.append(people)
        for answer in answers:
            if answer.team is not None:
                # The name that sorts last stands where somebody moved on; no order of samples changes it.
                self.teams[answer.annotator] = max(answer.team, self.teams.get(answer.annotator, ""))
            if answer.answered_at is not None:
                self.windows[index, answer.annotator] = int(answer.answered_at.timestamp() // 86_400)
        plain = [item for item in items if not isinstance(item.label, Relation)]
        for thing in things_of(plain, (), rules):
            members = sorted(thing.members, key=lambda item: item.annotator)
            labels = [item.label for item in members]
            self.units.append(_unit(index, thing.kind, labels, [(item.annotator, item.ids) for item in members], rules))
        self.boundaries += _boundaries(index, people, [(item.annotator, item.label) for item in plain], rules)
        return True


def _unit(
    index: int, kind: str, labels: list[Annotation], whose: list[tuple[str, tuple[str, ...]]], rules: ConsensusRules
) -> Unit:
    family = FAMILIES[kind]
    judgements = tuple(
        Judgement(person, family.voted(label), ids) for (person, ids), label in zip(whose, labels, strict=True)
    )
    closeness = None
    errors: dict[tuple[int, int], tuple[int, float]] = {}
    if len(labels) > 1 and kind in TEXT_KINDS:
        texts: list[Any] = labels
        errors = {(i, j): word_errors(texts[i].text, texts[j].text) for i, j in combinations(range(len(labels)), 2)}
    if len(labels) > 1 and not family.whole and kind != "summary":
        closeness = family.closeness(labels, labels, rules)
    return Unit(kind, index, place_of(labels[0]), judgements, closeness, errors)


def place_of(label: Annotation) -> str:
    """Return where a label is, for people."""
    frame = "" if label.frame is None else f", frame {label.frame}"
    return f"{label.type} on {label.stream}{frame}"


def _ends(label: Annotation) -> tuple[float, float] | None:
    if isinstance(label, TimedLabel):
        return label.start_s, label.end_s
    return (float(label.start_char), float(label.end_char)) if isinstance(label, EntitySpan) else None


def _boundaries(
    index: int, people: tuple[str, ...], labels: Iterable[tuple[str, Annotation]], rules: ConsensusRules
) -> list[Boundaries]:
    found: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for person, label in labels:
        ends = _ends(label)
        if ends is not None:
            place = place_of(label)
            found.setdefault((label.type, label.stream, place), {}).setdefault(person, []).extend(ends)
    return [
        Boundaries(
            kind, index, place, (a, b), matched_boundaries(given.get(a, ()), given.get(b, ()), tolerance),
            (len(given.get(a, ())), len(given.get(b, ()))),
        )
        for (kind, _, place), given in sorted(found.items())
        for tolerance in (_EXACT if kind == "entity_span" else rules.boundary_tolerance_s,)
        for a, b in combinations(people, 2)
    ]  # fmt: skip


def answers_by_author(labels: Iterable[Annotation]) -> tuple[list[Answer], int]:
    """Return labels as answers of the authors they name, and how many name none.

    Importers and consensus are nobody who could agree; models and tools are, by ``kind:id``.
    """
    given: dict[tuple[str, str | None], list[Annotation]] = {}
    unnamed = 0
    for label in labels:
        name = author_name(label.author)
        if name is None:
            unnamed += label.author is None
        else:
            team = label.author.team if label.author is not None else None
            given.setdefault((name, team), []).append(label)
    return [
        Answer(annotator=name, team=team, annotations=tuple(own))
        for (name, team), own in sorted(given.items(), key=lambda entry: (entry[0][0], entry[0][1] or ""))
    ], unnamed


def author_name(author: Author | None) -> str | None:
    """Return by which name an author agrees or not; None for nobody, importers and consensus."""
    if author is None or author.kind in ("importer", "consensus"):
        return None
    return author.id if author.kind == "human" else f"{author.kind}:{author.id}"[:200]
