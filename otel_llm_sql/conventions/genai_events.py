"""OpenTelemetry's GenAI events: as log records an operation of their own, on spans messages of the span's operation.

`gen_ai.client.inference.operation.details` holds everything; the older `gen_ai.{system,user,assistant,tool}.message`
and `gen_ai.choice` hold one message each, in the body of a log record or in the attributes of a span event.
`gen_ai.client.operation.exception` holds why a call failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from otel_llm_sql.conventions.clean import Cleaner, as_text
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_fields import FIELDS, TABLE, apply_rules
from otel_llm_sql.conventions.json_text import parse
from otel_llm_sql.conventions.messages import read_message, read_messages
from otel_llm_sql.conventions.shared import operation
from otel_llm_sql.conventions.table import Field, Findings, compiled, text
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.records import Message, Operation

DETAILS = "gen_ai.client.inference.operation.details"
EXCEPTION = "gen_ai.client.operation.exception"

MESSAGE_EVENTS: dict[str, tuple[str, Literal["input", "output"]]] = {
    "gen_ai.system.message": ("system", "input"),
    "gen_ai.developer.message": ("developer", "input"),
    "gen_ai.user.message": ("user", "input"),
    "gen_ai.assistant.message": ("assistant", "input"),
    "gen_ai.tool.message": ("tool", "input"),
    "gen_ai.choice": ("assistant", "output"),
}
"""Event -> role and direction of the message it holds."""

WHOLE_EVENTS: dict[str, tuple[str, Literal["input", "output"]]] = {
    "gen_ai.content.prompt": ("gen_ai.prompt", "input"),
    "gen_ai.content.completion": ("gen_ai.completion", "output"),
}
"""Span events of the first conventions (1.26): the attribute that holds all messages of one direction."""

PREFIXES = ("gen_ai.",)
MARKS: frozenset[str] = frozenset()
SCOPES: tuple[str, ...] = ()
CONTENT_EVENTS = frozenset({DETAILS, *MESSAGE_EVENTS, *WHOLE_EVENTS})
EVENT_NAMES = CONTENT_EVENTS | {EXCEPTION}

_CONTENT_ATTRIBUTES = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions")
_TELLS_RESULTS_TWICE = "opentelemetry.instrumentation.botocore"


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation an event tells of; it is `pending` until its span arrives. None for spans and other log records."""
    if signal.kind != "log":
        return None
    if signal.name in MESSAGE_EVENTS:
        return _message_event(signal, Cleaner(capture_media=capture_media))
    if signal.name == EXCEPTION:
        return _exception_event(signal, Cleaner(capture_media=capture_media))
    if signal.name == DETAILS or any(name in signal.attributes for name in _CONTENT_ATTRIBUTES):
        return _details_event(signal, Cleaner(capture_media=capture_media))
    return None


def _details_event(signal: Signal, cleaner: Cleaner) -> Operation:
    found = Findings(cleaner)
    found.collect(signal.attributes, TABLE)
    if isinstance(signal.body, Mapping):
        found.collect(signal.body, TABLE)
    return _operation(signal, found, [])


def _exception_event(signal: Signal, cleaner: Cleaner) -> Operation:
    """Where exceptions are log records, the text of an error may stand here alone; a call that went well ignores it."""
    found = Findings(cleaner)
    found.collect(signal.attributes, _FAILURE_TABLE)
    return _operation(signal, found, [])


def _words(cleaner: Cleaner, name: str, value: Any) -> str | None:
    return cleaner.text(name, as_text(value)) if value else None


_FAILURE_TABLE = compiled(
    *FIELDS,
    Field("error_type", text, ("exception.type",)),
    Field("error_message", _words, ("exception.message",)),
)


def _message_event(signal: Signal, cleaner: Cleaner) -> Operation:
    found = Findings(cleaner)
    found.collect(signal.attributes, TABLE)
    content = signal.body if signal.body is not None else found.extras.pop("gen_ai.event.content", None)
    messages = _told(found.cleaner, signal.name, _opened(content))
    if signal.name == "gen_ai.user.message" and (signal.scope_name or "").startswith(_TELLS_RESULTS_TWICE):
        # botocore tells a tool's result as gen_ai.tool.message too.
        messages = [message for message in messages if message.role != "tool"]
    return _operation(signal, found, messages)


def _operation(signal: Signal, found: Findings, messages: list[Message]) -> Operation:
    found.extras.pop("event.name", None)
    apply_rules(signal, found)
    take_content(found, messages)
    return operation(signal, found)


def span_event_messages(cleaner: Cleaner, event: SpanEvent) -> list[Message]:
    """The messages of a span event that holds content; its attributes are text, often JSON."""
    attributes = event.attributes
    whole = WHOLE_EVENTS.get(event.name)
    if whole is not None:
        return read_messages(cleaner, event.name, attributes.get(whole[0]), whole[1])
    content = attributes.get("gen_ai.event.content")
    if content is not None:
        return _told(cleaner, event.name, _opened(content))
    opened = {key: _blocks(value) if key in _MAY_BE_JSON else value for key, value in attributes.items()}
    messages = _told(cleaner, event.name, opened)
    if "tool.result" in opened:
        messages += read_messages(cleaner, event.name, opened["tool.result"], "output", "tool")
    return messages


_MAY_BE_JSON = frozenset({"content", "message", "tool_calls", "tool.result"})


def _blocks(value: Any) -> Any:
    """Attributes cannot hold structures in most SDKs: lists of blocks and message objects come as JSON text."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        parsed = parse(value)
    except ValueError:
        return value
    blocks = parsed if isinstance(parsed, list) else [parsed]
    return parsed if blocks and all(isinstance(block, Mapping) for block in blocks) else value


def _opened(body: Any) -> Mapping[str, Any]:
    """The body of a message event: a mapping, its JSON text, or the bare content."""
    if isinstance(body, str):
        body = _blocks(body)
    if isinstance(body, Mapping):
        return body
    return {} if body is None else {"content": body}


def _content_object(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Google's libraries tell Gemini's `Content`, a message of its own, and a word where capture is off."""
    content = message.get("content")
    if isinstance(content, Mapping) and "parts" in content:
        return content
    return {} if content == "<elided>" else message


def _told(cleaner: Cleaner, event: str, fields: Mapping[str, Any]) -> list[Message]:
    role, direction = MESSAGE_EVENTS[event]
    inner = fields.get("message") if direction == "output" else None
    if inner is None:
        inner = fields
    elif not isinstance(inner, Mapping):
        inner = {"content": inner}
    if inner is not fields and "tool_calls" in fields:  # beside the message in conventions 1.29
        inner = {"tool_calls": fields["tool_calls"], **inner}
    messages = read_message(cleaner, event, _content_object(inner), direction, role)
    if direction == "output":
        reason = cleaner.bounded(event, fields.get("finish_reason"), 64)
        for message in messages:
            message.finish_reason = message.finish_reason or reason
    return messages
