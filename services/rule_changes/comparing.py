"""What differs between two rule sets, counted from what each says of the same samples. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from services.agreement.intervals import wilson_interval
from services.contracts.findings import CheckReport, Finding
from services.contracts.review import Decision, TaskKind, Verdict
from services.contracts.rule_changes import (
    Accuracy,
    DryRunCounts,
    FindingChange,
    JudgedFinding,
    KindAccuracy,
    PlannedTask,
    QueueChange,
    SampleTrial,
    Share,
    Truth,
)
from services.rules.rule_set import RuleSet

_TRUTH: Mapping[Verdict, Truth] = {
    Verdict.FIX: "true",
    Verdict.REJECT: "true",
    Verdict.APPROVE: "false",
    Verdict.ACCEPT_CONFLICT: "exempt",
}
_HOUR_S = 3_600.0


def finding_changes(
    before: CheckReport, after: CheckReport, rules_before: RuleSet, rules_after: RuleSet
) -> tuple[FindingChange, ...]:
    """Return the findings that two reports on the same labels do not have alike, by finding id.

    Args:
        before: The stored report.
        after: The other, made under the same rule set id, of which the ids of findings are made.
        rules_before: Say what blocks in ``before``.
        rules_after: Say what blocks in ``after``.
    """
    old = {finding.finding_id: finding for finding in before.findings}
    new = {finding.finding_id: finding for finding in after.findings}
    folded = {finding.finding_id for finding in after.folded}
    changes = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        finding = now or was
        if finding is None or (was is not None and now is not None and was.severity == now.severity):
            continue
        changes.append(
            FindingChange(
                finding_id=name,
                check=finding.check,
                kind=finding.kind,
                before=None if was is None else was.severity,
                after=None if now is None else now.severity,
                folded=now is None and name in folded,
                blocks_before=was is not None and rules_before.blocks(was),
                blocks_after=now is not None and rules_after.blocks(now),
                message=finding.message,
            )
        )
    return tuple(changes)


def count_same(before: CheckReport, after: CheckReport) -> int:
    """Return how many findings both have with one severity."""
    old = {finding.finding_id: finding.severity for finding in before.findings}
    return sum(old.get(finding.finding_id) == finding.severity for finding in after.findings)


def count_blocking(report: CheckReport, rules: RuleSet) -> int:
    """Return how many findings need a decision."""
    return sum(rules.blocks(finding) for finding in report.findings)


def truths(decisions: Iterable[Decision]) -> dict[str, Truth]:
    """Return what people said of findings in the end; what was only handed on is not judged.

    Args:
        decisions: Of one sample revision, oldest first.
    """
    found: dict[str, Truth] = {}
    for decision in decisions:
        for name in decision.finding_ids:
            truth = _TRUTH.get(decision.verdict_on(name))
            if truth is not None:
                found[name] = truth
    return found


def judged_findings(
    known: Iterable[Finding],
    judged: Mapping[str, Truth],
    before: CheckReport,
    after: CheckReport,
    rules_before: RuleSet,
    rules_after: RuleSet,
) -> tuple[JudgedFinding, ...]:
    """Return the judged findings of a sample with whether each rule set asks people about them.

    A finding folded under a cause asks through its cause; one below the blocking severity asks nobody.
    """
    ask_before, ask_after = _asking(before, rules_before), _asking(after, rules_after)
    by_id = {finding.finding_id: finding for finding in known}
    return tuple(
        JudgedFinding(
            finding_id=name,
            check=by_id[name].check,
            kind=by_id[name].kind,
            truth=truth,
            before=name in ask_before,
            after=name in ask_after,
        )
        for name, truth in sorted(judged.items())
        if name in by_id
    )


def _asking(report: CheckReport, rules: RuleSet) -> frozenset[str]:
    asking = [finding for finding in report.findings if rules.blocks(finding)]
    explained = {name for finding in asking for name in finding.explains}
    return frozenset({finding.finding_id for finding in asking} | explained)


def kind_accuracies(trials: Iterable[SampleTrial]) -> tuple[KindAccuracy, ...]:
    """Return precision and recall of each kind of finding under both rule sets, by (check, kind)."""
    groups: dict[tuple[str, str], list[JudgedFinding]] = defaultdict(list)
    for trial in trials:
        for judged in trial.judged:
            groups[judged.check, judged.kind].append(judged)
    return tuple(
        KindAccuracy(
            check=check,
            kind=kind,
            true=sum(item.truth == "true" for item in items),
            false=sum(item.truth == "false" for item in items),
            exempt=sum(item.truth == "exempt" for item in items),
            before=_accuracy([(item.truth, item.before) for item in items]),
            after=_accuracy([(item.truth, item.after) for item in items]),
        )
        for (check, kind), items in sorted(groups.items())
    )


def _accuracy(items: Sequence[tuple[Truth, bool]]) -> Accuracy:
    right = sum(asks for truth, asks in items if truth == "true")
    wrong = sum(asks for truth, asks in items if truth == "false")
    true = sum(truth == "true" for truth, _ in items)
    return Accuracy(precision=_share(right, right + wrong), recall=_share(right, true))


def _share(hits: int, of: int) -> Share | None:
    if of == 0:
        return None
    low, high = wilson_interval(hits, of)
    return Share(hits=hits, of=of, value=hits / of, low=low, high=high)


def queue_changes(
    trials: Iterable[SampleTrial], median_active_s: Mapping[tuple[str, str], float]
) -> tuple[QueueChange, ...]:
    """Return the tasks of each (queue, kind) under both rule sets, with the active time that is more or less.

    Args:
        trials: The samples.
        median_active_s: Of finished tasks, by (queue, kind); what is not there was not measured.
    """
    before: Counter[tuple[str, TaskKind]] = Counter()
    after: Counter[tuple[str, TaskKind]] = Counter()
    for trial in trials:
        before.update(_lane(task) for task in trial.tasks_before)
        after.update(_lane(task) for task in trial.tasks_after)
    found = []
    for queue, kind in sorted(before.keys() | after.keys()):
        was, now = before[queue, kind], after[queue, kind]
        median = median_active_s.get((queue, kind.value))
        hours = None if median is None else (now - was) * median / _HOUR_S
        found.append(QueueChange(queue=queue, kind=kind, before=was, after=now, median_active_s=median, hours=hours))
    return tuple(found)


def _lane(task: PlannedTask) -> tuple[str, TaskKind]:
    return task.queue, task.kind


def dry_run_counts(trials: Sequence[SampleTrial], queues: Sequence[QueueChange], *, skipped: int) -> DryRunCounts:
    """Return the numbers of a dry run."""
    changes = [change for trial in trials for change in trial.changes]
    measured = [queue.hours for queue in queues if queue.hours is not None]
    escalated = [queue for queue in queues if queue.kind is TaskKind.ADJUDICATE]
    return DryRunCounts(
        samples=len(trials),
        skipped=skipped,
        differ=sum(bool(trial.changes) or trial.tasks_before != trial.tasks_after for trial in trials),
        rechecked=sum(trial.rechecked for trial in trials),
        appear=sum(change.before is None for change in changes),
        disappear=sum(change.after is None and not change.folded for change in changes),
        folded=sum(change.folded for change in changes),
        severity_changed=sum(change.before is not None and change.after is not None for change in changes),
        blocking_before=sum(trial.blocking_before for trial in trials),
        blocking_after=sum(trial.blocking_after for trial in trials),
        tasks_before=sum(queue.before for queue in queues),
        tasks_after=sum(queue.after for queue in queues),
        escalations_before=sum(queue.before for queue in escalated),
        escalations_after=sum(queue.after for queue in escalated),
        hours=sum(measured) if measured else None,
        tasks_not_measured=sum(queue.after - queue.before for queue in queues if queue.hours is None),
    )
