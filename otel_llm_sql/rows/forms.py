"""The forms that operations and messages take as rows: tuples in the order of COLUMNS, JSON as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import orjson

from otel_llm_sql.records import AGGREGATES, DEFINITIONS, FINISH_REASONS, Message
from otel_llm_sql.references import packed, unpacked
from otel_llm_sql.rows.batch import NewRow, named
from otel_llm_sql.rows.facts import VALUES
from otel_llm_sql.rows.identity import digest_of_text, message_keys, session_prefix
from otel_llm_sql.rows.known import Carrier, Row
from otel_llm_sql.rows.resolve import Final

_plain_columns = itemgetter("session_id", *VALUES, "parent_span_id", "input_messages")


def precedence(operation_type: str, timestamp: int, operation_id: str) -> tuple[bool, int, str]:
    """Where an operation stands among those that carry a message: the smallest owns it, calls before all others."""
    return (operation_type in AGGREGATES, timestamp, operation_id)


class Claimant(NamedTuple):
    """An operation that carries messages. Its first three fields are its precedence."""

    is_aggregate: bool
    timestamp: int
    operation_id: str
    session_id: str
    inputs: int
    reasons: Sequence[str | None]
    digests: Sequence[str] = ()

    @property
    def precedence(self) -> tuple[bool, int, str]:
        """Where it stands among those that carry a message."""
        return self[:3]


Claim: TypeAlias = tuple[Claimant, int]
"""Who claims a message, and at which position of its exchange; the smallest claim wins."""


def claimant_of(final: Final) -> Claimant:
    """An operation of this resolution as a claimant."""
    said = final.said
    values = said.values
    return Claimant(
        *precedence(values.operation_type, values.timestamp, final.operation_id),
        final.session_id,
        said.inputs,
        _reasons(said.extras, values.finish_reason),
        said.digests,
    )


def claimant_of_carrier(carrier: Carrier) -> Claimant:
    """An operation that is stored as a claimant: its messages are stored, too."""
    return Claimant(
        *precedence(carrier.operation_type, carrier.timestamp, carrier.operation_id),
        carrier.session_id,
        carrier.input_messages,
        _reasons(carrier.extras, carrier.finish_reason),
    )


def _reasons(extras: Mapping[str, Any], finish_reason: str | None) -> Sequence[str | None]:
    return extras.get(FINISH_REASONS) or (finish_reason,)


def _direction(owner: Claimant, number: int) -> tuple[str, str | None]:
    """Direction and finish reason of a message, as its owner tells."""
    output = number - owner.inputs
    if output < 0:
        return "input", None
    return "output", owner.reasons[output] if output < len(owner.reasons) else None


def message_ids(final: Final) -> list[str]:
    """The ids of the messages of an operation, in the order of its digests."""
    prefix = session_prefix(final.session_id)
    return [prefix + key for key in message_keys(final.said.digests)]


def operation_row(final: Final) -> tuple[NewRow, list[str]]:
    """The row of an operation; and the ids of its messages."""
    said = final.said
    ids = message_ids(final)
    extras = said.extras
    if DEFINITIONS in extras:
        extras = extras | {DEFINITIONS: session_prefix(final.session_id) + digest_of_text(extras[DEFINITIONS])}
    row = (
        final.operation_id,
        final.session_id,
        *said.values,
        *final.members[0],
        said.parent_span_id,
        orjson.dumps(extras).decode() if extras else None,
        said.inputs,
        packed(ids) if ids else None,
    )
    return row, ids


def is_stored(row: NewRow, before: Row) -> bool:
    """Whether the row of an operation says what is stored already."""
    told = named("llm_operations", row)
    if _plain_columns(told) != _plain_columns(before):
        return False
    opened = (("extras", orjson.loads), ("message_ids", unpacked))
    return all((read(told[name]) if told[name] else None) == before[name] for name, read in opened)


def moved_row(message_id: str, claim: Claim) -> Row:
    """What changes of a message that another operation owns now."""
    owner, number = claim
    direction, reason = _direction(owner, number)
    return {
        "message_id": message_id,
        "operation_id": owner.operation_id,
        "sequence_number": number,
        "direction": direction,
        "finish_reason": reason,
        "timestamp": owner.timestamp,
    }


def message_row(message_id: str, claim: Claim, message: Message, tool_name: str | None) -> NewRow:
    """The row of a message that is new."""
    owner, number = claim
    direction, reason = _direction(owner, number)
    parts = message.parts
    return (
        message_id,
        owner.operation_id,
        message.role,
        message.content,
        number,
        direction,
        None if parts is None else orjson.dumps(parts).decode(),
        message.tool_call_id,
        tool_name,
        reason,
        owner.timestamp,
    )
