"""LiteLLM: the callback's two spans, the second version's one, and what LiteLLM makes up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from platforms import read, said, span, tokens

from otel_llm_sql import conventions
from otel_llm_sql.records import Operation

pytestmark = pytest.mark.quick

OWN_ID = "chatcmpl-3d24774d-2652-4307-bb62-c4d22534dbb6"
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "completion_tokens_details": {"reasoning_tokens": 20},
    "prompt_tokens_details": {"cached_tokens": 60, "text_tokens": None},
}


def request(**attributes: Any) -> Operation:
    """The outer span of the first version; `__` stands for a dot."""
    told = {key.replace("__", "."): value for key, value in attributes.items()}
    fields = {name: told.pop(name) for name in ("status",) if name in told}
    call = {"litellm.call_id": "c", "llm.request.type": "completion", "gen_ai.system": "openai"}
    return read(call | told, name="litellm_request", scope_name="litellm", **fields)


def raw(parent: str | None = "c" * 16, provider: str = "openai", **told: Any) -> Operation:
    """The inner span: structures as Python prints them."""
    attributes = {
        f"llm.{provider}.{name}": value if isinstance(value, (str, int)) else repr(value)
        for name, value in told.items()
    }
    return read(attributes, name="raw_gen_ai_request", scope_name="litellm", parent_span_id=parent)


@pytest.mark.parametrize(
    ("call_type", "operation_type"),
    [
        ("completion", "chat"),
        ("acompletion", "chat"),
        ("aresponses", "chat"),
        ("text_completion", "text_completion"),
        ("aembedding", "embeddings"),
        ("embedding", "embeddings"),
        ("arerank", "rerank"),
    ],
)
def test_litellms_functions(call_type: str, operation_type: str) -> None:
    """Its `completion` is a chat, also where content is off and nothing but the call type says what was done."""
    assert request(llm__request__type=call_type).operation_type == operation_type
    assert request(gen_ai__operation__name=call_type).operation_type == operation_type


def test_the_whole_usage_is_a_repr() -> None:
    """Cached and reasoning tokens of the first version stand nowhere else."""
    operation = request(
        metadata__usage_object=repr(USAGE), gen_ai__usage__input_tokens=100, gen_ai__usage__output_tokens=50
    )
    assert tokens(operation) == (100, 60, None, 50, 20)
    older = USAGE | {"cache_creation_input_tokens": 30}
    assert tokens(request(metadata__usage_object=repr(older))) == (100, 60, 30, 50, 20)


def test_what_litellm_makes_up_is_no_fact() -> None:
    """Its own ids, zeros on a failed call, a cost of 0, and empty texts for None."""
    operation = request(
        gen_ai__response__id=OWN_ID,
        gen_ai__usage__input_tokens=0,
        gen_ai__usage__output_tokens=0,
        gen_ai__cost__total_cost=0.0,
        metadata__team_id="",
        error__type="RateLimitError",
        status="error",
    )
    assert (operation.response_id, operation.cost) == (None, None)
    assert tokens(operation) == (None,) * 5
    assert operation.extras["gen_ai.response.id"] == OWN_ID
    assert "metadata.team_id" not in operation.extras
    assert request(gen_ai__response__id="chatcmpl-9XyZ").response_id == "chatcmpl-9XyZ"
    assert request(gen_ai__usage__output_tokens=0).output_tokens == 0


def test_cost_and_user() -> None:
    """Both versions report what they reckoned; the end user has three names."""
    assert request(gen_ai__cost__total_cost=0.25, llm__user="u").cost == 0.25
    assert request(litellm__cost__total=0.5).cost_source == "reported"
    assert request(llm__user="u").user_id == request(litellm__end_user__id="u").user_id == "u"


def test_tools_in_attributes_of_their_own() -> None:
    """Definitions under both names are one list; calls beside an answer without parts are its parts."""
    tool = {"name": "get_weather", "description": "d", "parameters": "{}"}
    operation = request(
        **{f"llm.request.functions.0.{key}": value for key, value in tool.items()},
        **{"gen_ai.completion.0.function_call.name": "get_weather"},
        **{"gen_ai.completion.0.function_call.arguments": '{"city": "Paris"}'},
        gen_ai__output__messages='[{"role": "assistant", "parts": [], "finish_reason": "tool_calls"}]',
        gen_ai__response__finish_reasons='["tool_calls"]',
    )
    assert operation.tool_definitions == [{"type": "function", "function": tool}]
    assert operation.messages[0].parts == [{"type": "tool_call", "name": "get_weather", "arguments": {"city": "Paris"}}]
    assert operation.finish_reason == "tool_calls"


def test_the_raw_request_of_openai() -> None:
    """The provider's answer with the ids of its tool calls; what was asked stands on the span around it."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": "it\'s"}'}}
    choice = {"finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": [call]}}
    operation = raw(
        messages=[{"role": "user", "content": "Hi"}], choices=[choice], id="chatcmpl-1", model="gpt-4o", usage=USAGE
    )
    assert (operation.operation_type, operation.provider, operation.model) == ("chat", "openai", "gpt-4o")
    assert (operation.response_id, operation.finish_reason) == ("chatcmpl-1", "tool_calls")
    assert tokens(operation) == (100, 60, None, 50, 20)
    assert said(operation) == [("output", "assistant", None)]
    assert operation.messages[0].parts == [
        {"type": "tool_call", "id": "call_1", "name": "f", "arguments": {"a": "it's"}}
    ]
    assert operation.extras["litellm.raw"]["usage"] == USAGE


def test_the_raw_request_of_anthropic() -> None:
    """Its usage leaves cached tokens out, its answer is its content, and its id is the provider's."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30, "output_tokens": 50}
    operation = raw(
        provider="anthropic",
        id="msg_1",
        role="assistant",
        content=[{"type": "text", "text": "Hi"}],
        stop_reason="end_turn",
        usage=usage,
    )
    assert (operation.provider, operation.response_id) == ("anthropic", "msg_1")
    assert (tokens(operation), operation.finish_reason) == ((100, 60, 30, 50, None), "end_turn")
    assert said(operation) == [("output", "assistant", "Hi")]


def test_a_raw_request_without_a_span_around_it() -> None:
    """What was asked is read where no other span tells it."""
    operation = raw(parent=None, messages=[{"role": "user", "content": "Hi"}], choices="no repr [")
    assert said(operation) == [("input", "user", "Hi")]
    assert operation.extras["litellm.raw_content"] == {"choices": "no repr ["}


def test_a_raw_request_of_a_stream_says_nothing() -> None:
    """It has no attributes, and is no operation."""
    assert conventions.read(span({}, name="raw_gen_ai_request", scope_name="litellm")) is None


def test_the_second_version() -> None:
    """Messages of OpenAI's shape under OpenTelemetry's names, old and new names side by side."""
    sent = [{"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]}]
    operation = read(
        {
            "gen_ai.operation.name": "chat",
            "litellm.call_type": "acompletion",
            "gen_ai.provider.name": "openai",
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.prompt_tokens": 10,
            "gen_ai.conversation.id": "s",
            "gen_ai.input.messages": json.dumps([*sent, {"role": "tool", "tool_call_id": "c1", "content": "18C"}]),
        },
        scope_name="litellm",
    )
    assert (operation.operation_type, operation.input_tokens, operation.session_key) == ("chat", 10, "s")
    assert said(operation) == [("input", "assistant", None), ("input", "tool", "18C")]
    assert operation.messages[1].tool_name == "f"
