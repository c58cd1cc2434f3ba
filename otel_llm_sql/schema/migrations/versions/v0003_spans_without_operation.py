"""A span that only names the session of its trace, an HTTP request say, stands in `llm_spans` without an operation."""

from __future__ import annotations

from alembic import op

from otel_llm_sql.schema.types import Uuid

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _operation_id(nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM llm_spans WHERE operation_id IS NULL")
    _operation_id(nullable=False)


def _operation_id(*, nullable: bool) -> None:
    # SQLite cannot change a column: there the table is copied. Its index is made again under its own name.
    with op.batch_alter_table("llm_spans") as spans:
        spans.alter_column("operation_id", existing_type=Uuid, existing_nullable=not nullable, nullable=nullable)
