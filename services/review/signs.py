"""Signs of life of people at work on tasks, kept as active time."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from services.contracts.review import Activity
from services.ports.database import Transaction
from services.review.active_time import add_sign


async def note_sign(
    tx: Transaction,
    task_id: UUID,
    actor_id: str,
    now: datetime,
    *,
    visible: bool = True,
    idle: timedelta = timedelta(0),
) -> None:
    """Count a person's sign of life on a locked task; see :func:`services.review.active_time.add_sign`."""
    before = await tx.operations.activity(task_id, actor_id) or Activity(task_id=task_id, actor_id=actor_id)
    await tx.operations.put_activity(add_sign(before, now, visible=visible, idle=idle))
