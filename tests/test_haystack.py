"""Haystack: components, agents' steps, and messages as JSON and as Python prints them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from platforms import START, read, said, tokens

from otel_llm_sql.records import Operation

pytestmark = pytest.mark.quick

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
REPLY = {
    "role": "assistant",
    "meta": {"model": "gpt-4o-2024", "finish_reason": "stop", "usage": USAGE},
    "content": [{"text": "Hello"}],
}


def component(kind: str, sent: Any = None, back: Any = None) -> Operation:
    told = {"haystack.component.name": "llm", "haystack.component.type": kind}
    for name, body in (("input", sent), ("output", back)):
        if body is not None:
            told[f"haystack.component.{name}"] = json.dumps(body)
    return read(told, name="haystack.component.run", scope_name="whatever")


@pytest.mark.parametrize(
    ("kind", "operation_type", "provider"),
    [
        ("OpenAIChatGenerator", "chat", "openai"),
        ("AzureOpenAIChatGenerator", "chat", "azure.ai.openai"),
        ("AmazonBedrockGenerator", "text_completion", "aws.bedrock"),
        ("HuggingFaceLocalChatGenerator", "chat", None),
        ("OpenAITextEmbedder", "embeddings", "openai"),
        ("CohereRanker", "rerank", "cohere"),
        ("InMemoryBM25Retriever", "retrieval", None),
        ("Agent", "invoke_agent", None),
        ("PromptBuilder", "chain", None),
    ],
)
def test_what_each_component_is(kind: str, operation_type: str, provider: str | None) -> None:
    """The type of a component says what it does, and whom it asks."""
    operation = component(kind)
    assert (operation.operation_type, operation.provider, operation.action_id) == (operation_type, provider, "llm")


def test_a_generator() -> None:
    """Messages, model, usage and finish reason out of what went in and came out."""
    sent = {"messages": [{"role": "user", "meta": {}, "content": [{"text": "Hi"}]}], "tools": None, "top_k": 3}
    operation = component("OpenAIChatGenerator", sent, {"replies": [REPLY]})
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", "Hello")]
    assert (operation.model, operation.finish_reason) == ("gpt-4o-2024", "stop")
    assert tokens(operation) == (100, 60, None, 50, 20)
    assert operation.extras["haystack.component.input"] == {"top_k": 3}


def test_anthropics_generator_leaves_cached_tokens_out() -> None:
    """It renames its provider's counts, and does not add them up."""
    usage = {"prompt_tokens": 10, "completion_tokens": 50, "cache_read_input_tokens": 60}
    usage |= {"cache_creation_input_tokens": 30}
    reply = REPLY | {"meta": {"usage": usage, "completion_start_time": "2023-11-14T22:13:20.250000+00:00"}}
    operation = component("AnthropicChatGenerator", back={"replies": [reply]})
    assert tokens(operation) == (100, 60, 30, 50, None)
    assert START == 1_700_000_000_000_000_000  # 2023-11-14T22:13:20Z
    assert operation.time_to_first_token_ms == 250


def test_a_generator_of_plain_text() -> None:
    """Its replies are texts, and what is told of them stands beside."""
    back = {"replies": ["Hello"], "meta": [{"model": "m", "usage": USAGE, "finish_reason": "stop"}]}
    operation = component("OpenAIGenerator", {"prompt": "Hi"}, back)
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", "Hello")]
    assert (operation.model, operation.output_tokens) == ("m", 50)


def test_an_agents_step_as_python_prints_it() -> None:
    """Tools that an agent offers are no JSON: the whole input is a repr."""
    text = "_content=[TextContent(text='Hi')], _name=None, _meta={}"
    call = "ToolCall(tool_name='f', arguments={'a': 1}, id='c1', extra=None)"
    told = (
        f"{{'messages': [ChatMessage(_role=<ChatRole.USER: 'user'>, {text}), "
        f"ChatMessage(_role=<ChatRole.ASSISTANT: 'assistant'>, _content=[{call}], _name=None, _meta={{}}), "
        f"ChatMessage(_role=<ChatRole.TOOL: 'tool'>, _content=[ToolCallResult(result='18C', origin={call}, "
        f"error=False)], _name=None, _meta={{}})], 'tools': [Tool(name='f', description='d', parameters={{}}, "
        f"function=<function a.<locals>.f at 0x7f19ead779c0>)]}}"
    )
    attributes = {"haystack.agent.step.llm.input": told, "haystack.agent.step.llm.output": '{"replies": []}'}
    operation = read(attributes, name="haystack.agent.step.llm")
    assert said(operation) == [("input", "user", "Hi"), ("input", "assistant", None), ("input", "tool", "18C")]
    assert operation.messages[1].parts == [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}}]
    assert (operation.messages[2].tool_call_id, operation.messages[2].tool_name) == ("c1", "f")
    assert operation.tool_definitions == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}
    ]
    assert "haystack.agent.step.llm.input" not in operation.extras


def test_what_is_no_repr_stays() -> None:
    """A body that nobody can read is kept as it is."""
    told = {"haystack.agent.step.llm.input": "{'messages': [ChatMessage("}
    operation = read(told, name="haystack.agent.step.llm")
    assert (operation.extras, operation.messages) == (told, [])


def test_an_agents_run() -> None:
    """It gives back the whole conversation, of which the end was said last; what it sums up stays in extras."""
    first = {"role": "user", "content": [{"text": "Hi"}]}
    told = {
        "haystack.agent.input": json.dumps({"messages": [first]}),
        "haystack.agent.output": json.dumps({"messages": [first, REPLY], "last_message": REPLY, "step_count": 1}),
    }
    operation = read(told, name="haystack.agent.run")
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", "Hello")]
    assert (operation.operation_type, operation.input_tokens) == ("invoke_agent", None)
    assert operation.extras["haystack.agent.output"] == {"step_count": 1}


def test_a_failed_tool() -> None:
    """Its span is no error to OpenTelemetry: a mark and the result say it."""
    told = {
        "haystack.tool.name": "f",
        "haystack.agent.step.tool.input": "{}",
        "haystack.agent.step.tool.output": '{"error": "no such city"}',
        "haystack.tool.error": True,
    }
    operation = read(told, name="haystack.agent.step.tool")
    assert (operation.operation_type, operation.tool_name) == ("execute_tool", "f")
    assert (operation.status, operation.error_message) == ("error", "no such city")


def test_embeddings() -> None:
    """Tokens and model, and never the vectors."""
    back = {"embedding": [0.1] * 9, "meta": {"model": "e-3", "usage": {"prompt_tokens": 7, "total_tokens": 7}}}
    operation = component("OpenAITextEmbedder", {"text": "a"}, back)
    assert (operation.model, operation.input_tokens, operation.messages) == ("e-3", 7, [])
    assert "embedding" not in operation.extras["haystack.component.output"]
