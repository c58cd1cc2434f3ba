"""OpenTelemetry's own GenAI conventions on spans: attributes first, content from span events where they hold it."""

from __future__ import annotations

from typing import Any

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_events import CONTENT_EVENTS, DETAILS, EVENT_NAMES, span_event_messages
from otel_llm_sql.conventions.genai_fields import PREFIXES, TABLE, apply_rules, recognised
from otel_llm_sql.conventions.shared import last_exception, operation
from otel_llm_sql.conventions.table import Findings
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.records import Message, Operation

MARKS: frozenset[str] = frozenset()
SCOPES: tuple[str, ...] = ()


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation a span tells of; None for logs, and for spans on which nothing is about a GenAI operation."""
    if signal.kind != "span":
        return None
    found = Findings(Cleaner(capture_media=capture_media))
    found.collect(signal.attributes, TABLE)
    told = span_messages(signal, found) if signal.events else []
    if not told and not recognised(found):
        return None
    apply_rules(signal, found)
    take_content(found, told)
    return operation(signal, found)


def span_messages(signal: Signal, found: Findings) -> list[Message]:
    """Messages from the span's events; details fill what the attributes left open, other events stay in `extras`."""
    messages: list[Message] = []
    others: list[Any] = []
    exception = last_exception(signal)
    is_tool = found.values.get("operation_type") == "execute_tool"
    for event in signal.events:
        if event.name == DETAILS:
            found.collect(event.attributes, TABLE)
        elif event.name not in CONTENT_EVENTS:
            others += [] if event is exception else [_kept(found.cleaner, event)]
        elif is_tool:
            _tool_event(found, event)
        else:
            messages += span_event_messages(found.cleaner, event)
    if others:
        found.extras["events"] = others
    return messages


def _tool_event(found: Findings, event: SpanEvent) -> None:
    """On a tool's own span its message is what it was called with, and the choice is what it gave back."""
    for key, name in (("content", "gen_ai.tool.call.arguments"), ("message", "gen_ai.tool.call.result")):
        if key in event.attributes and name not in found.extras:
            found.put(name, event.attributes[key])


def _kept(cleaner: Cleaner, event: SpanEvent) -> Any:
    kept = {"name": event.name, "time_ns": event.time_ns, "attributes": event.attributes}
    return cleaner.json("events", {key: value for key, value in kept.items() if value}, 3)


__all__ = ["EVENT_NAMES", "MARKS", "PREFIXES", "SCOPES", "read"]
