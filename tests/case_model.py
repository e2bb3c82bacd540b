"""What is promised of a case, from its arrival to its ground truth, written a second time and simply.

A model knows what people and upstream were told: which claims were granted, which decisions acknowledged. Given what
the store holds after each step, it says whether every promise is kept. It asks none of the product's rules.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from services.audit.chain import GENESIS_SHA256, recomputed
from services.contracts.access import Principal, Role
from services.contracts.annotations import Annotations
from services.contracts.canonical import content_sha256
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import Risk
from services.contracts.overlap import Overlap
from services.contracts.records import AuditEntry, GroundTruth, LabelSet, StageChange
from services.contracts.review import Decision, FindingState, ReviewTask, StoredFinding, TaskKind, TaskState, Verdict
from services.errors import ForbiddenError, SelfReviewError, TaskFinishedError, TaskHeldError

KINDS_OF = {
    Role.ANNOTATOR: {TaskKind.ANNOTATE, TaskKind.REWORK},
    Role.REVIEWER: {TaskKind.ANNOTATE, TaskKind.REWORK, TaskKind.REVIEW},
    Role.EXPERT: {TaskKind.REVIEW, TaskKind.ADJUDICATE},
}
JUDGING = frozenset({TaskKind.REVIEW, TaskKind.ADJUDICATE})
CLOSING = frozenset({Verdict.APPROVE, Verdict.ACCEPT_CONFLICT})
ACCEPTING = CLOSING | {Verdict.FIX}
CLOSED = frozenset({FindingState.DISMISSED, FindingState.ACCEPTED})
ENDS = frozenset({Stage.COMMITTED, Stage.REJECTED, Stage.WITHDRAWN, Stage.REOPENED})
WAYS: dict[Stage | None, str] = {
    None: "received",
    Stage.RECEIVED: "pre_labeling rejected withdrawn",
    Stage.PRE_LABELING: "annotating checking rejected withdrawn",
    Stage.ANNOTATING: "checking rejected withdrawn",
    Stage.CHECKING: "accepted in_review adjudicating rework rejected withdrawn",
    Stage.IN_REVIEW: "checking adjudicating rework rejected withdrawn",
    Stage.ADJUDICATING: "checking in_review rework rejected withdrawn",
    Stage.REWORK: "checking rejected withdrawn",
    Stage.ACCEPTED: "committed in_review rejected withdrawn",
    Stage.COMMITTED: "reopened",
    Stage.REJECTED: "reopened",
    Stage.WITHDRAWN: "",
    Stage.REOPENED: "",
}


@dataclass(frozen=True)
class Case:
    """One revision as the store holds it."""

    ref: RevisionRef
    stage: Stage
    risk: Risk
    tasks: tuple[ReviewTask, ...]
    decisions: tuple[Decision, ...]
    findings: tuple[StoredFinding, ...]
    label_sets: tuple[LabelSet, ...]
    record: GroundTruth | None

    @property
    def labels(self) -> Annotations:
        return next((item.annotations for item in reversed(self.label_sets) if item.origin != "prediction"), ())

    @property
    def live(self) -> tuple[ReviewTask, ...]:
        return tuple(task for task in self.tasks if task.state in (TaskState.OPEN, TaskState.CLAIMED))

    def content(self, names: Iterable[str]) -> dict[str, object]:
        """What labels say, without who says so."""
        return {
            item.id: item.model_dump(mode="json", exclude={"author"}) for item in self.labels if item.id in set(names)
        }

    def labels_of(self, task: ReviewTask) -> frozenset[str]:
        """Ids of the labels that a task is about: all of them where it names no finding."""
        if not task.finding_ids:
            return frozenset(label.id for item in self.label_sets for label in item.annotations)
        return frozenset(
            name
            for item in self.findings
            if item.finding.finding_id in task.finding_ids
            for name in item.finding.annotations
        )


@dataclass
class Hold:
    """What people were told about one task."""

    ref: RevisionRef
    kind: TaskKind
    holder: str | None = None
    last_holder: str | None = None
    fence: int = 0
    answered_by: str | None = None
    cancelled: bool = False


@dataclass
class Known:
    """What people and upstream were told about one revision."""

    makers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    decisions: dict[UUID, Decision] = field(default_factory=dict)
    closed: dict[str, dict[str, object]] = field(default_factory=dict)
    record: GroundTruth | None = None

    def judges(self, finding_id: str) -> set[str]:
        return {
            one.actor_id
            for one in self.decisions.values()
            if one.task_kind in JUDGING and finding_id in one.finding_ids
        }

    def answers(self) -> list[Decision]:
        return [
            one
            for one in self.decisions.values()
            if one.task_kind is TaskKind.ANNOTATE and one.verdict is Verdict.SUBMIT
        ]

    def touched_by(self, actor: str) -> bool:
        return any(one.actor_id == actor for one in self.decisions.values()) or any(
            actor in people for people in self.makers.values()
        )


class CaseModel:
    """All cases of one project."""

    def __init__(self, overlap: Overlap | None) -> None:
        self.overlap = overlap
        self.tasks: dict[UUID, Hold] = {}
        self.known: dict[RevisionRef, Known] = defaultdict(Known)
        self.cases: dict[RevisionRef, Case] = {}
        self.newest: dict[str, int] = {}
        self.reached: Counter[str] = Counter()
        self._head = (0, GENESIS_SHA256)

    # What somebody may have

    def own(self, actor: str, task: ReviewTask) -> bool:
        """Whether a person made, has judged or has answered what a task asks."""
        known = self.known[task.ref]
        if task.kind is TaskKind.ANNOTATE:
            return any(one.actor_id == actor for one in known.answers())
        if task.kind not in JUDGING:
            return False
        made = any(actor in known.makers[name] for name in self.cases[task.ref].labels_of(task))
        return made or any(actor in known.judges(name) for name in task.finding_ids)

    def refusals(self, person: Principal, task: ReviewTask) -> set[type[Exception]]:
        """What a claim is refused with, by what is known for certain; empty: nothing stands in its way."""
        hold, actor = self.tasks[task.task_id], person.actor_id
        reasons: dict[type[Exception], bool] = {
            ForbiddenError: hold.kind not in KINDS_OF[person.role] or task.assignee not in (None, actor),
            TaskFinishedError: hold.answered_by is not None or hold.cancelled,
            SelfReviewError: self.own(actor, task),
            TaskHeldError: hold.holder not in (None, actor),
        }
        return {error for error, applies in reasons.items() if applies}

    def is_stranger(self, actor: str, ref: RevisionRef) -> bool:
        """Whether a person has had nothing to do with a sample, so that no rule can keep them from its tasks.

        What they did in an earlier revision may: labels that are still there, or verdicts that are asked about again.
        """
        name = ref.sample_id
        holds = any(hold.ref.sample_id == name and hold.holder == actor for hold in self.tasks.values())
        touched = any(known.touched_by(actor) for each, known in self.known.items() if each.sample_id == name)
        return not holds and not touched

    # What people and upstream are told

    def posted(self, ref: RevisionRef, labels: Annotations) -> None:
        self.newest[ref.sample_id] = ref.revision
        for label in labels:
            if label.author is not None:
                self.known[ref].makers[label.id].add(label.author.id)

    def claimed(self, actor: str, task_id: UUID) -> None:
        hold = self.tasks[task_id]
        if hold.holder != actor:
            hold.fence += 1
        hold.holder = hold.last_holder = actor

    def freed(self, task_id: UUID) -> None:
        self.tasks[task_id].holder = None

    def decided(self, decision: Decision, after: Case) -> None:
        """A decision was acknowledged; ``after`` is its case with it."""
        hold, known, before = self.tasks[decision.task_id], self.known[decision.ref], self.cases[decision.ref]
        task = next(task for task in before.tasks if task.task_id == decision.task_id)
        assert hold.answered_by is None, "a task has one answer"
        assert not self.own(decision.actor_id, task), (decision, "nobody judges their own work, or answers twice")
        self.freed(decision.task_id)
        hold.answered_by = decision.actor_id
        known.decisions[decision.decision_id] = decision
        made = next((item for item in after.label_sets if item.decision_id == decision.decision_id), None)
        assert (made is not None) == (decision.label_version_after > decision.label_version_before), decision
        for label in made.annotations if made is not None else ():
            if before.content([label.id]) != {label.id: label.model_dump(mode="json", exclude={"author"})}:
                known.makers[label.id].add(decision.actor_id)
        if made is not None:
            for other in before.tasks:
                if self.tasks[other.task_id].holder == decision.actor_id and self.own(decision.actor_id, other):
                    # They hold what they may not answer any more; it is asked of somebody else.
                    self.freed(other.task_id)
        self._judged(decision, known, after)
        self.reached[f"{decision.task_kind}:{decision.verdict}"] += 1

    def _judged(self, decision: Decision, known: Known, after: Case) -> None:
        if decision.task_kind not in JUDGING:
            return
        for item in after.findings:
            name = item.finding.finding_id
            if name not in decision.finding_ids:
                continue
            known.closed.pop(name, None)
            if decision.verdict in CLOSING and item.state in CLOSED:
                known.closed[name] = after.content(item.finding.annotations)

    def overdue(self, task: ReviewTask) -> None:
        """A deadline of a task was acted on that nobody held."""
        if task.kind is TaskKind.REVIEW:
            self.tasks[task.task_id].kind = TaskKind.ADJUDICATE
            self.reached["overdue"] += 1

    # What is promised

    def see(
        self, changed: Iterable[Case], timelines: Mapping[str, tuple[StageChange, ...]], entries: Iterable[AuditEntry]
    ) -> None:
        """Take in what the store holds after a step; an assertion fails where a promise is broken.

        Args:
            changed: The cases of which anything has changed; the others are as they were seen last.
            timelines: Those of their samples.
            entries: Audit entries that are new.
        """
        for case in (self.cases | {case.ref: case for case in changed}).values():
            self._adopt(case)
            self._holds(case)
            self._nothing_is_lost(case)
            self._answers(case)
            self._closed(case)
            self._ends(case)
            self._ground_truth(case)
            self.cases[case.ref] = case
        for sample_id, timeline in timelines.items():
            self._goes_its_way(sample_id, timeline)
        self._chain(entries)

    def _adopt(self, case: Case) -> None:
        known = self.known[case.ref]
        for task in case.tasks:
            if task.task_id not in self.tasks:
                assert (task.held_by, task.fence) == (None, 0), "a new task is held by nobody"
                assert case.stage not in ENDS, "no task is opened for a case that has ended"
                self.tasks[task.task_id] = Hold(task.ref, task.kind)
        for labels in case.label_sets:
            if labels.origin == "consensus":
                for label in labels.annotations:
                    known.makers[label.id] |= {one.actor_id for one in known.answers()}

    def _holds(self, case: Case) -> None:
        handed_over = any(one.task_kind is TaskKind.ANNOTATE and one.verdict is Verdict.ESCALATE for one in
                          case.decisions)  # fmt: skip
        assert {task.task_id for task in case.tasks} == {
            name for name, hold in self.tasks.items() if hold.ref == case.ref
        }, "no task vanishes"
        for task in case.tasks:
            hold = self.tasks[task.task_id]
            assert task.kind is hold.kind, (task, hold)
            if task.state is TaskState.CANCELLED:
                unasked = handed_over and task.kind is TaskKind.ANNOTATE and hold.holder is None
                assert hold.cancelled or unasked or case.stage in ENDS, (task, "cancelled without a cause")
                assert hold.answered_by is None, (task, "what was answered is not cancelled")
                hold.cancelled, hold.holder = True, None
            else:
                assert (task.state is TaskState.COMPLETED) == (hold.answered_by is not None), (task, hold)
                assert (task.state is TaskState.CLAIMED) == (hold.holder is not None), (task, hold)
                assert (task.held_by, task.fence) == (hold.holder, hold.fence), (task, hold)

    def _nothing_is_lost(self, case: Case) -> None:
        known = self.known[case.ref]
        stored = {one.decision_id: one for one in case.decisions}
        assert stored.keys() == known.decisions.keys(), "every acknowledged decision is kept, and no other"
        assert len({one.task_id for one in case.decisions}) == len(stored), "a task has one answer"
        for decision_id, decision in stored.items():
            told = known.decisions[decision_id]
            assert decision.content_sha256 == told.content_sha256, "a decision is never changed"
            assert decision.label_version_after == told.label_version_after
        versions = [item.version for item in case.label_sets]
        assert versions == [*range(1, len(versions) + 1)], "label sets are never changed or lost"
        before = self.cases.get(case.ref)
        assert before is None or case.label_sets[: len(before.label_sets)] == before.label_sets

    def _answers(self, case: Case) -> None:
        given = [one.actor_id for one in self.known[case.ref].answers()]
        assert len(given) == len(set(given)), (given, "nobody answers a sample twice")
        asked = 1 if self.overlap is None else self.overlap.max_answers or self.overlap.answers
        waiting = sum(task.kind is TaskKind.ANNOTATE for task in case.live)
        assert len(given) + waiting <= asked, (given, waiting, "more answers than were asked for")

    def _closed(self, case: Case) -> None:
        known = self.known[case.ref]
        for item in case.findings:
            name = item.finding.finding_id
            if name not in known.closed:
                continue
            if case.content(item.finding.annotations) == known.closed[name]:
                assert item.state in CLOSED, (item, "it was closed, and its labels are the same")
                asking = [task for task in case.live if name in task.finding_ids and task.origin_decision_id is None]
                assert not asking, (asking, "nobody is asked again about what was closed")
            else:
                del known.closed[name]

    def _ends(self, case: Case) -> None:
        if case.stage in ENDS:
            assert not case.live, (case.live, "no task is open in a case that has ended")
        if case.ref.revision < self.newest[case.ref.sample_id]:
            assert case.stage in (Stage.REOPENED, Stage.WITHDRAWN), "only the newest revision lives"
        if case.stage not in (Stage.ANNOTATING, Stage.PRE_LABELING, *ENDS):
            waits = [task for task in case.live if task.kind is TaskKind.ANNOTATE]
            assert not waits, "labels are asked for before the checks"

    def _ground_truth(self, case: Case) -> None:
        known, record = self.known[case.ref], case.record
        if known.record is not None:
            assert record == known.record, "ground truth never changes"
        if record is None:
            assert case.stage is not Stage.COMMITTED, "what is committed has its record"
            return
        assert case.stage in (Stage.COMMITTED, Stage.REOPENED)
        if known.record is not None:
            return
        known.record = record
        self.reached[f"committed:{case.risk}"] += 1
        assert content_sha256(record.body) == record.content_sha256
        assert content_sha256(record.lineage) == record.lineage_sha256
        told = {label["id"]: label["label"] for label in record.body["annotations"]}
        assert told == {label.id: label.label for label in case.labels}, "the newest labels are committed"
        assert {one["id"] for one in record.lineage["decisions"]} == {str(name) for name in known.decisions}
        about = {name: item.finding.finding_id for item in case.findings for name in item.finding.annotations
                 if item.finding.check == "wording"}  # fmt: skip
        for name, word in told.items():
            if word.startswith("wrong"):
                assert about.get(name) in known.closed, (name, "committed with a finding that nobody has decided")
        if case.risk == "high":
            self._four_eyes(case, known)

    def _four_eyes(self, case: Case, known: Known) -> None:
        for item in case.findings:
            name = item.finding.finding_id
            said = [one for one in known.decisions.values() if one.task_kind in JUDGING and name in one.finding_ids]
            if any(one.verdict in ACCEPTING for one in said):
                self.reached["four eyes"] += 1
                assert len({one.actor_id for one in said}) > 1, (said, "high risk needs a second person")
            for index, one in enumerate(said):
                if one.task_kind is TaskKind.REVIEW and one.verdict in ACCEPTING:
                    after = [other for other in said[index + 1 :] if other.task_kind is TaskKind.ADJUDICATE]
                    assert after, (one, "an expert judges what a reviewer accepted")

    def _goes_its_way(self, sample_id: str, timeline: tuple[StageChange, ...]) -> None:
        stages: dict[int, Stage] = {}
        assert [change.sequence for change in timeline] == [*range(1, len(timeline) + 1)], "no gap in the timeline"
        for change in timeline:
            before = stages.get(change.ref.revision)
            assert change.previous_stage == before, change
            assert change.stage in WAYS[before].split(), (before, change.stage, "is no way of a sample")
            stages[change.ref.revision] = change.stage
        for revision, stage in stages.items():
            case = next(case for ref, case in self.cases.items() if (ref.sample_id, ref.revision) == (
                sample_id, revision))  # fmt: skip
            assert case.stage is stage, "the timeline ends where the sample is"
        ended = Counter(change.ref.revision for change in timeline if change.stage is Stage.COMMITTED)
        assert all(times == 1 for times in ended.values()), "ground truth is committed once"

    def _chain(self, entries: Iterable[AuditEntry]) -> None:
        for entry in entries:
            sequence, digest = self._head
            assert (entry.sequence, entry.previous_sha256) == (sequence + 1, digest), "the audit chain has no gap"
            assert recomputed(entry).sha256 == entry.sha256, "the audit chain verifies"
            self._head = (entry.sequence, entry.sha256)

    @property
    def read_until(self) -> int:
        """Sequence of the newest audit entry that was seen."""
        return self._head[0]
