"""Activations from a future moment on: scheduled, cancelled, and done exactly once when their moment has come.

What is scheduled is a row, and the row's state says whether it was done: it is changed in the transaction that
changes the project. Whoever finds that its moment has come may do it, the timer or a check of a sample; the second
waits for the first and finds nothing left to do.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import SYSTEM_ACTOR, Principal
from services.contracts.rule_changes import ActivationState, RuleActivation, ScheduleRequest
from services.errors import (
    ActivationConflictError,
    ConcordError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from services.ports.database import Database, Transaction
from services.projects.registry import known_rules, rule_set
from services.projects.rule_set_owners import ensure_owner
from services.rule_changes.activation import Switch, dry_run_of, recheck_of, switch_rules, with_rules
from services.taxonomy.open_labels import ensure_open_labels_asked

_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)
_DEFECT = "defect"


async def schedule(database: Database, principal: Principal, project: str, given: ScheduleRequest) -> RuleActivation:
    """Let a project go by a rule set from a moment on.

    Raises:
        NotFoundError: There is no such project that the key sees, or no such rule set.
        ForbiddenError: Others own the rule set.
        InvalidInputError: The moment has passed, or the dry run is not one of these rules in this project.
        ActivationConflictError: Another is scheduled for that very moment.
        MigrationConflictError: Nobody would be asked about labels that a taxonomy migration leaves to people.
    """
    ensure_sees(principal, project)
    async with database.transaction() as tx:
        if await tx.projects.get(project, lock=True) is None:
            raise project_not_found(project)
        rules = known_rules(await tx.projects.rule_set(given.rule_set), given.rule_set)
        await ensure_owner(tx, principal, rules.id)
        await ensure_open_labels_asked(tx, project, rules)
        now = await tx.now()
        if given.effective_at <= now:
            sentence = (
                f"{given.effective_at.isoformat()} has passed, it is {now.isoformat(timespec='seconds')}; "
                "name a later moment, or leave it out to activate the rules now"
            )
            raise InvalidInputError(f"/effective_at: {sentence}", places=(("/effective_at", sentence),))
        dry_run = await dry_run_of(tx, project, given.dry_run_id, rules)
        await tx.projects.add_rule_set(rules)
        made = RuleActivation(
            activation_id=uuid4(),
            project=project,
            rule_set=rules.reference,
            rule_sha256=rules.sha256,
            state=ActivationState.SCHEDULED,
            effective_at=given.effective_at,
            recheck=recheck_of(given),
            requested_by=principal.actor_id,
            requested_at=now,
        )
        await tx.rule_changes.add(made)
        _note(tx, made, actor=principal.actor_id, action="scheduled", dry_run=dry_run)
    return made


async def cancel(database: Database, principal: Principal, project: str, activation_id: UUID) -> RuleActivation:
    """Take a scheduled activation back; the same again changes nothing.

    Raises:
        NotFoundError: There is none such in a project that the key sees.
        ForbiddenError: Others own the rule set.
        ActivationConflictError: It was done.
    """
    ensure_sees(principal, project)
    async with database.transaction() as tx:
        known = await tx.rule_changes.get(project, activation_id, lock=True)
        if known is None:
            raise NotFoundError(f"There is no activation {activation_id} in project {project!r}.")
        if known.state is ActivationState.CANCELLED:
            return known
        if known.state is ActivationState.ACTIVATED:
            raise ActivationConflictError(
                f"It was done: the project went over to {known.rule_set.id}@{known.rule_set.version}. "
                "Activate the rule set that it shall go by."
            )
        await ensure_owner(tx, principal, known.rule_set.id)
        done = known.model_copy(
            update={
                "state": ActivationState.CANCELLED,
                "cancelled_by": principal.actor_id,
                "cancelled_at": await tx.now(),
            }
        )
        await tx.rule_changes.put(done)
        _note(tx, done, actor=principal.actor_id, action="cancelled")
    return done


async def activations(
    database: Database, principal: Principal, project: str, *, after: tuple[datetime, UUID] | None, limit: int
) -> tuple[RuleActivation, ...]:
    """Return from when on a project went, goes, or shall go by which rules; what takes effect last comes first.

    Raises:
        NotFoundError: There is no such project that the key sees.
    """
    ensure_sees(principal, project)
    async with database.transaction() as tx:
        if await tx.projects.get(project) is None:
            raise project_not_found(project)
        return await tx.rule_changes.list(project, after=after, limit=limit)


async def activate_due(database: Database, project: str) -> tuple[RuleActivation, ...]:
    """Do the activations of a project whose moment has come, the earliest first; return those that were done here.

    Each is one transaction. Two that do this at once do each activation once. One that fails is noted with its fault
    and tried again later, after a minute, two, … at most an hour; until then the project goes by the rules before, and
    the activations after it wait.

    Raises:
        UnavailableError: The database does not answer.
        Exception: What an activation failed with, once that is noted.
    """
    done: list[RuleActivation] = []
    while True:
        async with database.transaction() as tx:
            due = await tx.rule_changes.next_due(project)
        if due is None:
            return tuple(done)
        try:
            async with database.transaction() as tx:
                made = await _activate_one(tx, due)
        except UnavailableError:
            raise
        except Exception as error:
            await _note_failure(database, due, error)
            raise
        if made is not None:
            done.append(made)


async def _note_failure(database: Database, due: RuleActivation, error: Exception) -> None:
    """Let a due activation wait before it is tried again, the longer the more often it has failed."""
    async with database.transaction() as tx:
        known = await tx.rule_changes.get(due.project, due.activation_id, lock=True)
        if known is None or known.state is not ActivationState.SCHEDULED:
            return
        pause = min(_FIRST_PAUSE * 2**known.failures, _LONGEST_PAUSE)
        failed = {
            "failures": known.failures + 1,
            "fault": error.code if isinstance(error, ConcordError) else _DEFECT,
            "try_again_at": await tx.now() + pause,
        }
        await tx.rule_changes.put(known.model_copy(update=failed))


async def _activate_one(tx: Transaction, due: RuleActivation) -> RuleActivation | None:
    """Do an activation unless somebody else has meanwhile done or cancelled it."""
    # The project first, as everybody does who changes its rules.
    before = await tx.projects.get(due.project, lock=True)
    known = await tx.rule_changes.get(due.project, due.activation_id, lock=True)
    if before is None or known is None or known.state is not ActivationState.SCHEDULED:
        return None
    rules = await rule_set(tx, known.rule_set)
    dry_run = await dry_run_of(tx, known.project, known.recheck.dry_run_id, rules)
    done = await switch_rules(
        tx,
        Switch(before, with_rules(before, rules), rules, known.recheck, dry_run),
        known.activation_id,
        actor=SYSTEM_ACTOR,
        scheduled_by=known.requested_by,
        effective_at=known.effective_at.isoformat(),
    )
    made = known.model_copy(
        update={
            "state": ActivationState.ACTIVATED,
            "before": done.before,
            "activated_at": await tx.now(),
            "fault": None,
            "try_again_at": None,
            "rechecked": len(done.rechecked),
            "left": done.left,
        }
    )
    await tx.rule_changes.put(made)
    return made


def _note(tx: Transaction, activation: RuleActivation, *, actor: str, action: str, **told: object) -> None:
    tx.audit.append(
        activation.project,
        actor=actor,
        action=f"rule_set.activation_{action}",
        subject=f"projects/{activation.project}",
        body={
            "activation_id": str(activation.activation_id),
            "rule_set": activation.rule_set.model_dump(),
            "rule_sha256": activation.rule_sha256,
            "effective_at": activation.effective_at.isoformat(),
            "budget": activation.recheck.budget,
            "order": activation.recheck.order,
            **told,
        },
    )
