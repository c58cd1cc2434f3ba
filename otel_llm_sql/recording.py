"""A call that no instrumentation sees, told by the application, becomes a span with OpenTelemetry's GenAI attributes.

Arguments are those of AiCore's `record_completion`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from otel_llm_sql.client_objects import encoded, messages, of_response, parsed, parts
from otel_llm_sql.context import PREFIX, text

Attributes = dict[str, Any]

COST = "gen_ai.usage.cost"
_OPERATIONS = {"completion": "chat", "acompletion": "chat", "embedding": "embeddings"}
_SECRETS = frozenset({"api_key", "authorization", "headers", "extra_headers", "default_headers"})
_PROMPTS = frozenset({"messages", "prompt", "input", "system", "tools", "functions"})
_REQUEST = {
    "model": "gen_ai.request.model",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
    "stop": "gen_ai.request.stop_sequences",
    "stream": "gen_ai.request.stream",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where a recorded call is found: columns `trace_id` and `span_id` of `llm_operations`, lower-case hex."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call, checked and in OpenTelemetry's words, ready to be sent."""

    name: str
    attributes: Attributes
    latency_ns: int
    error: str | None

    def emit(self, tracer: Tracer) -> Recorded:
        """Send it as a span that ends now."""
        end = time.time_ns()
        span = tracer.start_span(
            self.name, kind=SpanKind.CLIENT, start_time=end - self.latency_ns, attributes=self.attributes
        )
        if self.error is not None:
            span.set_status(Status(StatusCode.ERROR, self.error))
        span.end(end)
        context = span.get_span_context()
        return Recorded(f"{context.trace_id:032x}", f"{context.span_id:016x}")


def call(
    completion_args: Mapping[str, Any],
    operation_type: str,
    provider: str,
    response: Any = None,
    *,
    extras: Mapping[str, Any] | str | None = None,
    **told: Any,
) -> Call:
    """Check the arguments of `LlmOperationCollector.record_completion` and put them into OpenTelemetry's words.

    Raises:
        TypeError, ValueError: an argument is not what it must be; the message names it and shows no content.
    """
    if not isinstance(completion_args, Mapping):
        raise TypeError(f"completion_args must be a mapping, not {type(completion_args).__name__}")
    operation = _OPERATIONS.get(_named("operation_type", operation_type), operation_type)
    if operation == "chat" and "prompt" in completion_args and "messages" not in completion_args:
        operation = "text_completion"
    attributes = {
        **_extras(extras),
        **_request(completion_args),
        **of_response(response),
        **_told(told),
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _named("provider", provider),
    }
    model = attributes.get("gen_ai.request.model", "")
    error = told.get("error_message")
    latency = _number("latency_ms", told.get("latency_ms")) or 0
    # Whole milliseconds first: a float that large is infinite in nanoseconds.
    latency_ns = int(latency) * 1_000_000 + int(latency % 1 * 1_000_000)
    return Call(f"{operation} {model}".strip(), attributes, latency_ns, error)


def _named(name: str, value: object) -> str:
    if value is None:
        raise TypeError(f"{name} must be text (str), not None")
    return text(name, value)


def _told(told: Mapping[str, Any]) -> Attributes:
    """What the caller says beside request and response; it goes before what the response says."""
    names = {
        "session_id": PREFIX + "session_key",
        "workspace": PREFIX + "workspace",
        "agent_id": PREFIX + "agent_id",
        "action_id": PREFIX + "action_id",
        "user_id": PREFIX + "user_id",
    }
    # AiCore's programs pass "" for what they do not know.
    attributes: Attributes = {names[key]: text(key, value) for key, value in told.items() if key in names and value}
    counts = {
        "input_tokens": "gen_ai.usage.input_tokens",
        "output_tokens": "gen_ai.usage.output_tokens",
        "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    }
    attributes |= {counts[key]: _count(key, told[key]) for key in counts if told.get(key) is not None}
    if (cost := _number("cost", told.get("cost"))) is not None:
        attributes[COST] = float(cost)
    if told.get("error_message") is not None and not isinstance(told["error_message"], str):
        raise TypeError(f"error_message must be text, not {type(told['error_message']).__name__}")
    return attributes


def _request(arguments: Mapping[str, Any]) -> Attributes:
    given = {str(name): value for name, value in arguments.items() if value is not None}
    attributes = {
        _REQUEST.get(name, name): _value(name, value)
        for name, value in given.items()
        if name not in _PROMPTS and name.lower() not in _SECRETS
    }
    prompts = {
        "gen_ai.input.messages": messages(given.get("messages", given.get("prompt", given.get("input")))),
        "gen_ai.system_instructions": list(parts(given.get("system"))),
        "gen_ai.tool.definitions": given.get("tools", given.get("functions")),
    }
    return attributes | {name: encoded(name, value) for name, value in prompts.items() if value}


def _extras(extras: Mapping[str, Any] | str | None) -> Attributes:
    found = parsed(extras) if isinstance(extras, str) else extras
    if found is None or found == "":
        return {}
    if not isinstance(found, Mapping):
        raise TypeError("extras must be a mapping, or JSON text of one")
    return {str(name): _value(f"extras[{name!r}]", value) for name, value in found.items() if value is not None}


def _value(name: str, value: Any) -> Any:
    """An attribute value that every version of the SDK keeps: a structure becomes JSON text."""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Sequence) and value and all(isinstance(item, str) for item in value):
        return list(value)
    return encoded(name, value)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number, 0 or more, or None; given: {type(value).__name__}")
    return value


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise ValueError(f"{name} must be a number, 0 or more, or None; given: {type(value).__name__}")
    return value
