"""MLflow over OTLP: bodies of each client, token usage, and values that are all quoted as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from platforms import START, read, said, tokens

from otel_llm_sql.intake.signal import SpanEvent
from otel_llm_sql.records import Operation

pytestmark = pytest.mark.quick


def span(kind: str = "CHAT_MODEL", sent: Any = None, back: Any = None, **more: Any) -> Operation:
    """A span, every value of which is quoted; `__` stands for a dot."""
    told = {key.replace("__", "."): value for key, value in more.items() if key != "events"}
    told |= {"mlflow.spanType": kind, "mlflow.spanInputs": sent, "mlflow.spanOutputs": back}
    quoted = {name: json.dumps(value) for name, value in told.items() if value is not None}
    return read(quoted, scope_name="mlflow.tracing.provider", events=more.get("events", ()))


@pytest.mark.parametrize(
    ("kind", "operation_type"),
    [
        ("CHAT_MODEL", "chat"),
        ("LLM", "chat"),
        ("EMBEDDING", "embeddings"),
        ("RERANKER", "rerank"),
        ("AGENT", "invoke_agent"),
        ("TOOL", "execute_tool"),
        ("RETRIEVER", "retrieval"),
        ("WORKFLOW", "invoke_workflow"),
        ("CHAIN", "chain"),
        ("UNKNOWN", "chain"),
    ],
)
def test_what_each_span_is(kind: str, operation_type: str) -> None:
    """Span types are OpenTelemetry's operations, and what is none of them is a step."""
    assert span(kind).operation_type == operation_type


def test_a_call_of_openai() -> None:
    """Request and response say it all; the token usage of MLflow lacks reasoning."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": "Paris"}}
    operation = span(
        sent={"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.3},
        back={"id": "chatcmpl-1", "model": "gpt-4o-2024", "choices": [choice], "usage": usage},
        mlflow__message__format="openai",
        mlflow__llm__model="gpt-4o-2024",
        mlflow__chat__tokenUsage={"input_tokens": 100, "output_tokens": 50},
        mlflow__llm__cost={"total_cost": 0.25},
    )
    assert (operation.provider, operation.model, operation.request_model) == ("openai", "gpt-4o-2024", "gpt-4o")
    assert (operation.response_id, operation.finish_reason) == ("chatcmpl-1", "stop")
    assert (tokens(operation), operation.cost) == ((100, 60, None, 50, 20), 0.25)
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", "Paris")]
    assert operation.extras["mlflow.spanInputs"] == {"temperature": 0.3}


def test_a_call_of_anthropic() -> None:
    """Its own usage leaves cached tokens out, also where it has gained a key that OpenAI's has."""
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 30,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 5},
    }
    back = {"id": "msg_1", "role": "assistant", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    operation = span(
        back=back | {"model": "claude-1", "usage": usage},
        mlflow__chat__tokenUsage={"input_tokens": 100, "output_tokens": 50, "cache_read_input_tokens": 60},
        mlflow__llm__provider="anthropic",
    )
    assert tokens(operation) == (100, 60, 30, 50, None)
    assert (operation.provider, operation.response_id, operation.finish_reason) == ("anthropic", "msg_1", "end_turn")


def test_geminis_thoughts() -> None:
    """MLflow leaves them out of the output; the usage in the response tells them."""
    usage = {"prompt_token_count": 100, "candidates_token_count": 30, "thoughts_token_count": 20}
    back = {"candidates": [{"content": {"parts": [{"text": "Hi"}], "role": "model"}}], "usage_metadata": usage}
    told = {"input_tokens": 100, "output_tokens": 30}
    assert tokens(span(back=back, mlflow__chat__tokenUsage=told)) == (100, None, None, 50, 20)


def test_a_call_of_langchain() -> None:
    """The body has no usage and no model: attributes say them, and LangChain's metadata names the session."""
    operation = span(
        sent={"messages": [{"role": "user", "content": "Hi"}]},
        back={"choices": [{"message": {"role": "assistant", "content": "Paris"}, "finish_reason": None}]},
        invocation_params={"model": "gpt-4o", "tools": [{"name": "t"}], "stop": None},
        metadata={"thread_id": "t-1", "lc_agent_name": "helper", "tenant": "acme", "langgraph_step": 1},
        mlflow__message__format="langchain",
        mlflow__llm__provider="openai",
        mlflow__chat__tokenUsage={"input_tokens": 100, "output_tokens": 50, "cache_read_input_tokens": 60},
    )
    assert (operation.provider, operation.request_model) == ("openai", "gpt-4o")
    assert (operation.session_key, operation.agent_name) == ("t-1", "helper")
    assert operation.metadata == {"thread_id": "t-1", "tenant": "acme"}
    assert operation.tool_definitions == [{"name": "t"}]
    assert tokens(operation) == (100, 60, None, 50, None)


def test_the_chunks_of_a_stream() -> None:
    """The first one says when, and together they are the response: they are not stored beside it."""
    events = tuple(SpanEvent(f"mlflow.chunk.item.{n}", START + n * 10**8, {"mlflow.chunk.value": "{}"}) for n in (2, 3))
    operation = span(events=events)
    assert operation.time_to_first_token_ms == 200
    assert "events" not in operation.extras


def test_embeddings() -> None:
    """Models and tokens are told, and the vectors are not stored."""
    operation = span(
        "EMBEDDING",
        sent={"input": ["a", "b"], "model": "text-embedding-3"},
        back={"data": [{"embedding": [0.1] * 9}], "model": "text-embedding-3-small", "usage": {"prompt_tokens": 7}},
    )
    assert (operation.model, operation.request_model) == ("text-embedding-3-small", "text-embedding-3")
    assert (operation.input_tokens, operation.messages) == (7, [])
    assert "data" not in operation.extras["mlflow.spanOutputs"]


def test_a_cut_body_stays() -> None:
    """JSON that the SDK's limit cut is kept, and the rest of the span is read."""
    told = {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": '{"model": "gpt-4o", "mess'}
    operation = read(told | {"mlflow.llm.model": '"gpt-4o"'})
    assert (operation.model, operation.extras["mlflow.spanInputs"]) == ("gpt-4o", '{"model": "gpt-4o", "mess')
