"""One sample under other rules: what the checks find then, and whom that asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from services.contracts.annotations import Annotations
from services.contracts.findings import CheckReport, Finding, RuleReference
from services.contracts.queues import ReviewQueue
from services.contracts.records import CheckRun
from services.contracts.review import FindingState, NewTask, ReviewTask
from services.contracts.rule_changes import PlannedTask, SampleTrial
from services.lifecycle.merge import merge_findings
from services.ports.checks import CheckRunner
from services.review.earlier import Content, still_closed
from services.review.routing import route
from services.rule_changes.comparing import (
    count_blocking,
    count_same,
    finding_changes,
    judged_findings,
    truths,
)
from services.rule_changes.facts import SampleFacts
from services.rules.rule_set import RuleSet
from services.taxonomy.carriers import with_taxonomy
from services.taxonomy.migrating import Carrier, uses_of


@dataclass(frozen=True, slots=True)
class Desk:
    """What decides, beside the rules, whom findings ask.

    Attributes:
        queues: The project's own queues.
        domain: Its domain.
        max_review_rounds: Of its configuration.
    """

    queues: Sequence[ReviewQueue]
    domain: str
    max_review_rounds: int


@dataclass(frozen=True, slots=True)
class Setting:
    """What the trials of one dry run have in common.

    Attributes:
        rules: The rules that are tried.
        desk_before: The project as it is.
        desk: The project as it would be.
        carrier: Carries labels over to its taxonomy; None where it names none.
        known_rules: The rule sets of the stored check runs.
        runner: Runs the checks.
    """

    rules: RuleSet
    desk_before: Desk
    desk: Desk
    carrier: Carrier | None
    known_rules: Mapping[RuleReference, RuleSet]
    runner: CheckRunner


async def try_sample(facts: SampleFacts, setting: Setting) -> SampleTrial:
    """Check a sample's labels by the rules that are tried, and hold that against its stored check run.

    What has ended is tried as it first came to the checks, because its labels have been mended since; what is open as
    it is now. Findings that people have judged are looked for in the labels that were checked first, as far as any
    check has found them there.

    Args:
        facts: The sample, with at least one check run.
        setting: The rules and what else the trial needs.
    """
    checks = _Checks(facts, setting)
    first = facts.first_runs[-1]
    run = first if facts.ended else facts.runs[-1]
    before = setting.known_rules[run.rule]
    report = await checks.report(run.label_version, run.rule.id)
    rechecked = facts.is_rechecked(setting.rules)
    if rechecked:
        own = await checks.report(run.label_version, setting.rules.id)
        tasks_before = _planned(facts.live_tasks)
        tasks_after = _tasks(facts, run, own, setting.rules, setting.desk, setting.carrier, afresh=False)
    else:
        tasks_before = _tasks(facts, run, run.report, before, setting.desk_before, setting.carrier, afresh=True)
        tasks_after = _tasks(facts, run, report, setting.rules, setting.desk, setting.carrier, afresh=True)
    judged = truths(facts.decisions)
    return SampleTrial(
        ref=facts.revision.ref,
        stage=facts.revision.stage,
        risk=facts.revision.risk,
        label_version=run.label_version,
        rule_before=run.rule,
        rechecked=rechecked,
        changes=finding_changes(run.report, report, before, setting.rules),
        same=count_same(run.report, report),
        blocking_before=count_blocking(run.report, before),
        blocking_after=count_blocking(report, setting.rules),
        tasks_before=tasks_before,
        tasks_after=tasks_after,
        judged=judged_findings(
            _found(one.report for one in facts.first_runs if one.rule.id == first.rule.id),
            judged,
            first.report,
            await checks.report(first.label_version, first.rule.id) if judged else first.report,
            setting.known_rules[first.rule],
            setting.rules,
        ),
    )


def _found(reports: Iterable[CheckReport]) -> Iterator[Finding]:
    return (finding for report in reports for finding in (*report.findings, *report.folded))


class _Checks:
    """The reports on versions of one sample's labels; each is made once."""

    def __init__(self, facts: SampleFacts, setting: Setting) -> None:
        self._facts = facts
        self._setting = setting
        self._reports: dict[tuple[int, str], CheckReport] = {}

    async def report(self, label_version: int, rule_id: str) -> CheckReport:
        """Return the report by the tried rules under an id; ids of findings are made of it."""
        key = (label_version, rule_id)
        if key not in self._reports:
            facts, setting = self._facts, self._setting
            rules = with_taxonomy(setting.rules.model_copy(update={"id": rule_id}), setting.carrier)
            labels = _carried(facts, facts.labels_of(label_version), setting.carrier)
            self._reports[key] = await setting.runner.run(facts.revision.manifest, labels, rules, facts.consensus)
        return self._reports[key]


def _carried(facts: SampleFacts, labels: Annotations, carrier: Carrier | None) -> Annotations:
    if carrier is None:
        return labels
    plan = carrier.plan(uses_of(facts.revision.manifest, labels))
    return carrier.carried(labels, plan) if carrier.carries(plan) else labels


def _tasks(
    facts: SampleFacts,
    run: CheckRun,
    report: CheckReport,
    rules: RuleSet,
    desk: Desk,
    carrier: Carrier | None,
    *,
    afresh: bool,
) -> tuple[PlannedTask, ...]:
    """Return the tasks that a report leads to, by the very steps that a check takes.

    Args:
        facts: The sample.
        run: Its stored check run on the same labels.
        report: What the checks say.
        rules: Whom they ask.
        desk: What else decides whom they ask.
        carrier: Carries labels over to the project's taxonomy.
        afresh: As if nothing had been found or decided before; else as the sample is now.
    """
    before = Content(facts.revision.manifest, facts.assets, facts.labels_of(run.label_version))
    now = replace(before, annotations=_carried(facts, before.annotations, carrier))
    stored = () if afresh else facts.findings
    kept = still_closed(
        report,
        stored,
        now,
        () if afresh else facts.closings,
        risk=facts.revision.risk,
        rules=rules,
        carrier=carrier,
        before=before,
    )
    merged = merge_findings(
        stored,
        report,
        ref=facts.revision.ref,
        rules=rules,
        annotations=now.annotations,
        label_version=run.label_version,
        now=facts.now,
        closed_before=kept,
    )
    tasks = route(
        (item for item in merged if item.state is FindingState.OPEN),
        rules,
        facts.revision,
        facts.label_sets_until(run.label_version) if afresh else facts.label_sets,
        () if afresh else facts.decisions,
        queues=desk.queues,
        domain=desk.domain,
        folded=report.folded,
        max_review_rounds=desk.max_review_rounds,
    )
    return _planned(tasks)


def _planned(tasks: Iterable[NewTask | ReviewTask]) -> tuple[PlannedTask, ...]:
    return tuple(PlannedTask(queue=task.queue, kind=task.kind, finding_ids=task.finding_ids) for task in tasks)
