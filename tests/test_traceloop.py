"""Traceloop's vocabulary: each rule of reading spans of its generations, of its SDK, and its log records."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storable import problems

from otel_llm_sql import conventions
from otel_llm_sql.conventions import traceloop
from otel_llm_sql.conventions.traceloop_messages import PREFIXES
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.records import Message, Operation

pytestmark = pytest.mark.quick

OPENAI = "opentelemetry.instrumentation.openai.v1"
LANGCHAIN = "opentelemetry.instrumentation.langchain"
CALL = {"llm.request.type": "chat", "gen_ai.system": "OpenAI", "gen_ai.request.model": "gpt-4o"}


def signal(attributes: dict[str, Any], scope: str | None = OPENAI, **fields: Any) -> Signal:
    start = 1_700_000_000_000_000_000
    defaults: dict[str, Any] = {"kind": "span", "trace_id": "a" * 32, "span_id": "b" * 16, "parent_span_id": None}
    times = {"name": "openai.chat", "start_ns": start, "end_ns": start + 1_500_000_000}
    return Signal(attributes=attributes, scope_name=scope, **(defaults | times | fields))


def read(attributes: dict[str, Any], scope: str | None = OPENAI, **fields: Any) -> Operation:
    operation = conventions.read(signal(attributes, scope, **fields))
    assert operation is not None
    return operation


def step(kind: str, name: str, **more: Any) -> Operation:
    """A span of the SDK's decorators; `__` stands for a dot."""
    named = {f"traceloop.{key.replace('__', '.')}": value for key, value in more.items()}
    own = {"traceloop.span.kind": kind, "traceloop.entity.name": name}
    return read(own | named, "traceloop.tracer", name=f"{name}.{kind}")


def langchain(kind: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", kind], "kwargs": {"content": content, **more}}


def test_indexed_attributes_are_the_messages() -> None:
    """Every field of every message has an attribute of its own; none of them stays in extras."""
    operation = read(
        CALL
        | {
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": "Be terse.",
            "gen_ai.prompt.1.role": "user",
            "gen_ai.prompt.1.content": "Weather?",
            "gen_ai.prompt.2.role": "assistant",
            "gen_ai.prompt.2.tool_calls.0.id": "c1",
            "gen_ai.prompt.2.tool_calls.0.name": "weather",
            "gen_ai.prompt.2.tool_calls.0.arguments": '{"city": "Oslo"}',
            "gen_ai.prompt.3.role": "tool",
            "gen_ai.prompt.3.content": "18C",
            "gen_ai.prompt.3.tool_call_id": "c1",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "It is 18C.",
            "gen_ai.completion.0.finish_reason": "stop",
        }
    )
    call = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Oslo"}}
    answer = {"type": "tool_call_response", "id": "c1", "response": "18C"}
    assert operation.messages == [
        Message("system", "Be terse."),
        Message("user", "Weather?"),
        Message("assistant", None, [call], tool_name="weather"),
        Message("tool", "18C", [answer], tool_call_id="c1", tool_name="weather"),
        Message("assistant", "It is 18C.", None, "output", finish_reason="stop"),
    ]
    assert (operation.provider, operation.finish_reason) == ("openai", "stop")
    assert operation.extras == {"gen_ai.system": "OpenAI"}


def test_the_history_may_start_anywhere() -> None:
    """A long conversation loses its oldest attributes: what is left is told in its order, also beyond nine."""
    told = {f"gen_ai.prompt.{number}.content": f"text {number}" for number in (24, 9, 10)}
    assert [message.content for message in read(CALL | told).messages] == ["text 9", "text 10", "text 24"]


def test_content_as_json_text_is_its_parts() -> None:
    """Content that was a list was written down as JSON; text that only looks like it stays text."""
    told = {
        "gen_ai.prompt.0.content": '[{"type": "text", "text": "alpha"}, {"type": "text", "text": "beta"}]',
        "gen_ai.prompt.1.content": '[{"no": "part"}]',
        "gen_ai.prompt.2.content": '[{"type": "text", "te',
    }
    messages = read(CALL | told).messages
    assert [message.content for message in messages] == ["alpha\nbeta", '[{"no": "part"}]', '[{"type": "text", "te']


def test_thinking_belongs_to_the_message_after_it() -> None:
    """Anthropic's thinking is told as a completion of its own, with role thinking."""
    told = {
        "gen_ai.completion.0.role": "thinking",
        "gen_ai.completion.0.content": "Hm.",
        "gen_ai.completion.1.role": "assistant",
        "gen_ai.completion.1.content": "Yes.",
    }
    (message,) = read(CALL | told).messages
    assert message.content == "Yes."
    assert message.parts == [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Yes."}]


def test_thinking_alone_is_a_message() -> None:
    """A stream that was left early has nothing after it."""
    told = {"gen_ai.completion.0.role": "thinking", "gen_ai.completion.0.content": "Hm."}
    (message,) = read(CALL | told).messages
    assert (message.role, message.parts) == ("assistant", [{"type": "reasoning", "content": "Hm."}])


def test_older_names() -> None:
    """The first generation had names without `gen_ai`, and one function call instead of tool calls."""
    operation = read(
        {
            "llm.request.type": "completion",
            "llm.vendor": "OpenAI",
            "llm.request.model": "davinci",
            "llm.response.model": "davinci-002",
            "llm.usage.prompt_tokens": 7,
            "llm.usage.completion_tokens": 5,
            "llm.prompts.0.user": "Hello",
            "llm.completions.0.function_call.name": "f",
            "llm.completions.0.function_call.arguments": "{}",
        }
    )
    assert (operation.operation_type, operation.provider) == ("text_completion", "openai")
    assert (operation.request_model, operation.model) == ("davinci", "davinci-002")
    assert (operation.input_tokens, operation.output_tokens) == (7, 5)
    assert operation.messages[0] == Message("user", "Hello")
    assert operation.messages[1].parts == [{"type": "tool_call", "name": "f", "arguments": {}}]


def test_tools_that_are_offered() -> None:
    """Functions are told one attribute for each field; their parameters are JSON text."""
    tool = {
        "llm.request.functions.0.name": "weather",
        "llm.request.functions.0.description": "Tells it",
        "llm.request.functions.0.parameters": '{"type": "object"}',
        "llm.request.functions.1.name": "broken",
        "llm.request.functions.1.parameters": '{"type": ',
    }
    assert read(CALL | tool).tool_definitions == [
        {"type": "function", "name": "weather", "description": "Tells it", "parameters": {"type": "object"}},
        {"type": "function", "name": "broken", "parameters": '{"type": '},
    ]


def test_what_is_no_message_stays() -> None:
    """Filter results, and numbers that are none, stay in extras under their own names."""
    others = {
        "gen_ai.prompt.prompt_filter_results": "[]",
        "gen_ai.completion.0.content_filter_results": "{}",
        "gen_ai.prompt.9999999.content": "far",
        "gen_ai.prompt.0.tool_calls.x.name": "f",
    }
    operation = read(CALL | others)
    assert operation.messages == []
    assert others.items() <= operation.extras.items()


def test_tokens_of_both_generations() -> None:
    """Counts may come as floats; input is with cached tokens in both."""
    old = read(CALL | {"gen_ai.usage.prompt_tokens": 402.0, "gen_ai.usage.cache_read_input_tokens": 12})
    assert (old.input_tokens, old.cache_read_input_tokens, old.output_tokens) == (402, 12, None)


@pytest.mark.parametrize(
    ("provider", "told", "sent"),
    [
        ("openai", "tool_call", "tool_calls"),
        ("anthropic", "tool_call", "tool_use"),
        ("anthropic", "length", "max_tokens"),
        ("anthropic", "stop", "stop"),  # end_turn, or stop_sequence
        ("aws.bedrock", "tool_call", "tool_use"),
        ("some.other", "tool_call", "tool_call"),
    ],
)
def test_finish_reasons_as_the_provider_sent_them(provider: str, told: str, sent: str) -> None:
    """Traceloop puts OpenTelemetry's word in place of the provider's; it is put back where only one can be meant."""
    output = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "x"}], "finish_reason": told}])
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.response.finish_reasons": (told,),
        "gen_ai.output.messages": output,
    }
    operation = read(attributes)
    assert (operation.finish_reason, operation.messages[0].finish_reason) == (sent, sent)


def test_cohere_on_bedrock_has_another_word_for_tool_calls() -> None:
    """What Bedrock's Cohere models sent cannot be told from the word: it stays."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": "command-r-v1:0",
        "gen_ai.response.finish_reasons": ("tool_call",),
    }
    assert read(attributes, "opentelemetry.instrumentation.bedrock").finish_reason == "tool_call"


def test_bedrock_counts_without_cached_tokens() -> None:
    """Input is added up, as the instrumentation hands on what Bedrock counts."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.cache_creation.input_tokens": 2,
    }
    operation = read(attributes, "opentelemetry.instrumentation.bedrock")
    assert (operation.input_tokens, operation.extras["gen_ai.usage.input_tokens"]) == (15, 10)


def test_the_first_chunk_tells_the_time_to_the_first_token() -> None:
    """Events of chunks say when they came, and nothing else: they are not stored one by one."""
    start = 1_700_000_000_000_000_000
    chunks = [SpanEvent("llm.content.completion.chunk", start + wait * 1_000_000) for wait in (250, 40, 300)]
    operation = read(CALL, events=(*chunks, SpanEvent("other", start)))
    assert operation.time_to_first_token_ms == 40
    assert [event["name"] for event in operation.extras["events"]] == ["other"]


def test_a_chunk_before_the_start_tells_nothing() -> None:
    """Clocks are wrong sometimes."""
    operation = read(CALL, events=(SpanEvent("gen_ai.content.completion.chunk", 5),))
    assert operation.time_to_first_token_ms is None


@pytest.mark.parametrize("name", ["session_id", "thread_id", "conversation_id", "chat_id", "sessionId"])
def test_association_properties(name: str) -> None:
    """Session and user by any of their names; everything else the application set is metadata."""
    told = {name: "s-1", "user_id": "u-1", "tenant": "acme", "ls_provider": "openai"}
    operation = read(CALL | {f"traceloop.association.properties.{key}": value for key, value in told.items()})
    assert (operation.session_key, operation.user_id) == ("s-1", "u-1")
    assert operation.metadata == {"tenant": "acme"}
    assert operation.extras["traceloop.association.properties.ls_provider"] == "openai"


def test_the_session_is_what_the_application_calls_so() -> None:
    """A thread may hold several sessions: where both are named, the session is meant."""
    prefix = "traceloop.association.properties."
    told = {f"{prefix}thread_id": "t", "gen_ai.conversation.id": "t", f"{prefix}session_id": "s"}
    assert read(CALL | told).session_key == "s"


@pytest.mark.parametrize("name", ["gen_ai.user", "llm.user"])
def test_the_user_of_a_request(name: str) -> None:
    """What was sent to OpenAI as `user` is the user, unless the application says otherwise."""
    assert read(CALL | {name: "u"}).user_id == "u"
    assert read(CALL | {name: "u", "traceloop.association.properties.user_id": "v"}).user_id == "v"


def test_properties_on_spans_of_others() -> None:
    """The SDK puts them on the spans of every instrumentation in the process."""
    own = {"gen_ai.operation.name": "chat", "anthropic.message.stop_reason": "end_turn"}
    told = {"traceloop.association.properties.session_id": "s", "traceloop.workflow.name": "w"}
    operation = read(own | told, "com.anthropic.sdk.python")
    assert (operation.session_key, operation.action_id, operation.finish_reason) == ("s", "w", "end_turn")


def test_properties_do_not_make_an_operation() -> None:
    """The SDK puts them, and the workflow's name, on any span, such as one of an HTTP client."""
    told = {"traceloop.workflow.name": "w", "traceloop.entity.path": "p", "traceloop.association.properties.x": "1"}
    assert conventions.read(signal(told | {"http.method": "POST"}, "opentelemetry.instrumentation.httpx")) is None


@pytest.mark.parametrize(
    ("kind", "operation_type"),
    [("workflow", "invoke_workflow"), ("task", "execute_task"), ("agent", "invoke_agent"), ("session", "chain")],
)
def test_steps_of_the_sdk(kind: str, operation_type: str) -> None:
    """Decorated functions are steps; what goes in and out of them stays in extras."""
    operation = step(kind, "plan", entity__input='{"args": ["a"]}', entity__output="null")
    assert (operation.operation_type, operation.is_call) == (operation_type, False)
    assert (operation.agent_name if kind == "agent" else operation.action_id) == "plan"
    assert operation.extras["traceloop.entity.input"] == {"args": ["a"]}


def test_a_tool_of_the_sdk() -> None:
    """Arguments and result of a tool stand under OpenTelemetry's names; the step it belongs to is its action."""
    operation = step(
        "tool", "weather", entity__input='{"args": [], "kwargs": {"city": "Oslo"}}', entity__output='"18C"'
    )
    assert (operation.operation_type, operation.tool_name, operation.messages) == ("execute_tool", "weather", [])
    assert operation.extras == {"gen_ai.tool.call.arguments": {"city": "Oslo"}, "gen_ai.tool.call.result": "18C"}
    placed = step("tool", "weather", entity__path="plan.ask", workflow__name="qa", entity__input='{"args": ["Oslo"]}')
    assert (placed.action_id, placed.extras["traceloop.workflow.name"]) == ("plan.ask", "qa")
    assert placed.extras["gen_ai.tool.call.arguments"] == {"args": ["Oslo"]}


def test_a_call_inside_of_a_step_names_it() -> None:
    """The innermost step is the action, else the workflow."""
    assert read(CALL | {"traceloop.workflow.name": "qa", "traceloop.entity.path": "answer"}).action_id == "answer"
    assert read(CALL | {"traceloop.workflow.name": "qa", "traceloop.entity.path": ""}).action_id == "qa"


def test_a_step_of_langgraph_tells_its_messages_once() -> None:
    """LangChain's instrumentation tells input and output twice, each with the whole state."""
    sent = json.dumps({"inputs": {"messages": [langchain("HumanMessage", "Hi", type="human")]}, "tags": ["prod"]})
    state = [langchain("HumanMessage", "Hi", type="human"), langchain("AIMessage", "Hello", type="ai")]
    received = json.dumps({"outputs": {"messages": state}, "kwargs": {}})
    attributes = {
        "gen_ai.operation.name": "execute_task",
        "gen_ai.provider.name": "langgraph",
        "traceloop.span.kind": "task",
        "traceloop.entity.name": "model",
        "traceloop.entity.input": sent,
        "gen_ai.task.input": sent,
        "traceloop.entity.output": received,
        "gen_ai.task.output": received,
    }
    operation = read(attributes, LANGCHAIN)
    assert operation.messages == [Message("user", "Hi"), Message("assistant", "Hello", direction="output")]
    assert (operation.operation_type, operation.provider, operation.action_id) == ("execute_task", None, "model")
    assert operation.extras == {"gen_ai.provider.name": "langgraph", "traceloop.entity.input": {"tags": ["prod"]}}


def test_deep_content_of_a_step() -> None:
    """Messages that went in and came out are compared however deep they are."""
    deep = "[" * 900 + "]" * 900
    told = f'{{"messages": [{{"role": "user", "content": {deep}}}]}}'
    attributes = {"traceloop.span.kind": "task", "traceloop.entity.input": f'{{"inputs": {told}}}'}
    operation = read(attributes | {"traceloop.entity.output": f'{{"outputs": {told}}}'}, LANGCHAIN)
    assert problems(operation) == []


def test_a_tool_of_langchain() -> None:
    """Arguments, result and id of the call are found in what LangChain wraps around them."""
    sent = {"input_str": "{'city': 'Oslo'}", "inputs": {"city": "Oslo"}, "kwargs": {"tool_call_id": "c1"}}
    received = {"output": langchain("ToolMessage", "18C", type="tool"), "kwargs": {}}
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "traceloop.span.kind": "tool",
        "traceloop.entity.name": "weather",
        "gen_ai.tool.call.arguments": json.dumps(sent),
        "traceloop.entity.input": json.dumps(sent),
        "traceloop.entity.output": json.dumps(received),
    }
    operation = read(attributes, LANGCHAIN)
    assert operation.tool_name == "weather"
    assert operation.extras == {
        "gen_ai.tool.call.arguments": {"city": "Oslo"},
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.call.result": "18C",
    }


def test_retrieval_of_langchain() -> None:
    """What Traceloop calls vector_db_retrieve is a retrieval."""
    attributes = {"gen_ai.operation.name": "vector_db_retrieve", "traceloop.span.kind": "task"}
    assert read(attributes, LANGCHAIN).operation_type == "retrieval"


def test_the_id_of_a_run_is_no_agent() -> None:
    """LangChain's instrumentation gives each run of an agent another id."""
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a", "gen_ai.agent.id": "run-7"}
    assert (read(attributes, LANGCHAIN).agent_id, read(attributes, "other").agent_id) == (None, "run-7")


def test_steps_of_llama_index() -> None:
    """What an agent is about to send and what it answers are messages; a function tool is a tool."""
    scope = "opentelemetry.instrumentation.llamaindex"
    own = {"traceloop.span.kind": "task", "traceloop.entity.name": "BaseWorkflowAgent.task"}

    def told(output: dict[str, Any]) -> Operation:
        return read(own | {"traceloop.entity.output": json.dumps(output)}, scope)

    def message(role: str, text: str) -> dict[str, Any]:
        return {"role": role, "blocks": [{"block_type": "text", "text": text}]}

    sent = told({"input": [message("system", "Be terse."), message("user", "Hi")], "current_agent_name": "a"})
    assert [(one.role, one.content) for one in sent.messages] == [("system", "Be terse."), ("user", "Hi")]
    answer = told({"result": {"response": message("assistant", "Hello"), "current_agent_name": "a"}})
    assert answer.messages == [Message("assistant", "Hello", direction="output")]
    assert (sent.agent_name, answer.agent_name) == ("a", "a")
    ran = told({"tool_name": "f", "tool_kwargs": {"x": 1}, "tool_id": "c1", "tool_output": {"raw_output": "y"}})
    call = {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"x": 1}}
    assert [(one.role, one.direction) for one in ran.messages] == [("assistant", "input"), ("tool", "output")]
    assert (ran.messages[0].parts, ran.messages[1].content, ran.messages[1].tool_call_id) == ([call], "y", "c1")
    tool = told({"tool_name": "f", "raw_input": {"args": [], "kwargs": {"x": 1}}, "raw_output": "y"})
    assert (tool.operation_type, tool.tool_name) == ("execute_tool", "f")
    assert tool.extras == {"gen_ai.tool.call.arguments": {"x": 1}, "gen_ai.tool.call.result": "y"}
    failed = told({"tool_name": "f", "raw_output": "no", "is_error": True})
    assert failed.extras["traceloop.entity.output"] == {"is_error": True}


def test_crews_and_their_tasks_are_no_agents() -> None:
    """CrewAI's instrumentation says invoke_agent of crews and tasks too."""
    scope, word = "opentelemetry.instrumentation.crewai.instrumentation", {"gen_ai.operation.name": "invoke_agent"}
    assert read(word | {"crewai.crew.id": "7"}, scope).operation_type == "invoke_workflow"
    assert read(word | {"traceloop.span.kind": "task"}, scope).operation_type == "execute_task"
    assert read(word | {"traceloop.span.kind": "agent"}, scope).operation_type == "invoke_agent"


def test_calls_in_a_history_have_the_ids_of_their_results() -> None:
    """The openai-agents instrumentation tells a call that is sent again by the id of the item around it."""

    def call(number: int, prefix: str) -> dict[str, Any]:
        return {"role": "assistant", "parts": [{"type": "tool_call", "id": f"{prefix}{number}", "name": "f"}]}

    def result(number: int) -> dict[str, Any]:
        return {"role": "tool", "parts": [{"type": "tool_call_response", "id": f"call_{number}", "response": "x"}]}

    def ids(*history: dict[str, Any]) -> list[Any]:
        told = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(history)}
        messages = read(told, "opentelemetry.instrumentation.openai_agents").messages
        return [message.parts[0]["id"] for message in messages if message.parts]

    assert ids(call(1, "fc_"), call(2, "fc_"), result(1), result(2)) == ["call_1", "call_2", "call_1", "call_2"]
    assert ids(call(1, "fc_"), result(1), call(2, "fc_"), result(2)) == ["call_1", "call_1", "call_2", "call_2"]
    assert ids(call(1, "fc_"), call(2, "fc_"), result(1)) == ["fc_1", "fc_2", "call_1"]
    assert ids(call(9, "call_"), result(1)) == ["call_9", "call_1"]


def test_tools_told_as_what_the_user_said() -> None:
    """Anthropic's log records wrap the tools that are offered into a message of the user's."""
    body = {"content": {"tools": [{"name": "f"}]}}
    record = {"kind": "log", "name": "gen_ai.user.message", "body": body}
    operation = read({"gen_ai.provider.name": "anthropic"}, "opentelemetry.instrumentation.anthropic", **record)
    assert (operation.messages, operation.tool_definitions) == ([], [{"name": "f"}])


def test_choices_in_log_records() -> None:
    """Their finish reasons are put back as those on spans."""
    body = {"index": 0, "message": {"content": "x"}, "finish_reason": "tool_call"}
    record = {"kind": "log", "name": "gen_ai.choice", "body": body}
    operation = read({"gen_ai.provider.name": "anthropic"}, "opentelemetry.instrumentation.anthropic", **record)
    assert operation.messages == [Message("assistant", "x", None, "output", finish_reason="tool_use")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
SHAPES = st.sampled_from(
    [
        {"inputs": {"messages": [{"lc": 1, "kwargs": {"content": None, "type": "human"}}, 7]}},
        {"outputs": [{"update": {"messages": [["human", 3]]}}], "metadata": []},
        {"input": [{"role": 1, "blocks": [None]}], "current_agent_name": "a"},
        {"result": {"response": {"blocks": {}}, "current_agent_name": "a"}},
        {"input_str": 5, "kwargs": {"tool_call_id": {}}},
        {"output": {"kwargs": {"content": [1, {"a": "\ud800"}]}}},
        {"tool_name": ["f"], "raw_output": {}, "raw_input": "x"},
        {"kwargs": {"x": float("nan")}, "args": 3},
        {"tool_id": "c", "tool_name": 5, "tool_kwargs": [], "tool_output": {"raw_output": [None, {"a": b"b"}]}},
    ]
)
NAMES = st.sampled_from(sorted(traceloop._TABLE)) | st.builds(
    lambda prefix, number, field: f"{prefix}{number}{field}",
    st.sampled_from(PREFIXES),
    st.sampled_from(["", "0", "1", "12", "-1", "9" * 5000, "x"]),
    st.sampled_from(
        ["", ".role", ".content", ".tool_calls.0.name", ".tool_calls.0", ".function_call.x", ".parameters"]
    ),
)
VALUES = (
    JSON
    | st.one_of(JSON, SHAPES).map(lambda value: json.dumps(value, default=str))
    | st.sampled_from(["[" * 2000, '[{"type": "text"', "chat", "tool", "task", "\0", "\ud800", "9" * 400])
)


@given(
    st.dictionaries(NAMES, VALUES, max_size=8),
    st.sampled_from([OPENAI, LANGCHAIN, "traceloop.tracer", "opentelemetry.instrumentation.openai_agents", None]),
    st.sampled_from(["span", "log"]),
    JSON,
)
def test_any_values_give_an_operation_that_can_be_stored(
    attributes: dict[str, Any], scope: str | None, kind: str, body: Any
) -> None:
    """Whatever stands in the attributes, of any type and size, reading ends without an exception."""
    operation = conventions.read(signal(attributes, scope, kind=kind, name="gen_ai.choice", body=body))
    assert operation is None or problems(operation) == []


CHOICES = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": word}]} for word in ("a", "b")])


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ({"input_tokens": 2002, "output_tokens": 102, "cache_read.input_tokens": 512}, (1001, 51, 256)),
        ({"input_tokens": 2002, "output_tokens": 102, "cache_read.input_tokens": 0}, (1001, 51, 0)),
        ({"input_tokens": 2002, "output_tokens": 102}, (2002, 102, None)),
        ({"input_tokens": 2002, "output_tokens": 103, "cache_read.input_tokens": 0}, (2002, 103, 0)),
    ],
)
def test_usage_that_langchain_tells_for_each_choice(told: dict[str, int], counted: tuple[int | None, ...]) -> None:
    """It is the response's once where it certainly was added up; what was reported stays in extras."""
    usage = {f"gen_ai.usage.{name}": tokens for name, tokens in told.items()}
    operation = read(CALL | {"gen_ai.output.messages": CHOICES} | usage, LANGCHAIN)
    assert (operation.input_tokens, operation.output_tokens, operation.cache_read_input_tokens) == counted
    assert operation.extras.get("gen_ai.usage.input_tokens") == (2002 if counted[0] == 1001 else None)
