"""Dead letters: what could not be stored as it was, as JSON that can be looked at and replayed."""

from __future__ import annotations

import time
from dataclasses import fields as dataclass_fields
from typing import Any

import orjson

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation
from otel_llm_sql.rows.identity import hash128, uuid_text
from otel_llm_sql.spool import operation_json
from otel_llm_sql.store.writer import Letter


def letter_of_signal(signal: Signal, reason: str, *, capture_content: bool) -> Letter:
    """The dead letter of a signal that could not be read, or belongs nowhere.

    Args:
        signal: what could not be stored.
        reason: why, in words without content.
        capture_content: False keeps only the names of attributes, as their values may be content.
    """
    fields: dict[str, Any] = {f.name: getattr(signal, f.name) for f in dataclass_fields(signal)}
    fields["events"] = [{"name": e.name, "time_ns": e.time_ns, "attributes": e.attributes} for e in signal.events]
    if not capture_content:
        fields["body"] = None
        fields["attributes"] = dict.fromkeys(signal.attributes)
        fields["events"] = [{"name": event.name, "time_ns": event.time_ns} for event in signal.events]
    return _letter(orjson.dumps(Cleaner().json("payload", fields), option=orjson.OPT_SORT_KEYS), reason)


def letter_of_operation(operation: Operation, reason: str) -> Letter:
    """The dead letter of an operation that could not be stored; arguments as for `letter_of_signal`."""
    return _letter(operation_json(operation), reason)


def _letter(payload: bytes, reason: str) -> Letter:
    return Letter(
        dead_letter_id=uuid_text(hash128(b"dead letter\0" + payload)),
        received_at=time.time_ns() // 1000,
        reason=reason,
        payload=payload.decode(),
    )
