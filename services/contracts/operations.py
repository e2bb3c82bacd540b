"""What an operations manager sees: numbers, and for each the selection of the rows that it counts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, UtcDatetime
from services.contracts.lifecycle import Stage
from services.contracts.review import TaskKind, Verdict

EscalationCause = Literal["by_person", "second_look", "by_rule"]
"""Why a higher tier was asked: a person escalated, four eyes were needed, or a rule or a deadline sent it there."""


class TaskSelection(Contract):
    """Some tasks of a project; what is left out does not matter."""

    queue: Identifier | None = None
    kind: TaskKind | None = None
    created_since: UtcDatetime | None = None
    created_before: UtcDatetime | None = None
    ended: Literal["completed", "cancelled"] | None = None
    ended_since: UtcDatetime | None = None
    ended_before: UtcDatetime | None = None
    open_at: UtcDatetime | None = Field(default=None, description="Created before this moment and not ended before it.")
    late_at: UtcDatetime | None = Field(default=None, description="Due, or to be started, before this moment.")
    held: bool | None = Field(default=None, description="Under somebody's live lease now, or not.")
    held_by: Identifier | None = Field(default=None, description="Under this person's live lease now.")
    cause: EscalationCause | None = Field(default=None, description="Adjudications only: why experts were asked.")
    rule: Identifier | None = Field(default=None, description="Opened by this escalation rule.")
    check: Name | None = Field(default=None, description="About a finding of this check.")
    finding_kind: Name | None = Field(default=None, description="About a finding of this kind.")


class SampleSelection(Contract):
    """Some sample revisions of a project."""

    stage: Stage | None = Field(default=None, description="At this stage now.")
    stage_at: Stage | None = Field(default=None, description="At this stage at the moment at.")
    at: UtcDatetime | None = None
    entered: Stage | None = Field(default=None, description="Reached this stage in the window.")
    since: UtcDatetime | None = None
    before: UtcDatetime | None = None
    reworked: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        default=None, description="Sent back at least so many times in the window."
    )


class DecisionSelection(Contract):
    """Some decisions in a project."""

    actor: Identifier | None = None
    kind: TaskKind | None = None
    verdict: Verdict | None = None
    since: UtcDatetime | None = None
    before: UtcDatetime | None = None
    first: bool | None = Field(default=None, description="The first review of its sample revision.")
    second_look: bool | None = Field(default=None, description="Made about what somebody had judged before.")
    agrees: bool | None = Field(
        default=None, description="A second look that upholds the first verdict (after a fix: approves), or not."
    )


class Counted(Contract):
    """A number, and the address of the list that it counts."""

    value: Annotated[int, Field(ge=0)]
    list: str


class Measured(Contract):
    """A number that is worked out of the rows of a list, and the address of the list."""

    value: Annotated[float, Field(ge=0)]
    list: str


class Share(Contract):
    """A part of a whole; ``value`` is None where the whole is nothing."""

    part: Counted
    whole: Counted
    value: float | None = None


class StageLoad(Contract):
    """How many sample revisions are at a stage."""

    stage: Stage
    samples: Counted


class QueueForecast(Contract):
    """What becomes of a queue if work comes and goes as it did in the window.

    A queue is taken as a fluid: the work in the order of its deadlines, served at the rate of completion. What is
    overdue already is done first and is no breach to come.
    """

    arrivals_per_h: float
    completions_per_h: float
    breach_at: UtcDatetime | None = Field(default=None, description="The next deadline that will be missed, if any.")
    breach_at_earliest: UtcDatetime | None = Field(default=None, description="At the pessimistic end of the rates.")
    breach_in_s: float | None = Field(default=None, description="From as_of.")
    clear_in_s: float | None = Field(default=None, description="Until the queue is empty, if it shrinks.")
    handling_s: Measured | None = Field(
        default=None, description="Median active time of a task, in seconds; the list is the work on all of them."
    )
    people: float | None = Field(
        default=None,
        description="People at work all the time that the arrivals need, and the backlog in its allowed time.",
    )


class QueueLoad(Contract):
    """One queue as it is, what happened to it in the window, and what is to come."""

    queue: str
    kind: TaskKind
    open: Counted
    held: Counted
    late: Counted = Field(description="Tasks that have missed a deadline; the forecast counts none of them again.")
    oldest_s: Measured | None = Field(default=None, description="Age of the oldest open task, which the list is.")
    arrived: Counted
    completed: Counted
    cancelled: Counted
    forecast: QueueForecast


class KindLoad(Contract):
    """How many tasks of a kind are open."""

    kind: TaskKind
    open: Counted


class Bucket(Contract):
    """A piece of the window: what came, what went, what was there at its end."""

    since: UtcDatetime
    before: UtcDatetime
    arrived: Counted
    completed: Counted
    cancelled: Counted
    open: Counted = Field(description="Tasks open at its end.")
    kinds: tuple[KindLoad, ...] = Field(description="The same by what they ask for.")
    committed: Counted = Field(description="Samples that became ground truth in it.")
    stages: tuple[StageLoad, ...] = Field(description="Samples at each stage at its end.")


class Escalations(Contract):
    """Adjudications opened in the window for one reason, by one rule, about one kind of finding."""

    cause: EscalationCause
    rule: Identifier | None = Field(
        default=None, description="The escalation rule that fired; none: opened before causes were kept."
    )
    check: Name | None = None
    finding_kind: Name | None = None
    tasks: Counted


class PersonLoad(Contract):
    """One person's work."""

    actor: Identifier
    decided: Counted
    held: Counted
    active_s: Measured = Field(description="Active time on the tasks they worked on last in the window.")


class Effort(Contract):
    """What accepted labels cost, over the samples committed in the window."""

    active_s: Measured
    labels: Counted
    active_s_per_label: float | None = None
    cost_per_label: float | None = Field(default=None, description="In the project's currency, where it sets a cost.")
    currency: str | None = None


class OperationsView(Contract):
    """A project as an operations manager sees it."""

    project: str
    as_of: UtcDatetime
    since: UtcDatetime
    stages: tuple[StageLoad, ...]
    queues: tuple[QueueLoad, ...]
    buckets: tuple[Bucket, ...]
    committed: Counted
    escalations: tuple[Escalations, ...]
    rework: Counted = Field(description="Tasks sent back to their authors in the window.")
    rework_loops: Counted = Field(description="Samples sent back more than once in the window.")
    first_pass_approved: Share
    first_pass_rejected: Share
    second_looks_agree: Share
    people: tuple[PersonLoad, ...]
    effort: Effort
