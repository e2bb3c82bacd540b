"""Who is asked: findings become review tasks, and decisions become the tasks that follow them. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.contracts.escalation import EscalationTarget, TaskCause
from services.contracts.findings import SEVERITY_ORDER, Finding
from services.contracts.manifest import Risk
from services.contracts.queues import ReviewQueue
from services.contracts.records import LabelSet, SampleRevision
from services.contracts.review import Decision, NewTask, ReviewTask, StoredFinding, TaskKind, Verdict
from services.review.authorship import (
    NO_EARLIER_WORK,
    EarlierWork,
    concerned_ids,
    count_human_authors,
    deciders,
)
from services.review.escalation import Circumstances, cause_of, escalation_after, leading_cause
from services.review.overlap import handed_over
from services.review.queueing import (
    REWORK_QUEUE,
    Place,
    expert_place,
    facts_of_finding,
    facts_of_sample,
    place_of,
    taking_queue,
)
from services.rules.rule_set import RuleSet

ESCALATION_PRIORITY = 50
_REASON_LENGTH = 2_000
_SECOND_LOOK = "A second person judges this without knowing what the first one said."


def needs_expert(finding_id: str, decisions: Iterable[Decision], max_review_rounds: int) -> bool:
    """Whether reviewers have had their rounds on this finding, or an expert has already decided on it."""
    kinds = [decision.task_kind for decision in decisions if finding_id in decision.finding_ids]
    return TaskKind.ADJUDICATE in kinds or kinds.count(TaskKind.REVIEW) >= max_review_rounds


@dataclass(frozen=True, slots=True)
class _Routed:
    """One finding, where it goes, and why past the reviewers."""

    finding: Finding
    place: Place
    cause: TaskCause | None


def route(
    findings: Iterable[StoredFinding],
    rules: RuleSet,
    revision: SampleRevision,
    label_sets: Sequence[LabelSet],
    decisions: Sequence[Decision],
    *,
    max_review_rounds: int,
    queues: Sequence[ReviewQueue] = (),
    domain: str = "general",
    folded: Iterable[Finding] = (),
    earlier: EarlierWork = NO_EARLIER_WORK,
) -> tuple[NewTask, ...]:
    """Return the tasks that ask people about findings: one for each queue (and skill, where rules differ).

    A finding goes to reviewers, or past them to experts where an escalation rule fits it; then to the first of the
    project's queues that takes it in, else where the rule set sends it.

    Nobody is asked about labels they made, in whichever revision, or findings they have already decided on.

    Args:
        findings: Findings that need a decision and have no open task; their order does not matter.
        rules: Routing rules.
        revision: The sample revision.
        label_sets: All versions of its labels.
        decisions: All decisions on it.
        max_review_rounds: Reviews of one finding before an expert decides.
        queues: The project's queues.
        domain: The project's domain, for samples that tell none.
        folded: Symptoms that the findings explain; their labels are judged with them.
        earlier: What people did in earlier revisions.
    """
    sample = facts_of_sample(revision.manifest.context, domain)
    symptoms = {finding.finding_id: finding for finding in folded}
    newest = next((labels for labels in reversed(label_sets) if labels.origin != "prediction"), None)
    circumstances = Circumstances(
        revision.risk,
        sample.domain,
        revision.manifest.streams,
        () if newest is None else newest.annotations,
        decisions,
    )
    groups: dict[tuple[str, str, TaskKind], list[_Routed]] = defaultdict(list)
    for stored in findings:
        finding = stored.finding
        rounds_over = needs_expert(finding.finding_id, decisions, max_review_rounds)
        cause = cause_of(circumstances.facts_about(finding, rounds_over=rounds_over), rules)
        kind = TaskKind.REVIEW if cause is None else TaskKind.ADJUDICATE
        to = None if cause is None else cause.to
        place = place_of(kind, revision.risk, facts_of_finding(finding, sample), rules, queues, to)
        groups[place.queue, place.skill or "", kind].append(_Routed(finding, place, cause))
    return tuple(
        NewTask(
            ref=revision.ref,
            kind=kind,
            queue=queue,
            skill=skill or None,
            risk=revision.risk,
            priority=max(item.place.priority or 0 for item in members),
            finding_ids=tuple(sorted(item.finding.finding_id for item in members)),
            excluded_actors=excluded_actors(
                [item.finding for item in members], symptoms, label_sets, decisions, earlier
            ),
            caused_by=leading_cause((item.cause for item in members), rules),
            reason=_reason_of([item.finding for item in members]),
            facts=facts_of_finding(_gravest(item.finding for item in members), sample),
        )
        for (queue, skill, kind), members in sorted(groups.items())
    )


def _gravest(findings: Iterable[Finding]) -> Finding:
    return min(findings, key=lambda finding: (-SEVERITY_ORDER[finding.severity], finding.finding_id))


def _reason_of(findings: list[Finding]) -> str:
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return _cut(_gravest(findings).message, more)


def _cut(text: str, end: str = "") -> str:
    room = _REASON_LENGTH - len(end)
    return (text if len(text) <= room else text[: room - 1] + "…") + end


def excluded_actors(
    findings: Iterable[Finding],
    symptoms: Mapping[str, Finding],
    label_sets: Sequence[LabelSet],
    decisions: Sequence[Decision],
    earlier: EarlierWork = NO_EARLIER_WORK,
) -> tuple[str, ...]:
    """Return who may not judge these findings: authors of the labels concerned, and all who decided on them.

    What was decided in an earlier revision and is asked anew is somebody else's to decide, too.

    Args:
        findings: What is to be judged.
        symptoms: Findings folded under a cause, by id.
        label_sets: All versions of the labels.
        decisions: All decisions on the revision.
        earlier: What people did in earlier revisions.
    """
    findings = tuple(findings)
    names = [finding.finding_id for finding in findings]
    excluded = set(count_human_authors(label_sets, _concerned(findings, symptoms, label_sets), earlier.label_sets))
    excluded |= deciders(decisions, names) | earlier.questioned(names)
    return tuple(sorted(excluded))


def _concerned(
    findings: Iterable[Finding], symptoms: Mapping[str, Finding], label_sets: Sequence[LabelSet]
) -> frozenset[str]:
    """Return the ids of all labels, of any version, that findings and the symptoms under them are about."""
    findings = tuple(findings)
    explained = (symptoms[name] for finding in findings for name in finding.explains if name in symptoms)
    whole = (*findings, *explained)
    return frozenset(
        name for labels in label_sets for finding in whole for name in concerned_ids(finding, labels.annotations)
    )


def follow_up_kind(decision: Decision, risk: Risk, rules: RuleSet) -> TaskKind | None:
    """Return the kind of task that must follow a decision, if any.

    What was rejected goes back to be made again; what an escalation rule fits is decided by a higher tier.
    """
    if decision.verdict is Verdict.REJECT:
        return TaskKind.REWORK
    return None if escalation_after(decision, risk, rules) is None else TaskKind.ADJUDICATE


def follow_up(
    decision: Decision,
    kind: TaskKind,
    task: ReviewTask,
    *,
    findings: Iterable[StoredFinding],
    folded: Iterable[Finding],
    label_sets: Sequence[LabelSet],
    decisions: Sequence[Decision],
    may_rework: Callable[[str], bool],
    queues: Sequence[ReviewQueue] = (),
    cause: TaskCause | None = None,
    earlier: EarlierWork = NO_EARLIER_WORK,
) -> NewTask:
    """Return the task that follows a decision.

    Args:
        decision: The decision.
        kind: From :func:`follow_up_kind`.
        task: The task that was decided.
        findings: All findings of the revision.
        folded: Symptoms under them.
        label_sets: All versions of its labels.
        decisions: All decisions on it.
        may_rework: Whether a person is known and may be given rework.
        queues: The project's queues.
        cause: From :func:`services.review.escalation.escalation_after`, for an adjudication.
        earlier: What people did in earlier revisions.
    """
    handed_on = decision.verdict in (Verdict.REJECT, Verdict.ESCALATE)
    finding_ids = (decision.judged_by_verdict if handed_on else decision.finding_ids) or task.finding_ids
    symptoms = {finding.finding_id: finding for finding in folded}
    concerned = [stored.finding for stored in findings if stored.finding.finding_id in finding_ids]
    # Without findings (an annotator escalated) the whole label set is what is judged.
    names = _concerned(concerned, symptoms, label_sets) if concerned else None
    authors = count_human_authors(label_sets, names, earlier.label_sets)
    shared = {
        "ref": decision.ref,
        "kind": kind,
        "risk": task.risk,
        "finding_ids": finding_ids,
        "origin_decision_id": decision.decision_id,
        "facts": task.facts,
    }
    taken = taking_queue(queues, kind, task.risk, task.facts)
    if kind is TaskKind.REWORK:
        return NewTask(
            **shared,
            queue=REWORK_QUEUE if taken is None else taken.name,
            # Skills are asked of those who judge; the author is asked for what they made.
            skill=None,
            priority=task.priority,
            assignee=_author_to_ask(authors, decision.actor_id, may_rework),
            reason=_cut(decision.note or "The labels were rejected."),
        )
    excluded = {*authors, *deciders(decisions, finding_ids), *task.excluded_actors, decision.actor_id}
    excluded |= earlier.questioned(finding_ids)
    if decision.task_kind is TaskKind.ANNOTATE:
        excluded |= {other.actor_id for other in handed_over(decisions)}
    to = EscalationTarget() if cause is None else cause.to
    queue, skill = expert_place(task.queue, task.skill, to, taken)
    return NewTask(
        **shared,
        queue=queue,
        skill=skill,
        priority=task.priority + (ESCALATION_PRIORITY if decision.verdict is Verdict.ESCALATE else 0),
        excluded_actors=tuple(sorted(excluded)),
        caused_by=cause,
        reason=_reason_to_judge_again(decision, cause),
    )


def _reason_to_judge_again(decision: Decision, cause: TaskCause | None) -> str:
    if decision.verdict is Verdict.ESCALATE:
        return _cut(decision.note or "Escalated.")
    if cause is None or cause.four_eyes:
        return _SECOND_LOOK  # blind: it tells nothing of the first
    return f"By rule {cause.rule} of {cause.rule_set.id}@{cause.rule_set.version} this is decided a second time."


def _author_to_ask(authors: Counter[str], rejected_by: str, may_rework: Callable[[str], bool]) -> str | None:
    able = [(-count, person) for person, count in authors.items() if person != rejected_by and may_rework(person)]
    return min(able)[1] if able else None
