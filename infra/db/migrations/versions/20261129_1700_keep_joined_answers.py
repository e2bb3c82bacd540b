"""Label sets that were joined from several people's answers."""

from __future__ import annotations

from alembic import op

revision = "20261129_1700"
down_revision = "20261129_0920"
branch_labels = None
depends_on = None

_BEFORE = (
    "'manifest', 'label_files', 'prediction', 'pre_label', 'annotator', 'external', 'reviewer', 'adjudicator', 'rework'"
)


def upgrade() -> None:
    op.drop_constraint(op.f("ck_label_sets_origin"), "label_sets", type_="check")
    op.create_check_constraint(op.f("ck_label_sets_origin"), "label_sets", f"origin IN ({_BEFORE}, 'consensus')")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_label_sets_origin"), "label_sets", type_="check")
    # Label sets are never changed, so those that are there stay as they are.
    op.execute(f"ALTER TABLE label_sets ADD CONSTRAINT ck_label_sets_origin CHECK (origin IN ({_BEFORE})) NOT VALID")
