"""Dead letters: what could not be stored as it was, as JSON that can be looked at and replayed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
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
    fields = asdict(signal)
    if not capture_content:
        fields["body"] = None
        fields["attributes"] = dict.fromkeys(signal.attributes)
        fields["events"] = [{"name": event.name, "time_ns": event.time_ns} for event in signal.events]
    payload = orjson.dumps(Cleaner().json("payload", _plain(fields)), option=orjson.OPT_SORT_KEYS)
    return Letter(
        dead_letter_id=uuid_text(hash128(b"dead letter\0" + payload)),
        received_at=time.time_ns() // 1000,
        reason=reason,
        payload=payload.decode(),
    )


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in fields.items()}
