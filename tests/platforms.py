"""Spans of SDKs that write whole bodies, and what is read of them."""

from __future__ import annotations

from typing import Any

from storable import problems

from otel_llm_sql import conventions
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

START = 1_700_000_000_000_000_000


def span(attributes: dict[str, Any], **fields: Any) -> Signal:
    """A span of a second and a half."""
    defaults: dict[str, Any] = {"kind": "span", "trace_id": "a" * 32, "span_id": "b" * 16, "parent_span_id": None}
    times = {"name": "a name", "start_ns": START, "end_ns": START + 1_500_000_000}
    return Signal(attributes=attributes, **(defaults | times | fields))


def read(attributes: dict[str, Any], **fields: Any) -> Operation:
    """The operation a span tells of, which can be stored."""
    operation = conventions.read(span(attributes, **fields))
    assert operation is not None
    assert problems(operation) == []
    return operation


def tokens(operation: Operation) -> tuple[int | None, ...]:
    """Input, cached, written, output, reasoning."""
    return (
        operation.input_tokens,
        operation.cache_read_input_tokens,
        operation.cache_write_input_tokens,
        operation.output_tokens,
        operation.reasoning_output_tokens,
    )


def said(operation: Operation) -> list[tuple[str, str, str | None]]:
    """Direction, role and text of each message."""
    return [(message.direction, message.role, message.content) for message in operation.messages]
