"""Dead letters: what could not be stored as it was, as JSON that can be looked at and replayed."""

from __future__ import annotations

import time
from dataclasses import fields as dataclass_fields
from typing import Any

import orjson

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.rows.identity import hash128, uuid_text
from otel_llm_sql.store.writer import Letter


def letter(signal: Signal, reason: str, *, capture_content: bool) -> Letter:
    """The dead letter of a signal.

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
    payload = orjson.dumps(Cleaner().json("payload", fields), option=orjson.OPT_SORT_KEYS)
    return Letter(
        dead_letter_id=uuid_text(hash128(b"dead letter\0" + payload)),
        received_at=time.time_ns() // 1000,
        reason=reason,
        payload=payload.decode(),
    )
