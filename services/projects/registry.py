"""Projects and rule sets: what is labelled, for what, under which rules."""

from __future__ import annotations

from services.access.keys import SYSTEM_PROJECT
from services.access.policy import Permission, ensure_sees, ensure_unscoped, may, project_not_found
from services.contracts.access import Principal
from services.contracts.canonical import content_sha256
from services.contracts.findings import RuleReference
from services.contracts.records import Project
from services.contracts.rule_changes import ListedRuleSet
from services.errors import AlreadyExistsError, ChangedMeanwhileError, ForbiddenError, InvalidInputError, NotFoundError
from services.ports.database import Database, Transaction
from services.projects.rule_set_owners import ensure_owner
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from services.taxonomy.in_use import ensure_labels_keep_classes

RULES_ACTION = "rule_set.created"


def rules_subject(rule_set_id: str, version: int) -> str:
    """Return how the audit trail names a version of a rule set."""
    return f"rule-sets/{rule_set_id}/{version}"


def version_of(project: Project) -> str:
    """Return what tells one state of a project from another; it changes with every change."""
    return content_sha256(project)


def _as_seen(project: Project, principal: Principal) -> Project:
    """Return a project without what only managers of quality are told."""
    if may(principal.role, Permission.QUALITY_MANAGE):
        return project
    config = project.config.model_copy(update={"gold": None, "second_opinions": None})
    return project.model_copy(update={"config": config})


async def rules_of(tx: Transaction, project: str) -> RuleSet:
    """Return the rule set that a project goes by now.

    Raises:
        NotFoundError: There is no such project, or its rule set is gone.
    """
    known = await tx.projects.get(project)
    if known is None:
        raise project_not_found(project)
    return await rule_set(tx, known.config.rule_set)


async def rule_set(tx: Transaction, reference: RuleReference) -> RuleSet:
    """Return a rule set version; the built-in default needs not be stored.

    Raises:
        NotFoundError: There is no such version.
    """
    return known_rules(await tx.projects.rule_set(reference), reference)


def known_rules(rules: RuleSet | None, reference: RuleReference) -> RuleSet:
    """Return a rule set version as it is stored, or the built-in default.

    Raises:
        NotFoundError: There is no such version.
    """
    if rules is None and reference == DEFAULT_RULE_SET.reference:
        return DEFAULT_RULE_SET
    if rules is None:
        raise NotFoundError(f"There is no rule set {reference.id!r} version {reference.version}.")
    return rules


async def keep_rule_set(tx: Transaction, principal: Principal, rules: RuleSet) -> None:
    """Keep a rule set version, and tell the audit trail if it is new.

    Raises:
        AlreadyExistsError: This id and version has other content.
        ForbiddenError: It is new, and others own the rule set.
    """
    known = await tx.projects.rule_set(rules.reference)
    await tx.projects.add_rule_set(rules)
    if known is None:
        await ensure_owner(tx, principal, rules.id)
        tx.audit.append(
            SYSTEM_PROJECT,
            actor=principal.actor_id,
            action=RULES_ACTION,
            subject=rules_subject(rules.id, rules.version),
            body={"sha256": rules.sha256},
        )


async def ensure_taxonomy(tx: Transaction, project: Project, place: str = "/config/taxonomy") -> None:
    """Raise InvalidInputError if the project names a taxonomy that there is not; ``place`` is where it is named."""
    reference = project.config.taxonomy
    if reference is not None and await tx.taxonomies.get(reference) is None:
        sentence = f"there is no taxonomy {reference!r}; publish it first"
        raise InvalidInputError(f"The project is not valid: {place}: {sentence}", places=((place, sentence),))


def _ensure_same_rules(known: Project, wanted: Project) -> None:
    before, after = known.config.rule_set, wanted.config.rule_set
    if after == before:
        return
    # Samples in review would keep tasks and findings of the rules before, and nobody would be told.
    sentence = (
        f"the project goes by {before.id}@{before.version}; a change of its rules has samples checked again, "
        f"so activate {after.id}@{after.version} instead: POST /v1/projects/{known.id}/rule-sets/activate, "
        f"or `concord rules activate {known.id} {after.id}@{after.version}`"
    )
    place = "/config/rule_set"
    raise InvalidInputError(f"The project is not valid: {place}: {sentence}", places=((place, sentence),))


class ProjectRegistry:
    """Creates, changes and lists projects and rule sets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, principal: Principal, project: Project) -> Project:
        """Keep a new project; the same content again answers the one that is there.

        Raises:
            ForbiddenError: The key does not cover this id, the id is reserved, or others own the rule set.
            AlreadyExistsError: The id is taken by another content.
            InvalidInputError: The rule set does not exist.
        """
        if not principal.sees(project.id):
            raise ForbiddenError(f"This key is limited to some projects; {project.id!r} is none of them.")
        if project.id == SYSTEM_PROJECT:
            raise ForbiddenError(f"The id {SYSTEM_PROJECT!r} is reserved; choose another.")
        async with self._database.transaction() as tx:
            existing = await tx.projects.get(project.id)
            if existing is not None:
                if existing == project:
                    return existing
                raise AlreadyExistsError(f"There is a project {project.id!r} already; change it with PUT.")
            await self._ensure_rules(tx, project)
            await ensure_owner(tx, principal, project.config.rule_set.id)
            await ensure_taxonomy(tx, project)
            await tx.projects.add(project)
            self._note(tx, project, actor=principal.actor_id, action="project.created")
        return project

    async def get(self, principal: Principal, project: str) -> Project:
        """Return a project.

        Raises:
            NotFoundError: There is none that the key sees.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            known = await tx.projects.get(project)
        if known is None:
            raise project_not_found(project)
        return _as_seen(known, principal)

    async def list(self, principal: Principal) -> tuple[Project, ...]:
        """Return the projects that the key sees, by id."""
        async with self._database.transaction() as tx:
            known = await tx.projects.list()
        return tuple(_as_seen(project, principal) for project in known if principal.sees(project.id))

    async def update(self, principal: Principal, project: Project, *, expected: str | None = None) -> Project:
        """Replace a project's name, purpose, domain and configuration, all but its rule set.

        Args:
            principal: Who asks.
            project: The new content.
            expected: The :func:`version_of` the content this change was made from; None changes any.

        Raises:
            NotFoundError: There is no such project that the key sees.
            ChangedMeanwhileError: Somebody else has changed it since ``expected``.
            InvalidInputError: It names another rule set, which must be activated, or a taxonomy that there is not.
            LabelInUseError: It names another taxonomy, or none, and labels in use would have no class in it.
            MigrationConflictError: It names another taxonomy, and a migration is not over.
        """
        ensure_sees(principal, project.id)
        async with self._database.transaction() as tx:
            known = await tx.projects.get(project.id, lock=True)
            if known is None:
                raise project_not_found(project.id)
            if expected is not None and expected != version_of(known):
                raise ChangedMeanwhileError(f"Project {project.id!r} was changed since you read it; read it again.")
            if known == project:
                return known
            _ensure_same_rules(known, project)
            await ensure_taxonomy(tx, project)
            await ensure_labels_keep_classes(tx, known, project, "/config/taxonomy")
            await tx.projects.update_config(project)
            self._note(tx, project, actor=principal.actor_id, action="project.updated", before=known)
        return project

    async def add_rule_set(self, principal: Principal, rules: RuleSet) -> RuleReference:
        """Keep a rule set version; the same content again is nothing new.

        Raises:
            ForbiddenError: The key is limited to some projects; rule sets are shared by all.
            AlreadyExistsError: This id and version has other content.
        """
        ensure_unscoped(principal, "A rule set")
        async with self._database.transaction() as tx:
            if rules.reference == DEFAULT_RULE_SET.reference and rules != DEFAULT_RULE_SET:
                raise AlreadyExistsError("default version 1 is built in; choose another version.")
            await keep_rule_set(tx, principal, rules)
        return rules.reference

    async def rule_set(self, reference: RuleReference) -> RuleSet:
        """Return a rule set version; they are shared by all projects.

        Raises:
            NotFoundError: There is no such version.
        """
        async with self._database.transaction() as tx:
            return await rule_set(tx, reference)

    async def list_rule_sets(self) -> tuple[ListedRuleSet, ...]:
        """Return all rule set versions with their owners, the built-in default among them, by id and version."""
        async with self._database.transaction() as tx:
            known = set(await tx.projects.list_rule_sets())
            owners = {item.rule_set_id: item.owners for item in await tx.rule_changes.every_owner()}
        known.add(DEFAULT_RULE_SET.reference)
        return tuple(
            ListedRuleSet(id=reference.id, version=reference.version, owners=owners.get(reference.id, ()))
            for reference in sorted(known, key=lambda reference: (reference.id, reference.version))
        )

    @staticmethod
    async def _ensure_rules(tx: Transaction, project: Project) -> None:
        reference = project.config.rule_set
        if await tx.projects.rule_set(reference) is not None:
            return
        if reference == DEFAULT_RULE_SET.reference:
            # Kept with its first project: what a check run refers to must stand beside it.
            await tx.projects.add_rule_set(DEFAULT_RULE_SET)
            return
        sentence = f"there is no rule set {reference.id!r} version {reference.version}; create it first"
        place = "/config/rule_set"
        raise InvalidInputError(f"The project is not valid: {place}: {sentence}", places=((place, sentence),))

    @staticmethod
    def _note(tx: Transaction, project: Project, *, actor: str, action: str, before: Project | None = None) -> None:
        tx.audit.append(
            project.id,
            actor=actor,
            action=action,
            subject=f"projects/{project.id}",
            body={
                "before_sha256": None if before is None else version_of(before),
                "content_sha256": version_of(project),
                "rule_set": {"id": project.config.rule_set.id, "version": project.config.rule_set.version},
            },
        )
