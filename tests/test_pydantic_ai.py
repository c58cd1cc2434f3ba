"""Pydantic AI: versions 2 to 6 of its format, and conversations that nobody named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from platforms import read, said, tokens

from otel_llm_sql.conventions.run_ids import is_made_up
from otel_llm_sql.records import Operation

pytestmark = pytest.mark.quick

RUN = "01a20862-cd9e-73f9-8484-c3652e085bea"
DRAWN = "01a20862-cd9e-73f9-8484-c36629612c01"
EARLIER = "01a20862-cd00-7000-8484-c36629612c01"


def call(**attributes: Any) -> Operation:
    """A call; `__` stands for a dot."""
    told = {key.replace("__", "."): value for key, value in attributes.items()}
    return read({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"} | told, scope_name="pydantic-ai")


@pytest.mark.parametrize(
    ("conversation", "run", "expected"),
    [
        (DRAWN, RUN, True),
        ("01a20862-cd9f-7000-8000-000000000000", RUN, True),  # the clock went on between the two
        (EARLIER, RUN, False),  # it came with the messages of an earlier run
        ("01a20862-cd9e-73f9-8484-c36429612c01", RUN, False),  # the application drew one right before it ran
        ("01a20862-ffff-7000-8000-000000000000", RUN, False),  # on another machine, whose clock is ahead
        ("sess-7f3a", RUN, False),
        (DRAWN, "my-run", False),
        ("c1b2a3d4-0000-4000-8000-000000000000", RUN, False),
        (None, RUN, False),
        (7, 8, False),
    ],
)
def test_a_conversation_that_was_drawn_for_the_run(conversation: Any, run: Any, *, expected: bool) -> None:
    """Both ids grow with time: what is younger than the run cannot have been named by the application."""
    assert is_made_up(conversation, run) is expected


def test_a_drawn_conversation_names_no_session() -> None:
    """It stays in extras; one that comes with earlier messages, or that is named, is the session."""
    operation = call(gen_ai__agent__call__id=RUN, gen_ai__conversation__id=DRAWN)
    assert (operation.session_key, operation.extras["gen_ai.conversation.id"]) == (None, DRAWN)
    assert call(gen_ai__agent__call__id=RUN, gen_ai__conversation__id=EARLIER).session_key == EARLIER
    assert call(gen_ai__conversation__id=DRAWN).session_key == DRAWN


def test_a_drawn_conversation_in_baggage_names_no_session_on_others_spans() -> None:
    """Pydantic AI puts both ids into baggage, which others may write on their spans."""
    told = {"gen_ai.operation.name": "chat", "gen_ai.agent.call.id": RUN, "gen_ai.conversation.id": DRAWN}
    assert read(told, scope_name="opentelemetry.instrumentation.genai.openai").session_key is None


def test_an_agents_usage_is_no_calls() -> None:
    """What a run sums up is told under names of its own, and stays in extras."""
    operation = call(gen_ai__operation__name="invoke_agent", gen_ai__aggregated_usage__input_tokens=1854)
    assert (operation.operation_type, tokens(operation)) == ("invoke_agent", (None,) * 5)
    assert operation.extras["gen_ai.aggregated_usage.input_tokens"] == 1854


def test_metadata() -> None:
    """A JSON object, of which the user is one key."""
    operation = call(metadata='{"tenant":"acme","user_id":"u-1"}')
    assert (operation.metadata, operation.user_id) == ({"tenant": "acme", "user_id": "u-1"}, "u-1")


@pytest.mark.parametrize(
    ("provider", "told", "expected"),
    [
        ("openai", "tool_call", "tool_calls"),
        ("anthropic", "tool_call", "tool_use"),
        ("anthropic", "length", "max_tokens"),
        ("anthropic", "stop", "stop"),
        ("openai", "length", "length"),
        ("elsewhere", "tool_call", "tool_call"),
    ],
)
def test_finish_reasons_are_the_providers(provider: str, told: str, expected: str) -> None:
    """One word of Pydantic AI's becomes the provider's where only one is meant, on the message as well."""
    message = [{"role": "assistant", "parts": [{"type": "text", "content": "Hi"}], "finish_reason": told}]
    operation = call(
        gen_ai__provider__name=provider,
        gen_ai__response__finish_reasons=(told,),
        gen_ai__output__messages=json.dumps(message),
    )
    assert (operation.finish_reason, operation.messages[0].finish_reason) == (expected, expected)


def test_request_parameters_are_not_stored_twice() -> None:
    """Tools and instructions stand beside them; of a failed call the instructions stand nowhere else."""
    parameters = {
        "function_tools": [{"name": "f"}],
        "output_mode": "text",
        "instruction_parts": [{"content": "Be brief.", "dynamic": False}],
        "output_object": None,
    }
    operation = call(model_request_parameters=json.dumps(parameters))
    assert operation.extras["model_request_parameters"] == {"output_mode": "text"}
    assert [message[:2] for message in said(operation)] == [("input", "system")]
    told = '[{"type":"text","content":"Be kind."}]'
    operation = call(model_request_parameters=json.dumps(parameters), gen_ai__system_instructions=told)
    assert said(operation) == [("input", "system", "Be kind.")]


def test_spans_of_version_2() -> None:
    """Arguments and results have older names, and so have the spans."""
    told = {"gen_ai.tool.name": "f", "tool_arguments": '{"a":1}', "tool_response": "18C"}
    operation = read(told | {"gen_ai.operation.name": "execute_tool"}, name="running tool", scope_name="pydantic-ai")
    assert operation.extras["gen_ai.tool.call.arguments"] == '{"a":1}'
    assert operation.extras["gen_ai.tool.call.result"] == "18C"
    operation = read({"agent_name": "helper"}, name="agent run", scope_name="pydantic-ai")
    assert (operation.operation_type, operation.agent_name) == ("invoke_agent", "helper")
