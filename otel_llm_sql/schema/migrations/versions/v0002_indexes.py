"""Indexes on what people filter by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

INDEXES = (
    ("idx_llm_sessions_session_key", "llm_sessions", ["session_key"]),
    ("idx_llm_sessions_last_seen_at", "llm_sessions", ["last_seen_at"]),
    ("idx_llm_operations_timestamp", "llm_operations", ["timestamp"]),
    ("idx_llm_operations_provider", "llm_operations", ["provider"]),
    ("idx_llm_operations_model", "llm_operations", ["model"]),
    ("idx_llm_operations_trace", "llm_operations", ["trace_id"]),
    ("idx_llm_operations_response", "llm_operations", ["response_id"]),
)


def upgrade() -> None:
    for index, table, columns in INDEXES:
        # MySQL commits after each statement: an upgrade that was cut off is taken up where it ended.
        if index not in _present(table):
            op.create_index(index, table, columns)


def downgrade() -> None:
    for index, table, _columns in reversed(INDEXES):
        if index in _present(table):
            op.drop_index(index, table)


def _present(table: str) -> set[str | None]:
    return {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}
