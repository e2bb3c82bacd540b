"""Tell the newest link of every audit chain to the outside, at a steady distance."""

from __future__ import annotations

from services.access.keys import SYSTEM_PROJECT
from services.contracts.project_events import AuditAnchored
from services.lifecycle.project_events import tell_project
from services.ports.database import Database


class AnchorTeller:
    """Tells anchors as events: whoever gets them holds the chain in place, outside of the database.

    Args:
        database: The store of record.
        every_s: The least distance between two anchors of one chain, in seconds.
    """

    def __init__(self, database: Database, every_s: float) -> None:
        self._database = database
        self._every_s = every_s

    async def step(self) -> bool:
        """Tell an anchor of every chain that has grown and was not told of lately; False, as nothing is left.

        Raises:
            UnavailableError: The database does not answer.
        """
        async with self._database.transaction() as tx:
            chains = (SYSTEM_PROJECT, *(project.id for project in await tx.projects.list()))
        for chain in chains:
            async with self._database.transaction() as tx:
                sequence, sha256 = await tx.audit.head(chain)
                # Noted first: the lock on the note keeps the anchors of a chain in order.
                if sequence and await tx.audit.note_anchor(chain, sequence, every_s=self._every_s):
                    told = AuditAnchored(project=chain, at=await tx.now(), sequence=sequence, sha256=sha256)
                    await tell_project(tx, told)
        return False
