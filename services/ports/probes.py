"""The store of probes, as the product sees it: finished tasks given again, apart from all real work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from services.contracts.annotations import Annotations
from services.contracts.calibration import (
    Disagreement,
    MixedIn,
    Probe,
    ProbeAnswer,
    ProbePurpose,
)
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import Decision, Draft, Lease, ReviewTask, TaskKind, TaskState


@dataclass(frozen=True, slots=True)
class Choice:
    """What a new probe is to look like, and how it is chosen.

    Attributes:
        purpose: Why.
        head: The task that the person would be given now: the probe takes its place in line, so it has its lane and
            risk, its priority, and lies between it and the task before it in age.
        actor_id: The person.
        salt: What the choice among several hangs on.
        place: Where between the two, from 0 to 1.
        opened_since: Tasks that were opened before are not given again.
        share: Of adjudications, which share is decided again.
    """

    purpose: ProbePurpose
    head: ReviewTask
    actor_id: str
    salt: str
    place: float
    opened_since: datetime | None = None
    share: float = 1.0


class ProbeRepository(Protocol):
    """Probes, whose turn they are, and what was answered."""

    async def get(self, task_id: UUID) -> Probe | None:
        """Return a probe; None for real tasks and unknown ids."""
        ...

    async def secret(self, project: str) -> str:
        """Return what the project's choices hang on; made when it is first asked for."""
        ...

    async def next_turn(self, project: str, actor_id: str) -> int:
        """Count one more task that the person is given, and return its number, from 1."""
        ...

    async def note_turn(self, project: str, actor_id: str, *, given: bool) -> None:
        """Note whether a known answer that was due was given, or was missing."""
        ...

    async def open(self, choice: Choice) -> UUID | None:
        """Open a probe that fits and that the person does not know; None if there is none.

        A person knows a sample whose labels they made, whose tasks they had, that they wrote a note on or were
        mentioned in one, and one that they were given as a probe before.
        """
        ...

    async def task(self, task_id: UUID, *, lock: bool = False) -> ReviewTask | None:
        """Return the probe as the task that it looks like."""
        ...

    async def was_given(self, task_id: UUID, actor_id: str) -> bool:
        """Whether the person was given this probe."""
        ...

    async def free(self, actor_id: str) -> tuple[ReviewTask, ...]:
        """Return unanswered probes that the person was given and that nobody holds now."""
        ...

    async def held(self, actor_id: str, projects: Sequence[str]) -> tuple[ReviewTask, ...]:
        """Return the probes that the person holds now."""
        ...

    async def claim(self, task_id: UUID, actor_id: str, lease: timedelta) -> ReviewTask | None:
        """As :meth:`services.ports.review.ReviewRepository.claim`; the person counts as given the sample."""
        ...

    async def renew(self, task_id: UUID, fence: int, lease: timedelta) -> Lease | None:
        """As :meth:`services.ports.review.ReviewRepository.renew`."""
        ...

    async def release(self, task_id: UUID, fence: int) -> bool:
        """As :meth:`services.ports.review.ReviewRepository.release`."""
        ...

    async def close(self, task_id: UUID, state: TaskState) -> None:
        """Complete or cancel a probe and drop its lease."""
        ...

    async def cancel_of(self, ref: RevisionRef) -> None:
        """Cancel all probes of a revision that nobody has answered."""
        ...

    async def release_all(self, project: str, actor_id: str, queue: str, kind: TaskKind) -> int:
        """Take all tasks and probes of a queue and kind out of a person's hands; return how many. Drafts stay."""
        ...

    async def save_draft(self, task_id: UUID, actor_id: str, body: dict[str, Any]) -> Draft:
        """Keep the person's draft."""
        ...

    async def draft(self, task_id: UUID, actor_id: str) -> Draft | None:
        """Return the person's draft."""
        ...

    async def answer(self, task_id: UUID, decision: Decision, body: dict[str, Any], labels: Annotations) -> None:
        """Keep the answer to a probe with the labels as it left them; a second one raises TaskFinishedError."""
        ...

    async def note_agreement(self, task_id: UUID, *, agreed: bool) -> None:
        """Keep whether a second opinion is that of the first."""
        ...

    async def answer_of(self, task_id: UUID) -> ProbeAnswer | None:
        """Return the answer to a probe."""
        ...

    async def answers_about(self, project: str, sample_id: str) -> tuple[ProbeAnswer, ...]:
        """Return all answers to probes of a sample for its known answer, oldest first."""
        ...

    async def answers(
        self, project: str, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[ProbeAnswer, ...]:
        """Return answers to probes for known answers, newest first by (answered, task id)."""
        ...

    async def mixed_in(self, project: str) -> tuple[MixedIn, ...]:
        """Return how many known answers each person was given, by person."""
        ...

    async def second_opinions(self, project: str) -> tuple[int, int]:
        """Return how many adjudications a second expert decided, and how many of them alike."""
        ...

    async def disagreements(self, project: str, *, limit: int) -> tuple[Disagreement, ...]:
        """Return adjudications that a second expert decided otherwise, newest first."""
        ...
