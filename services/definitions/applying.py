"""Make a project what its definition says: plan, apply in one transaction, go back.

Where the rules are others than before, a plan tries them on stored samples, and an apply activates them: what is open
is checked again by them, as after any other change of a project's rules.
"""

from __future__ import annotations

from services.access.keys import SYSTEM_PROJECT
from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.canonical import content_sha256
from services.contracts.definition import (
    MAX_CHANGES,
    AppliedDefinition,
    DefinitionOrigin,
    DefinitionPlan,
    DefinitionVersion,
    ProjectDefinition,
    RuleChange,
)
from services.contracts.project_events import DefinitionApplied
from services.contracts.records import Project
from services.contracts.rule_changes import Activation, Order, Recheck
from services.errors import (
    ChangedMeanwhileError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from services.lifecycle.project_events import tell_project
from services.ports.checks import CheckRunner
from services.ports.database import Database, Transaction
from services.projects.definition import ProjectState, changes, compiled, definition_of, state_sha256
from services.projects.registry import ensure_taxonomy, keep_rule_set, rule_set
from services.projects.rule_set_owners import ensure_owner
from services.rule_changes.activation import Switch, dry_run_of, switch_now
from services.rule_changes.dry_run import Proposal, try_proposal
from services.taxonomy.in_use import ensure_labels_keep_classes
from services.taxonomy.open_labels import ensure_open_labels_asked

_TAXONOMY = "/settings/taxonomy"


class ProjectDefinitions:
    """Plans and applies definitions of projects.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self, principal: Principal, project: str) -> tuple[ProjectDefinition, str]:
        """Return the definition that makes the project what it is now, and the hash of that state.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            state = await _state(tx, project)
        if state is None:
            raise project_not_found(project)
        return definition_of(state), state_sha256(state)

    async def plan(
        self,
        principal: Principal,
        definition: ProjectDefinition,
        *,
        runner: CheckRunner | None = None,
        samples: int = 0,
        order: Order = "newest",
    ) -> DefinitionPlan:
        """Return what applying a definition would change, with a dry run of its rules where they are others.

        Args:
            principal: Who asks.
            definition: What the project is to be.
            runner: Runs the checks of the dry run; None where this server runs none.
            samples: The rules are tried on at most so many; 0 for no dry run.
            order: Which come first.

        Raises:
            NotFoundError: The key does not cover this project.
            InvalidInputError: It would change more than can be told, or names a taxonomy that there is not.
            LabelInUseError: It names another taxonomy, or none, and labels in use would have no class in it.
            MigrationConflictError: Nobody would be asked about labels that a taxonomy migration leaves to people, or it
                names another taxonomy before one is over.
        """
        _ensure_covered(principal, definition.id)
        async with self._database.transaction() as tx:
            now = await _state(tx, definition.id)
            plan, wanted = await _planned(tx, definition, now)
        if now is None or plan.rules is None:
            return plan
        return plan.model_copy(
            update={"rules": await self._tried(principal, plan.rules, now, wanted, runner, samples, order)}
        )

    async def _tried(
        self,
        principal: Principal,
        change: RuleChange,
        now: ProjectState,
        wanted: ProjectState,
        runner: CheckRunner | None,
        samples: int,
        order: Order,
    ) -> RuleChange:
        if not samples:
            return change.model_copy(update={"not_tried": "It was not asked for."})
        proposal = Proposal(now.project, now.queues, wanted.project, wanted.queues, wanted.rules)
        try:
            made = await try_proposal(self._database, principal, proposal, runner, samples=samples, order=order)
        except UnavailableError as error:
            # What would be changed is known all the same.
            return change.model_copy(update={"not_tried": error.detail[:2_000]})
        return change.model_copy(update={"dry_run": made})

    async def apply(
        self,
        principal: Principal,
        definition: ProjectDefinition,
        *,
        expected: str | None = None,
        recheck: Recheck | None = None,
    ) -> AppliedDefinition:
        """Make a project what a definition says, all of it or nothing; the same again changes nothing.

        Rules that are new become the next version of the rule set named after the project; no version ever changes.
        Rules that are others than the project goes by are activated: open samples are checked again, up to the budget.
        Queues that the definition does not name are removed; tasks that wait in them stay there.

        Args:
            principal: Who asks.
            definition: What the project is to be.
            expected: The plan's ``state_sha256``; None applies to any state.
            recheck: Which open samples are checked again where the rules are others.

        Raises:
            NotFoundError: The key does not cover this project.
            ForbiddenError: The rules are others, and somebody else owns their rule set.
            InvalidInputError: The dry run is not one of these rules in this project.
            LabelInUseError: It names another taxonomy, or none, and labels in use would have no class in it.
            MigrationConflictError: Nobody would be asked about labels that a taxonomy migration leaves to people, or it
                names another taxonomy before one is over.
            ChangedMeanwhileError: The project is no longer what it was when the plan was made.
        """
        _ensure_covered(principal, definition.id)
        async with self._database.transaction() as tx:
            return await _apply(tx, principal, definition, expected, recheck, origin="applied")

    async def revert(
        self,
        principal: Principal,
        project: str,
        version: int,
        *,
        expected: str | None = None,
        recheck: Recheck | None = None,
    ) -> AppliedDefinition:
        """Make a project again what an earlier version of its definition said; this is a version of its own.

        Raises:
            NotFoundError: There is no such version.
            ForbiddenError: The rules are others, and somebody else owns their rule set.
            InvalidInputError: The dry run is not one of these rules in this project.
            LabelInUseError: It names another taxonomy, or none, and labels in use would have no class in it.
            MigrationConflictError: Nobody would be asked about labels that a taxonomy migration leaves to people, or it
                names another taxonomy before one is over.
            ChangedMeanwhileError: The project is no longer what ``expected`` says.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            kept = await tx.projects.definition(project, version)
            if kept is None:
                raise NotFoundError(f"Project {project!r} has no version {version} of its definition.")
            return await _apply(
                tx, principal, kept.definition, expected, recheck, origin="reverted", reverts_to=version
            )

    async def history(
        self, principal: Principal, project: str, *, before: int | None, limit: int
    ) -> tuple[DefinitionVersion, ...]:
        """Return versions of a project's definition, newest first.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            if await tx.projects.get(project) is None:
                raise project_not_found(project)
            return await tx.projects.list_definitions(project, before=before, limit=limit)


def _ensure_covered(principal: Principal, project: str) -> None:
    # What the key does not cover reads as what is not there, whether the project is there or not.
    ensure_sees(principal, project)
    if project == SYSTEM_PROJECT:
        raise ForbiddenError(f"The id {SYSTEM_PROJECT!r} is reserved; choose another.")


async def _state(tx: Transaction, project: str, *, lock: bool = False) -> ProjectState | None:
    known = await tx.projects.get(project, lock=lock)
    if known is None:
        return None
    return ProjectState(known, await rule_set(tx, known.config.rule_set), await tx.queues.list(project))


async def _planned(
    tx: Transaction, definition: ProjectDefinition, now: ProjectState | None
) -> tuple[DefinitionPlan, ProjectState]:
    wanted = compiled(definition, now, await tx.projects.newest_rule_set(definition.id))
    await ensure_taxonomy(tx, wanted.project, _TAXONOMY)
    if now is not None:
        await ensure_labels_keep_classes(tx, now.project, wanted.project, _TAXONOMY)
    found = changes(now, wanted)
    if len(found) > MAX_CHANGES:
        raise InvalidInputError(
            f"This would change {len(found)} places at once; apply at most {MAX_CHANGES} in a step."
        )
    before, after = None if now is None else now.rules.reference, wanted.rules.reference
    if before not in (None, after):
        await ensure_open_labels_asked(tx, definition.id, wanted.rules)
    plan = DefinitionPlan(
        project=definition.id,
        creates=now is None,
        state_sha256=state_sha256(now),
        changes=found,
        rule_set=f"{after.id}@{after.version}",
        rules=None if before in (None, after) else RuleChange(before=before, after=after),
    )
    return plan, wanted


async def _apply(
    tx: Transaction,
    principal: Principal,
    definition: ProjectDefinition,
    expected: str | None,
    recheck: Recheck | None,
    *,
    origin: DefinitionOrigin,
    reverts_to: int | None = None,
) -> AppliedDefinition:
    now = await _state(tx, definition.id, lock=True)
    plan, wanted = await _planned(tx, definition, now)
    if expected is not None and expected != plan.state_sha256:
        raise ChangedMeanwhileError(f"Project {definition.id!r} was changed since the plan was made; plan again.")
    if not plan.changes:
        return AppliedDefinition(plan=plan, version=None)
    await keep_rule_set(tx, principal, wanted.rules)
    activation = None
    if now is None:
        await ensure_owner(tx, principal, wanted.rules.id)
        await tx.projects.add(wanted.project)
    else:
        if not await tx.projects.list_definitions(definition.id, before=None, limit=1):
            await tx.projects.add_definition(definition_of(now), origin="found", actor=principal.actor_id)
        if plan.rules is None:
            await tx.projects.update_config(wanted.project)
    await _put_queues(tx, now, wanted)
    if now is not None and plan.rules is not None:
        activation = await _activate(tx, principal, now.project, wanted, recheck or Recheck())
    version = await tx.projects.add_definition(
        definition, origin=origin, actor=principal.actor_id, reverts_to=reverts_to
    )
    tx.audit.append(
        definition.id,
        actor=principal.actor_id,
        action=f"project.definition_{origin}",
        subject=f"projects/{definition.id}",
        body={
            "version": version,
            "reverts_to": reverts_to,
            "definition_sha256": content_sha256(definition),
            "before_sha256": plan.state_sha256,
            "after_sha256": state_sha256(wanted),
            "rule_set": plan.rule_set,
            "changes": len(plan.changes),
            "activation_id": None if activation is None else str(activation.activation_id),
        },
    )
    applied = DefinitionApplied(
        project=definition.id,
        at=await tx.now(),
        version=version,
        origin="reverted" if reverts_to is not None else "applied",
        reverts_to=reverts_to,
        definition_sha256=content_sha256(definition),
        rule_set=wanted.rules.reference,
        changes=len(plan.changes),
        actor=principal.actor_id,
    )
    await tell_project(tx, applied)
    return AppliedDefinition(plan=plan, version=version, activation=activation)


async def _put_queues(tx: Transaction, now: ProjectState | None, wanted: ProjectState) -> None:
    project = wanted.project.id
    before = {queue.name: queue for queue in now.queues} if now is not None else {}
    after = {queue.name: queue for queue in wanted.queues}
    for name in before.keys() - after.keys():
        await tx.queues.delete(project, name)
    for name, queue in after.items():
        if before.get(name) != queue:
            await tx.queues.put(project, queue)


async def _activate(
    tx: Transaction, principal: Principal, before: Project, wanted: ProjectState, recheck: Recheck
) -> Activation:
    await ensure_owner(tx, principal, wanted.rules.id)
    dry_run = await dry_run_of(tx, before.id, recheck.dry_run_id, wanted.rules)
    return await switch_now(tx, principal, Switch(before, wanted.project, wanted.rules, recheck, dry_run))
