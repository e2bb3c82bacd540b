"""Review queues as data: what goes into a queue, who may take from it, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name
from services.contracts.calibration import GoldPolicy, SecondOpinions
from services.contracts.findings import Severity
from services.contracts.manifest import Risk
from services.contracts.review import TaskKind

MAX_QUEUES = 1_000
TaskStage = Literal["annotating", "in_review", "adjudicating", "rework"]
STAGE_OF_KIND: dict[TaskKind, TaskStage] = {
    TaskKind.ANNOTATE: "annotating",
    TaskKind.REVIEW: "in_review",
    TaskKind.ADJUDICATE: "adjudicating",
    TaskKind.REWORK: "rework",
}
SkillLevel = Annotated[int, Field(ge=1, le=5, description="1: can do it; 5: teaches it.")]
_Some = Field(max_length=300)


class RequiredSkill(Contract):
    """What a person must be able to do, and how well."""

    name: Name
    level: SkillLevel = 1


class QueueFilter(Contract):
    """Which tasks a queue takes in. Every list that is not empty must hold the task's value; all must agree.

    A task about findings is judged by its gravest one. What a task does not have (a severity where nothing was
    found, a region where the sample tells none) fits only an empty list.
    """

    stages: Annotated[tuple[TaskStage, ...], Field(max_length=4)] = ()
    checks: Annotated[tuple[Name, ...], _Some] = ()
    kinds: Annotated[tuple[Name, ...], _Some] = Field(default=(), description="Kinds of finding.")
    min_severity: Severity | None = None
    risks: Annotated[tuple[Risk, ...], Field(max_length=3)] = ()
    domains: Annotated[tuple[Name, ...], _Some] = Field(
        default=(), description="Of the sample's context attribute `domain`; the project's domain where it has none."
    )
    languages: Annotated[tuple[Name, ...], _Some] = Field(
        default=(), description="Of the sample's context attribute `language`."
    )
    regions: Annotated[tuple[Name, ...], _Some] = Field(default=(), description="Of the sample's context.")


class ReviewQueue(Contract):
    """One queue of a project."""

    name: Identifier
    position: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=100, description="Queues are asked in this order, then by name; the first that fits takes the task."
    )
    filter: QueueFilter | None = Field(
        default=None,
        description="What it takes in. Without one it takes what is sent to it by its name: by the rule set's routing, "
        "by an escalation, or by hand.",
    )
    skills: Annotated[tuple[RequiredSkill, ...], Field(max_length=20)] = Field(
        default=(), description="All of them are needed to take a task."
    )
    teams: Annotated[tuple[Identifier, ...], Field(max_length=100)] = Field(
        default=(), description="Only members of one of these teams take from it; empty: everybody."
    )
    base_priority: Annotated[int, Field(ge=0, le=1_000)] | None = Field(
        default=None, description="Given to tasks that its filter takes in; without it, what the rule set says."
    )
    ageing_per_hour: Annotated[float, Field(ge=0, le=1_000)] = Field(
        default=0.0, description="Points of priority that a task gains with every hour it waits."
    )
    capacity: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="So many of its tasks may be in people's hands at once."
    )
    paused: bool = Field(default=False, description="Gives out nothing; who holds a task finishes it.")


class ListedQueue(Contract):
    """A queue with where it comes from."""

    queue: ReviewQueue
    source: Literal["project", "rule_set", "tasks"] = Field(
        description="rule_set: follows from the project's rule set; tasks: tasks were sent there by name, by an "
        "escalation or by hand. Put a queue of this name to change it."
    )


@dataclass(frozen=True, slots=True)
class Lane:
    """Tasks of one queue, kind and skill, with all that decides who may take one of them now.

    Attributes:
        lane_id: Its number.
        project: The project.
        queue: The queue's name.
        kind: What its tasks ask for.
        skill: What the routing rule asks for, at any level.
        skills: What the queue asks for.
        teams: Who the queue is for; empty: everybody.
        ageing_per_hour: Points of priority an hour.
        capacity: How many of the queue's tasks may be in people's hands.
        paused: Whether the queue gives out nothing.
        claimed: How many of the queue's tasks are in people's hands; not counted (0) where there is no capacity.
        mine: How many of them in the hands of the person asked for.
        mine_in_project: How many of the project's tasks in the hands of that person.
        lease_s: Length of a lease in the project, seconds.
        own_tasks: Whether people at work see no tasks of the project but their own.
        gold: How known answers are mixed in; None for not at all.
        second_opinions: Which adjudications are decided twice; None for none.
        person_paused: Whether the person asked for is given none of these tasks.
    """

    lane_id: int
    project: str
    queue: str
    kind: TaskKind
    skill: str | None
    skills: tuple[RequiredSkill, ...]
    teams: tuple[str, ...]
    ageing_per_hour: float
    capacity: int | None
    paused: bool
    claimed: int
    mine: int
    mine_in_project: int
    lease_s: int
    own_tasks: bool = False
    gold: GoldPolicy | None = None
    second_opinions: SecondOpinions | None = None
    person_paused: bool = False
