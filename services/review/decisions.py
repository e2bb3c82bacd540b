"""Decide a task: one transaction that takes the decision, changes the labels and tells everybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

from services.contracts.access import Principal
from services.contracts.annotations import Annotation
from services.contracts.canonical import content_sha256
from services.contracts.escalation import TaskCause
from services.contracts.findings import Finding
from services.contracts.label_base import Author
from services.contracts.records import LabelSet, SampleRevision
from services.contracts.review import (
    LABELLING_KINDS,
    Activity,
    Decision,
    DecisionInput,
    FindingState,
    LabelOrigin,
    ReviewTask,
    StoredFinding,
    TaskKind,
    Verdict,
)
from services.errors import ChangedMeanwhileError, DecisionInvalidError, TaskFinishedError
from services.lifecycle.earlier import read_earlier_work
from services.ports.database import Transaction
from services.projects.registry import known_rules
from services.review.active_time import add_sign
from services.review.answers import labels_in
from services.review.authorship import concerned_sha256
from services.review.case_file import CaseFile
from services.review.escalation import Circumstances, escalation_by, is_judged_twice
from services.review.exclusion import exclude_authors
from services.review.fits import ensure_fits, ensure_pinned
from services.review.judges import (
    FINISHED_STATES,
    ensure_lease,
    ensure_may_judge,
    ensure_may_take,
    ensure_unfinished,
    folded_of,
    labels_concerned,
    task_not_found,
)
from services.review.labels import LabelChange, apply_patch, apply_submission, labels_by_id, labels_sha256
from services.review.recording import record_decision
from services.rules.rule_set import RuleSet

_ORIGIN: dict[TaskKind, LabelOrigin] = {
    TaskKind.ANNOTATE: "annotator",
    TaskKind.REWORK: "rework",
    TaskKind.REVIEW: "reviewer",
    TaskKind.ADJUDICATE: "adjudicator",
}
_STATE_AFTER = {
    Verdict.APPROVE: FindingState.DISMISSED,
    Verdict.ACCEPT_CONFLICT: FindingState.ACCEPTED,
    Verdict.FIX: FindingState.FIXED,
    # The first of four eyes may have closed what the second sends back.
    Verdict.REJECT: FindingState.OPEN,
    Verdict.ESCALATE: FindingState.OPEN,
}
# The checks have the last word on these; a late verdict must not open them again.
_SETTLED = frozenset({FindingState.RESOLVED, FindingState.NOTED})


@dataclass(frozen=True, slots=True)
class _Case:
    """Everything a decision is judged by, read under the locks."""

    revision: SampleRevision
    task: ReviewTask
    file: CaseFile
    labels: LabelSet | None
    folded: tuple[Finding, ...]

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        return self.labels.annotations if self.labels is not None else ()

    @property
    def label_version(self) -> int:
        return self.labels.version if self.labels is not None else 0

    def labels_of_version(self, version: int) -> LabelSet | None:
        return next(
            (item for item in self.file.label_sets if item.version == version and item.origin != "prediction"), None
        )

    @property
    def circumstances(self) -> Circumstances:
        return Circumstances(
            self.task.risk,
            self.task.facts.domain,
            self.revision.manifest.streams,
            self.annotations,
            self.file.decisions,
        )

    def is_judged_twice(self, rules: RuleSet) -> bool:
        return is_judged_twice(self.task, [item.finding for item in self.file.findings], self.circumstances, rules)

    def escalation_by(self, decision: Decision, rules: RuleSet) -> TaskCause | None:
        return escalation_by(decision, [item.finding for item in self.file.findings], self.circumstances, rules)


async def decide_task(
    tx: Transaction, principal: Principal, task_id: UUID, given: DecisionInput
) -> tuple[Decision, CaseFile | None]:
    """Take a decision and return it with what it was judged by; or the stored one, when it is the same sent again.

    Raises:
        NotFoundError: There is no such task, or none that the key sees.
        ForbiddenError, SelfReviewError: The person may not decide this task.
        TaskFinishedError: The task has another answer, or was cancelled.
        StaleFenceError: The lease behind the fence is over.
        ChangedMeanwhileError: The labels concerned are not those the decision was made from.
        DecisionInvalidError: The decision does not fit the task.
    """
    found = await tx.review.lock_case(task_id, principal.projects)
    if found is None:
        raise task_not_found(task_id)
    revision, task = found
    content = content_of(given)
    if task.state in FINISHED_STATES:
        stored = await tx.review.decision_of_task(task_id)
        if stored is not None and stored.actor_id == principal.actor_id and stored.content_sha256 == content:
            return stored, None
        if stored is not None:
            raise TaskFinishedError("This task is decided already; the first decision stands.")
        ensure_unfinished(task)
    await ensure_may_take(tx, principal, task)
    file = await tx.review.case_file(task, principal.actor_id)
    ensure_lease(principal, task, given.fence, file.at)
    case = _Case(revision, task, file, labels_in(file, task), await folded_of(tx, task.ref, file.findings))
    ensure_may_judge(principal, task, file, case.folded, await read_earlier_work(tx, task.ref))
    rules = known_rules(file.rules, file.rule_set)
    ensure_fits(task, given, rules, judged_twice=lambda: case.is_judged_twice(rules))
    _ensure_current(case, given)
    ensure_pinned(given, revision.manifest, case.annotations)
    change = _changed_labels(case, given, principal.actor_id)
    decision_id = uuid4()
    after = case.label_version
    if change is not None:
        author = Author(kind="human", id=principal.actor_id)
        stored_labels = await tx.samples.add_label_set(
            task.ref, change.annotations, origin=_ORIGIN[task.kind], author=author, decision_id=decision_id
        )
        after = stored_labels.version
    decision = Decision(
        decision_id=decision_id,
        task_id=task_id,
        ref=task.ref,
        task_kind=task.kind,
        actor_id=principal.actor_id,
        verdict=given.verdict,
        reason_code=given.reason_code,
        note=given.note,
        finding_ids=task.finding_ids,
        resolutions=given.resolutions,
        remarks=given.remarks,
        fence=given.fence,
        label_version_before=case.label_version,
        label_version_after=after,
        content_sha256=content,
        caused_by=task.caused_by,
        decided_at=file.at,
    )
    decision = decision.model_copy(update={"escalated_by": case.escalation_by(decision, rules)})
    begun = file.activity or Activity(task_id=task_id, actor_id=principal.actor_id)
    settled = tuple(_settled_findings(case, decision, change))
    await record_decision(tx, revision, task, decision, given, settled=settled, activity=add_sign(begun, file.at))
    if change is not None:
        made = {principal.actor_id: change.changed}
        await exclude_authors(tx, task, made, (*case.annotations, *change.annotations))
    return decision, file


def content_of(given: DecisionInput) -> str:
    """Return the hash of a decision without its fence: what makes a repeated call the same call."""
    return content_sha256(given.model_dump(mode="json", exclude_none=True, exclude={"fence"}))


def _ensure_current(case: _Case, given: DecisionInput) -> None:
    """Refuse a decision made from labels that have changed where it matters."""
    if given.label_version is None or given.label_version == case.label_version:
        return
    if given.annotations is None:
        seen = case.labels_of_version(given.label_version)
        if seen is None and given.label_version:
            sentence = f"there are no labels of version {given.label_version}; the newest is {case.label_version}"
            raise DecisionInvalidError(f"The decision does not fit: {sentence}", places=(("/label_version", sentence),))
        before = seen.annotations if seen is not None else ()
        concerned = {
            *labels_concerned(case.file.findings, case.folded, before),
            *labels_concerned(case.file.findings, case.folded, case.annotations),
        }
        if given.patch is not None:
            concerned.update(given.patch.remove, (label.id for label in given.patch.upsert))
        if labels_sha256(concerned, before) == labels_sha256(concerned, case.annotations):
            return
    raise ChangedMeanwhileError(
        f"The labels are at version {case.label_version} and no longer as in version {given.label_version}; "
        "look at the task again."
    )


def _changed_labels(case: _Case, given: DecisionInput, actor_id: str) -> LabelChange | None:
    now = case.annotations
    streams = frozenset(stream.id for stream in case.revision.manifest.streams)
    if given.annotations is not None:
        return apply_submission(now, given.annotations, actor_id=actor_id, streams=streams)
    if given.patch is None:
        return None
    change = apply_patch(now, given.patch, actor_id=actor_id, streams=streams)
    if given.verdict is Verdict.FIX and not change.changed:
        sentence = "changes nothing; approve the labels if they are right"
        raise DecisionInvalidError(f"The fix {sentence}.", places=(("/patch", sentence),))
    return change


def _settled_findings(case: _Case, decision: Decision, change: LabelChange | None) -> Iterator[StoredFinding]:
    if decision.verdict not in _STATE_AFTER or case.task.kind in LABELLING_KINDS:
        return
    by_id = labels_by_id(change.annotations if change is not None else case.annotations)
    own = {resolution.finding_id: resolution.verdict for resolution in decision.resolutions or ()}
    for item in case.file.findings:
        if item.state in _SETTLED:
            continue
        state = _STATE_AFTER[own.get(item.finding.finding_id, decision.verdict)]
        yield item.model_copy(
            update={
                "state": state,
                "labels_sha256": concerned_sha256(item.finding, by_id),
                "decision_id": None if state is FindingState.OPEN else decision.decision_id,
                "decision_revision": None,
                "fixed_by_label_version": decision.label_version_after if state is FindingState.FIXED else None,
                "updated_at": decision.decided_at,
            }
        )
