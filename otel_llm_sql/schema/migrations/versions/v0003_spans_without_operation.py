"""Spans without an operation: an HTTP request, say, that only names the session of its trace.

And of every span is known which user it names itself.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from otel_llm_sql.schema.types import Uuid, bounded

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # MySQL commits after each statement: an upgrade that was cut off is taken up where it ended.
    if "user_id" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("llm_spans")}:
        user_id = sa.Column("user_id", bounded(), comment="internal: the user as given on this very span")
        op.add_column("llm_spans", user_id)
        told = "SELECT o.user_id FROM llm_operations o WHERE o.operation_id = llm_spans.operation_id"
        op.execute(f"UPDATE llm_spans SET user_id = ({told})")  # noqa: S608 - names of ours
    _operation_id(nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM llm_spans WHERE operation_id IS NULL")
    _operation_id(nullable=False)
    with op.batch_alter_table("llm_spans") as spans:
        spans.drop_column("user_id")


def _operation_id(*, nullable: bool) -> None:
    # SQLite cannot change a column: there the table is copied. Its index is made again under its own name.
    with op.batch_alter_table("llm_spans") as spans:
        spans.alter_column("operation_id", existing_type=Uuid, existing_nullable=not nullable, nullable=nullable)
