"""What is found by words.

A word that few entries hold is looked up in the inverted index; for one that many hold, entries are read newest first
until the page is full. Which of both is the planner's to choose, by how often it has seen the word; neither reads the
table whole, and a page a million entries deep costs what the first one does.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import text

from infra.db.repositories.base import Repository
from services.contracts.search import HitKind, SearchFilter, SearchHit

_FIND = """
    SELECT entry_id, kind, subject, project, sample_id, revision, title, excerpt, actor, severity, at
    FROM search_entries
    WHERE {conditions}
    ORDER BY at DESC, entry_id DESC LIMIT :limit
"""


def find_sql(wanted: SearchFilter, *, before: tuple[datetime, int] | None, limit: int) -> tuple[str, dict[str, Any]]:
    """Return the statement and its parameters; a condition that is absent is left out, so that the plan can fit."""
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
        # Words hold no ASCII punctuation, so that none can change the query.
        add("words @@ to_tsquery('simple', :query)", query=" & ".join(f"'{word}':*" for word in wanted.words))
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
    return _FIND.format(conditions="\n      AND ".join(conditions) or "true"), values


class PostgresSearch(Repository):
    """Implements :class:`services.ports.search.SearchRepository`."""

    async def find(
        self, wanted: SearchFilter, *, before: tuple[datetime, int] | None, limit: int
    ) -> tuple[SearchHit, ...]:
        """Return what matches, newest first, by (at, entry) before the cursor."""
        statement, values = find_sql(wanted, before=before, limit=limit)
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
