"""Faults as the exporter meets them: a database that dies, hangs or never answers, signals, and what the log shows."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from databases import Server
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from receivers import until

from otel_llm_sql import LlmSqlLogExporter, LlmSqlSpanExporter, notices
from otel_llm_sql.store.engines import create_engine
from otel_llm_sql.testing import chat_spans, content_events, stored

OK, FAILED = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
PROMPT = "prompt-marker-7"
SECRET = "pa55-marker"


@pytest.fixture(autouse=True)
def _fresh_notices() -> None:
    notices._said.clear()


def admin(url: str, statement: str) -> list[Any]:
    """Rows of a statement on a connection of its own."""
    engine = create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.exec_driver_sql(statement)
        return list(result) if result.returns_rows else []


KILL = {
    "postgresql": (
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()""",
    ),
    "mariadb": (
        "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
        "KILL",
    ),
}


def test_a_file_that_is_no_database(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file of something else under the name: it is said, left alone, and what came is stored when it is away."""
    file = tmp_path / "llm.db"
    file.write_text("something else")
    exporter = LlmSqlSpanExporter(url=f"sqlite:///{file}", timeout=1)
    assert exporter.export(chat_spans(2)) is FAILED
    assert "the file is no SQLite database, or it is damaged" in caplog.text
    assert file.read_text() == "something else"
    file.unlink()
    assert exporter.force_flush()
    exporter.shutdown()
    assert len(stored(f"sqlite:///{file}")["llm_operations"]) == 2


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_f08_a_killed_connection(kind: str, new_database: Callable[[str], str]) -> None:
    """The server ends the pooled connection between two exports: the second one is stored as well."""
    url = new_database(kind)
    exporter = LlmSqlSpanExporter(url=url)
    assert exporter.export(chat_spans(1)) is OK
    find, *kill = KILL[kind]
    found = admin(url, find)
    assert found
    for word in kill:
        for (identity,) in found:
            admin(url, f"{word} {identity}")
    assert exporter.export(chat_spans(1)) is OK
    exporter.shutdown()
    assert len(stored(url)["llm_operations"]) == 2


def test_f09_a_database_that_hangs(new_database: Callable[[str], str]) -> None:
    """A stopped backend: export() comes back with FAILURE, keeps what it was given, and stores it when it goes on."""
    url = new_database("postgresql")
    exporter = LlmSqlSpanExporter(url=url, timeout=2)
    assert exporter.export(chat_spans(1)) is OK
    pids = [
        pid
        for (pid,) in admin(
            url,
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
    ]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        outcome = exporter.export(chat_spans(1))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert outcome in {OK, FAILED}  # OK where the exporter went on with another connection in time
    assert exporter.force_flush()
    exporter.shutdown()
    assert len(stored(url)["llm_operations"]) == 2


def test_f07_f09_a_server_that_hangs_and_dies(own_server: Server) -> None:
    """The whole server is stopped, continued, killed and started again: nothing is lost, nothing is there twice."""
    url = own_server.new_database()
    exporter = LlmSqlSpanExporter(url=url, timeout=2)
    assert exporter.export(chat_spans(1)) is OK
    assert own_server.process is not None
    own_server.process.send_signal(signal.SIGSTOP)
    try:
        hanging = [exporter.export(chat_spans(1)) for _ in range(2)]
    finally:
        own_server.process.send_signal(signal.SIGCONT)
    assert set(hanging) <= {OK, FAILED}
    until(exporter.force_flush)
    own_server.kill()
    assert exporter.export(chat_spans(1)) is FAILED
    own_server.start()
    assert exporter.export(chat_spans(1)) in {OK, FAILED}  # FAILED while the exporter leaves the database alone
    until(exporter.force_flush)
    exporter.shutdown()
    assert len(stored(url)["llm_operations"]) == 5


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield int(listening.getsockname()[1])


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_f10_a_port_that_never_answers(scheme: str) -> None:
    """export() and shutdown() come back."""
    with silent_port() as port:
        exporter = LlmSqlSpanExporter(url=f"{scheme}://me:{SECRET}@127.0.0.1:{port}/db", timeout=2)
        assert exporter.export(chat_spans(1)) is FAILED
        exporter.shutdown(timeout_millis=1000)
        assert exporter.export(chat_spans(1)) is FAILED


def test_sdk_05_shutdown_while_an_export_hangs() -> None:
    """A provider whose exporter hangs in export() can be shut down; the worker comes back as well."""
    with silent_port() as port:
        exporter = LlmSqlSpanExporter(url=f"postgresql://me:{SECRET}@127.0.0.1:{port}/db", timeout=3)
        provider = TracerProvider(shutdown_on_exit=False)
        processor = BatchSpanProcessor(exporter, schedule_delay_millis=10)
        provider.add_span_processor(processor)
        provider.get_tracer("test").start_span(
            "chat", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
        ).end()
        provider.shutdown()
    names = {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith("OtelBatchSpan") for name in names)


BREAK = {
    "sqlite": "DROP TABLE llm_operations",
    "postgresql": "DROP TABLE llm_operations CASCADE",
    "mariadb": "SET FOREIGN_KEY_CHECKS = 0; DROP TABLE llm_operations",
}


def test_f38_neither_prompts_nor_passwords_in_the_log(
    kind: str, url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Broken tables, refused rows, wrong passwords: the log says what failed and shows nothing of what was said."""
    caplog.set_level("DEBUG")
    exporter, logs = LlmSqlSpanExporter(url=url, timeout=3), LlmSqlLogExporter(url=url, timeout=3)
    marked = chat_spans(
        1, gen_ai__input__messages=f'[{{"role":"user","parts":[{{"type":"text","content":"{PROMPT}"}}]}}]'
    )
    assert exporter.export(chat_spans(1)) is OK
    _break(kind, url)
    assert exporter.export(marked) is FAILED
    assert logs.export(content_events(marked)).name == "FAILURE"
    exporter.shutdown(1000)
    logs.shutdown(1000)
    if kind != "sqlite":
        refused = LlmSqlSpanExporter(url=url.replace("test:test@", f"test:{SECRET}@"), timeout=3)
        assert refused.export(marked) is FAILED
        refused.shutdown(1000)
    shown = caplog.text + "".join(capfd.readouterr())
    assert "llm_sql exporter" in shown
    assert PROMPT not in shown
    assert SECRET not in shown


def _break(kind: str, url: str) -> None:
    engine = create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in BREAK[kind].split("; "):
            connection.exec_driver_sql(statement)


SIGNALS = """
    import os, signal, sys
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from otel_llm_sql import LlmSqlSpanExporter

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    provider = TracerProvider()
    exporter = LlmSqlSpanExporter(url=os.environ["DB"])
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))  # not while this test runs
    chat = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}
    provider.get_tracer("test").start_span("first", attributes=chat).end()
    provider.force_flush()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    if "handler" in sys.argv:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    provider.get_tracer("test").start_span("last", attributes=chat).end()
    print("ready", flush=True)
    signal.pause()
"""


@pytest.mark.parametrize(("argument", "code", "rows"), [("", -signal.SIGTERM, 1), ("handler", 0, 2)])
def test_f36_sigterm(argument: str, code: int, rows: int, tmp_path: Path) -> None:
    """SIGTERM runs no exit handlers: the tail is lost, and kept with the one line that the documentation gives."""
    url = f"sqlite:///{tmp_path}/llm.db"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SIGNALS), argument],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"DB": url},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(30) == code
    assert len(stored(url)["llm_operations"]) == rows
