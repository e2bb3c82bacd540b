"""Does scheduled activations of rule sets when their moment has come."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from services.errors import ConcordError, UnavailableError
from services.ports.database import Database
from services.rule_changes.schedule import activate_due

_LOOK_EVERY_S = 1.0
_TO_DO = (
    "It is tried again by itself, and the project goes by its rules until then. `concord rules activations PROJECT` "
    "tells the fault; `concord rules cancel PROJECT ACTIVATION` takes it back."
)
_log = structlog.get_logger(__name__)


class RuleTimer:
    """Looks for activations whose moment has come, by the database's clock; any number of timers may run at once.

    What was due while none ran is done at the first look.

    Args:
        database: The store of record.
        look_every_s: How far apart.
    """

    def __init__(self, database: Database, *, look_every_s: float = _LOOK_EVERY_S) -> None:
        self._database = database
        self._look_every_s = look_every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop; what does not work now is logged and tried again the next time."""
        while not stop.is_set():
            try:
                await self.look()
            except ConcordError as error:
                _log.warning("rule_timer_waits", reason=error.detail)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._look_every_s)

    async def look(self) -> None:
        """Do what is due now; one project's failure does not keep the others waiting.

        Raises:
            ConcordError: The database does not answer.
        """
        async with self._database.transaction() as tx:
            projects = await tx.rule_changes.projects_with_due()
        for project in projects:
            try:
                for done in await activate_due(self._database, project):
                    _log.info(
                        "rule_set_activated",
                        project=project,
                        rule_set=f"{done.rule_set.id}@{done.rule_set.version}",
                        rechecked=done.rechecked,
                    )
            except UnavailableError as error:
                _log.warning("rule_activation_waits", project=project, reason=error.detail)
            except Exception as error:  # a fault in one project must end neither the others' timer nor the process
                _log.exception("rule_activation_failed", project=project, error=type(error).__name__, to_do=_TO_DO)
