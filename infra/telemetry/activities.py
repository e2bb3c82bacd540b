"""One log line an activity, and the sample's ids on every line that is written while it runs."""

from __future__ import annotations

import time
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from infra.telemetry.logging import log_context
from services.contracts.lifecycle import ref_of_workflow_id, trace_ids

_log = structlog.get_logger(__name__)


class ActivityLog(Interceptor):
    """Put it among a worker's interceptors."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wrap the activities."""
        return _Logged(next)


class _Logged(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - named so by the SDK
        info = activity.info()
        began = time.perf_counter()
        with _context_of(info.workflow_id or ""):
            facts: dict[str, Any] = {"activity": info.activity_type, "attempt": info.attempt}
            try:
                result = await super().execute_activity(input)
            except BaseException as error:
                code = error.type if isinstance(error, ApplicationError) else type(error).__name__
                _log.warning("activity_failed", **facts, code=code, seconds=_since(began))
                raise
            _log.info("activity_done", **facts, seconds=_since(began))
            return result


def _context_of(workflow_id: str) -> Any:
    try:
        ref = ref_of_workflow_id(workflow_id)
    except ValueError:
        return log_context(workflow_id=workflow_id)
    return log_context(**trace_ids(ref))


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 3)
