"""Google's ADK: the requests, responses and sessions it tells beside OpenTelemetry's names, and its events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from storable import problems

from otel_llm_sql import conventions
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

pytestmark = pytest.mark.quick

REQUEST = {
    "model": "gemini-2.5-flash",
    "config": {"system_instruction": "s", "temperature": 0.3, "tools": [{"function_declarations": [{"name": "w"}]}]},
    "contents": [
        {"role": "user", "parts": [{"text": "?"}]},
        {"role": "model", "parts": [{"function_call": {"id": "c1", "name": "w", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"function_response": {"id": "c1", "name": "w", "response": {"result": "18C"}}}]},
    ],
}
RESPONSE = {
    "content": {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "yes"}]},
    "usage_metadata": {
        "prompt_token_count": 10,
        "candidates_token_count": 5,
        "thoughts_token_count": 3,
        "cached_content_token_count": 4,
    },
}


def read(attributes: dict[str, Any], **fields: Any) -> Operation:
    fields = {"kind": "span", "name": "call_llm", "scope_name": "gcp.vertex.agent", **fields}
    operation = conventions.read(
        Signal(
            trace_id="a" * 32,
            span_id="b" * 16,
            parent_span_id=None,
            start_ns=1,
            end_ns=2,
            attributes=attributes,
            **fields,
        )
    )
    assert operation is not None
    assert problems(operation) == []
    return operation


def call(**more: Any) -> Operation:
    told = {
        "gen_ai.system": "gcp.vertex.agent",
        "gen_ai.request.model": "gemini-2.5-flash",
        "gcp.vertex.agent.session_id": "s1",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
    }
    return read(told | {key.replace("__", "."): value for key, value in more.items()})


def test_a_call() -> None:
    """Messages and usage of the whole request and response; the framework is no provider."""
    bodies = {"llm_request": json.dumps(REQUEST), "llm_response": json.dumps(RESPONSE)}
    operation = call(**{f"gcp.vertex.agent.{key}": value for key, value in bodies.items()})
    assert (operation.operation_type, operation.provider, operation.session_key) == ("chat", None, "s1")
    assert (operation.input_tokens, operation.output_tokens) == (10, 8)
    assert (operation.cache_read_input_tokens, operation.reasoning_output_tokens) == (4, 3)
    assert [message.role for message in operation.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert [message.content for message in operation.messages] == ["s", "?", None, '{"result":"18C"}', "yes"]
    assert operation.tool_definitions == REQUEST["config"]["tools"]  # type: ignore[index]
    assert operation.extras["gcp.vertex.agent.llm_request"] == {"config": {"temperature": 0.3}}


def test_reasoning_by_its_experimental_name() -> None:
    """The versions that used it left it out of the output."""
    operation = call(**{"gen_ai.usage.experimental.reasoning_tokens": 3})
    assert (operation.output_tokens, operation.reasoning_output_tokens) == (8, 3)
    assert operation.extras["gen_ai.usage.output_tokens"] == 5


@pytest.mark.parametrize("nothing", ["{}", "<not serializable>"])
def test_content_switched_off(nothing: str) -> None:
    """Empty bodies are no messages."""
    operation = call(**{"gcp.vertex.agent.llm_request": nothing, "gcp.vertex.agent.llm_response": nothing})
    assert (operation.messages, operation.output_tokens) == ([], 5)


def test_a_body_that_was_cut_stays() -> None:
    """It is kept as it is."""
    operation = call(**{"gcp.vertex.agent.llm_request": '{"contents": ['})
    assert operation.extras["gcp.vertex.agent.llm_request"] == '{"contents": ['


def test_a_tools_own_span() -> None:
    """Arguments and result under OpenTelemetry's names."""
    told = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "w", "gcp.vertex.agent.llm_request": "{}"}
    told |= {"gcp.vertex.agent.tool_call_args": '{"a":1}', "gcp.vertex.agent.tool_response": '{"result":"18C"}'}
    operation = read(told, name="execute_tool w")
    assert operation.extras["gen_ai.tool.call.arguments"] == '{"a":1}'
    assert operation.extras["gen_ai.tool.call.result"] == '{"result":"18C"}'


def test_user_ids_stand_on_the_event() -> None:
    """The details event names the user; the span does not."""
    details = "gen_ai.client.inference.operation.details"
    told = {"gen_ai.conversation.id": "s1", "user.id": "u1", "gcp.vertex.agent.event_id": "e1"}
    assert read(told, kind="log", name=details).user_id == "u1"


def test_events_hold_contents() -> None:
    """Bodies of the older events are Gemini's contents, which say who spoke."""
    body = {"content": {"role": "model", "parts": [{"function_call": {"name": "w", "args": {}}}]}}
    [message] = read({}, kind="log", name="gen_ai.user.message", body=body).messages
    assert (message.role, message.parts) == ("assistant", [{"type": "tool_call", "name": "w", "arguments": {}}])
    choice = {"content": {"role": "model", "parts": [{"text": "yes"}]}, "index": 0, "finish_reason": "STOP"}
    [answer] = read({}, kind="log", name="gen_ai.choice", body=choice).messages
    assert (answer.role, answer.content, answer.finish_reason) == ("assistant", "yes", "STOP")


def test_elided_content_is_none() -> None:
    """The word that stands for content that is not captured is no message of anybody's."""
    [message] = read({}, kind="log", name="gen_ai.user.message", body={"content": "<elided>"}).messages
    assert message.content is None
