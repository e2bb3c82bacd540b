"""Follow people's decisions and their deadlines."""

from __future__ import annotations

from temporalio import activity

from activities.guard import guarded
from activities.names import ESCALATE_OVERDUE, SETTLE_REVIEW
from services.contracts.lifecycle import EscalateInput, SettleInput, StepResult
from services.lifecycle.deadlines import escalate_overdue
from services.lifecycle.settle import settle_review
from services.ports.database import Database


class ReviewActivities:
    """Activities of review, adjudication and rework.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name=SETTLE_REVIEW)
    async def settle_review(self, given: SettleInput) -> StepResult:
        """See :func:`services.lifecycle.settle.settle_review`."""
        async with guarded():
            return await settle_review(self._database, given.ref)

    @activity.defn(name=ESCALATE_OVERDUE)
    async def escalate_overdue(self, given: EscalateInput) -> StepResult:
        """See :func:`services.lifecycle.deadlines.escalate_overdue`."""
        async with guarded():
            return await escalate_overdue(self._database, given.ref, given.deadline_round)
