"""LlmOperationCollector: installing, recording by hand, asking; and which instrumentations are switched on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from otel_llm_sql import LlmOperationCollector, SettingsError, instrumentations, session
from otel_llm_sql.collector import apolars_from_db, aquery_db, polars_from_db, query_db
from otel_llm_sql.errors import DatabaseUnavailableError
from otel_llm_sql.schema.tables import VERSION
from otel_llm_sql.testing import stored, temporary_database

PAGE: dict[str, Any] = {
    "completion_args": {
        "model": "gpt-4",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.7,
        "api_key": "sk-secret-marker",
    },
    "operation_type": "completion",
    "provider": "openai",
    "response": {
        "choices": [{"message": {"content": "Hi there!"}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    },
    "latency_ms": 1200,
    "extras": {"custom_metric": "value"},
}


@pytest.fixture
def collector() -> Iterator[LlmOperationCollector]:
    with temporary_database() as url:
        collector = LlmOperationCollector(db_uri=url)
        yield collector
        collector.shutdown()


def rows(collector: LlmOperationCollector, table: str = "llm_operations") -> list[dict[str, Any]]:
    return stored(collector.settings.url)[table]


def transcript(collector: LlmOperationCollector) -> list[tuple[str, str | None]]:
    messages = sorted(rows(collector, "llm_messages"), key=lambda row: row["sequence_number"])
    return [(message["role"], message["content"]) for message in messages]


@pytest.mark.quick
def test_a_recorded_completion_is_stored_when_the_call_returns(url: str) -> None:
    """AiCore's example: one operation with its two messages; the API key is nowhere."""
    collector = LlmOperationCollector(db_uri=url)
    recorded = collector.record_completion(**PAGE)
    tables = stored(url)
    (row,) = tables["llm_operations"]
    assert (row["trace_id"], row["span_id"]) == (recorded.trace_id, recorded.span_id)
    assert (row["operation_type"], row["provider"], row["model"], row["status"]) == ("chat", "openai", "gpt-4", "ok")
    assert (row["input_tokens"], row["output_tokens"], row["latency_ms"]) == (10, 5, 1200)
    assert row["extras"]["custom_metric"] == "value"
    contents = [(message["role"], message["content"], message["direction"]) for message in tables["llm_messages"]]
    assert sorted(contents) == [("assistant", "Hi there!", "output"), ("user", "Hello", "input")]
    assert "sk-secret-marker" not in json.dumps(tables)
    collector.shutdown()


@pytest.mark.quick
def test_what_the_caller_says_goes_before_the_response(collector: LlmOperationCollector) -> None:
    """Session, step, counts, cost and error as arguments, in AiCore's order of positions."""
    arguments = ({"model": "m", "prompt": "Say hi"}, "acompletion", "openai", "hi", "s-1", "w", "agent", "step")
    collector.record_completion(*arguments, 7, 3, 2, 0.25, 10.5, "it broke", '{"a": 1}')
    (row,) = rows(collector)
    assert (row["input_tokens"], row["output_tokens"], row["cache_read_input_tokens"]) == (7, 3, 2)
    assert (row["cost"], row["cost_source"], row["latency_ms"]) == (0.25, "reported", 10)
    assert (row["status"], row["error_message"], row["action_id"]) == ("error", "it broke", "step")
    assert row["extras"]["a"] == 1
    (kept,) = rows(collector, "llm_sessions")
    assert (kept["session_key"], kept["workspace"], kept["agent_id"]) == ("s-1", "w", "agent")
    assert transcript(collector) == [("user", "Say hi"), ("assistant", "hi")]


def test_without_a_session_id_the_current_session_counts(collector: LlmOperationCollector) -> None:
    """`session()` marks recorded calls; the argument goes before it."""
    with session("outer", user_id="ada"):
        collector.record_completion(**PAGE)
        collector.record_completion(**PAGE, session_id="given")
    assert {row["session_key"] for row in rows(collector, "llm_sessions")} == {"outer", "given"}
    assert {row["user_id"] for row in rows(collector)} == {"ada"}


def test_tools_and_anthropics_shape(collector: LlmOperationCollector) -> None:
    """Tool calls, tool results, system text and usage that leaves out cached tokens."""
    question: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "18 degrees"},
    ]
    response = {
        "id": "msg_1",
        "model": "claude-x",
        "role": "assistant",
        "content": [{"type": "text", "text": "18 degrees in Paris"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100},
    }
    arguments = {"model": "claude", "system": "Be brief.", "messages": question, "tools": [{"name": "get_weather"}]}
    collector.record_completion(arguments, "completion", "anthropic", response)
    (row,) = rows(collector)
    assert (row["model"], row["request_model"], row["response_id"]) == ("claude-x", "claude", "msg_1")
    assert (row["input_tokens"], row["cache_read_input_tokens"], row["output_tokens"]) == (110, 100, 5)
    told = transcript(collector)
    assert [role for role, _ in told] == ["system", "user", "assistant", "tool", "assistant"]
    assert (told[0], told[-1]) == (("system", "Be brief."), ("assistant", "18 degrees in Paris"))
    assert len(rows(collector, "llm_tool_definitions")) == 1


def test_responses_of_the_client_library(collector: LlmOperationCollector) -> None:
    """The `openai` package's own object is taken as it is."""
    from openai.types.chat import ChatCompletion

    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi!"}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
    given = PAGE | {"response": ChatCompletion.model_validate(body)}
    collector.record_completion(**given)
    (row,) = rows(collector)
    assert (row["model"], row["finish_reason"], row["input_tokens"]) == ("gpt-4o-2024-08-06", "stop", 9)


class Unreadable:
    """Whatever is asked of it, it raises."""

    def model_dump(self, **_: Any) -> Any:
        raise RuntimeError("pa55-marker")

    def __iter__(self) -> Any:
        raise RuntimeError("pa55-marker")

    def __str__(self) -> str:
        raise RuntimeError("pa55-marker")


def within_itself() -> dict[str, Any]:
    found: dict[str, Any] = {"choices": [{"message": {"content": "Hi"}}]}
    found["choices"][0]["message"]["content"] = [found]
    return found


def test_messages_of_the_client_library(collector: LlmOperationCollector) -> None:
    """A history with the `openai` package's own objects, as its examples write it, and the class that an answer has."""
    from openai.types.chat import ChatCompletionMessage, ChatCompletionMessageToolCall
    from openai.types.chat.chat_completion_message_tool_call import Function

    wanted = ChatCompletionMessageToolCall(
        id="c1", function=Function(name="get_weather", arguments='{"city": "Paris"}'), type="function"
    )
    question = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [wanted]},
        ChatCompletionMessage(role="assistant", tool_calls=[wanted]),
        {"role": "tool", "tool_call_id": "c1", "content": "18 degrees"},
    ]
    arguments = {"model": "gpt-4o", "messages": question, "response_format": ChatCompletionMessage}
    collector.record_completion(arguments, "completion", "openai", response="hi")
    (row,) = rows(collector)
    assert (row["status"], row["model"]) == ("ok", "gpt-4o")
    assert [role for role, _ in transcript(collector)] == ["user", "assistant", "assistant", "tool", "assistant"]
    assert "get_weather" in json.dumps(rows(collector, "llm_messages"))


@pytest.mark.parametrize(
    ("response", "said", "tokens"),
    [
        ({"choices": ["hello"]}, "hello", None),
        ({"choices": [None, {"message": {"content": "hello"}}]}, "hello", None),
        ({"choices": {"message": "hello"}, "usage": "many"}, "hello", None),
        ({"choices": 3, "usage": {"prompt_tokens": 1, "prompt_tokens_details": [1]}}, "3", 1),
        ({"choices": [{"message": {"content": "hello", "tool_calls": ["x", {"function": "f"}]}}]}, "hello", None),
        ({"content": 5, "usage": {"input_tokens": 1, "cache_read_input_tokens": "x"}}, "5", 1),
        ({"content": "hello", "usage": {"input_tokens": "x", "cache_read_input_tokens": 1}}, "hello", None),
        ({"choices": [{"message": {"content": {("a", "b"): 1}}}]}, "('a', 'b')", None),
        (within_itself(), "choices", None),
        ([Unreadable(), "hello"], "hello", None),
        ({"content": "hello", "usage": Unreadable()}, "hello", None),
        (Unreadable(), "<Unreadable>", None),
    ],
)
def test_a_response_is_read_as_far_as_it_can_be(
    collector: LlmOperationCollector, caplog: pytest.LogCaptureFixture, response: Any, said: str, tokens: int | None
) -> None:
    """The call has happened: whatever its response is, it is recorded with what can be read."""
    collector.record_completion(**PAGE | {"response": response})
    (row,) = rows(collector)
    assert (row["status"], row["model"], row["input_tokens"]) == ("ok", "gpt-4", tokens)
    assert said in str(transcript(collector)[-1])
    assert "pa55-marker" not in caplog.text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"messages": 5}, "5"),
        ({"messages": {"role": "user", "content": "hello"}}, "hello"),
        ({"messages": [{"role": "user", "content": 5}]}, "5"),
        ({"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "tool_calls": ["x"]}]}, "hello"),
        ({"messages": [{"role": "user", "content": "hello", "tool_calls": [Unreadable()]}]}, "hello"),
        ({"messages": Unreadable(), "system": Unreadable()}, "<Unreadable>"),
        ({"messages": "hello", "response_format": Unreadable()}, "hello"),
        ({"input": [1, 2]}, "[1, 2]"),
        ({"input": [[1, 2], [3]]}, "[1, 2]"),
    ],
)
def test_a_request_is_read_as_far_as_it_can_be(
    collector: LlmOperationCollector, asked: dict[str, Any], said: str
) -> None:
    """What the provider took is no error of ours, in whatever form it was written."""
    collector.record_completion({"model": "m", **asked}, "completion", "openai")
    assert len(rows(collector)) == 1
    assert said in str(transcript(collector))


def test_a_latency_without_end(collector: LlmOperationCollector) -> None:
    """The largest number of milliseconds is more nanoseconds than a float can be."""
    collector.record_completion(**PAGE | {"latency_ms": 1.7e308})
    assert [row["status"] for row in rows(collector)] == ["ok"]


@pytest.mark.quick
def test_arecord_completion_leaves_the_event_loop_alone(collector: LlmOperationCollector) -> None:
    """Ten at once, in sessions of their own, stored when they return, while the loop goes on."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def record(number: int) -> Any:
        async with session(f"s-{number}"):
            return await collector.arecord_completion(**PAGE)

    async def main() -> list[Any]:
        ticking = asyncio.create_task(tick())
        recorded = await asyncio.gather(*(record(number) for number in range(10)))
        ticking.cancel()
        return recorded

    recorded = asyncio.run(main())
    assert {row["span_id"] for row in rows(collector)} == {one.span_id for one in recorded}
    assert len(rows(collector, "llm_sessions")) == 10
    assert ticks > 10


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"completion_args": "gpt-4"}, TypeError, "completion_args must be a mapping"),
        ({"provider": None}, TypeError, r"provider must be text \(str\), not None"),
        ({"operation_type": ""}, ValueError, "operation_type is empty"),
        ({"input_tokens": -1}, ValueError, "input_tokens must be a whole number"),
        ({"output_tokens": "5"}, ValueError, "output_tokens must be a whole number"),
        ({"cost": float("nan")}, ValueError, "cost must be a number"),
        ({"cost": 10**400}, ValueError, "cost must be a number"),
        ({"latency_ms": float("inf")}, ValueError, "latency_ms must be a number"),
        ({"latency_ms": -5}, ValueError, "latency_ms must be a number"),
        ({"error_message": 500}, TypeError, "error_message must be text"),
        ({"extras": ["a"]}, TypeError, "extras must be a mapping"),
        ({"session_id": 7}, TypeError, "session_id must be text"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(
    collector: LlmOperationCollector, wrong: dict[str, Any], error: type[Exception], words: str
) -> None:
    """A clear error, and no row."""
    with pytest.raises(error, match=words):
        collector.record_completion(**PAGE | wrong)
    assert rows(collector) == []


def test_a_database_that_is_down_never_breaks_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    """record_completion returns, and the log says it."""
    collector = LlmOperationCollector(db_uri="postgresql://me:pa55-marker@127.0.0.1:1/db", timeout=1)
    assert len(collector.record_completion(**PAGE).trace_id) == 32
    collector.shutdown()
    assert "pa55-marker" not in caplog.text


def test_settings_are_checked_at_once() -> None:
    """A wrong setting, and one that does not exist, are errors of the caller's."""
    with pytest.raises(SettingsError, match="url"):
        LlmOperationCollector(db_uri="not a url")
    with pytest.raises(TypeError, match="colour"):
        LlmOperationCollector(db_uri="sqlite:///x.db", colour="blue")


def test_tables_and_their_version(url: str) -> None:
    """create_tables, get_schema_version and migrate_schema, as AiCore's page names them."""
    collector = LlmOperationCollector(db_uri=url)
    assert collector.get_schema_version() is None
    collector.create_tables()
    assert collector.get_schema_version() == VERSION
    assert collector.migrate_schema() == []


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "mysql"])
@pytest.mark.parametrize("method", ["create_tables", "get_schema_version", "migrate_schema"])
def test_the_tables_of_an_unreachable_server(scheme: str, method: str) -> None:
    """Nobody listens: an error of ours that names the database, and shows no password, in its traceback neither."""
    collector = LlmOperationCollector(db_uri=f"{scheme}://me:pa55-marker@127.0.0.1:1/db", timeout=1)
    with pytest.raises(DatabaseUnavailableError, match=r"127\.0\.0\.1:1/db: not reachable") as raised:
        getattr(collector, method)()
    assert "pa55-marker" not in "".join(traceback.format_exception(raised.value))


def test_the_tables_of_a_directory_that_cannot_be(tmp_path: Path) -> None:
    """A SQLite file below a file is an error of ours as well."""
    (tmp_path / "file").touch()
    collector = LlmOperationCollector(db_uri=f"sqlite:///{tmp_path}/file/llm.db")
    with pytest.raises(DatabaseUnavailableError, match="not reachable"):
        collector.create_tables()


def test_asking_for_the_version_makes_nothing(tmp_path: Path) -> None:
    """Without a SQLite file there is no version, and afterwards still neither file nor directory."""
    collector = LlmOperationCollector(db_uri=f"sqlite:///{tmp_path}/new/llm.db")
    assert collector.get_schema_version() is None
    assert list(tmp_path.iterdir()) == []


def test_questions_on_an_instance_and_on_the_class(
    collector: LlmOperationCollector, new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance asks its database, the class and the functions ask the configured one, sync and async."""
    configured = new_database("sqlite")
    monkeypatch.setenv("CONNECTION_STRING", configured)
    LlmOperationCollector().create_tables()
    collector.record_completion(**PAGE)
    sql = "SELECT COUNT(*) AS n FROM llm_operations"
    assert collector.query_db(sql) == [{"n": 1}]
    assert LlmOperationCollector.query_db(sql) == query_db(sql) == [{"n": 0}]
    assert collector.polars_from_db(provider="openai").height == 1
    assert LlmOperationCollector.polars_from_db().height == polars_from_db().height == 0

    async def ask() -> list[Any]:
        return [
            await collector.aquery_db(sql),
            await LlmOperationCollector.aquery_db(sql),
            await aquery_db(sql),
            (await collector.apolars_from_db()).height,
            (await LlmOperationCollector.apolars_from_db()).height,
            (await apolars_from_db()).height,
        ]

    assert asyncio.run(ask()) == [[{"n": 1}], [{"n": 0}], [{"n": 0}], 1, 0, 0]


INSTALL = """
    import sys, threading
    from opentelemetry import _logs, trace
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from otel_llm_sql import LlmOperationCollector, session

    memory = InMemorySpanExporter()
    mine = TracerProvider() if "theirs" in sys.argv else None
    if mine:
        mine.add_span_processor(SimpleSpanProcessor(memory))
        trace.set_tracer_provider(mine)
    early = trace.get_tracer("early")
    collector = LlmOperationCollector(db_uri=sys.argv[1])
    assert collector.install(instrument=False) is collector.install(instrument=False)
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider) and mine in (None, provider)
    assert isinstance(_logs.get_logger_provider(), LoggerProvider)
    exporters = [p for p in provider._active_span_processor._span_processors if hasattr(p, "span_exporter")]
    assert len(exporters) == (2 if mine else 1)
    chat = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}
    with session("s"), early.start_as_current_span("root", attributes=chat):
        collector.record_completion({"model": "by hand"}, "completion", "openai")
    assert collector.flush()
    print(collector.query_db("SELECT COUNT(*) AS n FROM llm_spans"), len(memory.get_finished_spans()))
    collector.shutdown()
    early.start_span("after", attributes=chat).end()
    assert collector.flush()
    again = LlmOperationCollector(db_uri=sys.argv[1]).install(instrument=False)
    early.start_span("again", attributes=chat).end()
    assert again.flush()
    print(again.query_db("SELECT COUNT(*) AS n FROM llm_spans"))
"""


@pytest.mark.quick
@pytest.mark.parametrize("providers", ["theirs", "none"])
def test_install_joins_the_providers(providers: str) -> None:
    """On the application's providers, beside its exporters, or on new global ones; once; and off after shutdown."""
    with temporary_database() as url:
        command = [sys.executable, "-c", textwrap.dedent(INSTALL), url, providers]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [f"[{{'n': 2}}] {2 if providers == 'theirs' else 0}", "[{'n': 3}]"]


@pytest.mark.parametrize(
    ("name", "genai"),
    [
        *(
            (name, True)
            for name in ("openai", "openai-v2", "openai_agents", "google-genai", "llama-index", "llamaindex")
        ),
        *((name, True) for name in ("anthropic", "bedrock", "vertexai", "mistralai", "pydantic-ai", "mcp")),
        *((name, False) for name in ("requests", "flask", "botocore", "sqlalchemy", "psycopg2", "redis", "threading")),
    ],
)
def test_genai_libraries_are_known_by_name(name: str, genai: bool) -> None:
    """Instrumentations of GenAI libraries, whoever publishes them, and no others."""
    entry = EntryPoint(name, f"opentelemetry.instrumentation.{name}:Instrumentor", "opentelemetry_instrumentor")
    assert instrumentations.is_genai(entry) is genai


def test_instrumentations_are_switched_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed ones, unless disabled by the environment or already on."""
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "*")
    assert instrumentations.switch_on() == ()
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "anthropic, sqlite3")
    try:
        assert instrumentations.switch_on() == ("openai",)
        assert instrumentations.switch_on() == ()
    finally:
        OpenAIInstrumentor().uninstrument()


@pytest.mark.parametrize(("found", "level"), [("openai 0.1", "WARNING"), (None, "DEBUG")])
def test_an_instrumentation_that_does_not_fit_is_skipped(
    found: str | None, level: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The wrong version of its library is said in one line, a missing library only for those who debug."""
    from opentelemetry.instrumentation import dependencies

    conflict = dependencies.DependencyConflict("openai >= 1.26", found)
    monkeypatch.setattr(dependencies, "get_dependency_conflicts", lambda _needed: conflict)
    caplog.set_level("DEBUG", "otel_llm_sql")
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "anthropic")
    assert instrumentations.switch_on() == ()
    (record,) = [record for record in caplog.records if record.name.startswith("otel_llm_sql")]
    assert record.levelname == level
    assert "openai" in record.getMessage()


def test_a_broken_instrumentation_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that raises when it is loaded is skipped with a line."""
    broken = EntryPoint("langchain", "otel_llm_sql.testing:no_such_name", "opentelemetry_instrumentor")
    monkeypatch.setattr(instrumentations, "entry_points", lambda group: [broken] if group else [])
    assert instrumentations.switch_on() == ()
    assert "langchain is skipped" in caplog.text


def test_recording_from_threads(collector: LlmOperationCollector) -> None:
    """Eight threads record at once through one provider of the collector's own."""
    threads = [threading.Thread(target=collector.record_completion, kwargs=PAGE) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(collector)) == 8


@pytest.mark.quick
def test_importing_the_package_is_light() -> None:
    """`import otel_llm_sql` loads no frames, migrations, drivers or prices, and knows its names all the same."""
    program = """
        import sys
        import otel_llm_sql
        heavy = {"polars", "alembic", "asyncpg", "genai_prices", "sqlalchemy", "opentelemetry"}
        print(sorted(heavy & sys.modules.keys()), set(otel_llm_sql.__all__) <= set(dir(otel_llm_sql)))
        print(all(getattr(otel_llm_sql, name) for name in otel_llm_sql.__all__), hasattr(otel_llm_sql, "nothing"))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    output = subprocess.check_output(command, text=True, env=os.environ | {"PYTHONWARNINGS": "error"})
    assert output.splitlines() == ["[] True", "True False"]
