"""Try a rule set on stored samples of a project before it goes live; nothing in any sample is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.active_time import ActivitySelection
from services.contracts.findings import RuleReference
from services.contracts.lifecycle import RevisionRef
from services.contracts.queues import ReviewQueue
from services.contracts.records import Project
from services.contracts.rule_changes import DryRun, DryRunRequest, Order, SampleTrial, SkippedSample
from services.errors import NotFoundError, UnavailableError
from services.ports.checks import CheckRunner
from services.ports.database import Database, Transaction
from services.projects.registry import rule_set
from services.rule_changes.comparing import dry_run_counts, kind_accuracies, queue_changes
from services.rule_changes.facts import TRIED_STAGES, SampleFacts, read_facts_of
from services.rule_changes.trial import Desk, Setting, try_sample
from services.rules.rule_set import RuleSet
from services.taxonomy.carriers import Carriers

DRY_RUN_ACTION = "rule_set.dry_run"
_MEASURED_OVER = timedelta(days=90)


def subject_of_dry_run(dry_run_id: UUID) -> str:
    """Return how the audit trail names a dry run."""
    return f"rule-dry-runs/{dry_run_id}"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a project is, and what it would be.

    Attributes:
        before: The project as it is.
        queues_before: Its queues.
        after: As it would be; its rule set is not asked for.
        queues: The queues that it would have.
        rules: The rules that it would go by; they need not be stored.
    """

    before: Project
    queues_before: tuple[ReviewQueue, ...]
    after: Project
    queues: tuple[ReviewQueue, ...]
    rules: RuleSet


async def dry_run(
    database: Database, principal: Principal, project: str, given: DryRunRequest, runner: CheckRunner | None
) -> DryRun:
    """Try other rules on stored samples of a project that stays as it is otherwise; see :func:`try_proposal`.

    Raises:
        NotFoundError: There is no such project that the key sees, or no such rule set.
        UnavailableError: The checks can not be run now.
    """
    ensure_sees(principal, project)
    async with database.transaction() as tx:
        stored = await tx.projects.get(project)
        if stored is None:
            raise project_not_found(project)
        rules = given.rules or await rule_set(tx, given.rule_set or stored.config.rule_set)
        queues = await tx.queues.list(project)
    proposal = Proposal(stored, queues, stored, queues, rules)
    return await try_proposal(database, principal, proposal, runner, samples=given.samples, order=given.order)


async def try_proposal(
    database: Database,
    principal: Principal,
    proposal: Proposal,
    runner: CheckRunner | None,
    *,
    samples: int,
    order: Order,
) -> DryRun:
    """Check stored samples by other rules and say what differs from what is stored, with the list behind each number.

    Samples are those in review and those committed, the newest revision of each. The checks run outside of any
    transaction; a sample that changes meanwhile is tried as it was read. That it was made, and its numbers, are kept
    in the audit trail.

    Args:
        database: The store of record.
        principal: Who asks.
        proposal: What the project would be.
        runner: Runs the checks; None where this server runs none.
        samples: At most so many.
        order: Which come first.

    Raises:
        UnavailableError: The checks can not be run now.
    """
    if runner is None:
        raise UnavailableError("this server runs no checks; send the dry run to one that does")
    project, rules = proposal.before.id, proposal.rules
    known: dict[RuleReference, RuleSet] = {}
    async with database.transaction() as tx:
        carrier = await Carriers().of(tx, proposal.after.config.taxonomy)
        refs = await tx.samples.checked(project, stages=TRIED_STAGES, riskiest=order == "riskiest", limit=samples)
        measured = await tx.operations.handling_s(
            project, ActivitySelection(completed_since=await tx.now() - _MEASURED_OVER)
        )
    setting = Setting(
        rules=rules,
        desk_before=_desk(proposal.before, proposal.queues_before),
        desk=_desk(proposal.after, proposal.queues),
        carrier=carrier,
        known_rules=known,
        runner=runner,
    )
    trials: list[SampleTrial] = []
    skipped: list[SkippedSample] = []
    for ref in refs:
        facts, reason = await _read(database, ref, known)
        if reason is None:
            trials.append(await try_sample(facts, setting))
        else:
            skipped.append(SkippedSample(ref=ref, reason=reason))
    loads = queue_changes(trials, measured)
    async with database.transaction() as tx:
        made = DryRun(
            dry_run_id=uuid4(),
            project=project,
            against=proposal.before.config.rule_set,
            rule_set=rules.reference,
            rule_sha256=rules.sha256,
            order=order,
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


def _desk(project: Project, queues: tuple[ReviewQueue, ...]) -> Desk:
    return Desk(queues=queues, domain=project.domain, max_review_rounds=project.config.max_review_rounds)


async def _read(
    database: Database, ref: RevisionRef, known: dict[RuleReference, RuleSet]
) -> tuple[SampleFacts, str | None]:
    """Return a sample, and why it can not be tried."""
    async with database.transaction() as tx:
        facts = await read_facts_of(tx, ref)
        return facts, await _read_rules(tx, facts, known)


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
