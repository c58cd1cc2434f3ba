"""Vercel's AI SDK: what each of its spans says, in SDK 6 (`ai.*`) and in SDK 7 (`gen_ai.*` and a few of its own)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from storable import problems

from otel_llm_sql import conventions
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.records import Operation

pytestmark = pytest.mark.quick

MODEL = {"ai.model.provider": "openai.chat", "ai.model.id": "gpt-4o"}
USAGE = {
    "ai.usage.inputTokens": 100,
    "ai.usage.inputTokenDetails.cacheReadTokens": 30,
    "ai.usage.inputTokenDetails.cacheWriteTokens": 20,
    "ai.usage.outputTokens": 50,
    "ai.usage.outputTokenDetails.reasoningTokens": 10,
}


def read(name: str, attributes: dict[str, Any], **fields: Any) -> Operation:
    attributes = {"ai.operationId": name, **attributes} if name.startswith("ai.") else attributes
    fields = {"scope_name": "ai", **fields}
    signal = Signal("span", "a" * 32, "b" * 16, None, name, 1_000_000, 9_000_000, attributes, **fields)
    operation = conventions.read(signal)
    assert operation is not None
    assert problems(operation) == []
    return operation


def call(**attributes: Any) -> Operation:
    """A call; `__` stands for a dot."""
    told = {key.replace("__", "."): value for key, value in attributes.items()}
    return read("ai.generateText.doGenerate", MODEL | told)


def said(operation: Operation) -> list[tuple[str, str, str | None]]:
    return [(message.direction, message.role, message.content) for message in operation.messages]


@pytest.mark.parametrize(
    ("name", "operation_type"),
    [
        ("ai.generateText.doGenerate", "chat"),
        ("ai.streamText.doStream", "chat"),
        ("ai.streamObject.doStream", "chat"),
        ("ai.embedMany.doEmbed", "embeddings"),
        ("ai.rerank.doRerank", "rerank"),
        ("ai.generateText", "invoke_agent"),
        ("ai.streamObject", "invoke_agent"),
        ("ai.embedMany", "chain"),
        ("ai.rerank", "chain"),
        ("ai.somethingNew", "chain"),
        ("ai.toolCall", "execute_tool"),
    ],
)
def test_operations(name: str, operation_type: str) -> None:
    """Only what the SDK does with a model is a call; what goes on around it is a run or a step."""
    assert read(name, MODEL).operation_type == operation_type


def test_a_call() -> None:
    """Model, provider, id, usage and finish reason of a call."""
    operation = call(
        **USAGE, ai__response__id="r1", ai__response__model="gpt-4o-2024", ai__response__finishReason="stop"
    )
    assert (operation.provider, operation.request_model, operation.model) == ("openai", "gpt-4o", "gpt-4o-2024")
    assert (operation.input_tokens, operation.output_tokens) == (100, 50)
    assert (operation.cache_read_input_tokens, operation.cache_write_input_tokens) == (30, 20)
    assert (operation.reasoning_output_tokens, operation.response_id) == (10, "r1")
    assert operation.finish_reason == "stop"


def test_the_sum_of_a_run_is_not_counted() -> None:
    """The outer span repeats its calls' usage: it stays in extras, and asked no provider."""
    operation = read("ai.generateText", MODEL | USAGE)
    assert (operation.input_tokens, operation.cache_write_input_tokens, operation.model) == (None, None, None)
    assert operation.extras["ai.usage.inputTokens"] == 100


@pytest.mark.parametrize(
    ("told", "provider"),
    [
        ("openai.responses", "openai"),
        ("anthropic.messages", "anthropic"),
        ("amazon-bedrock", "aws.bedrock"),
        ("google.generative-ai", "gcp.gemini"),
        ("google.vertex.chat", "gcp.vertex_ai"),
        ("vertex.anthropic.messages", "gcp.vertex_ai"),
        ("azure-openai.chat", "azure.ai.openai"),
        ("xai.chat", "x_ai"),
        ("my-company.chat", "my-company"),
        ("my.company", "my.company"),
    ],
)
def test_providers(told: str, provider: str) -> None:
    """The SDK puts the API behind the provider's name."""
    assert call(ai__model__provider=told).provider == provider


@pytest.mark.parametrize("prefix", ["ai.telemetry.metadata.", "ai.settings.context."])
def test_what_the_application_said(prefix: str) -> None:
    """Session and user have columns, everything else is metadata; the function's id names the agent."""
    told = {prefix + "threadId": "t1", prefix + "userId": "u1", prefix + "tenant": "acme", prefix + "a.b": 1}
    operation = call(**told, ai__telemetry__functionId="qa")
    assert (operation.session_key, operation.user_id, operation.agent_name) == ("t1", "u1", "qa")
    assert operation.metadata == {"tenant": "acme", "a.b": 1}


def test_a_tools_round() -> None:
    """A call of a tool is the same in the answer and in the history, and its result is tied to it."""
    answered = call(
        ai__response__toolCalls='[{"toolCallId":"c1","toolName":"w","input":"{\\"city\\": \\"Rome\\"}"}]',
        ai__response__finishReason="tool-calls",
        ai__prompt__tools=['{"type":"function","name":"w"}'],
    )
    history = [
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "w", "input": {"city": "Rome"}}],
        },
        {
            "role": "tool",
            "content": [
                {"type": "tool-result", "toolCallId": "c1", "toolName": "w", "output": {"type": "text", "value": "18C"}}
            ],
        },
    ]
    sent = call(ai__prompt__messages=json.dumps(history))
    assert answered.messages[0].parts == sent.messages[0].parts
    assert (answered.finish_reason, answered.tool_definitions) == ("tool_calls", [{"type": "function", "name": "w"}])
    assert said(sent)[1] == ("input", "tool", "18C")
    assert (sent.messages[1].tool_call_id, sent.messages[1].tool_name) == ("c1", "w")


@pytest.mark.parametrize(
    ("output", "content"),
    [
        ({"type": "json", "value": {"t": 18}}, '{"t":18}'),
        ({"type": "error-text", "value": "no"}, "no"),
        ({"type": "content", "value": [{"type": "text", "text": "a"}]}, "a"),
    ],
)
def test_results_of_tools(output: Any, content: str) -> None:
    """What kind of result it is stands around it."""
    part = {"type": "tool-result", "toolCallId": "c1", "toolName": "w", "output": output}
    sent = call(ai__prompt__messages=json.dumps([{"role": "tool", "content": [part]}]))
    assert sent.messages[0].content == content


def test_a_tools_own_span() -> None:
    """Id, arguments and result stand under OpenTelemetry's names; a result that is a text is not quoted."""
    told = {
        "ai.toolCall.name": "w",
        "ai.toolCall.id": "c1",
        "ai.toolCall.args": '{"a":1}',
        "ai.toolCall.result": '"18C"',
    }
    operation = read("ai.toolCall", told)
    assert operation.tool_name == "w"
    assert operation.extras["gen_ai.tool.call.id"] == "c1"
    assert operation.extras["gen_ai.tool.call.arguments"] == '{"a":1}'
    assert operation.extras["gen_ai.tool.call.result"] == "18C"


def test_an_answer_of_many_parts() -> None:
    """Reasoning, text and files are one message."""
    operation = call(
        ai__response__reasoning="hm",
        ai__response__text="yes",
        ai__response__files='[{"type":"file","mediaType":"image/png","data":"iVBORw0KGgo="}]',
    )
    [message] = operation.messages
    assert (message.content, [part["type"] for part in message.parts or ()]) == ("yes", ["reasoning", "text", "blob"])


def test_an_object_is_the_answer() -> None:
    """`generateObject` answers with JSON text."""
    assert said(read("ai.generateObject.doGenerate", {"ai.response.object": '{"a":1}'})) == [
        ("output", "assistant", '{"a":1}')
    ]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ({"system": "s", "prompt": "p"}, [("system", "s"), ("user", "p")]),
        (
            {"system": {"role": "system", "content": "s"}, "messages": [{"role": "user", "content": "p"}]},
            [("system", "s"), ("user", "p")],
        ),
        ({"prompt": [{"role": "user", "content": [{"type": "text", "text": "p"}]}]}, [("user", "p")]),
    ],
)
def test_what_a_run_was_called_with(prompt: Any, expected: list[tuple[str, str]]) -> None:
    """`ai.prompt` has three ways to say it."""
    operation = read("ai.streamText", {"ai.prompt": json.dumps(prompt)})
    assert [(message.role, message.content) for message in operation.messages] == expected


@pytest.mark.parametrize(
    "image", [{"type": "Buffer", "data": [137, 80, 78, 71]}, "iVBORw==", "data:image/png;base64,iVBORw=="]
)
def test_images_of_a_run(image: Any) -> None:
    """An image is described however the application handed it over, and its bytes are not kept."""
    prompt = {"messages": [{"role": "user", "content": [{"type": "image", "image": image}]}]}
    [message] = read("ai.generateText", {"ai.prompt": json.dumps(prompt)}).messages
    [part] = message.parts or []
    assert (part["type"], part["size"], "content" in part) == ("blob", 4, False)


def test_cut_json() -> None:
    """What an attribute's limit cut is kept as it is."""
    operation = call(ai__prompt__messages='[{"role":"user","con', ai__response__toolCalls='[{"toolCa')
    assert said(operation) == [("input", "user", '[{"role":"user","con')]
    assert operation.extras["ai.response.toolCalls"] == '[{"toolCa'


@pytest.mark.parametrize("name", ["ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"])
def test_the_first_chunk(name: str) -> None:
    """Milliseconds, with a fraction."""
    event = SpanEvent("ai.stream.firstChunk", 2, {name: 18.7})
    assert read("ai.streamText.doStream", MODEL | {name: 18.7}, events=(event,)).time_to_first_token_ms == 19


def test_what_anthropic_wrote_to_its_cache() -> None:
    """`generateObject` tells it only in the provider's own words."""
    told = {"ai.response.providerMetadata": '{"anthropic":{"cacheCreationInputTokens":7}}', "ai.usage.inputTokens": 9}
    anthropic = MODEL | {"ai.model.provider": "anthropic.messages"}
    assert read("ai.generateObject.doGenerate", anthropic | told).cache_write_input_tokens == 7
    assert read("ai.generateObject", anthropic | told).cache_write_input_tokens is None


@pytest.mark.parametrize(("version", "tokens"), [("ai/5.0.1", 150), ("ai/6.0.1", 100)])
def test_sdk_5_left_cached_tokens_out(version: str, tokens: int) -> None:
    """Of Anthropic's and Bedrock's usage; the version stands in the user agent."""
    told = USAGE | {"ai.model.provider": "anthropic.messages", "ai.request.headers.user-agent": version}
    assert call(**told).input_tokens == tokens


def test_tool_use_is_what_anthropic_said() -> None:
    """The SDK has one word for all providers."""
    operation = call(ai__model__provider="anthropic.messages", ai__response__finishReason="tool-calls")
    assert operation.finish_reason == "tool_use"


def test_invented_ids_are_no_response_ids() -> None:
    """An id the SDK made up tells no twin."""
    operation = call(ai__response__id="aitxt-Xy12")
    assert (operation.response_id, operation.extras["ai.response.id"]) == (None, "aitxt-Xy12")


def test_vectors_are_not_kept() -> None:
    """Of embeddings their number of dimensions is kept, and what was embedded."""
    told = {"ai.values": ['"a"', '"b"'], "ai.embeddings": ["[1,2,3]", "[4,5,6]"], "ai.usage.tokens": 5}
    operation = read("ai.embedMany.doEmbed", MODEL | told)
    assert (operation.input_tokens, operation.extras["gen_ai.embeddings.dimension.count"]) == (5, 3)
    assert "ai.embeddings" not in operation.extras
    assert operation.extras["ai.values"] == ['"a"', '"b"']


def test_nothing_of_content_stays_when_capture_is_off() -> None:
    """Every attribute that holds a text is known as content."""
    texts = {
        "ai.values": ['"secret"'],
        "ai.prompt.toolChoice": "auto",
        "ai.response.toolCalls": "[secret",
        "ai.toolCall.args": "secret",
        "ai.schema": "secret",
    }
    operation = call(**texts)
    conventions.without_content(operation)
    assert "secret" not in json.dumps(operation.extras)


def test_sdk_7_speaks_opentelemetry() -> None:
    """Its own: kebab-case reasons, quoted results of tools, and the context of the run."""
    told = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
    seven = {"scope_name": "gen_ai"}
    operation = read("chat gpt-4o", told | {"gen_ai.response.finish_reasons": ["tool-calls"]}, **seven)
    assert operation.finish_reason == "tool_calls"
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.result": '"18C"'}
    assert read("execute_tool w", tool, **seven).extras["gen_ai.tool.call.result"] == "18C"
    run = {"gen_ai.operation.name": "invoke_agent", "ai.settings.context.sessionId": "s1"}
    assert read("invoke_agent gpt-4o", run, scope_name="mine").session_key == "s1"
