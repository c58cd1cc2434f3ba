"""The exporters against the contract of the SDK (SDK-01..SDK-19) and of its configuration (CFG-01..CFG-13)."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_llm_sql import LlmSqlLogExporter, LlmSqlSpanExporter, notices
from otel_llm_sql.exporter import LogRecordExporter, LogRecordExportResult
from otel_llm_sql.testing import chat_spans, content_events, stored, temporary_database

pytestmark = pytest.mark.quick

OK, FAILED = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
SECRET = "pa55-marker"

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "sample-model",
}


@pytest.fixture(autouse=True)
def _fresh_notices() -> None:
    """Each test is the first to complain."""
    notices._said.clear()


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    yield provider
    provider.shutdown()


def operations(url: str) -> list[dict[str, Any]]:
    return stored(url)["llm_operations"]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("otel_llm_sql")]


def test_sdk_01_success_means_committed(url: str) -> None:
    """When export() returns SUCCESS, another connection sees the rows."""
    exporter = LlmSqlSpanExporter(url=url)
    assert exporter.export(chat_spans(3, session_key="s")) is OK
    tables = stored(url)
    assert {name: len(rows) for name, rows in tables.items()} == {
        "llm_sessions": 1,
        "llm_operations": 3,
        "llm_messages": 6,
        "llm_spans": 3,
        "llm_tool_definitions": 0,
        "llm_dead_letters": 0,
    }
    assert tables["llm_sessions"][0]["session_key"] == "s"
    exporter.shutdown()


def test_sdk_01_the_same_spans_again_change_nothing(url: str) -> None:
    """Delivered again, in another order and split, by another exporter: the same rows."""
    spans = chat_spans(4, session_key="s")
    first = LlmSqlSpanExporter(url=url)
    assert first.export(spans) is OK
    once = stored(url)
    second = LlmSqlSpanExporter(url=url)
    assert [second.export(part) for part in ([spans[3], spans[0]], spans[1:], [spans[2]])] == [OK] * 3
    assert stored(url) == once
    first.shutdown()
    second.shutdown()


def test_sdk_03_export_from_eight_threads(url: str) -> None:
    """SimpleSpanProcessor calls export() from every thread at once; nothing is lost and nothing raised."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(LlmSqlSpanExporter(url=url)))
    tracer = provider.get_tracer("test")
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for _ in range(5):
            tracer.start_span("chat", attributes=CHAT).end()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    provider.shutdown()
    assert len(operations(url)) == 40


def test_sdk_04_export_after_shutdown_fails_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """FAILURE at once, one line in the log, no row."""
    with temporary_database() as url:
        exporter = LlmSqlSpanExporter(url=url)
        exporter.shutdown()
        assert [exporter.export(chat_spans()) for _ in range(3)] == [FAILED] * 3
        assert len(said(caplog)) == 1
        assert operations(url) == []


def test_sdk_05_shutdown_is_idempotent_and_takes_the_time_that_is_left(provider: TracerProvider) -> None:
    """BatchSpanProcessor finds `timeout_millis`; a second shutdown does nothing."""
    given: list[float] = []

    class Watched(LlmSqlSpanExporter):
        def shutdown(self, timeout_millis: float = 30000) -> None:
            given.append(timeout_millis)
            super().shutdown(timeout_millis)

    with temporary_database() as url:
        exporter = Watched(url=url)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        provider.get_tracer("test").start_span("chat", attributes=CHAT).end()
        provider.shutdown()
        exporter.shutdown()
        assert len(operations(url)) == 1
    assert len(given) == 2
    assert 0 < given[0] <= 30000


def test_sdk_06_and_07_force_flush(tmp_path: Path) -> None:
    """It tries again what was kept and tells whether all is stored; after shutdown it is False."""
    directory = tmp_path / "here"
    directory.write_text("a file where the database's directory should be")
    exporter = LlmSqlSpanExporter(url=f"sqlite:///{directory}/llm.db", timeout=1)
    assert exporter.force_flush()
    assert exporter.export(chat_spans()) is FAILED
    assert not exporter.force_flush(1000)
    directory.unlink()
    assert exporter.force_flush()
    assert len(operations(f"sqlite:///{directory}/llm.db")) == 1
    exporter.shutdown()
    assert not exporter.force_flush()


def test_sdk_09_the_resource_is_read_from_each_span(provider: TracerProvider) -> None:
    """One exporter, two resources (as after a fork): each operation has its own service."""
    other = TracerProvider(resource=Resource({"service.name": "other"}), shutdown_on_exit=False)
    with temporary_database() as url:
        exporter = LlmSqlSpanExporter(url=url)
        other.add_span_processor(SimpleSpanProcessor(exporter))
        other.get_tracer("test").start_span("chat", attributes=CHAT).end()
        exporter.export(chat_spans())
        assert {row["service_name"] for row in operations(url)} == {"sample", "other"}
        exporter.shutdown()


@pytest.mark.parametrize("first", ["spans", "logs"])
def test_sdk_10_content_events_and_spans_in_any_order(url: str, first: str) -> None:
    """Messages that come as log records, before or after their span, make the same rows."""
    spans = chat_spans(2, session_key="s")
    bare = LlmSqlSpanExporter(url=url)
    logs = LlmSqlLogExporter(url=url)
    steps: list[Callable[[], Any]] = [lambda: bare.export(spans), lambda: logs.export(content_events(spans))]
    for step in steps if first == "spans" else reversed(steps):
        assert step().name == "SUCCESS"
    tables = stored(url)
    assert [row["status"] for row in tables["llm_operations"]] == ["ok", "ok"]
    contents = sorted(row["content"] for row in tables["llm_messages"])
    assert contents == ["answer 0", "answer 1", "question 0", "question 1"]
    logs.shutdown()
    bare.shutdown()


def test_sdk_10_the_log_exporter_may_be_shut_down_first() -> None:
    """At exit the LoggerProvider goes first; the span exporter of the same database still delivers."""
    with temporary_database() as url:
        spans, logs = LlmSqlSpanExporter(url=url), LlmSqlLogExporter(url=url)
        sample = chat_spans(2)
        assert logs.export(content_events(sample)).name == "SUCCESS"
        logs.shutdown()
        assert logs.export(content_events(sample)).name == "FAILURE"
        assert spans.export(sample) is OK
        spans.shutdown()
        again = LlmSqlSpanExporter(url=url)
        assert again.export(chat_spans()) is OK
        again.shutdown()
        assert len(operations(url)) == 3


def test_sdk_11_and_12_they_are_exporters_of_the_sdk() -> None:
    """Subclasses under the names that this version of the SDK has; log results are the SDK's own."""
    assert issubclass(LlmSqlSpanExporter, SpanExporter)
    assert issubclass(LlmSqlLogExporter, LogRecordExporter)
    with temporary_database() as url:
        exporter = LlmSqlLogExporter(url=url)
        assert exporter.export([]) is LogRecordExportResult.SUCCESS
        assert exporter.force_flush(1000)
        exporter.shutdown()


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "te'},
        {"gen_ai.input.messages": "[" * 10000 + "]" * 10000},
        {"gen_ai.usage.input_tokens": "****", "gen_ai.usage.output_tokens": 2**70},
        {"gen_ai.request.temperature": float("nan"), "x": "a\x00b", "y": "a\ud800b", "z": b"\xff"},
        {"gen_ai.input.messages": {"not": ["a", {"list": None}]}, "gen_ai.request.model": ("a", "b")},
        {"gen_ai.request.model": "m" * 100_000, "gen_ai.conversation.id": "c" * 10_000},
    ],
)
def test_sdk_13_to_19_odd_attributes_are_stored(url: str, attributes: dict[str, Any]) -> None:
    """Whatever stands on a span, it and its neighbours are stored."""
    exporter = LlmSqlSpanExporter(url=url)
    odd = chat_spans(**{name.replace(".", "__"): value for name, value in attributes.items()})
    assert exporter.export([*chat_spans(1), *odd, *chat_spans(1)]) is OK
    tables = stored(url)
    assert len(tables["llm_operations"]) + len(tables["llm_dead_letters"]) == 3
    exporter.shutdown()


def test_sdk_15_a_span_may_end_before_it_starts(provider: TracerProvider) -> None:
    """Latency is never negative."""
    with temporary_database() as url:
        provider.add_span_processor(SimpleSpanProcessor(LlmSqlSpanExporter(url=url)))
        provider.get_tracer("test").start_span("chat", attributes=CHAT, start_time=2 * 10**18).end(10**18)
        provider.shutdown()
        assert [row["latency_ms"] for row in operations(url)] == [0]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_sdk_17_the_exporter_never_traces_itself(kind: str, url: str) -> None:
    """With the driver's instrumentation on, exporting on our own thread makes no span of the driver."""
    if kind == "sqlite":
        from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor as Instrumentor
    else:
        from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor as Instrumentor
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    exporter = LlmSqlSpanExporter(url=url)
    Instrumentor().instrument(tracer_provider=provider, skip_dep_check=True)
    try:
        assert exporter.export(chat_spans(2)) is OK
        assert exporter.export(chat_spans(2)) is OK
        assert exporter.force_flush()
        exporter.shutdown()
    finally:
        Instrumentor().uninstrument()
        provider.shutdown()
    assert [span.name for span in memory.get_finished_spans()] == []
    assert len(operations(url)) == 4


@pytest.mark.filterwarnings("ignore:.*LoggingHandler.*:DeprecationWarning")
@pytest.mark.parametrize("processor", [SimpleLogRecordProcessor, BatchLogRecordProcessor])
def test_sdk_18_complaints_do_not_feed_the_log_exporter(
    processor: type, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Logging handler -> log exporter -> our logger -> logging handler: failures are one line, and one at the end."""
    from opentelemetry.sdk._logs import LoggingHandler

    (tmp_path / "file").write_text("")
    exporter = LlmSqlLogExporter(url=f"sqlite:///{tmp_path}/file/llm.db", timeout=1)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor(exporter))
    handler = LoggingHandler(logger_provider=provider)
    logging.getLogger().addHandler(handler)
    try:
        for event in content_events(chat_spans(5)):
            provider.get_logger("app").emit(event.log_record)
            provider.force_flush()
    finally:
        logging.getLogger().removeHandler(handler)
        provider.shutdown()
    failed, ended = said(caplog)
    assert f"not stored yet in sqlite:///{tmp_path}/file/llm.db, kept" in failed
    assert "kept in files for the next program: 5 operations" in ended


def test_what_cannot_be_kept_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A spool that cannot be made: the log names the path and the reason, beside what is lost."""
    (tmp_path / "file").write_text("")
    exporter = LlmSqlSpanExporter(url=f"sqlite:///{tmp_path}/file/llm.db", timeout=1, spool=f"{tmp_path}/file/spool")
    assert exporter.export(chat_spans(2)) is FAILED
    exporter.shutdown()
    _, why, lost = said(caplog)
    assert f"cannot be kept in files: {tmp_path}/file" in why
    assert "lost: 2 operations" in lost


def test_a_notice_counts_what_it_did_not_say(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same thing is said once in the period, then with the number of times it was left unsaid."""
    now = 1000.0
    monkeypatch.setattr(notices.time, "monotonic", lambda: now)
    for _ in range(3):
        notices.warn("event", ValueError("a prompt, perhaps"))
    now = 1000.0 + notices.PERIOD
    notices.warn("event", ValueError("another prompt"))
    assert said(caplog) == ["event: ValueError", "event: ValueError (2 more times since this was last said)"]


def test_cfg_01_they_are_found_by_entry_point() -> None:
    """`llm_sql` names a class under both groups."""
    (spans,) = entry_points(group="opentelemetry_traces_exporter", name="llm_sql")
    (logs,) = entry_points(group="opentelemetry_logs_exporter", name="llm_sql")
    assert (spans.load(), logs.load()) == (LlmSqlSpanExporter, LlmSqlLogExporter)


def test_cfg_02_without_arguments_the_environment_says_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """URL, content capture and workspace come from OTEL_EXPORTER_LLM_SQL_*."""
    with temporary_database() as url:
        monkeypatch.setenv("OTEL_EXPORTER_LLM_SQL_URL", url)
        monkeypatch.setenv("OTEL_EXPORTER_LLM_SQL_CAPTURE_CONTENT", "false")
        monkeypatch.setenv("OTEL_EXPORTER_LLM_SQL_WORKSPACE", "from env")
        exporter = LlmSqlSpanExporter()
        assert exporter.export(chat_spans()) is OK
        exporter.shutdown()
        tables = stored(url)
    assert [row["workspace"] for row in tables["llm_sessions"]] == ["from env"]
    assert [row["content"] for row in tables["llm_messages"]] == [None, None]


def test_cfg_02_unknown_arguments_warn(caplog: pytest.LogCaptureFixture) -> None:
    """A key of the YAML mapping that is no setting is named in the log; the exporter works."""
    with temporary_database() as url:
        exporter = LlmSqlSpanExporter(url=url, colour="blue")
        assert exporter.export(chat_spans()) is OK
        exporter.shutdown()
    assert [message for message in said(caplog) if "colour" in message]


@pytest.mark.parametrize(
    "settings",
    [
        {"url": f"postgresql://me:{SECRET}@127.0.0.1:notaport/db"},
        {"url": f"nosuchdatabase://me:{SECRET}@127.0.0.1/db"},
        {"url": f"{SECRET} and no URL"},
        {"url": f"oracle+cx_oracle://me:{SECRET}@127.0.0.1/db"},
        {"url": f"postgresql://me:{SECRET}@127.0.0.1/db?pool_size=many"},
        {"url": "sqlite:///x.db", "timeout": "soon"},
        {"url": "sqlite:///x.db", "schema": "only_postgresql_has_them"},
    ],
)
def test_cfg_08_a_bad_setting_is_said_once(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Constructors succeed, exports fail, the log has one clear line, and the password is nowhere."""
    spans, logs = LlmSqlSpanExporter(**settings), LlmSqlLogExporter(**settings)
    sample = chat_spans(1)
    assert [spans.export(sample), spans.export(sample)] == [FAILED] * 2
    assert logs.export(content_events(sample)).name == "FAILURE"
    spans.shutdown()
    logs.shutdown()
    assert len(said(caplog)) == 1
    out = caplog.text + "".join(capfd.readouterr())
    assert SECRET not in out
    assert "question 0" not in out


def test_cfg_11_metrics_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the SDK's internal metrics on, exported spans are counted under OpenTelemetry's names, failures by error."""
    program = """
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from otel_llm_sql import LlmSqlSpanExporter
        from otel_llm_sql.testing import chat_spans, temporary_database

        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader]))
        with temporary_database() as url:
            exporter = LlmSqlSpanExporter(url=url)
            exporter.export(chat_spans(3))
            exporter.shutdown()
        LlmSqlSpanExporter(url="no url").export(chat_spans(2))
        for resource in reader.get_metrics_data().resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        value = getattr(point, "value", None)
                        print(metric.name, value, point.attributes.get("error.type"))
    """
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    assert set(run(program).splitlines()) >= {
        "otel.sdk.exporter.span.inflight 0 None",
        "otel.sdk.exporter.span.exported 3 None",
        "otel.sdk.exporter.span.exported 2 SettingsError",
        "otel.sdk.exporter.operation.duration None None",
    }


def test_cfg_12_an_idle_process_holds_nothing() -> None:
    """An exporter that saw no GenAI telemetry has opened no file and loaded neither SQLAlchemy nor a driver."""
    program = """
        import os, sys
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from otel_llm_sql import LlmSqlLogExporter, LlmSqlSpanExporter

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(LlmSqlSpanExporter(url="sqlite:///idle.db")))
        logs = LlmSqlLogExporter(url="sqlite:///idle.db")
        with provider.get_tracer("web").start_as_current_span("GET /", attributes={"http.request.method": "GET"}):
            pass
        provider.shutdown()
        logs.shutdown()
        print(os.path.exists("idle.db"), sorted({"sqlalchemy", "sqlite3", "psycopg2", "polars"} & sys.modules.keys()))
    """
    assert run(program) == "False []\n"


def test_other_spans_and_logs_are_ignored(provider: TracerProvider) -> None:
    """Spans and log records that are not GenAI are SUCCESS without a database."""
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("web").start_span("GET /", attributes={"http.request.method": "GET"}).end()
    nowhere = "postgresql://nobody:nothing@127.0.0.1:1/none"
    exporter = LlmSqlSpanExporter(url=nowhere)
    assert exporter.export(memory.get_finished_spans()) is OK
    exporter.shutdown()


def test_a_log_handler_that_raises_is_not_the_sdks_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    """export() returns FAILURE even when the application's logging raises."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError(record.name)

    logger = logging.getLogger("otel_llm_sql")
    handler = Broken()
    logger.addHandler(handler)
    try:
        exporter = LlmSqlSpanExporter(url="no url at all")
        assert exporter.export(chat_spans()) is FAILED
        exporter.shutdown()
        assert exporter.export(chat_spans()) is FAILED
    finally:
        logger.removeHandler(handler)


FORK = """
    import os, sys, threading
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    from otel_llm_sql import LlmSqlSpanExporter

    provider = TracerProvider()
    provider.add_span_processor({processor}(LlmSqlSpanExporter(url=os.environ["DB"])))
    tracer = provider.get_tracer("test")
    chat = {{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}}
    tracer.start_span("before", attributes=chat).end()
    provider.force_flush()
    open_span = tracer.start_span("open at fork", attributes=chat)
    busy = [threading.Thread(target=lambda: [tracer.start_span("busy", attributes=chat).end() for _ in range(30)])]
    [thread.start() for thread in busy]
    child = os.fork()
    tracer.start_span("own", attributes=chat | {{"gen_ai.request.model": "child" if child == 0 else "parent"}}).end()
    open_span.end()
    if child == 0:
        provider.shutdown()
        os._exit(0)
    [thread.join() for thread in busy]
    provider.shutdown()
    print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("processor", ["BatchSpanProcessor", "SimpleSpanProcessor"])
def test_sdk_08_f03_f04_fork(url: str, processor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork while another thread exports: both processes go on, and a span open at the fork is one row."""
    monkeypatch.setenv("DB", url)
    assert run(FORK.format(processor=processor)) == "child 0\n"
    rows = stored(url)
    names = [row["span_name"] for row in rows["llm_spans"]]
    assert len(rows["llm_operations"]) == len(names) == 34
    assert {name: names.count(name) for name in set(names)} == {"before": 1, "open at fork": 1, "own": 2, "busy": 30}


def test_by_hand_with_a_batch_processor(url: str) -> None:
    """BatchSpanProcessor: a tree of spans, of which the GenAI ones are stored."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(LlmSqlSpanExporter(url=url)))
    tracer = provider.get_tracer("app")
    with tracer.start_as_current_span("GET /"), tracer.start_as_current_span("chat", attributes=CHAT) as span:
        span.set_status(trace.StatusCode.ERROR, "overloaded")
    provider.shutdown()
    (row,) = operations(url)
    assert (row["status"], row["error_message"], row["provider"]) == ("error", "overloaded", "openai")


def run(program: str) -> str:
    """Run a program in a new interpreter, in an empty directory; its output."""
    arguments = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning:os", "-c", textwrap.dedent(program)]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=60, cwd=os.environ["HOME"], check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
