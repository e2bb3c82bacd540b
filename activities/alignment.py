"""Check a sample's labels across modalities."""

from __future__ import annotations

from temporalio import activity

from activities.guard import guarded
from activities.names import CHECK_ALIGNMENT
from services.contracts.lifecycle import CheckInput, StepResult
from services.errors import UnavailableError
from services.lifecycle.checking import check_alignment
from services.ports.checks import CheckRunner
from services.ports.database import Database
from services.rule_changes.schedule import activate_due
from services.taxonomy.carriers import Carriers


class AlignmentActivities:
    """Activities of the cross-modal checks.

    Args:
        database: The store of record.
        runner: Where the checks run: not in this process.
    """

    def __init__(self, database: Database, runner: CheckRunner) -> None:
        self._database = database
        self._runner = runner
        self._carriers = Carriers()

    @activity.defn(name=CHECK_ALIGNMENT)
    async def check_alignment(self, given: CheckInput) -> StepResult:
        """See :func:`services.lifecycle.checking.check_alignment`; rules whose moment has come are activated first.

        Where that fails the sample is checked by the rules that its project goes by.
        """
        async with guarded():
            await self._activate_due(given.ref.project)
            return await check_alignment(self._database, self._runner, given.ref, self._carriers)

    async def _activate_due(self, project: str) -> None:
        try:
            await activate_due(self._database, project)
        except UnavailableError:
            raise
        except Exception:  # it is noted with the activation, and must stop no check of the project
            activity.logger.exception(
                "Scheduled rules of %s could not be activated; they are tried again by themselves. "
                "`concord rules activations %s` tells the fault, `concord rules cancel` takes them back.",
                project,
                project,
            )
