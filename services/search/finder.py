"""Search by words and filters, inside what a key may read."""

from __future__ import annotations

import string
from datetime import datetime

from services.access.policy import Permission, ensure_sees, may
from services.contracts.access import Principal, Role
from services.contracts.findings import Severity
from services.contracts.search import HitKind, SearchFilter, SearchHit
from services.errors import InvalidInputError
from services.ports.database import Database
from services.review.sight import hidden_projects

MAX_WORDS = 10
_MAX_WORD = 100
_APART = str.maketrans(dict.fromkeys(string.punctuation, " "))


def words_of(query: str) -> tuple[str, ...]:
    """Return the words of a query in lower case: what stands between spaces and ASCII punctuation.

    ``kitti-000008`` is two words, as the store has them, so that the end of an id is found as well as its beginning.

    Raises:
        InvalidInputError: There is none, or there are more than ten.
    """
    words = tuple(dict.fromkeys(word[:_MAX_WORD] for word in query.translate(_APART).lower().split()))
    if not words:
        raise _invalid("/query/q", "holds no word; give letters or digits, or leave it out")
    if len(words) > MAX_WORDS:
        raise _invalid("/query/q", f"holds {len(words)} words; give at most {MAX_WORDS}")
    return words


def kinds_for(role: Role) -> tuple[HitKind, ...]:
    """Return what a role may find. What was found and said about a sample is for who may read its history."""
    kinds = [HitKind.SAMPLE, HitKind.PERSON]
    if may(role, Permission.HISTORY_READ):
        kinds.append(HitKind.FINDING)
        if may(role, Permission.NOTES_READ):
            kinds.append(HitKind.NOTE)
        if may(role, Permission.TASKS_READ):
            kinds.append(HitKind.TASK)
    return tuple(kinds)


class Finder:
    """Finds samples, findings, notes, tasks and people.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self,
        principal: Principal,
        *,
        query: str | None = None,
        kinds: tuple[HitKind, ...] = (),
        project: str | None = None,
        sample_id: str | None = None,
        actor: str | None = None,
        severity: Severity | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: tuple[datetime, int] | None = None,
        limit: int,
    ) -> tuple[SearchHit, ...]:
        """Return what matches, newest first; of every kind that the role may find if none is named.

        Of a project in which people at work see their own tasks only, they find nothing.

        Raises:
            InvalidInputError: The query holds no word, or too many.
            NotFoundError: The project is none that the key sees.
        """
        if project is not None:
            ensure_sees(principal, project)
        allowed = kinds_for(principal.role)
        wanted = SearchFilter(
            words=() if query is None else words_of(query),
            kinds=tuple(kind for kind in allowed if not kinds or kind in kinds),
            projects=principal.projects if project is None else (project,),
            sample_id=sample_id,
            actor=actor,
            severity=severity,
            since=since,
            until=until,
        )
        if not wanted.kinds:
            return ()
        async with self._database.transaction() as tx:
            hidden = await hidden_projects(tx, principal)
            if hidden:
                names = wanted.projects
                if names is None:
                    names = tuple(known.id for known in await tx.projects.list())
                wanted = wanted.model_copy(update={"projects": tuple(name for name in names if name not in hidden)})
            return await tx.search.find(wanted, before=before, limit=limit)


def _invalid(pointer: str, sentence: str) -> InvalidInputError:
    return InvalidInputError(f"The request is not valid: {pointer} {sentence}", places=((pointer, sentence),))
