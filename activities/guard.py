"""What all activities have in common: a sign of life while they run, and errors that Temporal understands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from services.errors import Category, ConcordError

HEARTBEAT_EVERY = timedelta(seconds=8)
"""The first one only after this long: a short activity costs no heartbeat at all."""

MAX_ATTEMPTS = 10
"""Attempts at what fails for another reason than that something is unavailable."""

DEFECT = "defect"


@asynccontextmanager
async def guarded() -> AsyncIterator[None]:
    """Keep the running activity alive, and raise what goes wrong as an application error.

    A :class:`ConcordError` becomes an error of its code. It is retried for as long as the workflow allows where
    something is unavailable, and not at all where trying again can not help. Anything else is a defect: retried a
    few times, because many pass, then handed to the workflow.
    """
    beating = asyncio.create_task(_heartbeat())
    try:
        yield
    except ConcordError as error:
        retryable = error.category is Category.UNAVAILABLE
        raise ApplicationError(error.detail, type=error.code, non_retryable=not retryable) from error
    except ApplicationError:
        raise
    except Exception as error:
        last = activity.info().attempt >= MAX_ATTEMPTS
        # The message of an unforeseen error may hold anything; only its kind leaves the worker.
        raise ApplicationError(f"unforeseen {type(error).__name__}", type=DEFECT, non_retryable=last) from error
    finally:
        beating.cancel()


async def _heartbeat() -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_EVERY / timedelta(seconds=1))
        activity.heartbeat()
