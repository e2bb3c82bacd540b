"""Calls about projects as documents, and about the change of their rules."""

from __future__ import annotations

from infra.api_pages import VERIFY_WITHIN_S, Page, path_part
from infra.client_incidents import IncidentCalls
from services.contracts.definition import AppliedDefinition, DefinitionPlan, DefinitionVersion, ProjectDefinition
from services.contracts.rule_changes import Activation, ActivationRequest, DryRun, DryRunRequest


class DefinitionCalls(IncidentCalls):
    """The part of the API that makes a project what its definition says."""

    async def definition(self, project: str) -> ProjectDefinition:
        """Return the definition that makes the project what it is now."""
        return ProjectDefinition.model_validate(await self.call("GET", _path(project)))

    async def plan_definition(self, definition: ProjectDefinition) -> DefinitionPlan:
        """Return what applying a definition would change."""
        return DefinitionPlan.model_validate(await self.call("POST", f"{_path(definition.id)}/plan", definition))

    async def apply_definition(
        self, definition: ProjectDefinition, *, state_sha256: str | None = None
    ) -> AppliedDefinition:
        """Make a project what the definition says; with a plan's ``state_sha256`` only if it still is what it was."""
        answer = await self.call("PUT", _path(definition.id), definition, if_match=state_sha256)
        return AppliedDefinition.model_validate(answer)

    async def revert_definition(self, project: str, version: int) -> AppliedDefinition:
        """Make a project again what an earlier version of its definition said."""
        answer = await self.call("POST", f"{_path(project)}/revert", {"version": version})
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


def _rules_path(project: str) -> str:
    return f"/v1/projects/{path_part(project)}/rule-sets"


def _path(project: str) -> str:
    return f"/v1/projects/{path_part(project)}/definition"
