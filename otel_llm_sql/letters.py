"""Dead letters: what could not be stored as it was, as JSON that can be looked at and replayed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from typing import Any

import orjson

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.content import ContentPolicy
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation
from otel_llm_sql.rows.identity import hash128, uuid_text
from otel_llm_sql.spool import operation_json
from otel_llm_sql.store.writer import Letter


def letter_of_signal(signal: Signal, reason: str, policy: ContentPolicy) -> Letter:
    """The dead letter of a signal that could not be read, or belongs nowhere.

    Args:
        signal: what could not be stored.
        reason: why, in words without content.
        policy: what is kept of the values of attributes, as they may be content. Their names are always kept.
    """
    fields: dict[str, Any] = {f.name: getattr(signal, f.name) for f in dataclass_fields(signal)}
    fields["attributes"] = _kept(signal.attributes, policy)
    fields["events"] = [
        {"name": event.name, "time_ns": event.time_ns, "attributes": _kept(event.attributes, policy)}
        for event in signal.events
    ]
    fields["body"] = policy.raw(signal.body)
    fields["status_message"] = policy.error(signal.status_message)
    return _letter(orjson.dumps(Cleaner().json("payload", fields), option=orjson.OPT_SORT_KEYS), reason)


def _kept(attributes: Mapping[str, Any], policy: ContentPolicy) -> dict[str, Any]:
    return {name: policy.raw(value) for name, value in attributes.items()}


def letter_of_operation(operation: Operation, reason: str) -> Letter:
    """The dead letter of an operation that could not be stored."""
    return _letter(operation_json(operation), reason)


def _letter(payload: bytes, reason: str) -> Letter:
    return Letter(
        dead_letter_id=uuid_text(hash128(b"dead letter\0" + payload)),
        received_at=time.time_ns() // 1000,
        reason=reason,
        payload=payload.decode(),
    )
