"""What is found by words.

Words that few entries hold are looked up in the inverted index; for those that many hold, entries are read newest
first until the page is full. Neither reads the table whole, and a deep page costs what the first one does.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import text

from infra.db.repositories.base import Repository
from services.contracts.search import HitKind, SearchFilter, SearchHit

_FIND = """
    SELECT entry_id, kind, subject, project, sample_id, revision, title, excerpt, actor, severity, at
    FROM {entries}
    WHERE {conditions}
    ORDER BY at DESC, entry_id DESC LIMIT :limit
"""


RARE_ENTRIES = 5_000
"""Up to so many entries with the words of a query are looked up by them and sorted."""

# The planner knows no frequency of a word that few entries hold, and takes it for commoner than it is: it would read
# a million entries in their order to find one. So they are counted first, up to where it no longer matters.
_MATCHES = "words @@ to_tsquery('simple', :query)"
_SEEN = text(f"SELECT count(*) FROM (SELECT FROM search_entries WHERE {_MATCHES} LIMIT {RARE_ENTRIES + 1}) AS seen")  # noqa: S608
_RARE = f"WITH found AS MATERIALIZED (SELECT * FROM search_entries WHERE {_MATCHES})"  # noqa: S608


def query_of(words: tuple[str, ...]) -> str:
    """Return the query for beginnings of words; they hold no ASCII punctuation, so none can change it."""
    return " & ".join(f"'{word}':*" for word in words)


def find_sql(
    wanted: SearchFilter, *, before: tuple[datetime, int] | None, limit: int, rare: bool = False
) -> tuple[str, dict[str, Any]]:
    """Return the statement and its parameters; a condition that is absent is left out, so that the plan can fit.

    Args:
        wanted: What is looked for.
        before: The cursor.
        limit: At most so many.
        rare: Whether few entries hold the words: these are looked up, and the other conditions asked of them.
    """
    values: dict[str, Any] = {"limit": limit}
    conditions = []

    def add(condition: str, **parameters: Any) -> None:
        conditions.append(condition)
        values.update(parameters)

    if len(wanted.kinds) == 1:
        add("kind = :kind", kind=wanted.kinds[0].value)
    elif len(wanted.kinds) < len(HitKind):
        add("kind = ANY (CAST(:kinds AS text[]))", kinds=[kind.value for kind in wanted.kinds])
    if wanted.words:
        add("true" if rare else _MATCHES, query=query_of(wanted.words))
    if wanted.projects is not None and len(wanted.projects) == 1:
        add("project = :project", project=wanted.projects[0])
    elif wanted.projects is not None:
        add("project = ANY (CAST(:projects AS text[]))", projects=[*wanted.projects])
    for name in ("sample_id", "actor", "severity"):
        value = getattr(wanted, name)
        if value is not None:
            add(f"{name} = :{name}", **{name: value})
    if wanted.since is not None:
        add("at >= :since", since=wanted.since)
    if wanted.until is not None:
        add("at < :until", until=wanted.until)
    if before is not None:
        add("(at, entry_id) < (:before_at, :before_entry)", before_at=before[0], before_entry=before[1])
    entries = "found" if rare else "search_entries"
    statement = _FIND.format(entries=entries, conditions="\n      AND ".join(conditions) or "true")
    return (_RARE + statement if rare else statement), values


class PostgresSearch(Repository):
    """Implements :class:`services.ports.search.SearchRepository`."""

    async def find(
        self, wanted: SearchFilter, *, before: tuple[datetime, int] | None, limit: int
    ) -> tuple[SearchHit, ...]:
        """Return what matches, newest first, by (at, entry) before the cursor."""
        rare = bool(wanted.words) and await self._seen(wanted.words) <= RARE_ENTRIES
        statement, values = find_sql(wanted, before=before, limit=limit, rare=rare)
        return tuple(
            SearchHit(
                entry=row.entry_id,
                kind=HitKind(row.kind),
                subject=row.subject,
                project=row.project,
                sample_id=row.sample_id,
                revision=row.revision,
                title=row.title,
                excerpt=row.excerpt,
                actor=row.actor,
                severity=row.severity,
                at=row.at,
            )
            for row in await self._run(text(statement), **values)
        )

    async def _seen(self, words: tuple[str, ...]) -> int:
        row = await self._first(_SEEN, query=query_of(words))
        return 0 if row is None else int(row[0])
