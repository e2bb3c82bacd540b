"""Projects and rule sets."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import text

from infra.db.documents import model_text
from infra.db.repositories.base import Repository
from services.contracts.definition import DefinitionOrigin, DefinitionVersion, ProjectDefinition
from services.contracts.findings import RuleReference
from services.contracts.records import Project, ProjectConfig
from services.errors import AlreadyExistsError, NotFoundError
from services.rules.rule_set import RuleSet

_MOST_RULE_SETS = 64

_ADD = text("""
    INSERT INTO projects (id, name, purpose, decision, domain, config)
    VALUES (:id, :name, :purpose, :decision, :domain, :config) ON CONFLICT DO NOTHING
""")
_GET = "SELECT * FROM projects WHERE id = :id"
_GET_PLAIN = text(_GET)
_GET_LOCKED = text(f"{_GET} FOR NO KEY UPDATE")
_LIST = text("SELECT * FROM projects ORDER BY id")
_UPDATE = text("""
    UPDATE projects SET name = :name, purpose = :purpose, decision = :decision, domain = :domain, config = :config
    WHERE id = :id
""")
_ADD_RULES = text("""
    INSERT INTO rule_sets (id, version, sha256, document)
    VALUES (:id, :version, :sha256, :document) ON CONFLICT DO NOTHING
""")
_RULES_SHA256 = text("SELECT sha256 FROM rule_sets WHERE id = :id AND version = :version")
_RULES = text("SELECT document FROM rule_sets WHERE id = :id AND version = :version")
_NEWEST_RULES = text("SELECT coalesce(max(version), 0) AS newest FROM rule_sets WHERE id = :id")
_ADD_DEFINITION = text("""
    INSERT INTO project_definitions (project, version, definition, origin, reverts_to, actor, at)
    SELECT :project, coalesce(max(version), 0) + 1, :definition, :origin, :reverts_to, :actor, statement_timestamp()
    FROM project_definitions WHERE project = :project
    RETURNING version
""")
_DEFINITION = text("SELECT * FROM project_definitions WHERE project = :project AND version = :version")
_LIST_DEFINITIONS = text("""
    SELECT * FROM project_definitions
    WHERE project = :project AND (CAST(:before AS integer) IS NULL OR version < :before)
    ORDER BY version DESC LIMIT :limit
""")
_LIST_RULES = text("SELECT id, version FROM rule_sets ORDER BY id, version")


def _columns(project: Project) -> dict[str, str]:
    return {
        "id": project.id,
        "name": project.name,
        "purpose": project.purpose,
        "decision": project.decision,
        "domain": project.domain,
        "config": model_text(project.config),
    }


def _project_of(row: Any) -> Project:
    return Project(
        id=row.id,
        name=row.name,
        purpose=row.purpose,
        decision=row.decision,
        domain=row.domain,
        config=ProjectConfig.model_validate_json(row.config),
    )


def _definition_of(row: Any) -> DefinitionVersion:
    return DefinitionVersion(
        project=row.project,
        version=row.version,
        definition=ProjectDefinition.model_validate_json(row.definition),
        origin=row.origin,
        reverts_to=row.reverts_to,
        actor=row.actor,
        at=row.at,
    )


@lru_cache(maxsize=_MOST_RULE_SETS)
def parsed_rules(document: str) -> RuleSet:
    """Return the rule set of a stored document.

    The same text is parsed once: that takes longer than to read it, and what is stored is looked at every time.
    """
    return RuleSet.model_validate_json(document)


class PostgresProjects(Repository):
    """Implements :class:`services.ports.database.ProjectRepository`."""

    async def add(self, project: Project) -> None:
        """Keep a new project.

        Raises:
            AlreadyExistsError: Its id is taken.
        """
        if not await self._count(_ADD, **_columns(project)):
            raise AlreadyExistsError(f"there is a project {project.id} already")

    async def get(self, project: str, *, lock: bool = False) -> Project | None:
        """Return a project; with ``lock`` no other transaction changes it until this one ends."""
        row = await self._first(_GET_LOCKED if lock else _GET_PLAIN, id=project)
        return None if row is None else _project_of(row)

    async def update_config(self, project: Project) -> None:
        """Replace name, purpose, domain and configuration of a known project.

        Raises:
            NotFoundError: There is no such project.
        """
        if not await self._count(_UPDATE, **_columns(project)):
            raise NotFoundError(f"there is no project {project.id}")

    async def list(self) -> tuple[Project, ...]:
        """Return all projects by id."""
        return tuple(_project_of(row) for row in await self._run(_LIST))

    async def add_rule_set(self, rules: RuleSet) -> None:
        """Keep a rule set version.

        Raises:
            AlreadyExistsError: The version is known with other content.
        """
        sha256 = rules.sha256
        added = await self._count(
            _ADD_RULES, id=rules.id, version=rules.version, sha256=sha256, document=model_text(rules)
        )
        if added:
            return
        known = await self._first(_RULES_SHA256, id=rules.id, version=rules.version)
        if known is None or known.sha256 != sha256:
            raise AlreadyExistsError(
                f"rule set {rules.id} has a version {rules.version} with other content; use the next version"
            )

    async def rule_set(self, reference: RuleReference) -> RuleSet | None:
        """Return a rule set version."""
        row = await self._first(_RULES, id=reference.id, version=reference.version)
        return None if row is None else parsed_rules(row.document)

    async def newest_rule_set(self, rule_set_id: str) -> int:
        """Return the newest version of a rule set, 0 if there is none."""
        row = await self._first(_NEWEST_RULES, id=rule_set_id)
        return 0 if row is None else int(row.newest)

    async def add_definition(
        self, definition: ProjectDefinition, *, origin: DefinitionOrigin, actor: str, reverts_to: int | None = None
    ) -> int:
        """Keep a definition as the project's next version; return the version."""
        (row,) = await self._run(
            _ADD_DEFINITION,
            project=definition.id,
            definition=model_text(definition),
            origin=origin,
            reverts_to=reverts_to,
            actor=actor,
        )
        return int(row.version)

    async def definition(self, project: str, version: int) -> DefinitionVersion | None:
        """Return a version of a project's definition."""
        row = await self._first(_DEFINITION, project=project, version=version)
        return None if row is None else _definition_of(row)

    async def list_definitions(self, project: str, *, before: int | None, limit: int) -> tuple[DefinitionVersion, ...]:
        """Return versions of a project's definition, newest first."""
        rows = await self._run(_LIST_DEFINITIONS, project=project, before=before, limit=limit)
        return tuple(_definition_of(row) for row in rows)

    async def list_rule_sets(self) -> tuple[RuleReference, ...]:
        """Return all rule set versions by id and version."""
        return tuple(RuleReference(id=row.id, version=row.version) for row in await self._run(_LIST_RULES))
