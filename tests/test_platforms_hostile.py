"""Whatever stands in the attributes of SDKs that write whole bodies as JSON or repr, what is read can be stored."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storable import problems

from otel_llm_sql import conventions
from otel_llm_sql.conventions import haystack, langfuse, langsmith, litellm, logfire, mlflow, pydantic_ai
from otel_llm_sql.conventions.vocabulary import Vocabulary
from otel_llm_sql.intake.signal import Signal, SpanEvent

pytestmark = pytest.mark.quick

KEYS = st.sampled_from(
    [
        *("role", "content", "messages", "choices", "message", "tool_calls", "function", "name", "arguments", "parts"),
        *("type", "id", "text", "usage", "prompt_tokens", "input", "output", "input_tokens", "output_tokens", "model"),
        *("generations", "kwargs", "lc", "replies", "meta", "tool_call", "update", "candidates", "system", "tools"),
        *("input_cache_read", "total", "data", "finish_reason", "response_metadata", "prompt_tokens_details"),
    ]
)
WORDS = st.sampled_from(
    ["assistant", "tool", "ai", "human", "text", "tool_call", "chat", "", "\0", "\ud800", "[", "{'"]
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), WORDS)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=12,
)
VALUES = st.one_of(
    JSON.map(json.dumps),
    JSON.map(lambda value: json.dumps(value)[:-2]),
    JSON.map(repr),
    JSON,
    st.binary(max_size=8),
    st.just("[" * 3000 + "]" * 3000),
    st.just('{"messages":' * 400 + "1" + "}" * 400),
    st.just('{"messages":' + "[" * 900 + "]" * 900 + "}"),
)
CASES: list[tuple[Any, str, tuple[str, ...]]] = [
    (
        langfuse,
        "langfuse-sdk",
        tuple(
            f"langfuse.{name}"
            for name in (
                *("observation.type", "observation.input", "observation.output", "observation.usage_details"),
                *("observation.model.name", "observation.model.parameters", "observation.cost_details"),
                *("observation.completion_start_time", "observation.level", "observation.status_message"),
                *("trace.metadata.thread_id", "observation.metadata", "observation.metadata.ls_provider"),
                *("trace.metadata", "observation.metadata.finish_reason"),
            )
        ),
    ),
    (
        langsmith,
        "langsmith",
        (
            *("langsmith.span.kind", "gen_ai.prompt", "gen_ai.completion", "langsmith.metadata.usage_metadata"),
            *("langsmith.metadata.ls_provider", "langsmith.metadata.session_id", "gen_ai.operation.name"),
        ),
    ),
    (
        mlflow,
        "mlflow.tracing.provider",
        (
            *("mlflow.spanType", "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.chat.tokenUsage", "metadata"),
            *("mlflow.llm.cost", "mlflow.llm.model", "mlflow.llm.provider", "mlflow.message.format", "model"),
            *("invocation_params", "mlflow.chat.tools", "tools"),
        ),
    ),
    (
        litellm,
        "litellm",
        (
            *("gen_ai.response.id", "llm.request.type", "metadata.usage_object", "gen_ai.cost.total_cost"),
            *(
                "llm.openai.messages",
                "llm.openai.choices",
                "llm.openai.usage",
                "llm.anthropic.content",
                "llm.",
                "llm.x",
            ),
            *("llm.request.functions.0.name", "gen_ai.completion.0.function_call.name", "gen_ai.output.messages"),
        ),
    ),
    (
        haystack,
        "any",
        (
            *("haystack.component.type", "haystack.component.input", "haystack.component.output", "haystack.tool.name"),
            *("haystack.agent.step.llm.input", "haystack.agent.step.llm.output", "haystack.agent.tools"),
            *("haystack.agent.output", "haystack.tool.error", "haystack.agent.step.tool.output"),
        ),
    ),
    (
        logfire,
        "logfire.openai",
        (
            *("request_data", "response_data", "gen_ai.usage.raw", "events", "duration", "logfire.span_type"),
            *("gen_ai.operation.name", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.request.model"),
        ),
    ),
    (
        pydantic_ai,
        "pydantic-ai",
        (
            *("model_request_parameters", "gen_ai.agent.call.id", "gen_ai.conversation.id", "tool_arguments"),
            *("gen_ai.response.finish_reasons", "gen_ai.provider.name", "gen_ai.output.messages", "metadata"),
        ),
    ),
]
TYPES = (
    *("generation", "embedding", "agent", "tool", "chain", "retriever", "llm", '"CHAT_MODEL"', '"EMBEDDING"', '"TOOL"'),
    *('"AGENT"', "OpenAIChatGenerator", "OpenAITextEmbedder", "log", "chat", "completion"),
)
NAMES = (
    *("raw_gen_ai_request", "haystack.agent.run", "haystack.agent.step.llm", "haystack.agent.step.tool"),
    *("haystack.component.run", "agent run", "running tool", "call"),
)


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    _, scope, names = draw(st.sampled_from(CASES))
    attributes = draw(st.dictionaries(st.sampled_from(names), VALUES, max_size=6))
    for name in names:
        if name.endswith(("type", "kind", "Type")) and draw(st.booleans()):
            attributes[name] = draw(st.sampled_from(TYPES))
    events = [SpanEvent("exception", 5, {"exception.message": draw(VALUES)})] if draw(st.booleans()) else []
    events += [SpanEvent("mlflow.chunk.item.0", 7, {})] if draw(st.booleans()) else []
    status = cast("Any", draw(st.sampled_from(["ok", "error", "unset"])))
    name, parent = draw(st.sampled_from(NAMES)), draw(st.sampled_from([None, "c" * 16]))
    return Signal(
        *("span", "a" * 32, "b" * 16, parent, name, 10**18, 10**18 + 5, attributes),
        scope_name=draw(st.sampled_from([scope, None])),
        status=status,
        events=tuple(events),
    )


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(signals())
def test_any_bodies_give_an_operation_that_can_be_stored(signal: Signal) -> None:
    """Bodies of any shape, cut, nested a thousand levels deep or of another type: never an exception."""
    operation = conventions.read(signal)
    if operation is not None:
        assert problems(operation) == []
        conventions.without_content(operation)
        assert problems(operation) == []


@pytest.mark.parametrize("module", [case[0] for case in CASES], ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_log_record_and_a_span_of_others_are_left_to_others(module: Vocabulary) -> None:
    """A vocabulary reads nothing out of a log record, nor out of a span without a word of it."""
    for kind, attributes in (("log", {"gen_ai.system": "openai"}), ("span", {"http.request.method": "GET"})):
        told = Signal(cast("Any", kind), "a" * 32, "b" * 16, None, "GET /", 1, 2, attributes, scope_name="other")
        assert module.read(told) is None
