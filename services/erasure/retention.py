"""Retention by itself: what a project no longer keeps is found, and erased or proposed, as its policy says."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID, uuid4

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.erasure import Erasure, OfExpired, Retention
from services.contracts.lifecycle import RevisionRef
from services.contracts.project_events import ErasureProposed
from services.contracts.records import Project
from services.erasure.applying import apply_batch, audit_subject, take_back
from services.errors import UnavailableError
from services.lifecycle.project_events import tell_project
from services.ports.database import Database, Transaction

MOST_AT_ONCE = 10_000
"""Revisions of one erasure that a policy orders; what else has expired comes with the next."""


class RetentionKeeper:
    """Orders and applies what the policies of projects say, a batch at a time.

    Any number of keepers may work at once, and each may be killed at any point: a project has one erasure by policy
    under way, and what it is about is erased once, whoever comes to it.

    Args:
        database: The store of record.
        most_at_once: Revisions of one erasure.
    """

    def __init__(self, database: Database, *, most_at_once: int = MOST_AT_ONCE) -> None:
        self._database = database
        self._most_at_once = most_at_once
        self._failed: dict[str, Exception] = {}
        self._failed_of: defaultdict[UUID, dict[RevisionRef, Exception]] = defaultdict(dict)

    async def step(self) -> bool:
        """Do a batch of work in every project that has some; whether there may be more.

        What fails, a revision or a whole project, is left alone until nothing else is left to do.

        Raises:
            UnavailableError: The database does not answer.
            ExceptionGroup: What has failed since this was raised last, once nothing else is left to do.
        """
        async with self._database.transaction() as tx:
            kept = {project.id for project in await tx.projects.list() if project.config.retention is not None}
            kept |= set(await tx.erasures.projects_under_policy())
        more = False
        for project in sorted(kept - self._failed.keys()):
            try:
                more = await self._look_after(project) or more
            except UnavailableError:
                raise
            except Exception as error:
                self._failed[project] = error
        if not more:
            self._tell_failed()
        return more

    def _tell_failed(self) -> None:
        """Raise what has failed, if anything has, and forget it, so that it is tried again."""
        revisions = [error for failed in self._failed_of.values() for error in failed.values()]
        failures = [*self._failed.values(), *revisions]
        self._failed.clear()
        self._failed_of.clear()
        if failures:
            raise ExceptionGroup("what is no longer kept could not be erased", failures)

    async def _look_after(self, project: str) -> bool:
        async with self._database.transaction() as tx:
            # Whoever changes the policy, and other keepers, wait for this.
            known = await tx.projects.get(project, lock=True)
            if known is None:
                return False
            policy = known.config.retention
            ordered = []
            for erasure in await tx.erasures.under_policy(project):
                if policy is None or policy.keep_days != erasure.policy_days:
                    await take_back(tx, erasure, policy)
                elif not self._is_stuck(erasure):
                    ordered.append(erasure)
            if policy is None:
                return False
            goes_on = ordered[0] if ordered else await self._order(tx, known, policy)
            if goes_on is None or policy.when_expired != "erase":
                return False
        failed = self._failed_of[goes_on.erasure_id]
        await apply_batch(self._database, SYSTEM_ACTOR, goes_on, failed=failed)
        return True

    def _is_stuck(self, erasure: Erasure) -> bool:
        """Whether all that an erasure still waits for has failed since that was told last."""
        failed = self._failed_of.get(erasure.erasure_id, {})
        return bool(failed) and erasure.counts.waiting <= len(failed)

    async def _order(self, tx: Transaction, project: Project, policy: Retention) -> Erasure | None:
        """Order the erasure of what has expired and is under no hold; None if that is nothing."""
        erasure = Erasure(
            erasure_id=uuid4(),
            project=project.id,
            kind=OfExpired().kind,
            reason=f"kept for {policy.keep_days} days",
            withdraw=False,
            requested_by=SYSTEM_ACTOR,
            requested_at=await tx.now(),
            policy_days=policy.keep_days,
        )
        revisions = await tx.erasures.add_expired(erasure, limit=self._most_at_once)
        if not revisions:
            return None
        proposed = policy.when_expired != "erase"
        tx.audit.append(
            project.id,
            actor=SYSTEM_ACTOR,
            action="erasure.proposed" if proposed else "erasure.ordered",
            subject=audit_subject(erasure),
            body={"kind": erasure.kind, "revisions": revisions, "withdraw": False, "keep_days": policy.keep_days},
        )
        if proposed:
            told = ErasureProposed(
                project=project.id,
                at=erasure.requested_at,
                erasure_id=erasure.erasure_id,
                revisions=revisions,
                keep_days=policy.keep_days,
            )
            await tell_project(tx, told)
        return erasure
