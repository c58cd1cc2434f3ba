"""Logfire's own instrumentations of model clients: OpenTelemetry's words, and whole bodies in version 1 of its format.

A stream is told by two spans, often in two traces: the request, and when it has ended a record without length that has
the answer, the usage and the stream's `duration`. STREAM in their `extras` says which of the two a span is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from otel_llm_sql.conventions.clean import Cleaner, as_number
from otel_llm_sql.conventions.exchanges import fill_usage, take_call
from otel_llm_sql.conventions.genai import span_messages
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_fields import FIELDS, apply_rules, recognised
from otel_llm_sql.conventions.json_coded import opened
from otel_llm_sql.conventions.shared import context_fields, operation
from otel_llm_sql.conventions.table import Field, Findings, compiled, raw
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import STREAM, STREAM_ANSWER, STREAM_REQUEST, Operation

PREFIXES = ("gen_ai.",)
EVENT_NAMES: frozenset[str] = frozenset()
MARKS = frozenset({"logfire.msg_template"})
SCOPES = ("logfire.",)

_TABLE = compiled(
    *context_fields(),
    *FIELDS,
    Field("sent", raw, ("request_data",)),
    Field("came_back", raw, ("response_data",)),
    Field("usage", raw, ("gen_ai.usage.raw",), keep=True),
    Field("conversation", raw, ("events",)),
)

_NANOSECONDS = 1_000_000_000
_ANSWERED = frozenset({"response_id", "input_tokens", "output_tokens", "output", "came_back", "finish_reasons"})


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation a span of Logfire's tells of; None for logs, and for spans that are not about GenAI."""
    if signal.kind != "span" or not _is_ours(signal):
        return None
    found = Findings(Cleaner(capture_media=capture_media))
    found.collect(signal.attributes, _TABLE)
    told = span_messages(signal, found) if signal.events else []
    if not told and not recognised(found):
        return None
    signal = _take_stream(signal, found)
    apply_rules(signal, found)
    _take_bodies(found)
    take_content(found, told)
    return operation(signal, found)


def _is_ours(signal: Signal) -> bool:
    return (signal.scope_name or "").startswith(SCOPES) or not MARKS.isdisjoint(signal.attributes)


def _take_stream(signal: Signal, found: Findings) -> Signal:
    """Mark the two parts of a stream; the answer's record is moved to where its stream began."""
    extras = found.extras
    duration = as_number(extras.get("duration"))
    if extras.get("logfire.span_type") == "log" and duration is not None and duration >= 0:
        extras[STREAM] = STREAM_ANSWER
        return replace(signal, start_ns=signal.start_ns - int(duration * _NANOSECONDS))
    is_open = signal.status != "error" and not found.values.keys() & _ANSWERED
    if is_open and found.values.get("operation_type") in ("chat", "text_completion"):
        extras[STREAM] = STREAM_REQUEST
    return signal


def _take_bodies(found: Findings) -> None:
    """Bodies of version 1 and the usage as the provider sent it; beside version 2's messages the bodies say less."""
    values = found.values
    values["sent"] = _without_content(values.get("sent")) if "input" in values else opened(values.get("sent"))
    back = opened(values.pop("came_back", None))
    if isinstance(back, Mapping):
        fill_usage(found, back.get("usage"))
        _take_answer(found, back)
    if "conversation" in values:
        values["conversation"] = _events(found, opened(values["conversation"]))
    take_call(found)
    fill_usage(found, opened(values.pop("usage", None)))


def _without_content(sent: Any) -> Any:
    body = opened(sent)
    if not isinstance(body, Mapping):
        return sent
    return {key: item for key, item in body.items() if key not in ("messages", "system", "tools", "input", "prompt")}


def _take_answer(found: Findings, back: Mapping[str, Any]) -> None:
    """`message`, the text of a stream, or that of a completion."""
    text = next((back[key] for key in ("combined_chunk_content", "text") if isinstance(back.get(key), str)), None)
    message = back.get("message") if isinstance(back.get("message"), Mapping) else None
    if "output" not in found.values and (message or text):
        found.values["output"] = [message or {"role": "assistant", "content": text}]
    rest = {key: item for key, item in back.items() if key not in ("message", "combined_chunk_content", "text")}
    if rest:
        found.put("response_data", rest)


def _events(found: Findings, told: Any) -> Any:
    """Messages of the Responses API in version 1: as events that name their role, the answer at their end."""
    if not isinstance(told, list) or not all(isinstance(item, Mapping) for item in told):
        return told
    return [{"role": item.get("role"), **_message(item)} for item in told]


def _message(item: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = item.get("message")
    return inner if isinstance(inner, Mapping) else item


__all__ = ["EVENT_NAMES", "MARKS", "PREFIXES", "SCOPES", "read"]
