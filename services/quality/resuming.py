"""End a pause, whoever ends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.contracts.calibration import ResumePerson
from services.contracts.project_events import PersonResumed
from services.lifecycle.project_events import tell_project
from services.ports.database import Transaction


async def resume_person(
    tx: Transaction,
    project: str,
    actor_id: str,
    pause: ResumePerson,
    *,
    by: str,
    because: Mapping[str, Any] | None = None,
) -> bool:
    """End a person's pause and tell of it; False if there is none. The caller holds the person's lock.

    Args:
        tx: The transaction.
        project: The project.
        actor_id: The person.
        pause: Of which queue and kind.
        by: Who ends it.
        because: What the audit entry says beside.
    """
    if not await tx.calibration.end_pause(project, actor_id, pause.queue, pause.kind):
        return False
    tx.audit.append(
        project,
        actor=by,
        action="reviewer.resumed",
        subject=f"reviewers/{actor_id}",
        body={"queue": pause.queue, "kind": pause.kind.value, **(because or {})},
    )
    resumed = PersonResumed(
        project=project, at=await tx.now(), actor_id=actor_id, queue=pause.queue, kind=pause.kind, resumed_by=by
    )
    await tell_project(tx, resumed)
    return True
