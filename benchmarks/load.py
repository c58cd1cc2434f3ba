"""Telemetry for the benchmarks: spans as the SDK hands them to an exporter, chats with messages of 400 characters."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

CALLS = 10
"""Calls in a session."""

LENGTH = 400
"""Characters of a message."""

START = 1_790_000_000_000_000_000

_WORDS = "tokens are the currency of models and SQL is how we count".split()


class _Keep(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


def message_text(rng: random.Random, length: int = LENGTH) -> str:
    """Characters that no other message has."""
    words = rng.choices(_WORDS, k=length // 4)
    return f"{rng.getrandbits(64):x} {' '.join(words)}"[:length].ljust(length, ".")


def _message(role: str, text: str, **fields: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}], **fields}


def _calls(
    rng: random.Random, calls: int, length: int, new_roles: tuple[str, ...], *, history: bool
) -> Iterator[tuple[list[Any], list[Any]]]:
    said: list[Any] = []
    for _ in range(calls):
        new = [_message(role, message_text(rng, length)) for role in new_roles]
        answer = _message("assistant", message_text(rng, length))
        yield (said + new if history else new), [answer | {"finish_reason": "stop"}]
        said += [*new, answer]


def spans(
    operations: int,
    *,
    history: bool,
    seed: int = 1,
    calls: int = CALLS,
    length: int = LENGTH,
    new_roles: tuple[str, ...] = ("user", "assistant", "user"),
) -> list[ReadableSpan]:
    """Ended spans: each call adds four messages; with `history` it sends all that was said before, too.

    Args:
        operations: how many.
        history: whether calls repeat the history of their session.
        seed: other seeds give other ids and texts.
        calls: in a session.
        length: characters of a message.
        new_roles: messages that each call sends for the first time.
    """
    rng = random.Random(seed)
    told: list[dict[str, Any]] = []
    while len(told) < operations:
        session = f"session-{seed}-{len(told)}"
        for inputs, outputs in _calls(rng, calls, length, new_roles, history=history):
            told.append(_chat(f"chatcmpl-{seed}-{len(told)}", session, inputs, outputs))
    return ended("opentelemetry.instrumentation.genai.openai", "1.3b0", told[:operations])


def _chat(response_id: str, session: str, inputs: list[Any], outputs: list[Any]) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": response_id,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.conversation.id": session,
        "gen_ai.usage.input_tokens": 922,
        "gen_ai.usage.output_tokens": 321,
        "gen_ai.usage.cache_read.input_tokens": 515,
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.max_tokens": 500,
        "server.address": "api.openai.com",
        "server.port": 443,
        "gen_ai.input.messages": json.dumps(inputs),
        "gen_ai.output.messages": json.dumps(outputs),
    }


def ended(scope: str, version: str, told: Iterable[dict[str, Any]]) -> list[ReadableSpan]:
    """Ended spans of an instrumentation with these attributes, one millisecond after another."""
    keep = _Keep()
    provider = TracerProvider(resource=Resource.create({"service.name": "bench", "service.namespace": "team"}))
    provider.add_span_processor(SimpleSpanProcessor(keep))
    tracer = provider.get_tracer(scope, version)
    for number, attributes in enumerate(told):
        start = START + number * 1_000_000
        span = tracer.start_span("chat gpt-4o-mini", start_time=start)
        span.set_attributes(attributes)
        span.end(end_time=start + 850_000_000)
    provider.shutdown()
    return keep.spans
