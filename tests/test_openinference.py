"""OpenInference: kinds, models, the two tellings of what was said, steps around calls, and the words of hosts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import load
from storable import problems

from otel_llm_sql import conventions
from otel_llm_sql.conventions.openinference_fields import TABLE
from otel_llm_sql.conventions.openinference_messages import INDEXED
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.records import FINISH_REASONS, Message, Operation

pytestmark = pytest.mark.quick

SCOPE = "openinference.instrumentation."


def read(attributes: dict[str, Any], scope: str = "openai", **fields: Any) -> Operation:
    defaults: dict[str, Any] = {"name": "ChatCompletion", "scope_name": SCOPE + scope, "status": "ok"}
    shape = {"kind": "span", "trace_id": "a" * 32, "span_id": "b" * 16, "parent_span_id": None}
    operation = conventions.read(
        Signal(attributes=attributes, start_ns=10**18, end_ns=10**18 + 10**9, **(shape | defaults | fields))
    )
    assert operation is not None
    assert problems(operation) == []
    return operation


def llm(scope: str = "openai", fields: dict[str, Any] | None = None, **attributes: Any) -> Operation:
    """A span of kind LLM; `__` stands for a dot, structures are written as JSON."""
    told = {
        key.replace("__", "."): value if isinstance(value, (str, int, float)) else json.dumps(value)
        for key, value in attributes.items()
    }
    return read({"openinference.span.kind": "LLM"} | told, scope, **(fields or {}))


def indexed(side: str, *messages: dict[str, Any], first: int = 0) -> dict[str, Any]:
    """Messages as OpenInference numbers them."""
    return {
        f"llm.{side}_messages.{number}.message.{name}": value
        for number, told in enumerate(messages, first)
        for name, value in told.items()
    }


def said(operation: Operation) -> list[tuple[str, str, str | None]]:
    return [(message.direction, message.role, message.content) for message in operation.messages]


USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
CALL_PART = {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}}


@pytest.mark.parametrize(
    ("kind", "operation_type", "is_call"),
    [
        ("LLM", "chat", True),
        ("EMBEDDING", "embeddings", True),
        ("RERANKER", "rerank", True),
        ("RETRIEVER", "retrieval", False),
        ("TOOL", "execute_tool", False),
        ("AGENT", "invoke_agent", False),
        ("CHAIN", "chain", False),
        ("PROMPT", "chain", False),
        ("GUARDRAIL", "guardrail", False),
        ("EVALUATOR", "evaluate", False),
        ("llm", "chat", True),
        ("UNKNOWN", "chat", True),
    ],
)
def test_kinds(kind: str, operation_type: str, is_call: bool) -> None:
    """A kind of span is an operation type; steps around calls have no tokens; an unknown one is what stands there."""
    operation = read({"openinference.span.kind": kind, "llm.token_count.prompt": 7})
    assert (operation.operation_type, operation.is_call) == (operation_type, is_call)
    assert operation.input_tokens == (7 if is_call else None)
    assert is_call or operation.extras["llm.token_count.prompt"] == 7


def test_usage() -> None:
    """Prompts include cached tokens and completions reasoning; audio and totals stay in extras."""
    operation = llm(
        llm__token_count__prompt=100,
        llm__token_count__completion=50,
        llm__token_count__total=150,
        llm__token_count__prompt_details__cache_read=60,
        llm__token_count__prompt_details__cache_write=20,
        llm__token_count__completion_details__reasoning=30,
    )
    assert (operation.input_tokens, operation.output_tokens) == (100, 50)
    assert (operation.cache_read_input_tokens, operation.cache_write_input_tokens) == (60, 20)
    assert operation.reasoning_output_tokens == 30
    assert operation.extras["llm.token_count.total"] == 150


@pytest.mark.parametrize(("told", "cost"), [(0.25, 0.25), (0, None)])
def test_cost(told: float, cost: float | None) -> None:
    """A reported cost is taken; 0 is told where no price is known."""
    assert llm(llm__cost__total=told).cost == cost


def test_a_body_is_read_once() -> None:
    """What a body and a list both tell is stored once, with the ids that only the body has."""
    request = {"model": "m-asked", "temperature": 0.5, "messages": [USER], "tools": [{"type": "function"}]}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "tool_calls": [CALL]}}
    response = {"id": "r1", "model": "m-served", "choices": [choice], "usage": {"prompt_tokens": 1}, "error": None}
    operation = read(
        {"openinference.span.kind": "LLM", "llm.model_name": "m-served", "llm.system": "openai"}
        | {"input.value": json.dumps(request), "output.value": json.dumps(response), "input.mime_type": "text"}
        | {"llm.invocation_parameters": json.dumps({"model": "m-asked", "temperature": 0.5})}
        | indexed("input", USER)
        | indexed("output", {"role": "assistant", "tool_calls.0.tool_call.function.name": "look"})
    )
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", None)]
    assert operation.messages[1].parts == [CALL_PART]
    assert (operation.request_model, operation.model, operation.response_id) == ("m-asked", "m-served", "r1")
    assert (operation.finish_reason, operation.tool_definitions) == ("tool_calls", [{"type": "function"}])
    assert operation.extras == {
        "openinference.span.kind": "LLM",
        "llm.invocation_parameters": {"temperature": 0.5},
        "output.value": {"usage": {"prompt_tokens": 1}},
    }


def test_several_choices() -> None:
    """Each choice is a message with its own finish reason."""
    choices = [{"finish_reason": reason, "message": {"content": reason}} for reason in ("stop", "length")]
    operation = llm(output__value={"choices": choices})
    assert [(one.content, one.finish_reason) for one in operation.messages] == [("stop", "stop"), ("length", "length")]
    assert operation.extras[FINISH_REASONS] == ["stop", "length"]


def test_a_list_that_begins_late() -> None:
    """Where the SDK dropped the first attributes, the messages that are left are told in their order."""
    rest = [{"role": "user", "content": "c"}, {"role": "assistant", "content": "b"}]
    attributes = indexed("input", *rest, first=24)
    operation = read(dict(reversed(attributes.items())) | {"llm.token_count.prompt": 3}, dropped_attributes=9)
    assert said(operation) == [("input", "user", "c"), ("input", "assistant", "b")]
    assert (operation.operation_type, operation.provider) == ("chat", "openai")


def test_cut_bodies() -> None:
    """A body that was cut is told by the list; the response's id stands before the cut."""
    operation = read(
        {"openinference.span.kind": "LLM", "input.value": '{"messages": [{"ro', "output.value": '{"id":"r1","cho'}
        | {"llm.invocation_parameters": '{"model": "gpt'}
        | indexed("input", USER)
        | indexed("output", {"role": "assistant", "content": "Ho"})
    )
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", "Ho")]
    assert operation.response_id == "r1"
    assert "output.value" not in operation.extras
    conventions.without_content(operation)
    assert operation.extras == {"openinference.span.kind": "LLM"}


def test_a_list_that_tells_more() -> None:
    """Bedrock's body has no system prompt: the list is told, and the body does not stay beside it."""
    text = "contents.0.message_content.text"
    operation = read(
        {"openinference.span.kind": "LLM", "input.value": json.dumps([{"role": "user", "content": [{"text": "Hi"}]}])}
        | indexed("input", {"role": "system", text: "Be brief"}, {"role": "user", text: "Hi"}),
        "bedrock",
    )
    assert said(operation) == [("input", "system", "Be brief"), ("input", "user", "Hi")]
    assert "input.value" not in operation.extras


def test_parts_of_a_list() -> None:
    """Texts, reasoning, images, and tool calls that are told twice."""
    call = {"id": "c1", "function.name": "look", "function.arguments": '{"at": 1}'}
    operation = read(
        {"openinference.span.kind": "LLM"}
        | indexed(
            "output",
            {
                "role": "model",
                "content": "told again",
                "contents.0.message_content.type": "reasoning",
                "contents.0.message_content.text": "Hm",
                "contents.1.message_content.type": "text",
                "contents.1.message_content.text": "See",
                "contents.2.message_content.type": "image",
                "contents.2.message_content.image.image.url": "https://example.org/a.png",
                **{f"contents.3.tool_call.{key}": value for key, value in call.items()},
                **{f"tool_calls.0.tool_call.{key}": value for key, value in call.items()},
            },
        )
    )
    [message] = operation.messages
    assert (message.role, message.content) == ("assistant", "See")
    assert [part["type"] for part in message.parts or ()] == ["reasoning", "text", "uri", "tool_call"]
    assert (message.parts or [])[3] == CALL_PART


def test_hidden_content() -> None:
    """What the application hid is no content: the shape of the exchange is left."""
    operation = read(
        {"openinference.span.kind": "LLM", "input.value": "__REDACTED__", "output.value": "__REDACTED__"}
        | indexed("input", {"role": "user", "content": "__REDACTED__"})
    )
    assert said(operation) == [("input", "user", None)]


def test_responses() -> None:
    """What the model said is one message, as it is when it is sent again; the conversation names the session."""
    items = [{"type": "reasoning", "summary": []}]
    items += [{"type": "function_call", "id": "f", "call_id": name, "name": "look", "arguments": "{}"} for name in "ab"]
    results = [{"type": "function_call_output", "call_id": name, "output": name} for name in "ab"]
    response = {"id": "resp_1", "status": "completed", "output": items, "conversation": {"id": "conv_1"}}
    first = llm(input__value={"input": "Hi", "instructions": "Be brief"}, output__value=response)
    again = llm(input__value={"input": [USER, *items, *results]}, output__value={"id": "resp_2", "output": []})
    assert said(first) == [("input", "system", "Be brief"), ("input", "user", "Hi"), ("output", "assistant", None)]
    assert (first.session_key, first.finish_reason, first.response_id) == ("conv_1", "tool_calls", "resp_1")
    assert again.messages[1].parts == first.messages[2].parts
    assert [(one.tool_call_id, one.content) for one in again.messages[2:]] == [("a", "a"), ("b", "b")]


@pytest.mark.parametrize(
    ("status", "details", "reason"),
    [
        ("completed", None, "stop"),
        ("incomplete", {"reason": "max_output_tokens"}, "length"),
        ("incomplete", {"reason": "content_filter"}, "content_filter"),
        ("failed", None, "failed"),
        ("in_progress", None, None),
    ],
)
def test_status_of_responses(status: str, details: Any, reason: str | None) -> None:
    """A status is told in the words of finish reasons."""
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Ho"}]}]
    response = {"output": output, "status": status, "incomplete_details": details}
    assert llm(output__value=response).finish_reason == reason


def _langchain(kind: str, **fields: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", kind], "kwargs": fields}


def test_langchain() -> None:
    """Messages are equal however LangChain serialises them; its own metadata is not the application's."""
    told = [{"name": "look", "args": {"at": 1}, "id": "c1", "type": "tool_call"}]
    details = {"id": "r1", "model_name": "m-2", "finish_reason": "tool_calls"}
    answer = {"content": "", "tool_calls": told, "response_metadata": details}
    generation = {"text": "", "message": _langchain("AIMessage", type="ai", **answer)}
    metadata = {"tenant": "acme", "thread_id": "t1", "ls_provider": "openai", "langgraph_node": "model"}
    call = llm(
        "langchain",
        input__value={"messages": [[_langchain("HumanMessage", content="Hi")]]},
        output__value={"generations": [[generation]], "llm_output": {}},
        llm__invocation_parameters={"model": "m"},
        metadata=metadata | {"lc_agent_name": "helper"},
    )
    state = {"messages": [{"type": "human", "data": {"content": "Hi"}}, {"type": "ai", "data": answer}]}
    step = read({"openinference.span.kind": "CHAIN", "output.value": json.dumps(state)}, "langchain")
    assert [(m.direction, m.role, m.content, m.parts) for m in call.messages] == [
        (m.direction, m.role, m.content, m.parts) for m in step.messages
    ]
    assert call.messages[1].parts == [CALL_PART]
    assert (call.request_model, call.model, call.response_id, call.provider) == ("m", "m-2", "r1", "openai")
    assert (call.session_key, call.agent_name, call.action_id) == ("t1", "helper", "model")
    assert call.metadata == {"tenant": "acme", "thread_id": "t1"}
    assert "output.value" not in step.extras
    assert call.finish_reason == "tool_calls"


def test_langgraph_commands() -> None:
    """A node's commands hold the messages it adds."""
    update = {"messages": [{"type": "ai", "data": {"content": "Ho"}}]}
    value = json.dumps([{"graph": None, "update": update}])
    step = read({"openinference.span.kind": "CHAIN", "output.value": value}, "langchain")
    assert said(step) == [("output", "assistant", "Ho")]


def test_gemini() -> None:
    """Contents, thoughts, and the tools that the client called by itself."""
    call = {"function_call": {"id": "c1", "name": "look", "args": {"at": 1}}}
    result = {"function_response": {"id": "c1", "name": "look", "response": {"result": "sun"}}}
    history = [
        {"role": "user", "parts": [{"text": "Hi"}]},
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": [result]},
    ]
    parts = [{"text": "Hm", "thought": True}, {"text": "Ho"}]
    candidate = {"content": {"role": "model", "parts": parts}, "finish_reason": "STOP"}
    operation = llm(
        "google_genai",
        input__value={"contents": history[:1], "system_instruction": {"parts": [{"text": "Be brief"}]}},
        output__value={
            "candidates": [candidate],
            "model_version": "g-001",
            "response_id": "r1",
            "automatic_function_calling_history": history,
        },
        llm__provider="google",
    )
    assert [message.role for message in operation.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert operation.messages[2].parts == [CALL_PART]
    assert (operation.messages[-1].parts or [])[0] == {"type": "reasoning", "content": "Hm"}
    assert (operation.provider, operation.model, operation.response_id) == ("gcp.gemini", "g-001", "r1")


def test_anthropic() -> None:
    """Content blocks, and results of tools as messages of their own."""
    sent = [
        USER,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "sun"}]},
    ]
    response = {"id": "msg_1", "role": "assistant", "model": "c-2", "content": [{"type": "text", "text": "Ho"}]}
    operation = llm(
        "anthropic",
        input__value={"model": "c", "system": "Be brief", "messages": sent},
        output__value=response | {"stop_reason": "end_turn", "usage": {"input_tokens": 3}},
    )
    assert [message.role for message in operation.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert operation.messages[2].parts == [CALL_PART]
    assert (operation.finish_reason, operation.response_id, operation.request_model) == ("end_turn", "msg_1", "c")
    assert operation.extras["output.value"] == {"usage": {"input_tokens": 3}, "stop_reason": "end_turn"}


@pytest.mark.parametrize(
    ("scope", "attributes", "request_model", "model"),
    [
        ("anthropic", {"llm.request.model_name": "a", "llm.model_name": "b"}, "a", "b"),
        ("openai", {"llm.model_name": "b"}, None, "b"),
        ("smolagents", {"llm.model_name": "a"}, "a", "a"),
        ("litellm", {"llm.model_name": "openai/a", "llm.provider": "openai"}, "a", "a"),
        ("litellm", {"llm.model_name": "meta/a", "llm.provider": "together_ai"}, "meta/a", "meta/a"),
        ("openai", {"llm.model_name": "b", "gen_ai.request.model": "b"}, "b", "b"),
        ("openai", {"gen_ai.request.model": "b", "llm.invocation_parameters": '{"model": "a"}'}, "a", "a"),
        ("langchain", {"llm.model_name": "b", "llm.invocation_parameters": '{"model_name": "a"}'}, "a", "b"),
        ("openai_agents", {"llm.model_name": "a"}, "a", "a"),
        ("openai_agents", {"llm.model_name": "b", "llm.invocation_parameters": '{"id": "r", "model": "b"}'}, None, "b"),
    ],
)
def test_models(scope: str, attributes: dict[str, Any], request_model: str | None, model: str) -> None:
    """Which model was asked for and which one answered, by who tells it."""
    operation = read({"openinference.span.kind": "LLM"} | attributes, scope)
    assert (operation.request_model, operation.model) == (request_model, model)


def test_nobody_answered() -> None:
    """Of a call that failed, the model is the one that was asked for; LangChain's traceback is no error message."""
    failed = {"status": "error", "status_message": 'Limit("slow down")Traceback (most recent call last):\n  line'}
    operation = llm("google_genai", failed, llm__model_name="g")
    assert (operation.request_model, operation.model, operation.status) == ("g", "g", "error")
    assert operation.error_message == 'Limit("slow down")'


@pytest.mark.parametrize(
    ("attributes", "provider"),
    [
        ({"llm.provider": "aws", "llm.system": "anthropic"}, "aws.bedrock"),
        ({"llm.provider": "azure", "llm.system": "openai"}, "azure.ai.openai"),
        ({"llm.provider": "google", "llm.system": "vertexai"}, "gcp.vertex_ai"),
        ({"llm.system": "mistralai"}, "mistral_ai"),
        ({"metadata": '{"ls_provider": "anthropic"}'}, "anthropic"),
    ],
)
def test_providers(attributes: dict[str, Any], provider: str) -> None:
    """Who hosts a model comes before who made it."""
    assert read({"openinference.span.kind": "LLM"} | attributes, "langchain").provider == provider


def test_context() -> None:
    """Session, user, metadata and tags of `using_attributes`, and the node of a graph."""
    context = {"session.id": "s", "user.id": "u", "metadata": '{"tenant": "acme"}', "tag.tags": ["prod"]}
    call = read({"openinference.span.kind": "LLM", "graph.node.id": "draft"} | context)
    assert (call.session_key, call.user_id, call.metadata) == ("s", "u", {"tenant": "acme"})
    assert (call.extras["tag.tags"], call.action_id) == (["prod"], "draft")
    agent = read({"openinference.span.kind": "AGENT", "graph.node.id": "helper"}, "crewai")
    assert (agent.agent_name, agent.action_id) == ("helper", None)


def test_tools() -> None:
    """A tool's arguments, result and call stand where OpenTelemetry puts them, and are no messages."""
    answer = {"type": "tool", "data": {"content": "sun", "tool_call_id": "c1", "type": "tool"}}
    attributes = {"tool.name": "look", "input.value": '{"at": 1}', "output.value": json.dumps(answer)}
    operation = read({"openinference.span.kind": "TOOL"} | attributes, "langchain")
    assert (operation.tool_name, operation.messages) == ("look", [])
    assert operation.extras == {
        "openinference.span.kind": "TOOL",
        "gen_ai.tool.call.arguments": '{"at": 1}',
        "gen_ai.tool.call.result": "sun",
        "gen_ai.tool.call.id": "c1",
    }


def test_retrieval() -> None:
    """The query and the documents, once."""
    document = {"retrieval.documents.0.document.content": "x", "retrieval.documents.0.document.score": 0.5}
    operation = read({"openinference.span.kind": "RETRIEVER", "input.value": "q", "output.value": "[...]"} | document)
    assert operation.extras == {
        "openinference.span.kind": "RETRIEVER",
        "gen_ai.retrieval.query.text": "q",
        "gen_ai.retrieval.documents": [{"content": "x", "score": 0.5}],
    }


def test_embeddings() -> None:
    """Texts are kept once, vectors not at all."""
    one = "embedding.embeddings.0.embedding."
    operation = read(
        {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "e", "llm.token_count.prompt": 5}
        | {one + "text": "x", one + "vector": [0.5] * 9, "input.value": '{"input": ["x"]}', "output.value": "{}"}
    )
    assert (operation.operation_type, operation.model, operation.input_tokens) == ("embeddings", "e", 5)
    assert operation.extras == {"openinference.span.kind": "EMBEDDING", "embedding.embeddings": ["x"]}


def test_bedrock_embeds() -> None:
    """Bedrock's one operation for all models is an embedding where the model is one for that."""
    operation = llm("bedrock", llm__model_name="amazon.titan-embed-text-v2:0", llm__provider="aws")
    assert operation.operation_type == "embeddings"


def test_completions() -> None:
    """Prompts without roles are a completion of text."""
    lists = {"llm.prompts.0.prompt.text": "Once", "llm.choices.0.completion.text": "upon"}
    operation = read(lists | {"openinference.span.kind": "LLM"})
    body = llm(input__value={"model": "m", "prompt": "Once"}, output__value={"choices": [{"text": "upon"}]})
    assert operation.operation_type == "text_completion"
    assert said(operation) == said(body) == [("input", "user", "Once"), ("output", "assistant", "upon")]


def test_documents_of_a_step() -> None:
    """Documents on a span of another kind stay in extras."""
    operation = read({"openinference.span.kind": "CHAIN", "retrieval.documents.0.document.id": "d"})
    assert operation.extras["retrieval.documents"] == [{"id": "d"}]


def test_instructor_is_around_the_call() -> None:
    """Instructor's span tells of a call, with the model it made as the tool that was called."""
    attributes = {"llm.model_name": "m", "instructor.response_model": "City", "output.value": '{"name": "Paris"}'}
    operation = read({"openinference.span.kind": "CHAIN"} | attributes, "instructor")
    assert (operation.operation_type, operation.model) == ("chat", "m")
    assert operation.messages[0].parts == [{"type": "tool_call", "name": "City", "arguments": {"name": "Paris"}}]
    assert "output.value" not in operation.extras


def test_a_method_that_asks_nobody() -> None:
    """LlamaIndex makes spans of kind LLM for methods that only prepare a call."""
    operation = llm("llama_index", {"name": "OpenAI._prepare_chat_with_tools"}, llm__model_name="m")
    assert (operation.operation_type, operation.model) == ("chain", None)


def test_frameworks_print_their_messages() -> None:
    """Messages as Python prints them leave, where the list tells them; LlamaIndex's answer is told once."""
    operation = read(
        {"openinference.span.kind": "LLM", "input.value": json.dumps({"messages": ["ChatMessage(...)"], "top": 1})}
        | {"output.value": "assistant: Ho"}
        | indexed("input", USER)
        | indexed("output", {"role": "assistant", "content": "Ho"}),
        "llama_index",
    )
    assert operation.extras == {"openinference.span.kind": "LLM", "input.value": {"top": 1}}
    assert said(operation) == [("input", "user", "Hi"), ("output", "assistant", "Ho")]


def test_time_to_first_token() -> None:
    """The event of the first token is a duration, no event."""
    event = SpanEvent("First Token Stream Event", 10**18 + 250_000_000)
    operation = llm(fields={"events": (event,)})
    assert (operation.time_to_first_token_ms, "events" in operation.extras) == (250, False)


def test_words_added_to_a_hosts_span() -> None:
    """Of a span that another framework made, its own words are told, and what the application said in others' words."""
    host = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.response.id": "r1"}
    added = {"openinference.span.kind": "LLM", "llm.model_name": "m", "input.value": "{}", "session.id": "s"}
    operation = read(host | added | indexed("input", USER), scope_name="pydantic-ai")
    assert (operation.response_id, operation.session_key) == ("r1", "s")
    assert not any(name.startswith(("llm.", "input.", "openinference.")) for name in operation.extras)


def test_both_vocabularies_tell_the_same() -> None:
    """A recorded call in both vocabularies at once is the same as in OpenInference's alone."""

    def first(case: str) -> tuple[list[Message], Any]:
        [operation, *_] = load(case).operations
        figures = (operation.input_tokens, operation.output_tokens, operation.model, operation.request_model)
        return operation.messages, figures

    messages, figures = first("openinference-openai/stream")
    assert first("openinference-openai.genai/stream") == (messages, figures)


LEAVES = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=20)
WORDS = st.sampled_from(
    """user assistant human ai tool system function_call function_call_output message reasoning completed incomplete
    tool_use text image constructor tool_call __REDACTED__""".split()
)
KEYS = st.sampled_from(
    """messages role content type parts tool_calls function name arguments id call_id output input choices message
    finish_reason candidates generations kwargs data lc update text system instructions contents system_instruction
    status incomplete_details response_metadata generation_info llm_output conversation tool_call_id stop_reason prompt
    model thought additional_kwargs tools history automatic_function_calling_history""".split()
)
STRUCTURES = st.recursive(
    LEAVES | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
TEXTS = st.builds(lambda value, end: json.dumps(value)[:end], STRUCTURES, st.integers(1, 60) | st.none())
FIELDS = st.sampled_from(
    """message.role message.content message.contents.0.message_content.type message.contents.0.message_content.text
    message.contents.0.message_content.image.image.url message.contents.0.tool_call.id message.contents.x
    message.tool_calls.0.tool_call.function.name message.tool_calls.0.tool_call.function.arguments message.name
    message.tool_call_id message.function_call_name tool.json_schema embedding.text document.content odd""".split()
)
INDEXES = st.sampled_from(["0", "1", "24", "007", "-1", "x", "", "9" * 5_000, "²"])
NAMES = st.sampled_from([*sorted(TABLE), "tool_call.id", "instructor.response_model"]) | st.builds(
    lambda prefix, index, field: f"{prefix}{index}.{field}", st.sampled_from(INDEXED), INDEXES, FIELDS
)
KINDS = st.sampled_from(["LLM", "EMBEDDING", "RERANKER", "RETRIEVER", "TOOL", "AGENT", "CHAIN", "EVALUATOR", 1])
SCOPES = st.sampled_from(["openai", "langchain", "litellm", "llama_index", "instructor", "openai_agents"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.dictionaries(NAMES, TEXTS | STRUCTURES | WORDS | st.binary(max_size=5), max_size=12), KINDS, SCOPES)
def test_any_span_is_read_and_can_be_stored(attributes: dict[str, Any], kind: Any, scope: str) -> None:
    """Any value under any name, never an exception; what comes out is storable, and also without content."""
    operation = read({"openinference.span.kind": kind} | attributes, scope)
    conventions.without_content(operation)
    assert problems(operation) == []
