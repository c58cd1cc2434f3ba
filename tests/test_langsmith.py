"""LangSmith in its OpenTelemetry mode: runs by their type, LangChain's serialisation, exceptions in exceptions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from platforms import read, said, tokens

from otel_llm_sql.conventions.exchanges import ANSWER
from otel_llm_sql.intake.signal import SpanEvent
from otel_llm_sql.records import Operation

pytestmark = pytest.mark.quick


def run(kind: str = "llm", prompt: Any = None, completion: Any = None, **attributes: Any) -> Operation:
    """A run; `__` stands for a dot."""
    told = {key.replace("__", "."): value for key, value in attributes.items()}
    bodies = {"gen_ai.prompt": prompt, "gen_ai.completion": completion}
    told |= {name: json.dumps(body) for name, body in bodies.items() if body is not None}
    return read({"langsmith.span.kind": kind, **told}, scope_name="langsmith")


def message(kind: str, content: Any, **more: Any) -> dict[str, Any]:
    """As LangChain dumps it."""
    return {"lc": 1, "type": "constructor", "id": ["langchain", kind], "kwargs": {"content": content, **more}}


@pytest.mark.parametrize(
    ("kind", "told", "operation_type"),
    [
        ("llm", "chat", "chat"),
        ("chain", "chain", "chain"),
        ("tool", "execute_tool", "execute_tool"),
        ("retriever", "embeddings", "retrieval"),
        ("embedding", "embeddings", "embeddings"),
        ("prompt", "chat", "chain"),
        ("parser", "parser", "chain"),
    ],
)
def test_the_type_of_the_run_wins(kind: str, told: str, operation_type: str) -> None:
    """Retrievers are told as embeddings and prompts as chats: the run's own type knows better."""
    assert run(kind, gen_ai__operation__name=told).operation_type == operation_type


def test_the_provider_that_metadata_names_wins() -> None:
    """`gen_ai.system` is guessed from the model's name, and is the framework's where there is none."""
    operation = run(gen_ai__system="openai", langsmith__metadata__ls_provider="azure")
    assert operation.provider == "azure.ai.openai"
    assert run("chain", gen_ai__system="langchain").provider is None


def test_a_chat_of_langchain() -> None:
    """Messages, served model, response id, finish reason and usage out of LangChain's own serialisation."""
    answer = message(
        "AIMessage",
        "Paris",
        type="ai",
        response_metadata={"model_name": "gpt-4o-2024", "id": "chatcmpl-1", "finish_reason": "stop"},
    )
    usage = {
        "input_tokens": 100,
        "output_tokens": 50,
        "input_token_details": {"cache_read": 60, "cache_creation": 0, "ephemeral_5m_input_tokens": 30},
        "output_token_details": {"reasoning": 20},
    }
    operation = run(
        prompt={"messages": [[message("SystemMessage", "Be brief.", type="system"), message("HumanMessage", "Hi")]]},
        completion={"generations": [[{"text": "Paris", "message": answer}]], "llm_output": {}},
        gen_ai__request__model="gpt-4o",
        gen_ai__usage__input_tokens=100,
        gen_ai__usage__output_tokens=50,
        langsmith__metadata__usage_metadata=json.dumps(usage),
    )
    assert (operation.model, operation.request_model) == ("gpt-4o-2024", "gpt-4o")
    assert (operation.response_id, operation.finish_reason) == ("chatcmpl-1", "stop")
    assert tokens(operation) == (100, 60, 30, 50, 20)
    assert said(operation) == [
        ("input", "system", "Be brief."),
        ("input", "user", "Hi"),
        ("output", "assistant", "Paris"),
    ]


def test_metadata() -> None:
    """Session, user and metadata of the application, without what LangChain and LangSmith say of the call."""
    operation = run(
        langsmith__metadata__session_id="s",
        langsmith__metadata__user_id="u",
        langsmith__metadata__tenant="acme",
        langsmith__metadata__lc_agent_name="helper",
        langsmith__metadata__LANGSMITH_TRACING="true",
        langsmith__metadata__temperature=0.3,
        langsmith__trace__session_name="default",
    )
    assert (operation.session_key, operation.user_id, operation.agent_name) == ("s", "u", "helper")
    assert operation.metadata == {"session_id": "s", "user_id": "u", "tenant": "acme"}
    assert operation.extras["langsmith.metadata"]["temperature"] == 0.3


def test_an_error_is_the_exception_inside_of_the_exception() -> None:
    """The recorded exception is a plain one whose message is the repr of the real one, and its traceback."""
    told = "RateLimitError('Error code: 429 - slow down')\n\nTraceback (most recent call last):\n  File ..."
    event = SpanEvent("exception", 1, {"exception.type": "Exception", "exception.message": told})
    operation = read(
        {"langsmith.span.kind": "llm", "gen_ai.completion": '{"output":null}'}, status="error", events=(event,)
    )
    assert (operation.status, operation.error_type) == ("error", "RateLimitError")
    assert operation.error_message == "Error code: 429 - slow down"
    assert "gen_ai.completion" not in operation.extras


def test_a_tool() -> None:
    """Its result is unwrapped of the run's output and of LangChain's message."""
    operation = run("tool", {"city": "Paris"}, {"output": {"content": "18C", "type": "tool", "tool_call_id": "c1"}})
    assert operation.extras["gen_ai.tool.call.arguments"] == {"city": "Paris"}
    assert operation.extras["gen_ai.tool.call.result"] == "18C"


def test_the_answer_that_a_step_gave() -> None:
    """What LangChain says of it is kept, as the call inside of the step may not say it; and the body leaves extras."""
    answer = {
        "type": "ai",
        "content": "Paris",
        "response_metadata": {"id": "chatcmpl-1", "model_name": "gpt-4o-2024", "finish_reason": "stop"},
        "usage_metadata": {"input_tokens": 100, "output_tokens": 50, "output_token_details": {"reasoning": 20}},
    }
    operation = run("chain", completion={"output": [{"update": {"messages": [answer]}, "goto": []}]})
    assert said(operation) == [("output", "assistant", "Paris")]
    assert operation.extras[ANSWER] == {
        "response_id": "chatcmpl-1",
        "model": "gpt-4o-2024",
        "finish_reason": "stop",
        "input_tokens": 100,
        "output_tokens": 50,
        "reasoning_output_tokens": 20,
    }
    assert "gen_ai.completion" not in operation.extras
    assert ANSWER not in run("chain", completion={"messages": [answer, answer]}).extras
