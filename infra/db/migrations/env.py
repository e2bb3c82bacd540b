"""What alembic runs; the connection and its transaction come from :mod:`infra.db.migrate`."""

from __future__ import annotations

from alembic import context

from infra.db.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
