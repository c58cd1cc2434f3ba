"""OpenLIT's vocabulary: what it means by OpenTelemetry's names, and what a failed span says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_llm_sql import conventions
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.records import Operation

pytestmark = pytest.mark.quick

ANTHROPIC = "openlit.instrumentation.anthropic"
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 20,
}


def signal(attributes: dict[str, Any], scope: str = ANTHROPIC, **fields: Any) -> Signal:
    start = 1_700_000_000_000_000_000
    defaults: dict[str, Any] = {"kind": "span", "trace_id": "a" * 32, "span_id": "b" * 16, "parent_span_id": None}
    times = {"name": "chat claude-sonnet-4-5", "start_ns": start, "end_ns": start + 5}
    return Signal(attributes=attributes, scope_name=scope, **(defaults | times | fields))


def read(attributes: dict[str, Any], scope: str = ANTHROPIC, **fields: Any) -> Operation:
    operation = conventions.read(signal(attributes, scope, **fields))
    assert operation is not None
    return operation


CACHED = {"gen_ai.usage.cache_read.input_tokens": 3, "gen_ai.usage.cache_creation.input_tokens": 2}


@pytest.mark.parametrize(
    ("scope", "tokens"),
    [(ANTHROPIC, 15), ("openlit.instrumentation.bedrock", 15), ("openlit.instrumentation.openai", 10)],
)
def test_input_as_the_provider_counts(scope: str, tokens: int) -> None:
    """Anthropic and Bedrock count without cached tokens: they are added; what was reported stays."""
    operation = read(CALL | CACHED, scope)
    assert operation.input_tokens == tokens
    assert operation.extras.get("gen_ai.usage.input_tokens", tokens) == 10


def test_details_count_as_the_span_does() -> None:
    """The log record of a call repeats its tokens, with the same meaning."""
    record = {"kind": "log", "name": "gen_ai.client.inference.operation.details"}
    assert read(CALL | CACHED, **record).input_tokens == 15


def test_gemini_counts_without_reasoning() -> None:
    """The output is added up where it is told without reasoning."""
    operation = read(CALL | {"gen_ai.usage.reasoning_tokens": 7}, "openlit.instrumentation.google_ai_studio")
    assert (operation.output_tokens, operation.extras["gen_ai.usage.output_tokens"]) == (27, 20)


def test_a_failed_span_says_only_its_name() -> None:
    """Operation and model stand in the name, the provider in the scope, the error in the exception."""
    exception = SpanEvent("exception", 1, {"exception.type": "RateLimitError", "exception.message": "slow down"})
    operation = read({}, status="error", events=(exception,))
    assert (operation.operation_type, operation.provider, operation.model) == ("chat", "anthropic", "claude-sonnet-4-5")
    assert (operation.status, operation.error_type, operation.error_message) == ("error", "RateLimitError", "slow down")


@pytest.mark.parametrize(("scope", "wanted"), [(ANTHROPIC, True), ("opentelemetry.instrumentation.httpx", False)])
def test_a_failed_span_passes_the_exporter(scope: str, wanted: bool) -> None:
    """Spans without attributes are looked at where their scope is known."""
    provider = TracerProvider()
    span = provider.get_tracer(scope).start_span("chat claude-sonnet-4-5")
    span.end()
    provider.shutdown()
    assert conventions.is_genai_span(span) is wanted


@pytest.mark.parametrize(
    ("scope", "name"), [("openlit.instrumentation.qdrant", "upsert"), ("opentelemetry.instrumentation.httpx", "POST")]
)
def test_other_spans_are_no_operations(scope: str, name: str) -> None:
    """The HTTP spans that come with it, and those whose name is no call, are not about GenAI."""
    assert conventions.read(signal({"http.method": "POST"}, scope, name=name)) is None


def test_a_call_that_was_no_stream_has_no_first_token() -> None:
    """It reports its latency as the time to the first token."""
    told = CALL | {"gen_ai.server.time_to_first_token": 0.25}
    assert read(told | {"gen_ai.request.stream": False}).time_to_first_token_ms is None
    assert read(told | {"gen_ai.request.stream": True}).time_to_first_token_ms == 250


def test_cost_zero_is_unknown() -> None:
    """Offline it has no prices, and says 0."""
    assert read(CALL | {"gen_ai.usage.cost": 0}).cost is None


def test_the_call_of_a_tool_is_told_in_the_message() -> None:
    """A call to a model is no run of the tool that it asks for."""
    tool = {"gen_ai.tool.name": "f", "gen_ai.tool.call.id": "c1", "gen_ai.tool.call.arguments": "{}"}
    parts = [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {}}]
    told = {"gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": parts}])}
    operation = read(CALL | tool | told)
    assert (operation.tool_name, operation.messages[0].parts) == (None, parts)
    assert not operation.extras.keys() & tool.keys()
    assert read(CALL | tool).extras["gen_ai.tool.call.id"] == "c1"


@pytest.mark.parametrize("word", ["vectordb", "model_request", "step"])
def test_its_own_words_are_no_calls(word: str) -> None:
    """Steps of frameworks and of vector stores ask no provider: they carry no tokens."""
    operation = read(CALL | {"gen_ai.operation.name": word}, "openlit.instrumentation.pydantic_ai")
    assert (operation.is_call, operation.input_tokens, operation.provider) == (False, None, None)


def test_the_id_of_a_run_is_no_agent() -> None:
    """LangChain gives each run of an agent another id."""
    told = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.id": "run-7"}
    operation = read(told, "openlit.instrumentation.langchain")
    assert (operation.agent_id, operation.extras["gen_ai.agent.id"]) == (None, "run-7")
    assert read(told, "openlit.instrumentation.crewai").agent_id == "run-7"


def test_the_user_of_a_request() -> None:
    """The parameter `user`; empty where none was given."""
    assert read(CALL | {"gen_ai.request.user": "u"}).user_id == "u"
    assert read(CALL | {"gen_ai.request.user": ""}).user_id is None
