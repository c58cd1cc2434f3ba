"""The forms that operations and messages take as rows."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from otel_llm_sql.records import DEFINITIONS, Message
from otel_llm_sql.rows.batch import Row
from otel_llm_sql.rows.facts import VALUES
from otel_llm_sql.rows.identity import id_within, message_keys, session_prefix
from otel_llm_sql.rows.resolve import Final


class Claim(NamedTuple):
    """An operation's claim on a message; the smallest owns it."""

    rank: int
    timestamp: int
    operation_id: str
    sequence_number: int
    direction: str
    finish_reason: str | None


def _ids(final: Final) -> list[str]:
    prefix = session_prefix(final.session_id)
    return [id_within(prefix, key) for key in message_keys(final.said.digests)]


def operation_row(final: Final) -> tuple[Row, list[str]]:
    """The row of an operation, JSON as text; and the ids of its messages."""
    said = final.said
    ids = _ids(final)
    extras = said.extras
    if DEFINITIONS in extras:
        extras = extras | {DEFINITIONS: id_within(session_prefix(final.session_id), int(extras[DEFINITIONS], 16))}
    innermost = final.members[0]
    row: Row = {"operation_id": final.operation_id, "session_id": final.session_id}
    row.update(said.values)
    row["trace_id"], row["span_id"] = innermost
    row["parent_span_id"] = said.parent_span_id
    row["extras"] = orjson.dumps(extras).decode() if extras else None
    row["message_ids"] = orjson.dumps(ids).decode() if ids else None
    row["input_messages"] = said.inputs
    return row, ids


def is_stored(row: Row, before: Row) -> bool:
    """Whether the row of an operation says what is stored already."""
    for name in ("extras", "message_ids"):
        if (orjson.loads(row[name]) if row[name] else None) != before[name]:
            return False
    return all(row[name] == before[name] for name in (*VALUES, "session_id", "parent_span_id", "input_messages"))


def moved_row(message_id: str, claim: Claim) -> Row:
    """What changes of a message that another operation owns now."""
    return {
        "message_id": message_id,
        "operation_id": claim.operation_id,
        "sequence_number": claim.sequence_number,
        "direction": claim.direction,
        "finish_reason": claim.finish_reason,
        "timestamp": claim.timestamp,
    }


def message_row(message_id: str, claim: Claim, message: Message) -> Row:
    """The row of a message that is new, JSON as text."""
    return {
        "message_id": message_id,
        "operation_id": claim.operation_id,
        "role": message.role,
        "content": message.content,
        "sequence_number": claim.sequence_number,
        "direction": claim.direction,
        "parts": orjson.dumps(message.parts).decode() if message.parts is not None else None,
        "tool_call_id": message.tool_call_id,
        "tool_name": message.tool_name,
        "finish_reason": claim.finish_reason,
        "timestamp": claim.timestamp,
    }
