"""What is no longer kept goes by itself: once, whoever looks after it and whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from infra.db.engine import PostgresDatabase, open_database
from infra.upkeep import Chore, Upkeep
from services.audit.verify import verify_project
from services.contracts.access import SYSTEM_ACTOR, Principal, Role
from services.contracts.erasure import Erasure, NewHold, Retention
from services.contracts.lifecycle import RevisionRef
from services.contracts.project_events import ErasureProposed, SubjectErased
from services.contracts.records import Project
from services.erasure import applying
from services.erasure.desk import ErasureDesk
from services.erasure.retention import RetentionKeeper
from services.erasure.tombstones import ERASED_ACTION
from services.ports.database import Database, Transaction
from tests.committed import committed_sample
from tests.expired import expired_samples, set_retention
from tests.intake_events import PROJECT

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
ADMIN = Principal(actor_id="ada", key_id="key-ada", role=Role.ADMIN, projects=None)
ERASE = Retention(keep_days=30, when_expired="erase")
PROPOSE = Retention(keep_days=30)
NAMES = tuple(f"s-{number}" for number in range(6))


async def keep(database: PostgresDatabase, most_at_once: int = 10_000) -> None:
    """Do all that there is to do."""
    await do_all(RetentionKeeper(database, most_at_once=most_at_once))


async def do_all(keeper: RetentionKeeper) -> None:
    while await keeper.step():
        pass


async def erasures(database: PostgresDatabase) -> list[Erasure]:
    """All erasures, oldest first."""
    return [*reversed(await ErasureDesk(database).list(ADMIN, PROJECT, before=None, limit=100))]


async def actions(database: PostgresDatabase) -> Counter[str]:
    async with database.transaction() as tx:
        entries = await tx.audit.list(PROJECT, after=0, limit=10_000)
    return Counter(entry.action for entry in entries if entry.action.startswith(("erasure.", ERASED_ACTION)))


async def told(database: PostgresDatabase, kind: str) -> list[dict[str, Any]]:
    async with database.transaction() as tx:
        messages = await tx.outbox.pending(("event",), limit=10_000)
    return [message.body for message in messages if message.event_type == kind]


async def gone(database: PostgresDatabase) -> int:
    report = await verify_project(database, PROJECT)
    assert report.faults == ()
    return report.erased


async def test_what_has_expired_is_erased_once_and_what_has_not_stays(
    database: PostgresDatabase, database_url: str
) -> None:
    await set_retention(database, ERASE)
    await expired_samples(database, database_url, NAMES)
    await committed_sample(database, "s-new")
    await keep(database, most_at_once=4)
    assert await gone(database) == len(NAMES)
    done = await erasures(database)
    assert [(item.counts.erased, item.policy_days, item.requested_by) for item in done] == [
        (4, 30, SYSTEM_ACTOR),
        (2, 30, SYSTEM_ACTOR),
    ]
    assert all(item.finished_at is not None for item in done)
    before = await actions(database)
    assert before == {"erasure.ordered": 2, ERASED_ACTION: len(NAMES), "erasure.finished": 2}
    events = await told(database, SubjectErased.TYPE)
    assert sum(len(event["revisions"]) for event in events) == len(NAMES)
    await keep(database)
    assert (await actions(database), len(await erasures(database))) == (before, 2)
    assert await told(database, ErasureProposed.TYPE) == []


async def test_without_saying_so_it_is_only_proposed_and_a_person_applies_it(
    database: PostgresDatabase, database_url: str
) -> None:
    await set_retention(database, PROPOSE)
    await expired_samples(database, database_url, NAMES[:2])
    await asyncio.gather(*(keep(database) for _ in range(4)))
    [proposed] = await erasures(database)
    assert (proposed.counts.waiting, proposed.finished_at, await gone(database)) == (2, None, 0)
    [event] = await told(database, ErasureProposed.TYPE)
    assert (event["erasure_id"], event["revisions"], event["keep_days"]) == (str(proposed.erasure_id), 2, 30)
    done = await ErasureDesk(database).apply(ADMIN, PROJECT, proposed.erasure_id)
    assert (done.counts.erased, await gone(database)) == (2, 2)
    assert (await ErasureDesk(database).tombstone(ADMIN, PROJECT, "s-0", None)).erased_by == "ada"
    await keep(database)
    assert await actions(database) == {"erasure.proposed": 1, ERASED_ACTION: 2, "erasure.finished": 1}


async def test_what_is_held_stays_and_goes_when_it_is_released(database: PostgresDatabase, database_url: str) -> None:
    await set_retention(database, ERASE)
    await expired_samples(database, database_url, NAMES[:3])
    desk = ErasureDesk(database)
    hold = await desk.place_hold(ADMIN, PROJECT, NewHold(sample_id="s-0", reason="case 12/2026"))
    for _ in range(2):
        await keep(database)
    assert (await gone(database), len(await erasures(database))) == (2, 1)
    await desk.release_hold(ADMIN, PROJECT, hold.hold_id)
    await desk.place_hold(ADMIN, PROJECT, NewHold(reason="everything"))
    await keep(database)
    assert await gone(database) == 2
    for item in await desk.holds(ADMIN, PROJECT, before=None, limit=10):
        await desk.release_hold(ADMIN, PROJECT, item.hold_id)
    await keep(database)
    assert await gone(database) == 3


async def test_a_hold_that_comes_between_order_and_erasure_is_respected(
    database: PostgresDatabase, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_retention(database, ERASE)
    await expired_samples(database, database_url, NAMES[:2])
    erase = applying._erase

    async def hold_first(*given: Any) -> None:
        monkeypatch.setattr(applying, "_erase", erase)
        await ErasureDesk(database).place_hold(ADMIN, PROJECT, NewHold(sample_id="s-1", reason="case 12/2026"))
        await erase(*given)

    monkeypatch.setattr(applying, "_erase", hold_first)
    await keep(database)
    [done] = await erasures(database)
    assert (done.counts.erased, done.counts.held, await gone(database)) == (1, 1, 1)


async def test_an_erasure_of_a_policy_that_was_changed_is_taken_back(
    database: PostgresDatabase, database_url: str
) -> None:
    await set_retention(database, PROPOSE)
    await expired_samples(database, database_url, NAMES[:2])
    await keep(database)
    for retention in (Retention(keep_days=60, when_expired="erase"), None):
        await set_retention(database, retention)
        await keep(database)
        [taken_back] = await erasures(database)
        assert (taken_back.counts.waiting, taken_back.finished_at is not None) == (0, True)
    assert await actions(database) == {"erasure.proposed": 1, "erasure.taken_back": 1, "erasure.finished": 1}
    assert (await gone(database), await told(database, SubjectErased.TYPE)) == (0, [])
    await set_retention(database, ERASE)
    await keep(database)
    assert await gone(database) == 2


class Between:
    """A database in which something happens before one of its transactions."""

    def __init__(self, database: PostgresDatabase, before: int, happens: Callable[[], Awaitable[object]]) -> None:
        self._database = database
        self._left = before
        self._happens = happens

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        self._left -= 1
        if not self._left:
            await self._happens()
        async with self._database.transaction() as tx:
            yield tx


FIRST_SAMPLE = 3  # after the list of projects, and the order


@pytest.mark.parametrize(
    ("retention", "waiting", "taken_back"),
    [(None, 0, True), (Retention(keep_days=60, when_expired="erase"), 0, True), (PROPOSE, 4, False)],
)
async def test_a_policy_that_changes_while_a_batch_is_erased_ends_it(
    database: PostgresDatabase, database_url: str, retention: Retention | None, waiting: int, taken_back: bool
) -> None:
    await set_retention(database, ERASE)
    await expired_samples(database, database_url, NAMES)
    between = Between(database, FIRST_SAMPLE + 2, lambda: set_retention(database, retention))
    await RetentionKeeper(cast("Database", between)).step()
    [erasure] = await erasures(database)
    assert (erasure.counts.erased, erasure.counts.waiting, await gone(database)) == (2, waiting, 2)
    assert ((await actions(database))["erasure.taken_back"] == 1) is taken_back
    await keep(database)
    assert await gone(database) == 2


async def test_a_hold_that_comes_while_a_batch_is_erased_is_respected(
    database: PostgresDatabase, database_url: str
) -> None:
    await set_retention(database, ERASE)
    await expired_samples(database, database_url, NAMES)
    hold = ErasureDesk(database).place_hold(ADMIN, PROJECT, NewHold(reason="case 12/2026"))
    await RetentionKeeper(cast("Database", Between(database, FIRST_SAMPLE + 2, lambda: hold))).step()
    [erasure] = await erasures(database)
    assert (erasure.counts.erased, erasure.counts.held, await gone(database)) == (2, 4, 2)


async def test_a_person_does_not_apply_what_a_policy_proposed_that_is_gone(
    database: PostgresDatabase, database_url: str
) -> None:
    await set_retention(database, PROPOSE)
    await expired_samples(database, database_url, NAMES[:2])
    await keep(database)
    [proposed] = await erasures(database)
    await set_retention(database, None)
    done = await ErasureDesk(database).apply(ADMIN, PROJECT, proposed.erasure_id)
    assert (done.counts.erased, done.counts.waiting, done.finished_at is None) == (0, 0, False)
    assert await gone(database) == 0


async def test_a_revision_that_can_not_be_erased_keeps_no_other_waiting_and_is_tried_again(
    database: PostgresDatabase, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_retention(database, ERASE)
    await expired_samples(database, database_url, NAMES[:4])
    erase = applying._erase

    async def fails_on_one(tx: Transaction, actor: str, erasure: Erasure, ref: RevisionRef) -> None:
        if ref.sample_id == "s-0":
            raise RuntimeError("a stored document that nobody can read")
        await erase(tx, actor, erasure, ref)

    monkeypatch.setattr(applying, "_erase", fails_on_one)
    keeper = RetentionKeeper(database, most_at_once=2)
    with pytest.raises(ExceptionGroup) as told_of:
        await do_all(keeper)
    (error,) = told_of.value.exceptions
    assert error.__notes__ == [f"samples/s-0/revisions/1 of {PROJECT}"]
    assert await gone(database) == 3
    with pytest.raises(ExceptionGroup):
        await do_all(keeper)
    monkeypatch.undo()
    await do_all(keeper)
    assert await gone(database) == 4
    assert all(item.finished_at is not None for item in await erasures(database))


async def test_a_project_in_which_something_fails_keeps_no_other_waiting(
    database: PostgresDatabase, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_retention(database, ERASE, "a-broken")
    await set_retention(database, ERASE)
    await expired_samples(database, database_url, NAMES[:2])
    keeper = RetentionKeeper(database, most_at_once=1)
    order = keeper._order

    async def fails_in_one(tx: Transaction, project: Project, policy: Retention) -> Erasure | None:
        if project.id == "a-broken":
            raise RuntimeError("a fault of ours")
        return await order(tx, project, policy)

    monkeypatch.setattr(keeper, "_order", fails_in_one)
    with pytest.raises(ExceptionGroup):
        await do_all(keeper)
    assert await gone(database) == 2


async def test_a_proposal_goes_on_by_itself_once_the_policy_says_so(
    database: PostgresDatabase, database_url: str
) -> None:
    await set_retention(database, PROPOSE)
    await expired_samples(database, database_url, NAMES[:2])
    await keep(database)
    await set_retention(database, ERASE)
    await keep(database)
    [done] = await erasures(database)
    assert (done.counts.erased, done.finished_at is not None) == (2, True)


async def test_many_keepers_at_once_erase_everything_once(database: PostgresDatabase, database_url: str) -> None:
    await set_retention(database, ERASE)
    await expired_samples(database, database_url, NAMES)
    async with open_database(database_url, pool_size=4) as other:
        await asyncio.gather(*(keep(one, most_at_once=4) for one in (database, other) for _ in range(3)))
    assert await gone(database) == len(NAMES)
    assert await actions(database) == {"erasure.ordered": 2, ERASED_ACTION: len(NAMES), "erasure.finished": 2}
    assert len(await told(database, SubjectErased.TYPE)) == 2


async def test_a_keeper_that_is_killed_in_the_middle_leaves_it_to_the_next(
    database: PostgresDatabase, database_url: str
) -> None:
    await set_retention(database, ERASE)
    await expired_samples(database, database_url, NAMES)
    for after in (0, 2):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.retention_child",
            database_url,
            str(after),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert await asyncio.wait_for(child.wait(), 120) == -signal.SIGKILL
    [broken_off] = await erasures(database)
    assert (broken_off.counts.erased, broken_off.counts.waiting) == (2, len(NAMES) - 2)
    await keep(database)
    assert await gone(database) == len(NAMES)
    assert await actions(database) == {"erasure.ordered": 1, ERASED_ACTION: len(NAMES), "erasure.finished": 1}
    assert len(await told(database, SubjectErased.TYPE)) == 1


async def test_upkeep_does_it_in_one_process_and_another_takes_over(
    database: PostgresDatabase, database_url: str
) -> None:
    await set_retention(database, ERASE)
    await expired_samples(database, database_url, NAMES[:3])
    by: list[int] = []
    done = asyncio.Event()

    def upkeep(number: int, stop: asyncio.Event) -> asyncio.Task[None]:
        keeper = RetentionKeeper(database)

        async def step() -> bool:
            by.append(number)
            more = await keeper.step()
            if not more:
                done.set()
            return more

        chores = (Chore("broken", 3_600, _broken), Chore("retention", 3_600, step))
        return asyncio.create_task(Upkeep(database, chores, look_every_s=0.02).run(stop))

    stops = [asyncio.Event(), asyncio.Event()]
    tasks = [upkeep(number, stop) for number, stop in enumerate(stops)]
    await asyncio.wait_for(done.wait(), 60)
    assert (len(set(by)), await gone(database)) == (1, 3)
    leader = by[0]
    done.clear()
    stops[leader].set()
    await asyncio.wait_for(tasks[leader], 60)
    await asyncio.wait_for(done.wait(), 60)
    assert by[-1] == 1 - leader
    stops[1 - leader].set()
    await asyncio.wait_for(tasks[1 - leader], 60)


async def _broken() -> bool:
    raise RuntimeError("a fault of ours")
