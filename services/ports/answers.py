"""The store of joined answers and of what they teach about those who gave them, as the product sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.contracts.consensus import Consensus, JoinedAnswers
from services.contracts.lifecycle import RevisionRef
from services.contracts.quality import AnnotatorQuality, AnnotatorSkill


class AnswerRepository(Protocol):
    """Joined answers, and the skills of annotators."""

    async def put_joined(self, joined: JoinedAnswers) -> None:
        """Keep what the answers of a revision said together, by revision and number of answers."""
        ...

    async def last_joined(self, ref: RevisionRef) -> JoinedAnswers | None:
        """Return what was kept last of a revision."""
        ...

    async def consensus_of(self, ref: RevisionRef) -> Consensus | None:
        """Return what the answers said together of which labels of a revision were made, if they were."""
        ...

    async def joined_labels(
        self, project: str, *, after: JoinedAnswers | None, limit: int
    ) -> tuple[JoinedAnswers, ...]:
        """Return joined answers of which labels were made, the newest first, after those that were read before."""
        ...

    async def count_joined_labels(self, project: str) -> int:
        """Return how many there are."""
        ...

    async def learned_from(self, project: str) -> int:
        """Return how many there were when the skills of the project's annotators were learned last; 0 before."""
        ...

    async def put_quality(self, quality: AnnotatorQuality) -> None:
        """Replace what is known about a project's annotators."""
        ...

    async def quality(self, project: str) -> AnnotatorQuality | None:
        """Return what was learned last about a project's annotators."""
        ...

    async def skills(self, project: str, people: Sequence[str]) -> tuple[AnnotatorSkill, ...]:
        """Return the skills of these people and of everybody together."""
        ...
