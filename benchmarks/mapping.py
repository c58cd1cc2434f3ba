"""Microseconds to read one span, from OTLP bytes to the record of an operation; four messages of 400 characters.

The same call in OpenTelemetry's convention and in OpenInference's, which tells it twice: as attributes of each message
and as the bodies of request and response. Beside it: parsing the bytes, which every receiver has to do.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from load import ended, message_text, spans
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan

from otel_llm_sql.conventions import read
from otel_llm_sql.intake.otlp import signals_from_traces

LIMITS = {"OpenTelemetry": 60, "OpenInference": 120}
"""Microseconds that reading a signal may take on the reference machine."""


def openinference(operations: int) -> list[ReadableSpan]:
    """Chats as openinference-instrumentation-openai tells them."""
    rng = random.Random(1)
    return ended("openinference.instrumentation.openai", "0.1.66", [_chat(rng, n) for n in range(operations)])


def _chat(rng: random.Random, number: int) -> dict[str, Any]:
    sent = [{"role": role, "content": message_text(rng)} for role in ("system", "user", "user")]
    answer = {"role": "assistant", "content": message_text(rng), "refusal": None, "annotations": []}
    usage = {"prompt_tokens": 922, "completion_tokens": 321, "total_tokens": 1243}
    response = {
        "id": f"chatcmpl-{number}",
        "choices": [{"finish_reason": "stop", "index": 0, "logprobs": None, "message": answer}],
        "created": 1_790_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "object": "chat.completion",
        "usage": usage | {"prompt_tokens_details": {"cached_tokens": 515, "audio_tokens": 0}},
    }
    parameters = {"model": "gpt-4o-mini", "temperature": 0.7, "max_tokens": 500}
    attributes: dict[str, Any] = {
        "llm.system": "openai",
        "input.value": json.dumps({"messages": sent, **parameters}),
        "input.mime_type": "application/json",
        "output.value": json.dumps(response),
        "output.mime_type": "application/json",
        "llm.invocation_parameters": json.dumps(parameters),
        "llm.model_name": "gpt-4o-mini-2024-07-18",
        "llm.token_count.total": 1243,
        "llm.token_count.prompt": 922,
        "llm.token_count.completion": 321,
        "llm.token_count.prompt_details.cache_read": 515,
        "session.id": f"session-{number}",
        "llm.finish_reason": "stop",
        "openinference.span.kind": "LLM",
    }
    for side, messages in (("input", sent), ("output", [answer])):
        for at, message in enumerate(messages):
            attributes[f"llm.{side}_messages.{at}.message.role"] = message["role"]
            attributes[f"llm.{side}_messages.{at}.message.content"] = message["content"]
    return attributes


def seconds(work: Callable[[], object], runs: int) -> float:
    """The median of several runs."""
    figures = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        figures.append(time.perf_counter() - started)
    return statistics.median(figures)


def main() -> None:
    """Print a line for each convention."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    loads = {
        "OpenTelemetry": spans(arguments.operations, history=False),
        "OpenInference": openinference(arguments.operations),
    }
    for convention, load in loads.items():
        data = encode_spans(load).SerializeToString()
        signals = signals_from_traces(data)
        assert all(read(signal) is not None for signal in signals)
        parsing, taking, reading = (
            seconds(work, arguments.runs) / arguments.operations * 1e6
            for work in (
                lambda data=data: ExportTraceServiceRequest.FromString(data),  # type: ignore[misc]
                lambda data=data: signals_from_traces(data),  # type: ignore[misc]
                lambda signals=signals: [read(signal) for signal in signals],  # type: ignore[misc]
            )
        )
        print(
            f"{convention:14} {reading:6.1f} us a span (limit {LIMITS[convention]}): {reading / parsing:4.1f} x parsing"
            f" its bytes ({parsing:.1f} us); from bytes to record {taking + reading:.1f} us",
            flush=True,
        )


if __name__ == "__main__":
    main()
