"""Genkit: what each of its spans says, in its own JSON and in the provider's inside of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from storable import problems

from otel_llm_sql import conventions
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

pytestmark = pytest.mark.quick

ANSWER = {"role": "model", "content": [{"text": "yes"}]}


def read(name: str, kind: str | None, request: Any = None, response: Any = None, **more: Any) -> Operation:
    attributes: dict[str, Any] = {"genkit:name": name, "genkit:type": "action" if kind else "util"}
    attributes |= {"genkit:metadata:subtype": kind} if kind else {}
    attributes |= {"genkit:input": json.dumps(request)} if request is not None else {}
    attributes |= {"genkit:output": json.dumps(response)} if response is not None else {}
    attributes |= {f"genkit:{key}": value for key, value in more.items()}
    signal = Signal("span", "a" * 32, "b" * 16, None, name, 1, 2, attributes, scope_name="genkit-tracer")
    operation = conventions.read(signal)
    assert operation is not None
    assert problems(operation) == []
    return operation


@pytest.mark.parametrize(
    ("kind", "operation_type"),
    [
        ("model", "chat"),
        ("embedder", "embeddings"),
        ("retriever", "retrieval"),
        ("tool", "execute_tool"),
        ("tool.v2", "execute_tool"),
        ("flow", "invoke_workflow"),
        ("prompt", "chain"),
        (None, "chain"),
    ],
)
def test_operations(kind: str | None, operation_type: str) -> None:
    """Only models, embedders and rerankers ask a provider."""
    assert read("x", kind).operation_type == operation_type


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("googleai/gemini-2.5-flash", "gcp.gemini", "gemini-2.5-flash"),
        ("vertexai/gemini-2.5-flash", "gcp.vertex_ai", "gemini-2.5-flash"),
        ("mine", None, "mine"),
    ],
)
def test_models(name: str, provider: str | None, model: str) -> None:
    """A plugin is named after its provider."""
    operation = read(name, "model")
    assert (operation.provider, operation.request_model) == (provider, model)


@pytest.mark.parametrize(
    ("raw", "tokens"),
    [
        (
            {
                "usage": {
                    "prompt_tokens": 10,
                    "completion_tokens": 5,
                    "prompt_tokens_details": {"cached_tokens": 4},
                    "completion_tokens_details": {"reasoning_tokens": 3},
                }
            },
            (10, 5, 4, None, 3),
        ),
        (
            {
                "usage": {
                    "input_tokens": 10,
                    "output_tokens": 5,
                    "cache_read_input_tokens": 4,
                    "cache_creation_input_tokens": 2,
                }
            },
            (16, 5, 4, 2, None),
        ),
        (
            {"usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 3}},
            (10, 8, None, None, 3),
        ),
        ({}, (7, 9, 1, None, 1)),
    ],
)
def test_usage(raw: dict[str, Any], tokens: tuple[int | None, ...]) -> None:
    """The provider's own usage, read by the provider's own rule; else Genkit's, whose output is without thoughts."""
    own = {"inputTokens": 7, "outputTokens": 8, "thoughtsTokens": 1, "cachedContentTokens": 1}
    operation = read("x/m", "model", None, {"message": ANSWER, "usage": own, "raw": raw})
    found = (
        *(operation.input_tokens, operation.output_tokens, operation.cache_read_input_tokens),
        *(operation.cache_write_input_tokens, operation.reasoning_output_tokens),
    )
    assert found == tokens
    assert operation.extras["genkit:output"]["usage"] == own


def test_steps_repeat_what_their_calls_said() -> None:
    """`generate` has the messages, and no usage; what it was told stays in extras."""
    told = {"message": ANSWER, "usage": {"inputTokens": 7}, "finishReason": "stop"}
    operation = read(
        "generate", None, {"model": "x/m", "messages": [{"role": "user", "content": [{"text": "?"}]}]}, told
    )
    assert [message.content for message in operation.messages] == ["?", "yes"]
    assert (operation.input_tokens, operation.model) == (None, None)
    assert operation.extras["genkit:output"] == {"usage": {"inputTokens": 7}}


def test_the_providers_words_win() -> None:
    """Genkit says `stop` where the provider said `tool_calls`; model and id stand in the provider's response only."""
    raw = {"id": "r1", "model": "m-2", "choices": [{"finish_reason": "tool_calls"}]}
    operation = read("x/m", "model", None, {"message": ANSWER, "finishReason": "stop", "raw": raw})
    assert (operation.model, operation.response_id, operation.finish_reason) == ("m-2", "r1", "tool_calls")


def test_first_versions() -> None:
    """Candidates instead of one message, and the provider's response as `custom`."""
    custom = {"responseId": "g1", "modelVersion": "m-2", "candidates": [{"finishReason": "STOP"}]}
    operation = read("x/m", "model", None, {"candidates": [{"message": ANSWER}], "custom": custom})
    assert (operation.model, operation.response_id, operation.finish_reason) == ("m-2", "g1", "STOP")
    assert [message.content for message in operation.messages] == ["yes"]


def test_messages() -> None:
    """Parts of Genkit's shapes: media, calls of tools, their results, reasoning."""
    media = {"media": {"url": "data:image/png;base64,iVBORw==", "contentType": "image/png"}}
    request = {
        "messages": [
            {"role": "system", "content": [{"text": "s"}]},
            {"role": "user", "content": [{"text": "?"}, media]},
            {"role": "model", "content": [{"toolRequest": {"ref": "c1", "name": "w", "input": {"a": 1}}}]},
            {"role": "tool", "content": [{"toolResponse": {"ref": "c1", "name": "w", "output": "18C"}}]},
        ],
        "tools": [{"name": "w"}],
        "config": {"temperature": 0.3},
    }
    response = {"message": {"role": "model", "content": [{"reasoning": "hm"}, {"text": "yes"}]}}
    operation = read("x/m", "model", request, response)
    assert [message.role for message in operation.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert [message.content for message in operation.messages] == ["s", "?", None, "18C", "yes"]
    kinds = [[part["type"] for part in message.parts or ()] for message in operation.messages]
    assert kinds == [[], ["text", "blob"], ["tool_call"], ["tool_call_response"], ["reasoning", "text"]]
    assert operation.messages[3].tool_call_id == "c1"
    assert (operation.tool_definitions, operation.extras["genkit:input"]) == (
        [{"name": "w"}],
        {"config": {"temperature": 0.3}},
    )


def test_a_tools_own_span() -> None:
    """Arguments and result under OpenTelemetry's names."""
    operation = read("w", "tool", {"a": 1}, "18C")
    assert (operation.tool_name, operation.messages) == ("w", [])
    assert operation.extras["gen_ai.tool.call.arguments"] == '{"a": 1}'
    assert operation.extras["gen_ai.tool.call.result"] == "18C"


def test_vectors_are_not_kept() -> None:
    """Of embeddings their number of dimensions is kept."""
    operation = read("x/m", "embedder", {"input": []}, {"embeddings": [{"embedding": [1, 2, 3]}]})
    assert operation.extras["gen_ai.embeddings.dimension.count"] == 3
    assert "genkit:output" not in operation.extras


def test_context() -> None:
    """A chat's session, and the flow as the application's own name for the step."""
    path = "/{qaFlow,t:flow}/{generate,t:util}/{x/m,t:action,s:model}"
    operation = read("x/m", "model", sessionId="s1", path=path)
    assert (operation.session_key, operation.action_id) == ("s1", "qaFlow")


@pytest.mark.parametrize("told", ['{"messages": [{"ro', "null", "[]", "3"])
def test_what_cannot_be_read_stays(told: str) -> None:
    """JSON that was cut, or says something else, is kept as it is."""
    operation = read("x/m", "model", input=told, output=told)
    assert (operation.extras["genkit:input"], operation.extras["genkit:output"]) == (told, told)
    assert operation.messages == []
