from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import ApiKeyInfo, Principal, Role
from services.contracts.findings import RuleReference
from services.contracts.records import Project, ProjectConfig
from services.errors import AlreadyExistsError, NotFoundError
from services.rules.rule_set import DEFAULT_RULE_SET

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def a_key(key_id: str = "k1", **changes: object) -> ApiKeyInfo:
    values: dict[str, object] = {
        "key_id": key_id,
        "actor_id": "ann",
        "role": Role.REVIEWER,
        "projects": ("a", "b"),
        "skills": ("spatial",),
        "created_at": NOW,
    }
    return ApiKeyInfo.model_validate(values | changes)


async def test_key_names_its_principal_until_it_is_revoked(database: PostgresDatabase) -> None:
    async with database.transaction() as tx:
        await tx.access.add_key(a_key(), "aa")
        await tx.access.add_key(a_key("k2", projects=None, role=Role.ADMIN), "bb")
        assert await tx.access.principal_of("aa") == Principal(
            actor_id="ann", key_id="k1", role=Role.REVIEWER, projects=("a", "b"), skills=("spatial",)
        )
        unlimited = await tx.access.principal_of("bb")
        assert unlimited is not None
        assert unlimited.projects is None
        assert await tx.access.principal_of("cc") is None
        assert await tx.access.revoke_key("k1")
        assert not await tx.access.revoke_key("k1")
        assert not await tx.access.revoke_key("unknown")
        assert await tx.access.principal_of("aa") is None
        listed = await tx.access.list_keys()
    assert [key.key_id for key in listed] == ["k1", "k2"]
    assert listed[0].revoked_at is not None
    assert listed[1] == a_key("k2", projects=None, role=Role.ADMIN)


async def test_expired_key_names_nobody_by_the_databases_clock(database: PostgresDatabase) -> None:
    async with database.transaction() as tx:
        now = await tx.now()
        await tx.access.add_key(a_key("past", expires_at=now - timedelta(seconds=1)), "aa")
        await tx.access.add_key(a_key("future", expires_at=now + timedelta(hours=1)), "bb")
        assert await tx.access.principal_of("aa") is None
        assert await tx.access.principal_of("bb") is not None


async def test_known_key_id_or_secret_is_refused(database: PostgresDatabase) -> None:
    async with database.transaction() as tx:
        await tx.access.add_key(a_key(), "aa")
        for key, secret in ((a_key(), "bb"), (a_key("k2"), "aa")):
            with pytest.raises(AlreadyExistsError):
                await tx.access.add_key(key, secret)
        assert len(await tx.access.list_keys()) == 1


async def test_projects_are_kept_updated_and_listed(database: PostgresDatabase) -> None:
    project = Project(id="a", name="Ä", purpose="p", domain="av", config=ProjectConfig(lease_s=60, annotate="never"))
    async with database.transaction() as tx:
        assert await tx.projects.get("a") is None
        await tx.projects.add(Project(id="b", name="B"))
        await tx.projects.add(project)
        with pytest.raises(AlreadyExistsError):
            await tx.projects.add(project)
    changed = project.model_copy(update={"name": "New", "config": ProjectConfig()})
    async with database.transaction() as tx:
        assert await tx.projects.get("a", lock=True) == project
        await tx.projects.update_config(changed)
        assert await tx.projects.get("a") == changed
        assert await tx.projects.list() == (changed, Project(id="b", name="B"))
        with pytest.raises(NotFoundError):
            await tx.projects.update_config(Project(id="c", name="C"))


async def test_locked_project_is_changed_by_one_after_the_other(database: PostgresDatabase) -> None:
    async with database.transaction() as tx:
        await tx.projects.add(Project(id="a", name="A"))

    async def add_one() -> None:
        async with database.transaction() as tx:
            project = await tx.projects.get("a", lock=True)
            assert project is not None
            await tx.projects.update_config(project.model_copy(update={"name": project.name + "x"}))

    await asyncio.gather(*(add_one() for _ in range(10)))
    async with database.transaction() as tx:
        project = await tx.projects.get("a")
    assert project is not None
    assert project.name == "A" + 10 * "x"


async def test_rule_set_version_keeps_its_content(database: PostgresDatabase) -> None:
    second = DEFAULT_RULE_SET.model_copy(update={"version": 2, "description": "stricter"})
    async with database.transaction() as tx:
        assert await tx.projects.rule_set(DEFAULT_RULE_SET.reference) is None
        await tx.projects.add_rule_set(second)
        await tx.projects.add_rule_set(DEFAULT_RULE_SET)
        await tx.projects.add_rule_set(DEFAULT_RULE_SET)
        with pytest.raises(AlreadyExistsError):
            await tx.projects.add_rule_set(second.model_copy(update={"description": "laxer"}))
        stored = await tx.projects.rule_set(second.reference)
        assert await tx.projects.list_rule_sets() == (
            RuleReference(id="default", version=1),
            RuleReference(id="default", version=2),
        )
    assert stored == second
    assert stored is not None
    assert stored.sha256 == second.sha256
