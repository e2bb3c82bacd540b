"""A typed client of the HTTP API, for the command line and for programs in Python."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from infra import client_models as models
from infra.api_calls import ApiProblem
from infra.api_pages import VERIFY_WITHIN_S, Answer, Page, path_part
from infra.client_areas import AreaCalls
from infra.webhook_calls import WebhookWithSecret
from services.contracts.access import ApiKeyInfo, Principal, Role
from services.contracts.agreement import AgreementReport
from services.contracts.audit import EVERY_ENTRY, AuditFilter
from services.contracts.dataset_report import DatasetReport
from services.contracts.findings import RuleReference
from services.contracts.lifecycle import FINAL_STAGES, Stage
from services.contracts.operations import OperationsView
from services.contracts.records import (
    AuditEntry,
    DeadLetter,
    GroundTruth,
    LabelSet,
    Project,
    SampleRevision,
    SampleSummary,
    StageChange,
)
from services.contracts.review import (
    Decision,
    DecisionInput,
    Draft,
    Evidence,
    Lease,
    QueueSummary,
    ReviewTask,
    StoredFinding,
    TaskKind,
    TaskState,
)
from services.contracts.rule_changes import ListedRuleSet
from services.contracts.verification import Anchor, AuditHead, VerificationReport
from services.progress import Tell, tell_nobody
from services.rules.rule_set import RuleSet

_FIRST_LOOK_S, _LATER_LOOK_S = 0.05, 1.0
__all__ = [
    "ApiProblem",
    "ClaimedTask",
    "ConcordClient",
    "CreatedKey",
    "EventResult",
    "Page",
    "WebhookWithSecret",
    "cloud_event",
    "models",
]


class EventResult(Answer):
    """What became of one event of a batch."""

    source: str = ""
    id: str = ""
    outcome: Literal["accepted", "duplicate", "refused"]
    project: str | None = None
    sample_id: str | None = None
    revision: int | None = None
    problem: dict[str, Any] | None = None


class ClaimedTask(Answer):
    """A task and the right to work on it."""

    task: ReviewTask
    lease: Lease
    notice: str | None = None


class CreatedKey(Answer):
    """A new key; its secret is told this once."""

    key: ApiKeyInfo
    secret: str


def cloud_event(kind: str, source: str, event_id: str, data: Any, *, subject: str | None = None) -> dict[str, Any]:
    """Return a CloudEvents 1.0 envelope in structured form."""
    event = {
        "specversion": "1.0",
        "type": kind,
        "source": source,
        "id": event_id,
        "datacontenttype": "application/json",
        "data": data.model_dump(mode="json", exclude_none=True) if isinstance(data, BaseModel) else data,
    }
    return event | ({"subject": subject} if subject is not None else {})


class ConcordClient(AreaCalls):
    """The API of one Concord, with one key; an async context manager, see :class:`infra.api_calls.ApiCaller`."""

    # Events in

    async def send_event(self, event: Mapping[str, Any]) -> EventResult:
        """Post one structured CloudEvent; raises ApiProblem when it is refused."""
        answer = await self.call("POST", "/v1/events", event, media_type="application/cloudevents+json")
        return EventResult.model_validate(answer)

    async def send_events(self, events: Iterable[Mapping[str, Any]]) -> tuple[EventResult, ...]:
        """Post a batch; a refused event is a result with outcome ``refused``, in the order of ``events``."""
        answer = await self.call(
            "POST", "/v1/events", [dict(event) for event in events], media_type="application/cloudevents-batch+json"
        )
        return TypeAdapter(tuple[EventResult, ...]).validate_python(answer["results"])

    async def dead_letters(self, *, cursor: str | None = None, limit: int | None = None) -> Page[DeadLetter]:
        """Return events that could not be handled, newest first."""
        return await self.page_of(DeadLetter, "/v1/dead-letters", cursor=cursor, limit=limit)

    async def replay_dead_letter(self, dead_letter_id: UUID | str) -> dict[str, Any]:
        """Handle a dead letter once more; the answer says what became of it."""
        return await self._object("POST", f"/v1/dead-letters/{path_part(dead_letter_id)}/replay", {})

    # Projects and rule sets

    async def create_project(self, project: Project) -> Project:
        """Keep a new project."""
        return Project.model_validate(await self.call("POST", "/v1/projects", project))

    async def projects(self) -> tuple[Project, ...]:
        """Return the projects the key sees."""
        return await self.all_of(Project, "/v1/projects")

    async def project(self, project: str) -> Project:
        """Return a project."""
        return Project.model_validate(await self.call("GET", f"/v1/projects/{path_part(project)}"))

    async def update_project(self, project: Project) -> Project:
        """Replace a project's name, purpose, domain and configuration; its rule set is changed by an activation."""
        return Project.model_validate(await self.call("PUT", f"/v1/projects/{path_part(project.id)}", project))

    async def push_rule_set(self, rules: RuleSet) -> RuleReference:
        """Keep a rule set version."""
        await self.call("POST", "/v1/rule-sets", rules)
        return rules.reference

    async def rule_sets(self) -> tuple[ListedRuleSet, ...]:
        """Return all rule set versions with their owners."""
        return await self.all_of(ListedRuleSet, "/v1/rule-sets")

    async def rule_set(self, rule_set_id: str, version: int) -> RuleSet:
        """Return a rule set version."""
        return RuleSet.model_validate(await self.call("GET", f"/v1/rule-sets/{path_part(rule_set_id)}/{version}"))

    # Samples

    async def samples(
        self, project: str, *, stage: Stage | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[SampleSummary]:
        """Return a page of sample revisions, newest first."""
        path = f"/v1/projects/{path_part(project)}/samples"
        return await self.page_of(SampleSummary, path, stage=stage, cursor=cursor, limit=limit)

    async def sample(self, project: str, sample_id: str, *, revision: int | None = None) -> SampleRevision:
        """Return a revision of a sample, the newest by default."""
        return SampleRevision.model_validate(await self._of_sample(project, sample_id, "", revision=revision))

    async def timeline(self, project: str, sample_id: str) -> tuple[StageChange, ...]:
        """Return every stage change of a sample, in order."""
        return await self.all_of(StageChange, f"{_sample_path(project, sample_id)}/timeline")

    async def wait_for(self, project: str, sample_id: str, *stages: Stage, within_s: float = 60.0) -> SampleRevision:
        """Return the newest revision of a sample once it is at one of these stages; at any final one if none is named.

        A sample that was sent a moment ago, and is not known yet, is waited for as well.

        Raises:
            TimeoutError: It is not, after so many seconds.
            ApiProblem: The answer is an error.
        """
        wanted, pause_s = frozenset(stages) or FINAL_STAGES, _FIRST_LOOK_S
        async with asyncio.timeout(within_s):
            while True:
                try:
                    found = await self.sample(project, sample_id)
                except ApiProblem as problem:
                    if problem.code != "not-found":
                        raise
                else:
                    if found.stage in wanted:
                        return found
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LATER_LOOK_S)

    async def labels(
        self, project: str, sample_id: str, *, revision: int | None = None, version: int | None = None
    ) -> LabelSet:
        """Return a version of the labels, the newest by default."""
        answer = await self._of_sample(project, sample_id, "/labels", revision=revision, version=version)
        return LabelSet.model_validate(answer)

    async def findings(self, project: str, sample_id: str, *, revision: int | None = None) -> tuple[StoredFinding, ...]:
        """Return the findings of a revision with what became of them."""
        return await self.all_of(StoredFinding, f"{_sample_path(project, sample_id)}/findings", revision=revision)

    async def lineage(self, project: str, sample_id: str, *, revision: int | None = None) -> dict[str, Any]:
        """Return why a committed record is believed."""
        answer: dict[str, Any] = await self._of_sample(project, sample_id, "/lineage", revision=revision)
        return answer

    async def ground_truth(self, project: str, sample_id: str, *, revision: int | None = None) -> GroundTruth:
        """Return the committed record of a revision."""
        return GroundTruth.model_validate(await self._of_sample(project, sample_id, "/ground-truth", revision=revision))

    async def ground_truths(
        self, project: str, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[GroundTruth]:
        """Return a page of committed records."""
        return await self.page_of(
            GroundTruth, f"/v1/projects/{path_part(project)}/ground-truth", cursor=cursor, limit=limit
        )

    async def operations(
        self, project: str, *, window_s: int | None = None, pieces: int | None = None
    ) -> OperationsView:
        """Return the project as an operations manager sees it."""
        query = {"window_s": window_s, "pieces": pieces}
        return OperationsView.model_validate(await self.call("GET", f"{_operations_path(project)}", query=query))

    async def watch_operations(
        self, project: str, *, window_s: int | None = None, pieces: int | None = None, every_s: float | None = None
    ) -> AsyncIterator[OperationsView]:
        """Yield the same whenever it has changed, for as long as the stream lasts."""
        query = {"window_s": window_s, "pieces": pieces, "every_s": every_s}
        async for data in self.events(f"{_operations_path(project)}/live", query=query):
            yield OperationsView.model_validate_json(data)

    async def report(self, project: str, *, samples: int | None = None, listed: int | None = None) -> DatasetReport:
        """Return how the project does on the nine ways in which large datasets fail."""
        path = f"/v1/projects/{path_part(project)}/report"
        answer = await self.call("GET", path, query={"samples": samples, "listed": listed}, timeout_s=VERIFY_WITHIN_S)
        return DatasetReport.model_validate(answer)

    async def agreement(
        self, project: str, *, samples: int | None = None, listed: int | None = None, window_days: int | None = None
    ) -> AgreementReport:
        """Return how far those agree who labelled the same samples of the project."""
        query = {"samples": samples, "listed": listed, "window_days": window_days}
        path = f"/v1/projects/{path_part(project)}/agreement"
        return AgreementReport.model_validate(await self.call("GET", path, query=query, timeout_s=VERIFY_WITHIN_S))

    async def audit(
        self,
        project: str,
        *,
        after: int | None = None,
        wanted: AuditFilter = EVERY_ENTRY,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[AuditEntry]:
        """Return a page of the project's audit chain."""
        path, given = f"/v1/projects/{path_part(project)}/audit", wanted.model_dump(mode="json")
        return await self.page_of(AuditEntry, path, after=after, cursor=cursor, limit=limit, **given)

    async def audit_head(self, project: str) -> AuditHead:
        """Return the newest link of the project's audit chain."""
        return AuditHead.model_validate(await self.call("GET", f"/v1/projects/{path_part(project)}/audit/head"))

    async def verify(
        self, project: str, *, anchors: Sequence[Anchor] = (), tell: Tell = tell_nobody
    ) -> VerificationReport:
        """Verify the project's audit chain, ground truth and datasets, against links that were noted earlier.

        ``tell`` hears how far it is.
        """
        path = f"/v1/projects/{path_part(project)}/verify"
        body = {"anchors": [anchor.model_dump() for anchor in anchors]} if anchors else {}
        answer = await self.call_with_progress("POST", path, body, tell=tell)
        return VerificationReport.model_validate(answer)

    # Review

    async def queues(self) -> tuple[QueueSummary, ...]:
        """Return the state of every queue."""
        return await self.all_of(QueueSummary, "/v1/queues")

    async def tasks(
        self,
        *,
        queue: str | None = None,
        state: TaskState | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[ReviewTask]:
        """Return a page of tasks, oldest first."""
        return await self.page_of(ReviewTask, "/v1/tasks", queue=queue, state=state, cursor=cursor, limit=limit)

    async def claim_next(
        self, *, queue: str | None = None, project: str | None = None, kinds: tuple[TaskKind, ...] = ()
    ) -> ClaimedTask | None:
        """Claim the best task that fits the person behind the key; None when there is none now."""
        wanted = {"queue": queue, "project": project, "kinds": list(kinds) or None}
        body = {name: value for name, value in wanted.items() if value is not None}
        try:
            answer = await self.call("POST", "/v1/tasks/claim", body)
        except ApiProblem as problem:
            if problem.code == "no-task-available":
                return None
            raise
        return ClaimedTask.model_validate(answer) if answer else None

    async def claim(self, task_id: UUID | str) -> ClaimedTask:
        """Claim one task; claiming one's own again renews its lease."""
        return ClaimedTask.model_validate(await self.call("POST", f"{_task_path(task_id)}/claim", {}))

    async def evidence(self, task_id: UUID | str) -> Evidence:
        """Return what a person sees beside a task."""
        return Evidence.model_validate(await self.call("GET", _task_path(task_id)))

    async def heartbeat(self, task_id: UUID | str, fence: int, *, visible: bool = True, idle_s: float = 0.0) -> Lease:
        """Extend the lease."""
        beat = {"fence": fence, "visible": visible, "idle_s": idle_s}
        return Lease.model_validate(await self.call("POST", f"{_task_path(task_id)}/heartbeat", beat))

    async def release(self, task_id: UUID | str, fence: int) -> None:
        """Give a task back."""
        await self.call("POST", f"{_task_path(task_id)}/release", {"fence": fence})

    async def save_draft(self, task_id: UUID | str, fence: int, body: Mapping[str, Any]) -> Draft:
        """Keep unfinished work."""
        answer = await self.call("PUT", f"{_task_path(task_id)}/draft", {"fence": fence, "body": dict(body)})
        return Draft.model_validate(answer)

    async def decide(self, task_id: UUID | str, decision: DecisionInput) -> Decision:
        """Decide a task."""
        return Decision.model_validate(await self.call("POST", f"{_task_path(task_id)}/decide", decision))

    async def escalate(self, task_id: UUID | str, fence: int, note: str) -> Decision:
        """Hand a task to an expert, with the reason."""
        body = {"fence": fence, "note": note}
        return Decision.model_validate(await self.call("POST", f"{_task_path(task_id)}/escalate", body))

    # Keys and the service itself

    async def create_key(
        self,
        actor_id: str,
        role: Role,
        *,
        projects: tuple[str, ...] | None = None,
        skills: tuple[str, ...] = (),
    ) -> CreatedKey:
        """Make a key; ``projects`` None means every project."""
        body: dict[str, Any] = {"actor_id": actor_id, "role": role.value, "skills": list(skills)}
        if projects is not None:
            body["projects"] = list(projects)
        return CreatedKey.model_validate(await self.call("POST", "/v1/keys", body))

    async def keys(self) -> tuple[ApiKeyInfo, ...]:
        """Return all keys, never their secrets."""
        return await self.all_of(ApiKeyInfo, "/v1/keys")

    async def revoke_key(self, key_id: str) -> None:
        """Revoke a key."""
        await self.call("DELETE", f"/v1/keys/{path_part(key_id)}")

    async def whoami(self) -> Principal:
        """Return who the key belongs to and what it allows."""
        return Principal.model_validate(await self.call("GET", "/v1/whoami"))

    async def schema(self, name: str) -> dict[str, Any]:
        """Return a published JSON Schema."""
        return await self._object("GET", f"/v1/schemas/{path_part(name)}")

    async def ready(self) -> dict[str, Any]:
        """Return what the service says about itself; raises ApiProblem while it is not ready."""
        return await self._object("GET", "/readyz")

    # How calls are made

    async def _of_sample(self, project: str, sample_id: str, part: str, **query: int | None) -> Any:
        return await self.call("GET", f"{_sample_path(project, sample_id)}{part}", query=query)


def _operations_path(project: str) -> str:
    return f"/v1/projects/{path_part(project)}/operations"


def _sample_path(project: str, sample_id: str) -> str:
    return f"/v1/projects/{path_part(project)}/samples/{path_part(sample_id)}"


def _task_path(task_id: UUID | str) -> str:
    return f"/v1/tasks/{path_part(task_id)}"
