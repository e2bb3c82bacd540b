"""Open tasks by the hundred thousand on our side, made by SQL from one that the product itself has opened."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from infra.bench.label_studio.sides import TEMPLATE, WORKED

_BATCH = 10_000
# Through the tables' own triggers, which place a task in its queue and put it into the search.
_COPY = """
    INSERT INTO {table}
    SELECT made.* FROM {table} AS template, generate_series($1::bigint, $2::bigint) AS n,
        LATERAL jsonb_populate_record(template, jsonb_build_object('sample_id', 's-' || n) || {other}) AS made
    WHERE template.project = '{project}' AND template.sample_id = '{template}'
"""
_OTHER_VALUES = {
    "samples": "'{{}}'",
    "sample_revisions": (
        """jsonb_build_object('manifest', replace(template.manifest::text, '"{template}"', '"s-' || n || '"')::jsonb)"""
    ),
    "label_sets": "'{{}}'",
    "review_tasks": (
        "jsonb_build_object('task_id', gen_random_uuid(), 'created_at', template.created_at + n * interval '1 ms')"
    ),
}


async def copy_template(database_url: str, copies: int, tell: Callable[[str], None]) -> None:
    """Put copies of the template and its open task beside it, a millisecond apart.

    No worker may run: it would find that they have no workflows, and start them.

    Args:
        database_url: Our database.
        copies: How many.
        tell: Is told how far it is.
    """
    connection = await asyncpg.connect(database_url, server_settings={"jit": "off"})
    try:
        for first in range(1, copies + 1, _BATCH):
            last = min(first + _BATCH - 1, copies)
            async with connection.transaction():
                for table, other in _OTHER_VALUES.items():
                    statement = _COPY.format(
                        table=table, other=other.format(template=TEMPLATE), project=WORKED, template=TEMPLATE
                    )
                    await connection.execute(statement, first, last, timeout=600)
            tell(f"Concord: {last:,} of {copies:,} tasks")
    finally:
        await connection.close()


async def tidy(database_url: str) -> None:
    """Gather statistics now, and not when autovacuum thinks of it in the middle of a measurement."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("VACUUM ANALYZE", timeout=600)
        await connection.execute("CHECKPOINT", timeout=600)
    finally:
        await connection.close()
