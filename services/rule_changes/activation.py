"""Let a project go by another rule set from now on, and have open samples checked again by it, within a budget.

Every change of a project's rules takes this way: an activation that somebody asks for, one that was scheduled, and a
definition of the project that is applied or returned to.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.audit import AuditFilter
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import Project
from services.contracts.rule_changes import (
    Activation,
    ActivationRequest,
    ActivationState,
    Recheck,
    RuleActivation,
)
from services.errors import InvalidInputError
from services.lifecycle.project_events import tell_rules
from services.lifecycle.steps import read_revision
from services.ports.database import Database, Transaction
from services.projects.registry import known_rules
from services.projects.rule_set_owners import ensure_owner
from services.rule_changes.dry_run import DRY_RUN_ACTION, subject_of_dry_run
from services.rule_changes.facts import IN_REVIEW, read_open_sample
from services.rule_changes.rechecking import check_again
from services.rules.rule_set import RuleSet
from services.taxonomy.open_labels import ensure_open_labels_asked

ACTIVATED_ACTION = "rule_set.activated"
_A_PAGE = 1_000
_TAKEN_BACK = "The project goes by other rules now; the sample is checked again by these."


@dataclass(frozen=True, slots=True)
class Switch:
    """A project that goes over to other rules.

    Attributes:
        before: The project as it is.
        after: As it is to be; it names the rules.
        rules: The rules, which are stored.
        recheck: What is checked again.
        dry_run: The numbers that it rests on.
    """

    before: Project
    after: Project
    rules: RuleSet
    recheck: Recheck
    dry_run: dict[str, object] | None = None


async def activate(database: Database, principal: Principal, project: str, given: ActivationRequest) -> Activation:
    """Set a project's rule set; open samples, newest or riskiest first, are checked again up to the budget.

    A sample whose tasks nobody has begun has them taken back, and its workflow is told through the outbox; the check
    that follows asks people about what it finds. All other open samples are checked by the new rules when their
    tasks are done, and committed ones stay as they are. The same again has more samples checked: those not yet.

    Raises:
        NotFoundError: There is no such project that the key sees, or no such rule set.
        ForbiddenError: Others own the rule set.
        InvalidInputError: The dry run is not one of these rules in this project.
        MigrationConflictError: Nobody would be asked about labels that a taxonomy migration leaves to people.
    """
    ensure_sees(principal, project)
    async with database.transaction() as tx:
        stored = await tx.projects.get(project, lock=True)
        if stored is None:
            raise project_not_found(project)
        rules = known_rules(await tx.projects.rule_set(given.rule_set), given.rule_set)
        await ensure_owner(tx, principal, rules.id)
        dry_run = await dry_run_of(tx, project, given.dry_run_id, rules)
        await tx.projects.add_rule_set(rules)
        switch = Switch(stored, with_rules(stored, rules), rules, recheck_of(given), dry_run)
        return await switch_now(tx, principal, switch)


async def switch_now(tx: Transaction, principal: Principal, switch: Switch) -> Activation:
    """Make a switch that somebody asks for, in the transaction that holds the project, and keep that it was made.

    Raises:
        MigrationConflictError: Nobody would be asked about labels that a taxonomy migration leaves to people.
    """
    await ensure_open_labels_asked(tx, switch.before.id, switch.rules)
    now = await tx.now()
    made = RuleActivation(
        activation_id=uuid4(),
        project=switch.before.id,
        rule_set=switch.rules.reference,
        rule_sha256=switch.rules.sha256,
        state=ActivationState.ACTIVATED,
        effective_at=now,
        recheck=switch.recheck,
        requested_by=principal.actor_id,
        requested_at=now,
        before=switch.before.config.rule_set,
        activated_at=now,
    )
    done = await switch_rules(tx, switch, made.activation_id, actor=principal.actor_id)
    await tx.rule_changes.add(made.model_copy(update={"rechecked": len(done.rechecked), "left": done.left}))
    return done


async def switch_rules(
    tx: Transaction, switch: Switch, activation_id: UUID, *, actor: str, **told: object
) -> Activation:
    """Store the project with its other rules, have samples checked again, and tell the audit trail.

    Args:
        tx: The transaction that has locked the project.
        switch: What is changed.
        activation_id: Under which it is kept.
        actor: Who does it.
        told: More for the audit trail.
    """
    project, rules, recheck = switch.before.id, switch.rules, switch.recheck
    await tx.projects.update_config(switch.after)
    await tell_rules(tx, switch.before, switch.after, actor)
    chosen = await _chosen(tx, project, recheck, rules)
    # Locks of several samples are always taken in the order of their ids.
    again = {
        ref
        for ref in sorted(chosen, key=lambda ref: ref.sample_id)
        if await check_again(
            tx, ref, lambda sample: sample.is_rechecked(rules), _TAKEN_BACK, f"rules-{rules.sha256[:16]}"
        )
    }
    rechecked = tuple(ref for ref in chosen if ref in again)
    stages = await tx.samples.count_by_stage(project)
    done = Activation(
        activation_id=activation_id,
        project=project,
        before=switch.before.config.rule_set,
        rule_set=rules.reference,
        rechecked=rechecked,
        left=sum(stages.get(stage, 0) for stage in IN_REVIEW) - len(rechecked),
    )
    tx.audit.append(
        project,
        actor=actor,
        action=ACTIVATED_ACTION,
        subject=f"projects/{project}",
        body={
            "activation_id": str(activation_id),
            "before": done.before.model_dump(),
            "rule_set": done.rule_set.model_dump(),
            "rule_sha256": rules.sha256,
            "budget": recheck.budget,
            "order": recheck.order,
            "rechecked": len(rechecked),
            "left": done.left,
            "dry_run": switch.dry_run,
            **told,
        },
    )
    return done


def with_rules(project: Project, rules: RuleSet) -> Project:
    """Return a project that goes by these rules."""
    return project.model_copy(update={"config": project.config.model_copy(update={"rule_set": rules.reference})})


def recheck_of(given: Recheck) -> Recheck:
    """Return what a request says of checking again, without the rest of it."""
    return Recheck(budget=given.budget, order=given.order, dry_run_id=given.dry_run_id)


async def dry_run_of(
    tx: Transaction, project: str, dry_run_id: UUID | None, rules: RuleSet
) -> dict[str, object] | None:
    """Return the dry run's id and numbers, for the audit trail.

    Raises:
        InvalidInputError: There is none of these rules in this project.
    """
    if dry_run_id is None:
        return None
    wanted = AuditFilter(action=DRY_RUN_ACTION, subject=subject_of_dry_run(dry_run_id))
    entries = await tx.audit.list(project, after=0, limit=1, wanted=wanted)
    if not entries or entries[0].body["rule_sha256"] != rules.sha256:
        sentence = "is no dry run of this rule set in this project; try it first, or leave it out"
        raise InvalidInputError(f"/dry_run_id {sentence}", places=(("/dry_run_id", sentence),))
    return {"dry_run_id": str(dry_run_id), "counts": entries[0].body["counts"]}


async def _chosen(tx: Transaction, project: str, recheck: Recheck, rules: RuleSet) -> list[RevisionRef]:
    """Return the first samples that can be checked again, up to the budget, however many before them can not."""
    chosen: list[RevisionRef] = []
    after: RevisionRef | None = None
    while len(chosen) < recheck.budget:
        candidates = await tx.samples.checked(
            project,
            stages=IN_REVIEW,
            riskiest=recheck.order == "riskiest",
            limit=_A_PAGE,
            but_by=rules.sha256,
            asked=True,
            after=after,
        )
        for ref in candidates:
            sample = await read_open_sample(tx, await read_revision(tx, ref), await tx.review.tasks_of(ref))
            if sample.is_rechecked(rules):
                chosen.append(ref)
                if len(chosen) == recheck.budget:
                    return chosen
        if len(candidates) < _A_PAGE:
            return chosen
        after = candidates[-1]
    return chosen
