import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import guard
from activities.guard import DEFECT, MAX_ATTEMPTS, guarded
from services.errors import IntegrityError, NotFoundError, UnavailableError


async def fail(error: Exception) -> None:
    async with guarded():
        raise error


async def failure_of(error: Exception, *, attempt: int = 1) -> ApplicationError:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)
    with pytest.raises(ApplicationError) as failure:
        await environment.run(fail, error)
    return failure.value


@pytest.mark.parametrize(
    ("error", "code", "final"),
    [
        (UnavailableError("the database is away"), "unavailable", False),
        (NotFoundError("no such sample"), "not-found", True),
        (IntegrityError("two records"), "integrity", True),
    ],
)
async def test_business_fact_keeps_its_code_and_is_tried_again_only_where_that_helps(
    error: Exception, code: str, final: bool
) -> None:
    failure = await failure_of(error, attempt=MAX_ATTEMPTS + 5)
    assert (failure.type, failure.non_retryable, failure.message) == (code, final, str(error))


async def test_defect_is_tried_a_few_times_and_tells_nothing_of_what_it_saw() -> None:
    error = KeyError("a label's secret text")
    first, last = await failure_of(error), await failure_of(error, attempt=MAX_ATTEMPTS)
    assert (first.type, first.non_retryable, last.non_retryable) == (DEFECT, False, True)
    assert "secret" not in first.message


async def test_long_activity_gives_signs_of_life_and_a_short_one_costs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = ActivityEnvironment()
    beaten = asyncio.Event()
    environment.on_heartbeat = lambda *_: beaten.set()

    async def short() -> None:
        async with guarded():
            pass

    async def long() -> None:
        async with guarded():
            await beaten.wait()

    await environment.run(short)
    assert not beaten.is_set()
    monkeypatch.setattr(guard, "HEARTBEAT_EVERY", timedelta(milliseconds=1))
    await environment.run(long)
    assert beaten.is_set()
