"""Rules of single instrumentations, names that are still being renamed, and the client SDKs' own spans."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import load
from storable import problems

from otel_llm_sql import conventions
from otel_llm_sql.conventions.content import without_content
from otel_llm_sql.conventions.json_text import parse
from otel_llm_sql.conventions.openai_agents import with_tool_calls
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.pipeline import Pipeline
from otel_llm_sql.records import Operation
from otel_llm_sql.settings import load as load_settings
from otel_llm_sql.testing import stored

pytestmark = pytest.mark.quick

CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
AGENTS = "opentelemetry.instrumentation.openai_agents"
BOTOCORE = "opentelemetry.instrumentation.botocore.bedrock-runtime"


def read(attributes: dict[str, Any], scope: str = "some.scope", kind: str = "span", name: str = "s") -> Operation:
    fields = {"kind": kind, "trace_id": "a" * 32, "span_id": "b" * 16, "parent_span_id": None, "name": name}
    operation = conventions.read(Signal(**fields, start_ns=1, end_ns=2, attributes=attributes, scope_name=scope))  # type: ignore[arg-type]
    assert operation is not None
    return operation


def spans(case: str, operation_type: str) -> list[Operation]:
    return [o for o in load(case).operations if o.operation_type == operation_type and o.source == "span"]


@pytest.mark.parametrize(
    ("told", "model", "wanted"),
    [
        ("text_completion", "amazon.titan-embed-text-v2:0", "embeddings"),
        ("chat", "cohere.embed-english-v3", "embeddings"),
        ("chat", "eu.amazon.nova-2-multimodal-embeddings-v1:0", "embeddings"),
        ("text_completion", "amazon.titan-text-express-v1", "text_completion"),
        ("chat", "anthropic.claude-sonnet-4-5-20250929-v1:0", "chat"),
    ],
)
def test_bedrock_models_that_embed(told: str, model: str, wanted: str) -> None:
    """What botocore calls a chat or a completion is an embedding where the id of the model says so."""
    attributes = {"gen_ai.system": "aws.bedrock", "gen_ai.operation.name": told, "gen_ai.request.model": model}
    assert read(attributes, BOTOCORE).operation_type == wanted
    assert read(attributes).operation_type == told


def test_openai_agents_v2_tells_the_served_model_as_the_one_asked_for() -> None:
    """Of a response the requested model is not known; the attribute stays in extras."""
    calls = spans("otel-openai-agents-v2/agent", "chat")
    assert len(calls) == 2
    for call in calls:
        assert (call.request_model, call.model) == (None, "gpt-4o-mini-2024-07-18")
        assert call.extras["gen_ai.request.model"] == call.model
    asked = read(CALL, AGENTS)
    assert asked.request_model == "gpt-4o"


def test_openai_agents_v2_has_no_agent_of_its_own() -> None:
    """The defaults that it puts on every span name no agent."""
    names = {o.agent_name for o in load("otel-openai-agents-v2/handoff").operations}
    assert names == {None, "triage_agent", "weather_agent"}
    assert {o.agent_id for o in load("otel-openai-agents-v2/handoff").operations} == {None}


def test_unknown_steps_are_no_agents() -> None:
    """What an instrumentation calls `unknown` and asked nobody is a step, not one more run of an agent."""
    case = load("otel-openai-agents-v2/agent")
    assert len([o for o in case.operations if o.operation_type == "chain"]) == 3
    assert read({"gen_ai.operation.name": "unknown", "gen_ai.usage.input_tokens": 5}).operation_type == "chat"
    assert read({"gen_ai.operation.name": "unknown", "gen_ai.tool.name": "t"}).operation_type == "execute_tool"


def test_openai_agents_v2_writes_tool_calls_as_python() -> None:
    """The repr of the SDK's class is the call of a tool."""
    (first, _) = spans("otel-openai-agents-v2/agent", "chat")
    (message,) = [message for message in first.messages if message.direction == "output"]
    assert (message.content, message.tool_name) == (None, "get_weather")
    (part,) = cast("list[Any]", message.parts)
    assert (part["type"], part["name"], part["arguments"]) == ("tool_call", "get_weather", {"city": "Paris"})


@pytest.mark.parametrize(
    "content",
    [
        "ResponseFunctionToolCall(",
        "ResponseFunctionToolCall(arguments='{}'",
        "ResponseFunctionToolCall(**open('x'))",
        "ResponseFunctionToolCall(name=print('x'))",
        "ResponseFunctionToolCall(name='a').x",
        "ResponseFunctionToolCall(name=" + "(" * 5000 + ")",
        "he wrote ResponseFunctionToolCall(name='a')",
    ],
)
def test_what_only_looks_like_a_tool_call_stays_text(content: str) -> None:
    """Nothing is executed, and what is cut or no repr stays the text it is."""
    told = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": content}]}])
    operation = read({**CALL, "gen_ai.output.messages": told}, AGENTS)
    assert operation.messages[0].content == content
    assert problems(operation) == []


JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
MESSAGE = st.fixed_dictionaries({"role": JSON, "parts": JSON | st.lists(st.fixed_dictionaries({"content": JSON}))})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.one_of(JSON, st.lists(MESSAGE | JSON)))
def test_any_output_is_survived(messages: Any) -> None:
    """Whatever stands where messages are expected, nothing is raised."""
    text = json.dumps([messages, "ResponseFunctionToolCall("])
    assert with_tool_calls(text) == parse(text)
    assert with_tool_calls(text[:-3]) == text[:-3]
    assert with_tool_calls(messages) == messages


def test_fetching_a_response_is_no_call() -> None:
    """`fetch_response` returns an answer that was paid for before."""
    attributes = {
        "gen_ai.operation.name": "fetch_response",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.id": "r",
    }
    operation = read({**attributes, "gen_ai.response.status": "completed", "gen_ai.response.model": "m"})
    assert (operation.is_call, operation.provider, operation.model, operation.response_id) == (False, None, None, "r")


def test_a_turn_of_a_conversation_is_no_call() -> None:
    """`handle_conversation_turn` repeats the figures of the calls inside of it."""
    attributes = {"gen_ai.operation.name": "handle_conversation_turn", "gen_ai.invocation.is_nested": False}
    operation = read({**attributes, "gen_ai.agent.name": "a", "gen_ai.usage.input_tokens": 9})
    assert (operation.is_call, operation.input_tokens, operation.agent_name) == (False, None, "a")
    assert operation.extras["gen_ai.usage.input_tokens"] == 9
    assert operation.extras["gen_ai.invocation.is_nested"] is False


def test_parts_of_the_input() -> None:
    """What is written to a cache is part of the input; so are the figures per modality, kept as they came."""
    usage = {"input_tokens": 900, "cache_write.input_tokens": 200, "text.input_tokens": 800, "image.input_tokens": 100}
    operation = read(CALL | {f"gen_ai.usage.{name}": value for name, value in usage.items()})
    assert (operation.input_tokens, operation.cache_write_input_tokens) == (900, 200)
    assert operation.extras["gen_ai.usage.image.input_tokens"] == 100


def test_the_name_of_a_prompt_is_no_content() -> None:
    """Which template was used stays where content does not; what was filled in goes."""
    prompt = {"gen_ai.prompt.name": "greeting", "gen_ai.prompt.version": "3", "gen_ai.prompt.variable.city": "Paris"}
    operation = read({**CALL, **prompt, "gen_ai.prompt.0.content": "hello"})
    without_content(operation)
    kept = {name: value for name, value in operation.extras.items() if name.startswith("gen_ai.prompt")}
    assert kept == {"gen_ai.prompt.name": "greeting", "gen_ai.prompt.version": "3"}


def test_where_messages_were_uploaded_stays() -> None:
    """References to uploaded messages stand in extras, with and without content; there are no messages then."""
    references = {
        "gen_ai.input.messages_ref": "gs://bucket/in.json",
        "gen_ai.output.messages_ref": "gs://bucket/out.json",
        "gen_ai.system_instructions_ref": "gs://bucket/system.json",
        "gen_ai.tool.definitions_ref": "gs://bucket/tools.json",
    }
    name = "gen_ai.client.inference.operation.details"
    for operation in (read(CALL | references), read(CALL | references, kind="log", name=name)):
        without_content(operation)
        assert operation.messages == []
        assert references.items() <= operation.extras.items()


def test_generic_parts() -> None:
    """A part of a kind that has no shape of its own is kept, bytes described."""
    parts = [
        {"type": "text", "content": "see"},
        {"type": "generic", "generic_type": "citation", "content": "p. 7"},
        {"type": "generic", "generic_type": "scan", "content": "data:image/png;base64,iVBORw0KGgo="},
        {"type": "anthropic_image"},
    ]
    told = json.dumps([{"role": "user", "parts": parts}])
    (message,) = read({**CALL, "gen_ai.input.messages": told}).messages
    assert message.content == "see"
    assert message.parts is not None
    assert message.parts[1] == {"type": "generic", "generic_type": "citation", "content": "p. 7"}
    assert "iVBOR" not in json.dumps(message.parts)
    assert message.parts[3] == {"type": "anthropic_image"}


def test_the_own_spans_of_client_sdks() -> None:
    """Anthropic's, Mistral's and MCP's SDK tell calls and tools by themselves, each in its way."""
    (anthropic,) = load("anthropic-sdk-native/chat").operations
    usage = (anthropic.input_tokens, anthropic.cache_read_input_tokens, anthropic.cache_write_input_tokens)
    assert (usage, anthropic.finish_reason, anthropic.messages) == ((1183, 515, 261), "end_turn", [])
    (mistral,) = load("mistral-sdk-native/embeddings").operations
    assert (mistral.operation_type, mistral.provider, mistral.output_tokens) == ("embeddings", "mistral_ai", None)
    (tool,) = load("mcp-sdk-native/tool_error").operations
    assert (tool.operation_type, tool.tool_name, tool.status) == ("execute_tool", "get_weather", "error")
    assert tool.error_type == "tool_error"


def test_an_error_of_anthropics_sdk_is_a_type_and_a_code() -> None:
    """The text of the error stands nowhere in the SDK's own span: no message is invented."""
    (operation,) = load("anthropic-sdk-native/error429").operations
    assert (operation.status, operation.error_type, operation.error_message) == ("error", "rate_limit_error", None)
    assert operation.extras["http.response.status_code"] == 429


def test_an_exception_as_a_log_record() -> None:
    """Why a call failed may be an event of its own: it completes the span, or waits for it."""
    attributes = {"exception.type": "RateLimitError", "exception.message": "slow down", "exception.stacktrace": "..."}
    operation = read({**CALL, **attributes}, kind="log", name="gen_ai.client.operation.exception")
    assert (operation.source, operation.status, operation.operation_type) == ("event", "pending", "chat")
    assert (operation.error_type, operation.error_message) == ("RateLimitError", "slow down")
    assert operation.extras == {"exception.stacktrace": "..."}


@pytest.mark.parametrize("first", ["span", "event"])
@pytest.mark.parametrize(("status", "wanted"), [("error", ("429", "slow down")), ("ok", (None, None))])
def test_an_exception_belongs_to_a_call_that_failed(url: str, first: str, status: str, wanted: tuple[Any, Any]) -> None:
    """The text of the error comes from the event where the span has none; a call that went well has no error."""
    told = CALL | ({"error.type": "429"} if status == "error" else {})
    span = Signal("span", "a" * 32, "b" * 16, None, "chat", 1000, 2000, told, status=cast("Any", status))
    event = Signal(
        *("log", "a" * 32, "b" * 16, None, "gen_ai.client.operation.exception", 1500, 1500),
        attributes={"exception.type": "RateLimitError", "exception.message": "slow down"},
    )
    pipeline = Pipeline(load_settings(url=url, spool="off"))
    for signal in (span, event) if first == "span" else (event, span):
        pipeline.deliver([signal])
    pipeline.close()
    (row,) = stored(url)["llm_operations"]
    assert (row["error_type"], row["error_message"], row["status"]) == (*wanted, status)


def test_content_that_anthropics_sdk_cut() -> None:
    """What is left is stored, and that it was cut stands in extras."""
    (operation,) = load("anthropic-sdk-native.truncated/chat").operations
    assert [(message.role, message.content) for message in operation.messages] == [
        ("user", None),
        ("assistant", "The capital of France is Pari"),
    ]
    assert operation.extras["anthropic.content.truncated"] is True


def test_several_choices() -> None:
    """Each choice is a message with its own finish reason; the operation's is the first one's."""
    choices = [
        {"role": "assistant", "parts": [{"type": "text", "content": text}], "finish_reason": reason}
        for text, reason in (("one", "stop"), ("two", "length"))
    ]
    told = {"gen_ai.output.messages": json.dumps(choices), "gen_ai.response.finish_reasons": ["stop", "length"]}
    operation = read(CALL | told)
    assert operation.finish_reason == "stop"
    assert [(message.content, message.finish_reason) for message in operation.messages] == [
        ("one", "stop"),
        ("two", "length"),
    ]


STRANDS = "strands.telemetry.tracer"


def test_attributes_of_the_application_on_strands() -> None:
    """`trace_attributes` stand bare among its own, whose names all have a dot: they are metadata."""
    told = {"gen_ai.system": "strands-agents", "session.id": "s1", "tenant": "acme", "system_prompt": "s"}
    operation = read(CALL | told | {"gen_ai.event.start_time": "t"}, STRANDS)
    assert (operation.session_key, operation.metadata) == ("s1", {"tenant": "acme"})
    assert {"gen_ai.event.start_time", "system_prompt"} <= operation.extras.keys()


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws.bedrock"),
        ("amazon.nova-pro-v1:0", "aws.bedrock"),
        ("claude-sonnet-4-5", None),
        ("llama3.2:1b", None),
        ("bedrock/anthropic.claude-v2", None),
    ],
)
def test_ids_of_models_that_are_bedrocks(model: str, provider: str | None) -> None:
    """Strands names itself as the provider; some models are named so by one provider only."""
    told = {"gen_ai.operation.name": "chat", "gen_ai.system": "strands-agents", "gen_ai.request.model": model}
    assert read(told, STRANDS).provider == provider
    assert read(told | {"gen_ai.operation.name": "invoke_agent"}, STRANDS).provider is None


@pytest.mark.parametrize("operation_type", ["execute_event_loop_cycle", "execute_agent_loop_cycle", "invoke_swarm"])
def test_steps_of_strands_are_no_calls(operation_type: str) -> None:
    """Neither are its groups of agents."""
    told = {"gen_ai.operation.name": operation_type, "gen_ai.system": "strands-agents", "gen_ai.usage.input_tokens": 5}
    operation = read(told, STRANDS)
    assert (operation.is_call, operation.input_tokens) == (False, None)


def test_agent_framework_hands_on_what_anthropic_sent() -> None:
    """Its input is without cached tokens, of Anthropic's only."""
    usage = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 30}
    anthropic = read(CALL | usage | {"gen_ai.provider.name": "anthropic"}, "agent_framework")
    assert (anthropic.input_tokens, anthropic.extras["gen_ai.usage.input_tokens"]) == (130, 100)
    assert read(CALL | usage, "agent_framework").input_tokens == 100


def test_classes_are_told_by_their_name() -> None:
    """Semantic Kernel writes a class as Python prints it."""
    assert read(CALL | {"error.type": "<class 'a.b.ServiceError'>"}).error_type == "a.b.ServiceError"
    assert read(CALL | {"error.type": "<class 'a"}).error_type == "<class 'a"


def test_an_input_of_no_tokens_was_not_counted() -> None:
    """Nobody asks with no tokens: 0 is unknown, and stays in extras; 0 of output beside a counted input is 0."""
    usage = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}
    uncounted, counted = read(usage), read(usage | {"gen_ai.usage.input_tokens": 7})
    assert (uncounted.input_tokens, uncounted.output_tokens) == (None, None)
    assert uncounted.extras["gen_ai.usage.input_tokens"] == 0
    assert (counted.input_tokens, counted.output_tokens) == (7, 0)
    partly = read(usage | {"gen_ai.usage.output_tokens": 77})
    assert (partly.input_tokens, partly.output_tokens) == (None, 77)
