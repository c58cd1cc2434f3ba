"""Logfire: the two parts of a stream, bodies of version 1, and the usage as the provider sent it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from platforms import START, read, said, span, tokens

from otel_llm_sql import conventions
from otel_llm_sql.records import STREAM, STREAM_ANSWER, STREAM_REQUEST, Operation

pytestmark = pytest.mark.quick

ASKED = {
    "logfire.msg_template": "Chat Completion with {request_data[model]!r}",
    "request_data": '{"model":"gpt-4o"}',
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.operation.name": "chat",
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]',
}
ANSWER = {
    "logfire.msg_template": "streaming response from {request_data[model]!r} took {duration:.2f}s",
    "logfire.span_type": "log",
    "duration": 0.5,
    "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Hello"}]}]',
    "gen_ai.response.finish_reasons": '["stop"]',
    "gen_ai.usage.input_tokens": 100,
}
RAW = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens_details": {"reasoning_tokens": 20},
}


def call(attributes: dict[str, Any], **fields: Any) -> Operation:
    return read(attributes, scope_name="logfire.openai", **fields)


def test_details_of_the_usage_stand_in_the_providers_own() -> None:
    """Cached and reasoning tokens are told by `gen_ai.usage.raw` alone, which stays in extras."""
    operation = call(ASKED | {"gen_ai.usage.raw": json.dumps(RAW), "gen_ai.usage.input_tokens": 100})
    assert tokens(operation) == (100, 60, None, 50, 20)
    assert json.loads(operation.extras["gen_ai.usage.raw"]) == RAW


def test_both_parts_of_a_stream_say_which_they_are() -> None:
    """One asks and the other answers, with the same messages: so the store finds that they are one call."""
    request, answer = call(ASKED), call(ASKED | ANSWER, trace_id="c" * 32)
    assert (request.extras[STREAM], answer.extras[STREAM]) == (STREAM_REQUEST, STREAM_ANSWER)
    assert said(request) == said(answer)[:1]


def test_the_answer_is_moved_to_where_its_stream_began() -> None:
    """Its record has no length and was made at the end: the duration says when the stream began."""
    answer = call(ASKED | ANSWER, end_ns=START)
    assert (answer.timestamp, answer.latency_ms) == (START // 1000 - 500_000, 500)
    assert said(answer) == [("input", "user", "Hi"), ("output", "assistant", "Hello")]
    assert (answer.finish_reason, answer.input_tokens) == ("stop", 100)


@pytest.mark.parametrize(
    ("attributes", "fields"),
    [
        ({"gen_ai.response.id": "chatcmpl-1"}, {}),
        ({"gen_ai.usage.input_tokens": 1}, {}),
        ({}, {"status": "error"}),
        ({"gen_ai.operation.name": "embeddings"}, {}),
    ],
)
def test_what_is_no_part_of_a_stream(attributes: dict[str, Any], fields: dict[str, Any]) -> None:
    """A call that was answered, that failed, or that cannot be streamed."""
    assert STREAM not in call(ASKED | attributes, **fields).extras


def test_bodies_of_version_1() -> None:
    """The whole request and what came back, where no message stands in OpenTelemetry's words."""
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.3}
    response = {"message": {"role": "assistant", "content": "Hello"}, "usage": RAW}
    told = {name: value for name, value in ASKED.items() if name != "gen_ai.input.messages"}
    operation = call(told | {"request_data": json.dumps(request), "response_data": json.dumps(response)})
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", "Hello")]
    assert tokens(operation) == (100, 60, None, 50, 20)
    assert operation.extras["request_data"] == {"temperature": 0.3}
    streamed = {"combined_chunk_content": "Hello", "chunk_count": 2}
    operation = call(told | {"response_data": json.dumps(streamed)})
    assert said(operation) == [("output", "assistant", "Hello")]


def test_events_of_version_1() -> None:
    """The Responses API's messages as a list of events, the answer at its end."""
    events = [
        {"event.name": "gen_ai.user.message", "content": "Hi", "role": "user"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "Hello"}},
    ]
    told = {name: value for name, value in ASKED.items() if name != "gen_ai.input.messages"}
    assert said(call(told | {"events": json.dumps(events)})) == [
        ("input", "user", "Hi"),
        ("output", "assistant", "Hello"),
    ]


def test_both_versions_at_once() -> None:
    """Messages are read once, and their text is not stored in the body beside them."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.3}
    operation = call(ASKED | {"request_data": json.dumps(body)})
    assert said(operation) == [("input", "user", "Hi")]
    assert operation.extras["request_data"] == {"model": "gpt-4o", "temperature": 0.3}


def test_other_spans_of_logfire() -> None:
    """Logfire instruments everything: what is not about GenAI is no operation."""
    told = {"logfire.msg_template": "GET {path}", "http.request.method": "GET"}
    assert conventions.read(span(told, scope_name="logfire.fastapi")) is None
