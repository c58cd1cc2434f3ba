"""OpenTelemetry's GenAI vocabulary: each rule of reading spans, span events and log records."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_llm_sql import conventions
from otel_llm_sql.conventions.providers import provider_name
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.records import AGGREGATES, FINISH_REASONS, REPAIRED, Operation

pytestmark = pytest.mark.quick

CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}


def signal(attributes: dict[str, Any], **fields: Any) -> Signal:
    defaults: dict[str, Any] = {
        "kind": "span",
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "parent_span_id": None,
        "name": "chat gpt-4o",
        "start_ns": 1_700_000_000_123_456_789,
        "end_ns": 1_700_000_001_623_456_789,
        "scope_name": "some.scope",
    }
    return Signal(attributes=attributes, **(defaults | fields))


def read(attributes: dict[str, Any], **fields: Any) -> Operation:
    operation = conventions.read(signal(attributes, **fields))
    assert operation is not None
    return operation


def call(**fields: Any) -> Operation:
    """A chat with further attributes; `__` stands for a dot."""
    return read(CALL | {key.replace("__", "."): value for key, value in fields.items()})


def usage(**tokens: Any) -> Operation:
    return read(CALL | {f"gen_ai.usage.{key.replace('__', '.')}": value for key, value in tokens.items()})


def test_a_plain_call() -> None:
    """The row of a call: identity, times, models, tokens, and everything else under its own name."""
    operation = read(
        CALL
        | {
            "gen_ai.response.model": "gpt-4o-2024",
            "gen_ai.response.id": "r1",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.request.temperature": 0.5,
            "server.address": "example.org",
            "server.port": 443,
            "team": "blue",
        },
        scope_version="1.2",
    )
    assert (operation.source, operation.trace_id, operation.span_id) == ("span", "a" * 32, "b" * 16)
    assert (operation.timestamp, operation.latency_ms, operation.status) == (1_700_000_000_123_456, 1_500, "ok")
    assert (operation.operation_type, operation.provider) == ("chat", "openai")
    assert (operation.model, operation.request_model, operation.response_id) == ("gpt-4o-2024", "gpt-4o", "r1")
    assert (operation.input_tokens, operation.output_tokens, operation.finish_reason) == (10, 20, "stop")
    assert operation.extras == {
        "gen_ai.request.temperature": 0.5,
        "server.address": "example.org",
        "server.port": 443,
        "team": "blue",
        "scope_version": "1.2",
    }


def test_missing_is_none() -> None:
    """What was not said is None, never 0 or an empty text."""
    operation = call(gen_ai__conversation__id="", gen_ai__response__id="")
    for name in ("input_tokens", "output_tokens", "cost", "cost_source", "session_key", "response_id", "finish_reason"):
        assert getattr(operation, name) is None
    assert operation.model == "gpt-4o"


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"http.request.method": "GET"},
        {"mcp.method.name": "tools/list"},
        {"gen_ai.agent.name": "a", "http.request.method": "GET"},
        {"error.type": "timeout", "user.id": "u"},
        {"gen_ai.prompt.name": "greeting", "mcp.method.name": "prompts/get"},
    ],
)
def test_what_is_not_genai(attributes: dict[str, Any]) -> None:
    """A span that only says who is at work is no operation."""
    assert conventions.read(signal(attributes, name="GET /")) is None


@pytest.mark.parametrize(
    "attributes", [{"llm_sql.session_key": "s"}, {"gen_ai.agent.name": "a", "gen_ai.conversation.id": "s"}]
)
def test_what_names_a_session_is_the_context_of_others(attributes: dict[str, Any]) -> None:
    """A span that is no operation but names a session says so for what is inside of it, and nothing else."""
    operation = read(attributes | {"http.request.method": "GET"}, name="GET /")
    assert (operation.source, operation.session_key, operation.extras) == ("context", "s", {})


@pytest.mark.parametrize(
    ("field", "spellings"),
    [
        ("input_tokens", ["input_tokens", "prompt_tokens"]),
        ("output_tokens", ["output_tokens", "completion_tokens"]),
        (
            "cache_read_input_tokens",
            ["cache_read.input_tokens", "cache_read_input_tokens", "details.cache_read_tokens"],
        ),
        (
            "cache_write_input_tokens",
            [
                "cache_write.input_tokens",
                "cache_creation.input_tokens",
                "cache_creation_input_tokens",
                "cache_write_input_tokens",
                "details.cache_write_tokens",
            ],
        ),
        ("reasoning_output_tokens", ["reasoning.output_tokens", "reasoning_tokens", "details.reasoning_tokens"]),
    ],
)
def test_spellings_of_tokens(field: str, spellings: list[str]) -> None:
    """Each spelling is read alone; together the newest wins and what differs stays in extras, in any order."""
    for spelling in spellings:
        assert getattr(usage(**{spelling: 7}), field) == 7
    together = {spelling: 7 + index for index, spelling in enumerate(spellings)}
    for order in (together, dict(reversed(together.items()))):
        operation = usage(**order)
        assert getattr(operation, field) == 7
        assert {f"gen_ai.usage.{name}": told for name, told in together.items() if told != 7} == operation.extras


def test_the_same_under_two_names_is_kept_once() -> None:
    """An old spelling that says the same as the new one does not stand in extras."""
    assert usage(input_tokens=7, prompt_tokens=7).extras == {}


@pytest.mark.parametrize(
    ("told", "provider"),
    [
        ("OpenAI", "openai"),
        ("openai.responses", "openai"),
        ("azure", "azure.ai.openai"),
        ("az.ai.openai", "azure.ai.openai"),
        ("Anthropic", "anthropic"),
        ("AWS", "aws.bedrock"),
        ("amazon-bedrock", "aws.bedrock"),
        ("gemini", "gcp.gemini"),
        ("google", "gcp.gemini"),
        ("vertex_ai", "gcp.vertex_ai"),
        ("MistralAI", "mistral_ai"),
        ("xai", "x_ai"),
        ("Groq", "groq"),
        ("MyOwn", "myown"),
        ("langchain", None),
        ("strands-agents", None),
        ("microsoft.agent_framework", None),
        ("pydantic-ai", None),
    ],
)
def test_provider_names(told: str, provider: str | None) -> None:
    """One name for each provider; frameworks that pose as one are none. What was told stays in extras."""
    operation = read(CALL | {"gen_ai.provider.name": told})
    assert operation.provider == provider == provider_name(told)
    assert operation.extras.get("gen_ai.provider.name") == (None if provider == told else told)


def test_the_old_name_of_the_provider_helps_where_the_new_one_is_a_framework() -> None:
    """A framework's name in one attribute does not hide the provider in the other."""
    assert call(gen_ai__provider__name="langchain", gen_ai__system="openai").provider == "openai"
    assert call(gen_ai__provider__name="openai", gen_ai__system="langchain").provider == "openai"


@pytest.mark.parametrize(
    ("attributes", "name", "operation_type"),
    [
        ({"gen_ai.operation.name": "embedding"}, "x", "embeddings"),
        ({"gen_ai.operation.name": "completion"}, "x", "text_completion"),
        ({"gen_ai.operation.name": "Chat"}, "x", "chat"),
        ({"gen_ai.operation.name": "rerank"}, "x", "rerank"),
        ({"gen_ai.operation.name": "unknown", "gen_ai.tool.name": "t"}, "x", "execute_tool"),
        ({"gen_ai.request.model": "m", "gen_ai.embeddings.dimension.count": 4}, "x", "embeddings"),
        ({"gen_ai.system": "openai", "gen_ai.request.model": "m"}, "openai.chat", "chat"),
        ({"gen_ai.system_instructions": "x", "gen_ai.agent.name": "a"}, "x", "invoke_agent"),
        ({"gen_ai.output.type": "text"}, "create_agent x", "create_agent"),
        ({"gen_ai.output.type": "text"}, "x", "unknown"),
    ],
)
def test_operation_types(attributes: dict[str, Any], name: str, operation_type: str) -> None:
    """OpenTelemetry's values, aliases of them, and for an operation without name what stands on it decides."""
    assert read(attributes, name=name).operation_type == operation_type


@pytest.mark.parametrize("operation_type", sorted(AGGREGATES))
def test_aggregates_count_nothing(operation_type: str) -> None:
    """An operation that is no call keeps what it reported in extras, under its own names."""
    told = {
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.aggregated_usage.input_tokens": 30,
        "operation.cost": 0.5,
    }
    operation = read(told | {"gen_ai.operation.name": operation_type})
    assert (operation.provider, operation.model, operation.request_model) == (None, None, None)
    assert (operation.input_tokens, operation.output_tokens, operation.cache_read_input_tokens) == (None, None, None)
    assert (operation.cost, operation.cost_source, operation.is_call) == (None, None, False)
    assert operation.extras == told


def test_a_step_some_framework_invented_has_no_provider() -> None:
    """`agent_handoff` asked nobody; a call of an unknown kind with a model did."""
    assert read({"gen_ai.operation.name": "agent_handoff", "gen_ai.system": "openai"}).provider is None
    assert (
        read({"gen_ai.operation.name": "speech", "gen_ai.system": "openai", "gen_ai.request.model": "m"}).provider
        == "openai"
    )


@pytest.mark.parametrize(
    ("scope", "wanted"),
    [
        ("opentelemetry.instrumentation.genai.bedrock", 1183),
        ("opentelemetry.instrumentation.botocore.bedrock-runtime", 1183),
        ("opentelemetry.instrumentation.genai.langchain", 407),
        ("strands.telemetry.tracer", 407),
    ],
)
def test_input_without_cached_tokens_is_added_up(scope: str, wanted: int) -> None:
    """Bedrock's own count leaves cached tokens out; the rule goes by instrumentation, and what was told is kept."""
    told = {"input_tokens": 407, "cache_read.input_tokens": 515, "cache_creation.input_tokens": 261}
    attributes = (
        CALL | {"gen_ai.provider.name": "aws.bedrock"} | {f"gen_ai.usage.{key}": value for key, value in told.items()}
    )
    operation = read(attributes, scope_name=scope)
    assert operation.input_tokens == wanted
    assert operation.extras.get("gen_ai.usage.input_tokens") == (407 if wanted == 1183 else None)
    assert read({k: v for k, v in attributes.items() if "usage.input" not in k}, scope_name=scope).input_tokens is None


@pytest.mark.parametrize(
    ("scope", "name", "value", "wanted"),
    [
        ("x", "gen_ai.response.time_to_first_chunk", 0.25, 250),
        ("x", "gen_ai.client.operation.time_to_first_chunk", "0.0126", 13),
        ("x", "gen_ai.server.time_to_first_token", 2, 2000),
        ("strands.telemetry.tracer", "gen_ai.server.time_to_first_token", 988, 988),
        ("x", "gen_ai.response.time_to_first_chunk", -1, None),
    ],
)
def test_time_to_first_token(scope: str, name: str, value: Any, wanted: int | None) -> None:
    """Seconds become milliseconds; strands gives milliseconds. The exact figure stays in extras."""
    operation = read(CALL | {name: value}, scope_name=scope)
    assert operation.time_to_first_token_ms == wanted
    assert operation.extras[name] == value


def test_reported_cost() -> None:
    """A cost the telemetry reports is taken; 0 from an instrumentation without a price list is unknown."""
    assert (call(operation__cost=0.5).cost, call(operation__cost=0.5).cost_source) == (0.5, "reported")
    assert (call(gen_ai__usage__cost=0).cost, call(gen_ai__usage__cost=0).cost_source) == (None, None)
    assert call(operation__cost=float("nan")).cost is None


@pytest.mark.parametrize(
    ("name", "value", "tier"),
    [
        ("openai.response.service_tier", "flex", "flex"),
        ("gen_ai.openai.response.service_tier", "priority", "priority"),
        ("openai.request.service_tier", "batch", "batch"),
        ("openai.response.service_tier", "default", None),
        ("anthropic.response.service_tier", "standard", None),
    ],
)
def test_service_tier(name: str, value: str, tier: str | None) -> None:
    """The normal tier is None; what was told stays in extras, as the tier is no column."""
    operation = read(CALL | {name: value})
    assert (operation.service_tier, operation.extras[name]) == (tier, value)


@pytest.mark.parametrize(
    ("value", "first", "several"),
    [
        (["stop"], "stop", None),
        (("length", "stop"), "length", ["length", "stop"]),
        ('["tool_calls"]', "tool_calls", None),
        ("stop", "stop", None),
        ("FinishReason.STOP", "stop", None),
        ([], None, None),
        ([""], None, None),
    ],
)
def test_finish_reasons(value: Any, first: str | None, several: list[str] | None) -> None:
    """The first choice's; several stand in extras."""
    operation = call(gen_ai__response__finish_reasons=value)
    assert operation.finish_reason == first
    assert operation.extras.get(FINISH_REASONS) == several


def test_outputs_have_finish_reasons() -> None:
    """From the message, else from the attribute in its order; the attribute is filled from the messages."""
    outputs = [{"role": "assistant", "parts": [{"type": "text", "content": text}]} for text in ("a", "b")]
    told = call(gen_ai__output__messages=outputs, gen_ai__response__finish_reasons=["stop", "length"])
    assert [message.finish_reason for message in told.messages] == ["stop", "length"]
    outputs[0]["finish_reason"] = "tool_call"
    assert call(gen_ai__output__messages=outputs).finish_reason == "tool_call"


def failed(exception: dict[str, Any] | None = None, **fields: Any) -> Operation:
    events = (SpanEvent("exception", 5, exception),) if exception else ()
    return read(CALL | fields.pop("attributes", {}), status="error", events=events, **fields)


def test_errors() -> None:
    """The message: of the status, else of the exception, else `error.message`; the type: `error.type`, else theirs."""
    exception = {"exception.type": "E", "exception.message": "m", "exception.stacktrace": "Trace..."}
    named = failed(exception, status_message="said", attributes={"error.type": "429"})
    assert (named.status, named.error_type, named.error_message) == ("error", "429", "said")
    assert named.extras == {"exception.type": "E", "exception.message": "m", "exception.stacktrace": "Trace..."}
    caught = failed(exception)
    assert (caught.error_type, caught.error_message, caught.extras) == ("E", "m", {"exception.stacktrace": "Trace..."})
    assert failed(attributes={"error.message": "why"}).error_message == "why"
    assert failed(attributes={"http.response.status_code": 500}).error_type == "500"


def test_an_error_type_alone_is_an_error() -> None:
    """Some instrumentations leave the status unset; an exception that was caught and went on is none."""
    assert call(error__type="timeout").status == "error"
    caught = read(CALL, events=(SpanEvent("exception", 5, {"exception.type": "E", "exception.message": "m"}),))
    assert (caught.status, caught.error_type, caught.error_message) == ("ok", None, None)
    assert caught.extras == {"exception.type": "E", "exception.message": "m"}


def test_session_context() -> None:
    """The conversation id is the session key, `user.id` the user, the resource gives workspace and service."""
    resource = {"service.name": "shop", "service.namespace": "retail"}
    attributes = {"gen_ai.conversation.id": "c1", "session.id": "s1", "enduser.id": "u1", "gen_ai.agent.id": "a1"}
    operation = read(CALL | attributes | {"gen_ai.workflow.name": "w1", "gen_ai.agent.name": "n1"}, resource=resource)
    assert (operation.session_key, operation.user_id) == ("c1", "u1")
    assert (operation.workspace, operation.service_name) == ("retail", "shop")
    assert (operation.agent_id, operation.agent_name, operation.action_id) == ("a1", "n1", "w1")
    assert operation.extras == {"session.id": "s1"}
    assert read(CALL | {"session.id": "s1", "user.id": "u2"}).session_key == "s1"


def test_nobody_named_the_service() -> None:
    """The SDK's default service name says nothing."""
    for name in ("unknown_service", "unknown_service:python"):
        assert read(CALL, resource={"service.name": name}).service_name is None


def test_our_own_attributes_win() -> None:
    """What the application set with `session()` wins over instrumentations, which stay in extras."""
    ours = {
        "llm_sql.session_key": "mine",
        "llm_sql.workspace": "w",
        "llm_sql.agent_id": "a",
        "llm_sql.action_id": "step",
        "llm_sql.user_id": "u",
        "llm_sql.metadata": '{"plan": "gold"}',
    }
    theirs = {"gen_ai.conversation.id": "c", "user.id": "x", "gen_ai.agent.id": "y", "gen_ai.workflow.name": "z"}
    operation = read(
        CALL | theirs | ours | {"metadata": '{"plan": "tin", "k": 1}'}, resource={"service.namespace": "n"}
    )
    assert (operation.session_key, operation.workspace) == ("mine", "w")
    assert (operation.agent_id, operation.action_id, operation.user_id) == ("a", "step", "u")
    assert operation.metadata == {"plan": "gold", "k": 1}
    assert operation.extras == theirs


def test_metadata() -> None:
    """A JSON object in `metadata` is the session's metadata, and may name the user; other metadata is an attribute."""
    operation = call(metadata='{"tenant": "acme", "user_id": "u7"}')
    assert (operation.metadata, operation.user_id) == ({"tenant": "acme", "user_id": "u7"}, "u7")
    assert (call(metadata="[1]").metadata, call(metadata="[1]").extras) == (None, {"metadata": "[1]"})


def test_tools_run() -> None:
    """A tool's span has its name in a column, arguments and result in extras, and no messages."""
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "weather",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.call.arguments": '{"city": "Paris"}',
        "gen_ai.tool.call.result": "18C",
        "gen_ai.input.messages": '[{"role": "tool", "parts": []}]',
    }
    operation = read(attributes)
    assert (operation.operation_type, operation.tool_name, operation.messages) == ("execute_tool", "weather", [])
    assert operation.extras["gen_ai.tool.call.result"] == "18C"


def test_tool_definitions_are_no_extras() -> None:
    """They are parsed, and stored once per session."""
    tools = [{"type": "function", "name": "weather"}]
    for told in (tools, json.dumps(tools), tuple(tools)):
        operation = call(gen_ai__tool__definitions=told)
        assert (operation.tool_definitions, operation.extras) == (tools, {})


def texts(operation: Operation) -> list[tuple[str, str, str | None]]:
    return [(message.direction, message.role, message.content) for message in operation.messages]


def parts(role: str, *contents: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content} for content in contents]}


def test_messages_in_order() -> None:
    """System instructions, then input, then output; as JSON text or structured."""
    told = {
        "gen_ai.output.messages": [parts("assistant", "Paris")],
        "gen_ai.input.messages": [parts("user", "Capital?"), parts("assistant", "Of?"), parts("user", "France")],
        "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
    }
    wanted = [
        ("input", "system", "Be brief."),
        ("input", "user", "Capital?"),
        ("input", "assistant", "Of?"),
        ("input", "user", "France"),
        ("output", "assistant", "Paris"),
    ]
    assert texts(read(CALL | told)) == wanted
    assert texts(read(CALL | {name: json.dumps(value) for name, value in told.items()})) == wanted


def test_a_system_prompt_told_twice_is_one_message() -> None:
    """Some packages put it into the instructions and into the input."""
    told = call(
        gen_ai__system_instructions="Be brief.",
        gen_ai__input__messages=[parts("system", "Be brief."), parts("user", "Hi")],
    )
    assert [role for _, role, _ in texts(told)] == ["system", "user"]


def legacy(name: str, **attributes: Any) -> SpanEvent:
    return SpanEvent(name, 1, attributes)


def test_messages_as_span_events() -> None:
    """The older events on a span are messages of its operation; blocks come as JSON text."""
    events = (
        legacy("gen_ai.system.message", content='[{"text": "Be brief."}]'),
        legacy("gen_ai.user.message", content='{"no": "blocks"} '),
        legacy(
            "gen_ai.assistant.message", content='[{"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": 1}}}]'
        ),
        legacy("gen_ai.tool.message", content='[{"toolResult": {"toolUseId": "c1", "content": [{"text": "18C"}]}}]'),
        legacy("gen_ai.choice", message='[{"text": "It is 18C."}]', finish_reason="end_turn"),
        SpanEvent("app.progress", 9, {"step": 2}),
    )
    operation = read(CALL, events=events)
    assert [(role, content) for _, role, content in texts(operation)][2:] == [
        ("assistant", None),
        ("tool", "18C"),
        ("assistant", "It is 18C."),
    ]
    assert operation.messages[3].tool_call_id == "c1"
    assert operation.messages[3].tool_name == "f"
    assert (operation.finish_reason, operation.messages[4].finish_reason) == ("end_turn", "end_turn")
    assert operation.extras == {"events": [{"name": "app.progress", "time_ns": 9, "attributes": {"step": 2}}]}


def test_events_of_a_tool_are_its_arguments_and_result() -> None:
    """On a tool's own span the events hold no conversation."""
    events = (legacy("gen_ai.tool.message", content='{"a": 1}'), legacy("gen_ai.choice", message="18C"))
    operation = read({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "f"}, events=events)
    assert operation.messages == []
    assert operation.extras == {"gen_ai.tool.call.arguments": '{"a": 1}', "gen_ai.tool.call.result": "18C"}


def test_details_as_span_events() -> None:
    """The details event on a span fills what its attributes left open, also when it comes in pieces."""
    name = "gen_ai.client.inference.operation.details"
    events = (
        SpanEvent(
            name, 1, {"gen_ai.input.messages": json.dumps([parts("user", "Hi")]), "gen_ai.request.model": "other"}
        ),
        SpanEvent(name, 2, {"gen_ai.output.messages": json.dumps([parts("assistant", "Ho")])}),
    )
    operation = read(CALL, events=events)
    assert texts(operation) == [("input", "user", "Hi"), ("output", "assistant", "Ho")]
    assert operation.request_model == "gpt-4o"


def test_the_first_conventions_put_all_messages_into_two_events() -> None:
    """`gen_ai.content.prompt` and `gen_ai.content.completion` hold JSON text."""
    prompt = SpanEvent("gen_ai.content.prompt", 1, {"gen_ai.prompt": '[{"role": "user", "content": "Hi"}]'})
    completion = SpanEvent(
        "gen_ai.content.completion", 1, {"gen_ai.completion": '[{"role": "assistant", "content": "Ho"}]'}
    )
    assert texts(read(CALL, events=(prompt, completion))) == [("input", "user", "Hi"), ("output", "assistant", "Ho")]


def event(name: str, body: Any = None, attributes: dict[str, Any] | None = None, **fields: Any) -> Operation | None:
    return conventions.read(signal(attributes or {}, kind="log", name=name, body=body, end_ns=0, **fields))


@pytest.mark.parametrize(
    ("name", "body", "wanted"),
    [
        ("gen_ai.system.message", {"content": "s"}, ("input", "system", "s")),
        ("gen_ai.user.message", {"content": "u"}, ("input", "user", "u")),
        ("gen_ai.user.message", '{"content": "u", "role": "user"}', ("input", "user", "u")),
        ("gen_ai.user.message", "just text", ("input", "user", "just text")),
        ("gen_ai.user.message", {}, ("input", "user", None)),
        ("gen_ai.user.message", None, ("input", "user", None)),
        ("gen_ai.assistant.message", {"content": [{"text": "a"}]}, ("input", "assistant", "a")),
        ("gen_ai.tool.message", {"content": "t", "id": "c1"}, ("input", "tool", "t")),
        (
            "gen_ai.choice",
            {"index": 0, "finish_reason": "stop", "message": {"content": "o"}},
            ("output", "assistant", "o"),
        ),
        ("gen_ai.choice", {"message": "o"}, ("output", "assistant", "o")),
        ("gen_ai.choice", {"message": {}, "tool_calls": [{"id": "c", "function": {}}]}, ("output", "assistant", None)),
    ],
)
def test_message_events(name: str, body: Any, wanted: tuple[str, str, str | None]) -> None:
    """A log record with one message is a pending operation with that message; it knows its span and its time."""
    operation = event(name, body, {"gen_ai.system": "openai", "event.name": name})
    assert operation is not None
    assert texts(operation) == [wanted]
    assert (operation.source, operation.status, operation.latency_ms) == ("event", "pending", None)
    assert (operation.event_time_ns, operation.timestamp) == (1_700_000_000_123_456_789, 1_700_000_000_123_456)
    assert (operation.span_id, operation.provider, operation.operation_type) == ("b" * 16, "openai", "")
    assert operation.extras == {}


def test_details_as_a_log_record() -> None:
    """It has all fields and messages, structured or as JSON text, and stays pending."""
    messages = [parts("user", "Hi")]
    attributes = CALL | {"gen_ai.input.messages": messages, "gen_ai.usage.input_tokens": 3, "error.type": "429"}
    operation = event("gen_ai.client.inference.operation.details", attributes=attributes)
    assert operation is not None
    assert (operation.model, operation.input_tokens, operation.error_type) == ("gpt-4o", 3, "429")
    assert (texts(operation), operation.status) == ([("input", "user", "Hi")], "pending")


def test_an_event_that_names_no_span() -> None:
    """It still is an operation, with empty ids; the store decides."""
    operation = event("gen_ai.user.message", {"content": "u"}, trace_id="", span_id="")
    assert operation is not None
    assert (operation.trace_id, operation.span_id) == ("", "")


@pytest.mark.parametrize("name", ["", "app.started", "gen_ai.evaluation.result"])
def test_other_log_records_are_no_operations(name: str) -> None:
    """Only events that carry content or details of a call are."""
    assert event(name, "text", {"gen_ai.conversation.id": "c"}) is None


def test_botocore_tells_results_once() -> None:
    """Its user message repeats what its tool message has told."""
    body = {"content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "18C"}]}}]}
    scope = "opentelemetry.instrumentation.botocore.bedrock-runtime"
    twice, once = event("gen_ai.user.message", body, scope_name=scope), event("gen_ai.user.message", body)
    assert twice is not None
    assert once is not None
    assert (len(twice.messages), len(once.messages)) == (0, 1)


def test_a_whole_conversation_on_an_agent_is_messages() -> None:
    """pydantic-ai tells everything again on every run: as messages it is stored once."""
    told = json.dumps([parts("user", "Hi"), parts("assistant", "Ho")])
    operation = read({"gen_ai.operation.name": "invoke_agent", "pydantic_ai.all_messages": told})
    assert texts(operation) == [("input", "user", "Hi"), ("output", "assistant", "Ho")]
    assert operation.extras == {}


def test_times_that_cannot_be() -> None:
    """SDK-15, F40: an end before the start is a latency of 0 with a flag; years beyond 1 to 9999 are clamped."""
    backwards = read(CALL, start_ns=2_000_000_000, end_ns=1)
    assert backwards.latency_ms == 0
    assert "1999999999 ns before" in backwards.extras[REPAIRED]["latency_ms"]
    far = read(CALL, start_ns=2**63, end_ns=2**64)
    assert far.timestamp == 9_223_372_036_854_775
    assert read(CALL, start_ns=10**21).timestamp == 253_402_300_799_999_999
    assert "timestamp" in read(CALL, start_ns=-(10**21)).extras[REPAIRED]


def test_without_content() -> None:
    """Messages keep role, direction and the ids and names of calls; nothing people or models said is left."""
    secret = "s3cret"
    call_part = {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"q": secret}}
    attributes = CALL | {
        "gen_ai.system_instructions": secret,
        "gen_ai.input.messages": [
            parts("user", secret),
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": secret}]},
        ],
        "gen_ai.output.messages": [
            {"role": "assistant", "parts": [{"type": "reasoning", "content": secret}, call_part]}
        ],
        "gen_ai.tool.definitions": [{"name": secret}],
        "gen_ai.tool.call.arguments": secret,
        "gen_ai.tool.call.result": secret,
        "gen_ai.prompt": secret,
        "gen_ai.completion": secret,
        "gen_ai.prompt.variable.q": secret,
        "gen_ai.retrieval.query.text": secret,
        "final_result": secret,
        "model_request_parameters": secret,
        "tool_arguments": secret,
        "server.address": "example.org",
        "exception.stacktrace": "Trace",
    }
    operation = read(attributes, events=(SpanEvent("app", 1, {"said": secret}),))
    assert secret in repr(operation)
    conventions.without_content(operation)
    assert secret not in repr(operation)
    assert operation.extras == {"server.address": "example.org", "exception.stacktrace": "Trace"}
    assert [message.role for message in operation.messages] == ["system", "user", "tool", "assistant"]
    assert operation.messages[3].parts == [{"type": "reasoning"}, {"type": "tool_call", "id": "c1", "name": "f"}]
    assert operation.messages[2].tool_call_id == "c1"


def test_azure_puts_the_body_into_an_attribute() -> None:
    """`gen_ai.event.content` holds the JSON text of what other records have as body."""
    attributes = {"gen_ai.event.content": '{"content": "Hi", "role": "user"}'}
    operation = event("gen_ai.user.message", None, attributes)
    assert operation is not None
    assert (texts(operation), operation.extras) == ([("input", "user", "Hi")], {})
    on_span = read(CALL, events=(SpanEvent("gen_ai.user.message", 1, attributes),))
    assert texts(on_span) == [("input", "user", "Hi")]


def test_details_in_the_body() -> None:
    """Some emitters put the details event's attributes into its body."""
    body = CALL | {"gen_ai.output.messages": [parts("assistant", "Ho")]}
    operation = event("gen_ai.client.inference.operation.details", body)
    assert operation is not None
    assert (operation.model, texts(operation)) == ("gpt-4o", [("output", "assistant", "Ho")])


def test_a_choice_with_the_results_of_its_tools() -> None:
    """Strands tells on the choice of a cycle what its tools gave back; text that is no JSON stays text."""
    results = '[{"toolResult": {"toolUseId": "c1", "content": [{"text": "18C"}]}}]'
    choice = SpanEvent("gen_ai.choice", 1, {"message": "[cut", "tool.result": results})
    operation = read({"gen_ai.operation.name": "execute_event_loop_cycle"}, events=(choice,))
    assert texts(operation) == [("output", "assistant", "[cut"), ("output", "tool", "18C")]


def test_finish_reasons_that_are_cut() -> None:
    """What is left of cut JSON is the word that is stored, with a flag."""
    operation = call(gen_ai__response__finish_reasons='["stop", "len')
    assert operation.finish_reason == '["stop", "len'
    assert REPAIRED in operation.extras


def test_a_second_error_message_is_kept() -> None:
    """`error.message` stays in extras where the status says something else."""
    operation = failed(status_message="said", attributes={"error.message": "told"})
    assert (operation.error_message, operation.extras) == ("said", {"error.message": "told"})
