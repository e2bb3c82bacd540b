"""Let a project go by another rule set from now on, and have open samples checked again by it, within a budget."""

from __future__ import annotations

from uuid import uuid4

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.audit import AuditFilter
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import Project
from services.contracts.rule_changes import Activation, ActivationRequest
from services.errors import InvalidInputError
from services.lifecycle.journal import tell_workflow
from services.lifecycle.project_events import tell_rules
from services.lifecycle.steps import cancel_task, is_live, lock_revision
from services.ports.database import Database, Transaction
from services.projects.registry import known_rules
from services.rule_changes.dry_run import DRY_RUN_ACTION, subject_of_dry_run
from services.rule_changes.facts import IN_REVIEW, read_facts_of
from services.rules.rule_set import RuleSet

_LOOKED_AT = 1_000
_TAKEN_BACK = "The project goes by other rules now; the sample is checked again by these."


async def activate(database: Database, principal: Principal, project: str, given: ActivationRequest) -> Activation:
    """Set a project's rule set; open samples, newest or riskiest first, are checked again up to the budget.

    A sample whose tasks nobody has begun has them taken back, and its workflow is told through the outbox; the check
    that follows asks people about what it finds. All other open samples are checked by the new rules when their
    tasks are done, and committed ones stay as they are. The same again has more samples checked: those not yet.

    Raises:
        NotFoundError: There is no such project that the key sees, or no such rule set.
        InvalidInputError: The dry run is not one of these rules in this project.
    """
    ensure_sees(principal, project)
    async with database.transaction() as tx:
        stored = await tx.projects.get(project, lock=True)
        if stored is None:
            raise project_not_found(project)
        rules = known_rules(await tx.projects.rule_set(given.rule_set), given.rule_set)
        dry_run = await _dry_run_of(tx, project, given, rules)
        await tx.projects.add_rule_set(rules)
        changed = _with_rules(stored, rules)
        await tx.projects.update_config(changed)
        await tell_rules(tx, stored, changed, principal.actor_id)
        chosen = await _chosen(tx, project, given, rules)
        # Locks of several samples are always taken in the order of their ids.
        again = {ref for ref in sorted(chosen, key=lambda ref: ref.sample_id) if await _check_again(tx, ref, rules)}
        rechecked = tuple(ref for ref in chosen if ref in again)
        stages = await tx.samples.count_by_stage(project)
        done = Activation(
            project=project,
            before=stored.config.rule_set,
            rule_set=rules.reference,
            rechecked=rechecked,
            left=sum(stages.get(stage, 0) for stage in IN_REVIEW) - len(rechecked),
        )
        tx.audit.append(
            project,
            actor=principal.actor_id,
            action="rule_set.activated",
            subject=f"projects/{project}",
            body={
                "before": done.before.model_dump(),
                "rule_set": done.rule_set.model_dump(),
                "rule_sha256": rules.sha256,
                "budget": given.budget,
                "order": given.order,
                "rechecked": len(rechecked),
                "left": done.left,
                "dry_run": dry_run,
            },
        )
    return done


def _with_rules(project: Project, rules: RuleSet) -> Project:
    return project.model_copy(update={"config": project.config.model_copy(update={"rule_set": rules.reference})})


async def _dry_run_of(
    tx: Transaction, project: str, given: ActivationRequest, rules: RuleSet
) -> dict[str, object] | None:
    """Return the dry run's id and numbers, for the audit trail.

    Raises:
        InvalidInputError: There is none of these rules in this project.
    """
    if given.dry_run_id is None:
        return None
    wanted = AuditFilter(action=DRY_RUN_ACTION, subject=subject_of_dry_run(given.dry_run_id))
    entries = await tx.audit.list(project, after=0, limit=1, wanted=wanted)
    if not entries or entries[0].body["rule_sha256"] != rules.sha256:
        sentence = "is no dry run of this rule set in this project; try it first, or leave it out"
        raise InvalidInputError(f"/dry_run_id {sentence}", places=(("/dry_run_id", sentence),))
    return {"dry_run_id": str(given.dry_run_id), "counts": entries[0].body["counts"]}


async def _chosen(tx: Transaction, project: str, given: ActivationRequest, rules: RuleSet) -> list[RevisionRef]:
    candidates = await tx.samples.checked(
        project, stages=IN_REVIEW, riskiest=given.order == "riskiest", limit=_LOOKED_AT, but_by=rules.sha256
    )
    chosen: list[RevisionRef] = []
    for ref in candidates:
        if len(chosen) == given.budget:
            break
        if (await read_facts_of(tx, ref)).is_rechecked(rules):
            chosen.append(ref)
    return chosen


async def _check_again(tx: Transaction, ref: RevisionRef, rules: RuleSet) -> bool:
    """Take the sample's tasks back and tell its workflow, unless somebody has begun one meanwhile."""
    revision = await lock_revision(tx, ref)
    for task in await tx.review.tasks_of(ref):
        if is_live(task):
            await tx.review.task(task.task_id, lock=True)
    facts = await read_facts_of(tx, ref)
    if not facts.is_rechecked(rules):
        return False
    for task in facts.live_tasks:
        await cancel_task(tx, task, _TAKEN_BACK)
    await tell_workflow(tx, revision, "decision_recorded", f"rules-{rules.sha256[:16]}-{uuid4().hex}", "")
    return True
