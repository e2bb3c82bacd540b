"""The role of the running product: all of the daily work, and none of what would change history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase, open_database
from infra.db.roles import app_password, app_url, grant_app_role
from services.audit.telling import AnchorTeller
from services.audit.verify import verify_project
from services.contracts.access import Principal, Role
from services.contracts.datasets import NewDataset, NewVersion
from services.contracts.erasure import ErasureRequest, OfSamples, Retention
from services.contracts.notes import NewNote
from services.datasets.shelf import DatasetShelf
from services.erasure.desk import ErasureDesk
from services.erasure.retention import RetentionKeeper
from services.errors import InvalidInputError
from services.notes.book import NoteBook
from services.quality.rejudging import StandingKeeper
from tests.committed import committed_sample
from tests.expired import expired_samples, set_retention
from tests.intake_events import PROJECT, add_project

pytestmark = pytest.mark.servers
ADMIN = Principal(actor_id="ada", key_id="key-ada", role=Role.ADMIN, projects=None, skills=())


@pytest.fixture
async def restricted_url(database_url: str) -> AsyncIterator[str]:
    """The database as a role of its own sees it; roles belong to the whole server, so it goes away again."""
    role, password = f"app_{uuid4().hex[:12]}", "it's; a secret"
    await grant_app_role(database_url, role, password=password)
    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    try:
        yield urlunsplit(parts._replace(netloc=f"{role}:{quote(password)}@{host}"))
    finally:
        owner = await asyncpg.connect(database_url)
        await owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await owner.close()


async def test_the_product_does_its_work_under_the_restricted_role(restricted_url: str) -> None:
    async with open_database(restricted_url, pool_size=5) as database:
        await database.ping()
        await add_project(database)
        record = await committed_sample(database, "s-1")
        await NoteBook(database).write(ADMIN, PROJECT, "s-1", NewNote(body="hello"))
        shelf = DatasetShelf(database)
        await shelf.create(ADMIN, PROJECT, NewDataset(name="calls"))
        assert (await shelf.make_version(ADMIN, PROJECT, "calls", NewVersion())).content.samples == 1
        desk = ErasureDesk(database)
        request = ErasureRequest(subject=OfSamples(sample_ids=("s-1",)), reason="asked for")
        ordered = await desk.order(ADMIN, PROJECT, request)
        assert (await desk.apply(ADMIN, PROJECT, ordered.erasure_id)).counts.erased == 1
        report = await verify_project(database, PROJECT)
    assert report.faults == ()
    assert (report.records, report.dataset_versions, report.erased) == (1, 1, 1)
    assert record.ref.sample_id == "s-1"


async def test_upkeep_does_its_work_under_the_restricted_role(database_url: str, restricted_url: str) -> None:
    async with open_database(restricted_url, pool_size=5) as database:
        await set_retention(database, Retention(keep_days=30, when_expired="erase"))
        await expired_samples(database, database_url, ("s-1",))
        for keeper in (RetentionKeeper(database), AnchorTeller(database, 60.0), StandingKeeper(database)):
            while await keeper.step():
                pass
        assert (await verify_project(database, PROJECT)).erased == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor = 'eve'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries CASCADE",
        "DELETE FROM audit_heads",
        "TRUNCATE audit_heads",
        "UPDATE audit_heads SET project = 'other'",
        "UPDATE audit_personal SET value = 'x'",
        "DELETE FROM audit_personal",
        "UPDATE ground_truth SET body = '{}'",
        "DELETE FROM ground_truth_origins",
        "UPDATE stage_changes SET actor = 'eve'",
        "UPDATE decisions SET note = 'x'",
        "UPDATE label_sets SET annotations = '[]'",
        "UPDATE sample_revisions SET manifest = '{}'",
        "DELETE FROM sample_revisions",
        "UPDATE alembic_version SET version_num = 'x'",
        "UPDATE tombstones SET erased_by = 'eve'",
        "SELECT set_config('concord.erasing', pg_current_xact_id()::text, true); UPDATE ground_truth SET body = '{}'",
        "DROP TABLE audit_entries CASCADE",
        "ALTER TABLE audit_entries DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "CREATE TABLE mine (x int)",
        "CREATE OR REPLACE FUNCTION concord_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    ],
)
async def test_the_database_refuses_the_restricted_role(
    database: PostgresDatabase, restricted_url: str, statement: str
) -> None:
    await add_project(database)
    await committed_sample(database, "s-1")
    connection = await asyncpg.connect(restricted_url)
    try:
        # Refused for want of a right, before any trigger is asked.
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()
    assert (await verify_project(database, PROJECT)).faults == ()


async def test_rights_are_given_again_after_every_migration(database_url: str, restricted_url: str) -> None:
    role = urlsplit(restricted_url).username
    assert role is not None
    await grant_app_role(database_url, role)
    connection = await asyncpg.connect(restricted_url)
    assert await connection.fetchval("SELECT count(*) FROM audit_entries") == 0
    await connection.close()


async def test_a_role_that_no_right_can_be_kept_from_is_refused(database_url: str) -> None:
    owner = urlsplit(database_url).username
    assert owner is not None
    with pytest.raises(InvalidInputError, match="superuser"):
        await grant_app_role(database_url, owner)
    with pytest.raises(InvalidInputError, match="there is no role"):
        await grant_app_role(database_url, 'no"body')


def test_the_embedded_role_has_a_password_that_only_the_owner_could_make() -> None:
    owner = "postgresql://concord:s%20ecret@127.0.0.1:5433/concord?sslmode=disable"
    url = app_url(owner)
    assert url == f"postgresql://concord_app:{app_password(owner)}@127.0.0.1:5433/concord?sslmode=disable"
    assert app_password(owner) != app_password(owner.replace("s%20ecret", "other"))
