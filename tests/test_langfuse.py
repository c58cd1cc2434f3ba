"""Langfuse: observations, their usage in buckets and as OpenAI sends it, and values quoted as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from platforms import START, read, said, tokens

from otel_llm_sql.records import Operation

pytestmark = pytest.mark.quick

OF_WRAPPER = {"temperature": 1, "max_tokens": "Infinity", "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}
"""What the wrapper of OpenAI's client writes whatever was asked for."""


def observation(kind: str = "generation", name: str = "ask", **attributes: Any) -> Operation:
    """An observation; `__` stands for a dot, structures are JSON."""
    told = {
        f"langfuse.observation.{key.replace('__', '.')}": value if isinstance(value, str) else json.dumps(value)
        for key, value in attributes.items()
    }
    return read({"langfuse.observation.type": kind, **told}, name=name, scope_name="langfuse-sdk")


@pytest.mark.parametrize(
    ("kind", "operation_type"),
    [
        ("generation", "chat"),
        ("embedding", "embeddings"),
        ("agent", "invoke_agent"),
        ("tool", "execute_tool"),
        ("retriever", "retrieval"),
        ("evaluator", "evaluate"),
        ("guardrail", "guardrail"),
        ("chain", "chain"),
        ("span", "chain"),
        ("event", "chain"),
    ],
)
def test_what_each_observation_is(kind: str, operation_type: str) -> None:
    """Types of observations are OpenTelemetry's operations; what the application only wraps is a step."""
    assert observation(kind).operation_type == operation_type


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # As OpenAI sent it to the wrapper: cached and reasoning tokens are in.
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 60},
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            (100, 60, None, 50, 20),
        ),
        (
            {
                "input_tokens": 100,
                "output_tokens": 50,
                "input_tokens_details": {"cached_tokens": 60},
                "output_tokens_details": {"reasoning_tokens": 20},
            },
            (100, 60, None, 50, 20),
        ),
        # LangChain's callback: buckets of which none includes another.
        (
            {"input": 40, "output": 30, "total": 150, "input_cache_read": 60, "output_reasoning": 20, "input_audio": 0},
            (100, 60, None, 50, 20),
        ),
        # The JavaScript SDK's names for the same.
        (
            {"input": 40, "output": 30, "input_cached_tokens": 60, "output_reasoning_tokens": 20},
            (100, 60, None, 50, 20),
        ),
        # Anthropic's, as langchain-anthropic passes it on.
        (
            {
                "input": 10,
                "output": 50,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 30,
                "cache_creation_ephemeral_5m_input_tokens": 30,
            },
            (100, 60, 30, 50, None),
        ),
        # Tokens of the priority tier are counted in their buckets, too.
        (
            {"input": 40, "input_cache_read": 60, "input_priority": 40, "input_priority_cache_read": 60},
            (100, 60, None, None, None),
        ),
        ({"input": 407}, (407, None, None, None, None)),
        ({}, (None, None, None, None, None)),
        ({"input": "many", "output": -3}, (None, None, None, None, None)),
    ],
)
def test_usage(usage: dict[str, Any], expected: tuple[int | None, ...]) -> None:
    """Tokens are the sum of disjoint buckets, and the figures of providers that count everything in as they are."""
    operation = observation(usage_details=usage)
    assert tokens(operation) == expected
    assert json.loads(operation.extras["langfuse.observation.usage_details"]) == usage


@pytest.mark.parametrize(
    ("attributes", "provider"),
    [
        ({"model__parameters": OF_WRAPPER}, "openai"),
        ({"name": "OpenAI-generation"}, "openai"),
        ({"metadata__ls_provider": '"google_genai"'}, "gcp.gemini"),
        ({"metadata__ls_provider": '"anthropic"', "model__parameters": OF_WRAPPER}, "anthropic"),
        ({"model__parameters": {"temperature": 0.3}}, None),
        ({"model__name": "gpt-4o"}, None),
    ],
)
def test_the_provider_is_known_where_something_tells_it(attributes: dict[str, Any], provider: str | None) -> None:
    """LangChain's metadata names it, the wrapper of OpenAI's client shows itself; a model's name is no proof."""
    assert observation(**attributes).provider == provider


def test_metadata_is_no_longer_quoted() -> None:
    """Session, user, agent and the application's metadata, without quotation marks and LangChain's own."""
    operation = read(
        {
            "langfuse.observation.type": "generation",
            "langfuse.trace.metadata.tenant": '"acme"',
            "langfuse.trace.metadata.seats": "5",
            "langfuse.trace.metadata.lc_agent_name": '"helper"',
            "langfuse.observation.metadata.thread_id": '"t-1"',
            "langfuse.observation.metadata.ls_model_name": '"gpt-4o"',
            "langfuse.observation.model.name": "gpt-4o-2024",
            "user.id": "u-1",
        }
    )
    assert (operation.session_key, operation.user_id, operation.agent_name) == ("t-1", "u-1", "helper")
    assert (operation.model, operation.request_model) == ("gpt-4o-2024", "gpt-4o")
    assert operation.metadata == {"tenant": "acme", "seats": "5"}
    assert operation.extras["langfuse.trace.metadata"] == {"lc_agent_name": "helper"}


def test_metadata_of_earlier_versions_is_bare() -> None:
    """Before version 5 texts came without quotation marks; session.id wins over what metadata says."""
    told = {"langfuse.observation.type": "span", "langfuse.trace.metadata.tenant": "acme", "session.id": "s"}
    operation = read(told | {"langfuse.trace.metadata.thread_id": "t"})
    assert (operation.session_key, operation.metadata) == ("s", {"tenant": "acme", "thread_id": "t"})


def test_a_stream() -> None:
    """The answer is plain text, the first chunk a quoted timestamp, the finish reason stands in metadata."""
    operation = observation(
        input=[{"role": "user", "content": "Hi"}],
        output="Hello.",
        completion_start_time='"2023-11-14T22:13:20.250Z"',
        metadata__finish_reason='"stop"',
    )
    assert START == 1_700_000_000_000_000_000  # 2023-11-14T22:13:20Z
    assert (operation.time_to_first_token_ms, operation.finish_reason) == (250, "stop")
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", "Hello.")]


def test_an_error() -> None:
    """What level and status message say, also where OpenTelemetry's status does not; nobody answered."""
    operation = observation(
        level="ERROR", status_message="Error code: 429", model__name="gpt-4o", cost_details={"total": 0}
    )
    assert (operation.status, operation.error_message) == ("error", "Error code: 429")
    assert (operation.model, operation.cost) == ("gpt-4o", None)


def test_tools_among_the_messages() -> None:
    """LangChain's callback appends each tool that is offered as a message of role tool: they are definitions."""
    tool = {"type": "function", "function": {"name": "get_weather"}}
    operation = observation(
        input=[{"role": "user", "content": "Hi"}, {"role": "tool", "content": tool}],
        output={"role": "assistant", "content": "", "tool_calls": [{"name": "get_weather", "args": {}, "id": "c1"}]},
    )
    assert operation.tool_definitions == [tool]
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", None)]
    assert operation.messages[1].parts == [{"type": "tool_call", "id": "c1", "name": "get_weather", "arguments": {}}]


def test_a_tool() -> None:
    """Arguments, result and id of a tool's call stand in extras by OpenTelemetry's names."""
    result = {"content": "18C", "type": "tool", "name": "get_weather", "tool_call_id": "c1"}
    operation = observation("tool", "get_weather", input={"city": "Paris"}, output=result)
    assert operation.tool_name == "get_weather"
    assert operation.extras["gen_ai.tool.call.arguments"] == {"city": "Paris"}
    assert operation.extras["gen_ai.tool.call.result"] == "18C"
    assert operation.extras["gen_ai.tool.call.id"] == "c1"


def test_a_step_that_gives_back_the_whole_conversation() -> None:
    """Of an agent's state only the end was said now, and the state leaves extras with its messages."""
    first, last = {"type": "human", "content": "Hi"}, {"type": "ai", "content": "Hello."}
    operation = observation("agent", "helper", input={"messages": [first]}, output={"messages": [first, last]})
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", "Hello.")]
    assert (operation.agent_name, operation.model, operation.input_tokens) == ("helper", None, None)
    assert not any(name.endswith(("input", "output")) for name in operation.extras)


def test_calls_of_the_responses_api() -> None:
    """One item comes without a list around it, and its id is no response's; the request holds the tools."""
    item = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hello"}],
    }
    sent = {
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "tools": [{"n": 1}],
    }
    operation = observation(input=sent, output=item)
    assert said(operation) == [
        ("input", "system", "Be brief."),
        ("input", "user", "Hi"),
        ("output", "assistant", "Hello"),
    ]
    assert (operation.response_id, operation.tool_definitions) == (None, [{"n": 1}])
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    message = observation(output=call).messages[0]
    assert message.parts == [{"type": "tool_call", "id": "call_1", "name": "f", "arguments": {}}]
    assert observation(output={**item, "usage": {}, "stop_reason": "end_turn"}).response_id == "msg_1"


def test_tools_and_several_choices_of_a_chat() -> None:
    """What the wrapper puts together: messages beside tools, and a list of answers."""
    tool = {"type": "function", "function": {"name": "f"}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    operation = observation(
        input={"tools": [tool], "messages": [{"role": "user", "content": "Hi"}]},
        output=[{"role": "assistant", "tool_calls": [call], "content": None}, {"role": "assistant", "content": "No."}],
    )
    assert operation.tool_definitions == [tool]
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", None), ("output", "assistant", "No.")]
