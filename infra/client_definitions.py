"""Calls about projects as documents, and about the change of their rules."""

from __future__ import annotations

from uuid import UUID

from infra.api_pages import VERIFY_WITHIN_S, Page, path_part
from infra.client_incidents import IncidentCalls
from services.contracts.definition import AppliedDefinition, DefinitionPlan, DefinitionVersion, ProjectDefinition
from services.contracts.rule_changes import (
    Activation,
    ActivationRequest,
    DryRun,
    DryRunRequest,
    Order,
    OwnersRequest,
    Recheck,
    RuleActivation,
    RuleSetOwners,
    ScheduleRequest,
)


class DefinitionCalls(IncidentCalls):
    """The part of the API that makes a project what its definition says."""

    async def definition(self, project: str) -> ProjectDefinition:
        """Return the definition that makes the project what it is now."""
        return ProjectDefinition.model_validate(await self.call("GET", _path(project)))

    async def plan_definition(
        self, definition: ProjectDefinition, *, samples: int = 50, order: Order = "newest"
    ) -> DefinitionPlan:
        """Return what applying a definition would change; other rules are tried on stored samples meanwhile."""
        answer = await self.call(
            "POST",
            f"{_path(definition.id)}/plan",
            definition,
            query={"samples": samples, "order": order},
            timeout_s=VERIFY_WITHIN_S,
        )
        return DefinitionPlan.model_validate(answer)

    async def apply_definition(
        self, definition: ProjectDefinition, *, state_sha256: str | None = None, recheck: Recheck | None = None
    ) -> AppliedDefinition:
        """Make a project what the definition says; with a plan's ``state_sha256`` only if it still is what it was.

        Other rules are activated: open samples are checked again by them, as ``recheck`` says.
        """
        query = {} if recheck is None else recheck.model_dump(mode="json", exclude_none=True)
        answer = await self.call("PUT", _path(definition.id), definition, if_match=state_sha256, query=query)
        return AppliedDefinition.model_validate(answer)

    async def revert_definition(
        self, project: str, version: int, *, recheck: Recheck | None = None
    ) -> AppliedDefinition:
        """Make a project again what an earlier version of its definition said; other rules are activated."""
        given = {} if recheck is None else recheck.model_dump(mode="json", exclude_none=True)
        answer = await self.call("POST", f"{_path(project)}/revert", {"version": version, **given})
        return AppliedDefinition.model_validate(answer)

    async def definitions(
        self, project: str, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[DefinitionVersion]:
        """Return a page of the definitions that were applied, newest first."""
        return await self.page_of(DefinitionVersion, f"{_path(project)}s", cursor=cursor, limit=limit)

    async def dry_run_rules(self, project: str, given: DryRunRequest) -> DryRun:
        """Return what a rule set would change for stored samples; their checks are run meanwhile."""
        path = f"{_rules_path(project)}/dry-run"
        return DryRun.model_validate(await self.call("POST", path, given, timeout_s=VERIFY_WITHIN_S))

    async def activate_rules(self, project: str, given: ActivationRequest) -> Activation:
        """Let the project go by a stored rule set, and have open samples checked again up to the budget."""
        return Activation.model_validate(await self.call("POST", f"{_rules_path(project)}/activate", given))

    async def schedule_rules(self, project: str, given: ScheduleRequest) -> RuleActivation:
        """Let the project go by a stored rule set from a moment on that lies ahead."""
        return RuleActivation.model_validate(await self.call("POST", f"{_rules_path(project)}/schedule", given))

    async def rule_activations(
        self, project: str, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[RuleActivation]:
        """Return a page of what the project went, goes, or shall go by; what takes effect last comes first."""
        return await self.page_of(RuleActivation, f"{_rules_path(project)}/activations", cursor=cursor, limit=limit)

    async def cancel_activation(self, project: str, activation_id: UUID) -> RuleActivation:
        """Take a scheduled activation back."""
        path = f"{_rules_path(project)}/activations/{activation_id}/cancel"
        return RuleActivation.model_validate(await self.call("POST", path))

    async def rule_set_owners(self, rule_set_id: str) -> RuleSetOwners:
        """Return who may publish versions of a rule set and activate them."""
        return RuleSetOwners.model_validate(await self.call("GET", _owners_path(rule_set_id)))

    async def set_rule_set_owners(self, rule_set_id: str, owners: tuple[str, ...]) -> RuleSetOwners:
        """Name the owners of a rule set; once there are some, only they name others."""
        answer = await self.call("PUT", _owners_path(rule_set_id), OwnersRequest(owners=owners))
        return RuleSetOwners.model_validate(answer)


def _owners_path(rule_set_id: str) -> str:
    return f"/v1/rule-sets/{path_part(rule_set_id)}/owners"


def _rules_path(project: str) -> str:
    return f"/v1/projects/{path_part(project)}/rule-sets"


def _path(project: str) -> str:
    return f"/v1/projects/{path_part(project)}/definition"
