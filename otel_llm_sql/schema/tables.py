"""The tables of the data contract, as SQLAlchemy Core tables (design: `docs/schema.md`).

People write SQL against them: a column that is published here keeps its name and its meaning. Columns marked internal
hold what the writer needs to give the same rows whatever the order of arrival.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Index

from otel_llm_sql.schema.types import Json, References, Timestamp, Uuid, bounded, hexadecimal, long_text

VERSION = "0004"
"""The schema version this package writes: the newest revision in `migrations/versions`."""

LOCK_STRIPES = 1024
"""Rows of `llm_locks`. Writers lock the stripes of what they touch, in order, so that they never meet on a key."""

metadata = sa.MetaData()
# Binary collation: equal means equal, as on every other database, and the same on every server version.
_MYSQL_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("charset", "utf8mb4"), ("collate", "utf8mb4_bin"), ("engine", "InnoDB"))
}

sessions = sa.Table(
    "llm_sessions",
    metadata,
    Column("session_id", Uuid, primary_key=True, comment="computed from (workspace, session_key), or the trace id"),
    Column("session_key", bounded(), comment="conversation id as the application gave it; NULL: the trace stands in"),
    Column("workspace", bounded()),
    Column("agent_id", bounded(), comment="first known gen_ai.agent.id or agent name"),
    Column("user_id", bounded(), comment="the end user, as the application names them"),
    Column("created_at", Timestamp, nullable=False, comment="earliest operation seen"),
    Column("last_seen_at", Timestamp, nullable=False, comment="latest operation seen"),
    Column("metadata", Json, comment="attributes the application set for the session"),
    Column("provenance", Json, comment="internal: when each of the above was first said"),
    Index("idx_llm_sessions_session_key", "session_key"),
    Index("idx_llm_sessions_last_seen_at", "last_seen_at"),
    **_MYSQL_OPTIONS,
)

operations = sa.Table(
    "llm_operations",
    metadata,
    Column("operation_id", Uuid, primary_key=True),
    Column("session_id", Uuid, ForeignKey("llm_sessions.session_id", ondelete="CASCADE"), nullable=False),
    Column("action_id", bounded(), comment="the application's own step name"),
    Column("timestamp", Timestamp, nullable=False, comment="start of the span"),
    Column("operation_type", bounded(64), nullable=False, comment="gen_ai.operation.name"),
    Column("provider", bounded(), comment="gen_ai.provider.name"),
    Column("model", bounded(), comment="the model that answered, else the one asked for"),
    Column("request_model", bounded(), comment="the model asked for"),
    Column("input_tokens", sa.BigInteger, comment="all prompt tokens, cached ones included"),
    Column("output_tokens", sa.BigInteger, comment="all generated tokens, reasoning included"),
    Column("cache_read_input_tokens", sa.BigInteger, comment="part of input_tokens"),
    Column("cache_write_input_tokens", sa.BigInteger, comment="part of input_tokens"),
    Column("reasoning_output_tokens", sa.BigInteger, comment="part of output_tokens"),
    Column("latency_ms", sa.BigInteger, comment="end minus start"),
    Column("time_to_first_token_ms", sa.BigInteger),
    Column("cost", sa.Double, comment="US dollars; NULL when the price is not known"),
    Column("cost_source", bounded(32), comment="reported, catalog or override"),
    Column("status", bounded(16), nullable=False, comment="ok, error or pending"),
    Column("error_type", bounded()),
    Column("error_message", long_text()),
    Column("finish_reason", bounded(64), comment="first choice's"),
    Column("response_id", bounded()),
    Column("tool_name", bounded()),
    Column("agent_name", bounded()),
    Column("user_id", bounded()),
    Column("service_name", bounded()),
    Column("trace_id", hexadecimal(32)),
    Column("span_id", hexadecimal(16)),
    Column("parent_span_id", hexadecimal(16)),
    Column("extras", Json, comment="everything else that was on the span"),
    Column("input_messages", sa.Integer, nullable=False, comment="how many of message_ids are input"),
    Column("message_ids", References, comment="what the call sent and got back, in order: see llm_operation_messages"),
    Index("idx_llm_operations_timestamp", "timestamp"),
    Index("idx_llm_operations_provider", "provider"),
    Index("idx_llm_operations_model", "model"),
    Index("idx_llm_operations_session", "session_id", "timestamp"),
    Index("idx_llm_operations_trace", "trace_id"),
    Index("idx_llm_operations_response", "response_id"),
    **_MYSQL_OPTIONS,
)

messages = sa.Table(
    "llm_messages",
    metadata,
    Column("message_id", Uuid, primary_key=True),
    Column("operation_id", Uuid, ForeignKey("llm_operations.operation_id", ondelete="CASCADE"), nullable=False),
    Column("role", bounded(32), nullable=False),
    Column("content", long_text(), comment="what a person would read; NULL where it was not captured"),
    Column("sequence_number", sa.Integer, nullable=False, comment="position in that operation's exchange"),
    Column("direction", bounded(8), nullable=False, comment="input or output"),
    Column("parts", Json, comment="OpenTelemetry's message parts, where text alone does not say it all"),
    Column("tool_call_id", bounded()),
    Column("tool_name", bounded()),
    Column("finish_reason", bounded(64)),
    Column("timestamp", Timestamp, nullable=False, comment="that operation's timestamp"),
    Index("idx_llm_messages_operation", "operation_id"),
    **_MYSQL_OPTIONS,
)

spans = sa.Table(
    "llm_spans",
    metadata,
    Column("trace_id", hexadecimal(32), primary_key=True),
    Column("span_id", hexadecimal(16), primary_key=True),
    Column("operation_id", Uuid, ForeignKey("llm_operations.operation_id", ondelete="CASCADE")),
    Column("parent_span_id", hexadecimal(16)),
    Column("span_name", bounded()),
    Column("scope_name", bounded()),
    Column("session_key", bounded(), comment="internal: the key as given on this very span"),
    Column("workspace", bounded(), comment="internal: the workspace as given on this very span"),
    Column(
        "facts", Json, comment="internal: what this span and its events said, where the operation alone does not tell"
    ),
    Column("user_id", bounded(), comment="internal: the user as given on this very span"),
    Index("idx_llm_spans_operation", "operation_id"),
    **_MYSQL_OPTIONS,
)

tool_definitions = sa.Table(
    "llm_tool_definitions",
    metadata,
    Column("tool_definitions_id", Uuid, primary_key=True, comment="operations refer to it in extras"),
    Column("session_id", Uuid, ForeignKey("llm_sessions.session_id", ondelete="CASCADE"), nullable=False),
    Column("definitions", Json, nullable=False),
    Index("idx_llm_tool_definitions_session", "session_id"),
    **_MYSQL_OPTIONS,
)

dead_letters = sa.Table(
    "llm_dead_letters",
    metadata,
    Column("dead_letter_id", Uuid, primary_key=True, comment="computed from the payload"),
    Column("received_at", Timestamp, nullable=False),
    Column("reason", long_text(), nullable=False),
    Column("payload", long_text(), nullable=False, comment="JSON that can be replayed"),
    **_MYSQL_OPTIONS,
)

locks = sa.Table(
    "llm_locks",
    metadata,
    Column("stripe", sa.Integer, primary_key=True, autoincrement=False, comment="internal: writers lock these rows"),
    **_MYSQL_OPTIONS,
)

schema_version = sa.Table(
    "llm_schema_version",
    metadata,
    Column("version_num", bounded(32), primary_key=True, comment="Alembic's version table, under a name of ours"),
    **_MYSQL_OPTIONS,
)
