"""Try a rule set on stored samples of a project before it goes live; nothing in any sample is changed."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.findings import RuleReference
from services.contracts.rule_changes import DryRun, DryRunRequest, SampleTrial, SkippedSample
from services.errors import NotFoundError, UnavailableError
from services.lifecycle.steps import ProjectRules
from services.ports.checks import CheckRunner
from services.ports.database import Database, Transaction
from services.projects.registry import rule_set
from services.rule_changes.comparing import dry_run_counts, kind_accuracies, queue_changes
from services.rule_changes.facts import TRIED_STAGES, SampleFacts, read_facts_of
from services.rule_changes.trial import Setting, try_sample
from services.rules.rule_set import RuleSet
from services.taxonomy.carriers import Carriers

DRY_RUN_ACTION = "rule_set.dry_run"
_MEASURED_OVER = timedelta(days=90)


def subject_of_dry_run(dry_run_id: UUID) -> str:
    """Return how the audit trail names a dry run."""
    return f"rule-dry-runs/{dry_run_id}"


async def dry_run(
    database: Database, principal: Principal, project: str, given: DryRunRequest, runner: CheckRunner | None
) -> DryRun:
    """Check stored samples by other rules and say what differs from what is stored, with the list behind each number.

    Samples are those in review and those committed, the newest revision of each. The checks run outside of any
    transaction; a sample that changes meanwhile is tried as it was read. That it was made, and its numbers, are kept
    in the audit trail.

    Args:
        database: The store of record.
        principal: Who asks.
        project: The project.
        given: The rules and how many samples.
        runner: Runs the checks; None where this server runs none.

    Raises:
        NotFoundError: There is no such project that the key sees, or no such rule set.
        UnavailableError: The checks can not be run now.
    """
    ensure_sees(principal, project)
    known: dict[RuleReference, RuleSet] = {}
    async with database.transaction() as tx:
        stored = await tx.projects.get(project)
        if stored is None:
            raise project_not_found(project)
        rules = given.rules or await rule_set(tx, given.rule_set or stored.config.rule_set)
        if runner is None:
            raise UnavailableError("this server runs no checks; send the dry run to one that does")
        carrier = await Carriers().of(tx, stored.config.taxonomy)
        refs = await tx.samples.checked(
            project, stages=TRIED_STAGES, riskiest=given.order == "riskiest", limit=given.samples
        )
        queues = await tx.queues.list(project)
        measured = await tx.operations.handling_s(project, await tx.now() - _MEASURED_OVER)
    setting = Setting(ProjectRules(stored.config, rules, stored.domain), queues, carrier, known, runner)
    trials: list[SampleTrial] = []
    skipped: list[SkippedSample] = []
    for ref in refs:
        async with database.transaction() as tx:
            facts = await read_facts_of(tx, ref)
            reason = await _read_rules(tx, facts, known)
        if reason is None:
            trials.append(await try_sample(facts, setting))
        else:
            skipped.append(SkippedSample(ref=ref, reason=reason))
    loads = queue_changes(trials, measured)
    async with database.transaction() as tx:
        made = DryRun(
            dry_run_id=uuid4(),
            project=project,
            against=stored.config.rule_set,
            rule_set=rules.reference,
            rule_sha256=rules.sha256,
            order=given.order,
            counts=dry_run_counts(trials, loads, skipped=len(skipped)),
            kinds=kind_accuracies(trials),
            queues=loads,
            samples=tuple(trials),
            skipped=tuple(skipped),
            made_at=await tx.now(),
        )
        tx.audit.append(
            project,
            actor=principal.actor_id,
            action=DRY_RUN_ACTION,
            subject=subject_of_dry_run(made.dry_run_id),
            body={
                "rule_set": rules.reference.model_dump(),
                "rule_sha256": made.rule_sha256,
                "against": made.against.model_dump(),
                "order": made.order,
                "counts": made.counts.model_dump(),
            },
        )
    return made


async def _read_rules(tx: Transaction, facts: SampleFacts, known: dict[RuleReference, RuleSet]) -> str | None:
    """Read the rule sets of the runs that a trial is held against; return why there can be none."""
    if not facts.ended and facts.runs[-1].label_version != facts.revision.label_version:
        return "Its labels have changed since they were checked; they are checked by the rules of that moment."
    for reference in {facts.first_runs[-1].rule, facts.runs[-1].rule} - known.keys():
        try:
            known[reference] = await rule_set(tx, reference)
        except NotFoundError:
            return f"It was checked by {reference.id}@{reference.version}, which is not kept."
    return None
