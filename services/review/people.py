"""The people of a project: their skills, teams, hours and caps."""

from __future__ import annotations

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.calibration import ResumePerson
from services.contracts.canonical import content_sha256
from services.contracts.people import Reviewer, ReviewerProfile
from services.errors import ChangedMeanwhileError, NotFoundError
from services.ports.database import Database, Transaction
from services.quality.resuming import resume_person


def version_of_profile(profile: ReviewerProfile) -> str:
    """Return what tells one state of a profile from another."""
    return content_sha256(profile)


class PeopleRegistry:
    """Lists and changes the reviewers of projects.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, principal: Principal, project: str) -> tuple[Reviewer, ...]:
        """Return the people of a project, by id.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            await _ensure_project(tx, project)
            return await tx.people.list(project)

    async def get(self, principal: Principal, project: str, actor_id: str) -> Reviewer:
        """Return a person.

        Raises:
            NotFoundError: The project knows no such person.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            return await _known(tx, project, actor_id)

    async def put(
        self, principal: Principal, project: str, profile: ReviewerProfile, *, expected: str | None = None
    ) -> Reviewer:
        """Set what the project knows of a person; skills that were not granted by hand stay.

        Args:
            principal: Who asks.
            project: The project.
            profile: The new content.
            expected: The :func:`version_of_profile` this change was made from; None changes any.

        Raises:
            NotFoundError: There is no such project that the key sees.
            ChangedMeanwhileError: Somebody else has changed it since ``expected``.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            known = await _locked(tx, project, profile.actor_id, expected)
            if known is None or known.profile != profile:
                await tx.people.put(project, profile, set_by=principal.actor_id)
                tx.audit.append(
                    project,
                    actor=principal.actor_id,
                    action="reviewer.put",
                    subject=f"reviewers/{profile.actor_id}",
                    body={
                        "before_sha256": None if known is None else version_of_profile(known.profile),
                        "content_sha256": version_of_profile(profile),
                        "skills": {skill.name: skill.level for skill in profile.skills},
                        "teams": list(profile.teams),
                    },
                )
            return await _known(tx, project, profile.actor_id)

    async def delete(self, principal: Principal, project: str, actor_id: str, *, expected: str | None = None) -> None:
        """Forget what the project knows of a person; their key and what they decided stay.

        Raises:
            NotFoundError: The project knows no such person.
            ChangedMeanwhileError: Somebody else has changed it since ``expected``.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            known = await _locked(tx, project, actor_id, expected)
            if known is None:
                raise _unknown(project, actor_id)
            await tx.people.delete(project, actor_id)
            tx.audit.append(
                project,
                actor=principal.actor_id,
                action="reviewer.deleted",
                subject=f"reviewers/{actor_id}",
                body={"before_sha256": version_of_profile(known.profile)},
            )

    async def resume(self, principal: Principal, project: str, actor_id: str, pause: ResumePerson) -> Reviewer:
        """Let a paused person have tasks again; known answers that were missed before count no more.

        Raises:
            NotFoundError: There is no such project that the key sees, or the person is not paused there.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            await _ensure_project(tx, project)
            await tx.calibration.lock_person(project, actor_id)
            if not await resume_person(tx, project, actor_id, pause, by=principal.actor_id):
                raise NotFoundError(f"{actor_id!r} is not paused for {pause.kind} tasks of queue {pause.queue!r}.")
            # The profile may have been deleted meanwhile.
            await tx.people.ensure(project, actor_id)
            return await _known(tx, project, actor_id)


async def _ensure_project(tx: Transaction, project: str, *, lock: bool = False) -> None:
    if await tx.projects.get(project, lock=lock) is None:
        raise project_not_found(project)


async def _known(tx: Transaction, project: str, actor_id: str) -> Reviewer:
    await _ensure_project(tx, project)
    reviewer = await tx.people.get(project, actor_id)
    if reviewer is None:
        raise _unknown(project, actor_id)
    return reviewer


async def _locked(tx: Transaction, project: str, actor_id: str, expected: str | None) -> Reviewer | None:
    # Of a person who is not stored there is no row to lock.
    await _ensure_project(tx, project, lock=True)
    known = await tx.people.get(project, actor_id, lock=True)
    if expected is not None and (known is None or version_of_profile(known.profile) != expected):
        raise ChangedMeanwhileError(f"Reviewer {actor_id!r} was changed since you read it; read it again.")
    return known


def _unknown(project: str, actor_id: str) -> NotFoundError:
    return NotFoundError(f"Project {project!r} knows no reviewer {actor_id!r}.")
