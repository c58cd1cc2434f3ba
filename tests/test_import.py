"""`otel-llm-sql import FILE...`: recorded requests come in as if the exporter had brought them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from databases import free_port
from recordings import ALL, FOLDER

from otel_llm_sql.cli import failures, main
from otel_llm_sql.errors import LlmSqlError
from otel_llm_sql.intake.otlp import signals_from_logs, signals_from_traces
from otel_llm_sql.intake.otlp_file import signals_from_file
from otel_llm_sql.testing import stored

CASE = FOLDER / "otel-genai-openai.event_only" / "tools"
TRACES, LOGS = CASE / "traces.pb", CASE / "logs.pb"


@pytest.fixture
def database(new_database: Callable[[str], str]) -> str:
    """URL of a SQLite database: for what does not depend on the database."""
    return new_database("sqlite")


def written(folder: Path, name: str, payload: bytes) -> Path:
    file = folder / name
    file.write_bytes(payload)
    return file


def imported(url: str, *files: Path) -> int:
    return main(["import", "--db-uri", url, *map(str, files)])


# -- files


def test_what_a_file_holds_is_told_by_its_content() -> None:
    """Traces and logs of every recording are read as what they are, alone and joined to one file."""
    assert len(ALL) > 400
    for name in ALL:
        spans, records = (
            file.read_bytes() if (file := FOLDER / name / kind).exists() else b"" for kind in ("traces.pb", "logs.pb")
        )
        assert signals_from_file(spans) == signals_from_traces(spans)
        assert signals_from_file(records) == signals_from_logs(records)
        assert signals_from_file(records + spans) == signals_from_logs(records) + signals_from_traces(spans)


def test_a_file_that_ends_too_early_says_where() -> None:
    """The error names the byte at which the entry begins that is not whole; so does a file of any length."""
    payload = TRACES.read_bytes()
    with pytest.raises(LlmSqlError, match=f"entry at byte {len(payload)} lacks 7 bytes"):
        signals_from_file(payload + payload[:-7])
    for length in range(1, len(payload)):
        with pytest.raises(LlmSqlError, match="at byte"):
            signals_from_file(payload[:length])


@pytest.mark.parametrize("payload", [b"{}", b"\x0a\xff", b"\x0a\x03abc", b"\x0a" + b"\xff" * 20, b"\x1f\x8b\x08"])
def test_a_file_of_something_else_says_where(payload: bytes) -> None:
    """What is no request of traces or logs is an error of ours that names a byte."""
    with pytest.raises(LlmSqlError, match=r"at byte [01]"):
        signals_from_file(payload)


def test_a_file_of_metrics_is_refused() -> None:
    """A third kind of request looks alike from outside: it is neither ignored nor stored."""
    metrics = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")
    request = metrics.ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="gen_ai.client.token.usage", unit="1")
    metric.sum.data_points.add(as_int=3, time_unix_nano=1)
    with pytest.raises(LlmSqlError, match="neither spans nor log records can be read from the entry at byte 0"):
        signals_from_file(request.SerializeToString())


# -- the command


def test_a_recording_becomes_rows(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Spans and their content events meet in one operation each; the command says what became of every file."""
    assert imported(url, LOGS, TRACES) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{LOGS}: 2 stored, 0 duplicate, 0 ignored, 0 dead-lettered",
        f"{TRACES}: 2 stored, 0 duplicate, 0 ignored, 0 dead-lettered",
        "total: 4 stored, 0 duplicate, 0 ignored, 0 dead-lettered",
    ]
    tables = stored(url)
    assert sorted(row["input_tokens"] for row in tables["llm_operations"]) == [922, 932]
    assert {row["role"] for row in tables["llm_messages"]} == {"system", "user", "assistant", "tool"}


def test_importing_again_in_another_order_changes_nothing(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same files twice give the same rows, and the spans are said to be duplicates."""
    assert imported(url, LOGS, TRACES) == 0
    before = stored(url)
    capsys.readouterr()
    assert imported(url, TRACES, LOGS) == 0
    assert stored(url) == before
    assert capsys.readouterr().out.startswith(f"{TRACES}: 0 stored, 2 duplicate, 0 ignored, 0 dead-lettered\n")


def test_a_broken_file_leaves_the_others(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line per file that cannot be read, exit code 1, and the files around it are stored."""
    broken = written(tmp_path, "broken.pb", TRACES.read_bytes()[:-1])
    missing = tmp_path / "missing.pb"
    assert imported(database, broken, missing, TRACES) == failures.FAILURE
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"otel-llm-sql: {broken}: ends too early: the entry at byte 0 lacks 1 bytes",
        f"otel-llm-sql: No such file or directory: {missing}",
    ]
    assert printed.out.startswith(f"{TRACES}: 2 stored")
    assert len(stored(database)["llm_operations"]) == 2


def test_nothing_of_a_broken_file_is_stored(database: str, tmp_path: Path) -> None:
    """A file is read to its end before its first span is stored."""
    assert imported(database, written(tmp_path, "broken.pb", TRACES.read_bytes() + b"\x0a\x7f")) == failures.FAILURE
    assert stored(database)["llm_operations"] == []


def test_what_is_not_about_llm_calls_and_what_names_no_span(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Other people's spans are counted as ignored, records without a span as dead-lettered."""
    assert imported(database, FOLDER / "openlit-anthropic" / "chat" / "traces.pb") == 0
    assert ", 0 ignored," not in capsys.readouterr().out
    assert imported(database, FOLDER / "traceloop-anthropic.events" / "tools" / "logs.pb") == 0
    assert ", 0 dead-lettered" not in capsys.readouterr().out
    assert len(stored(database)["llm_dead_letters"]) > 0


@pytest.mark.parametrize("words", [[], [str(TRACES), "traces.json"], ["traces.JSONL"]])
def test_wrong_words_are_usage_errors(words: list[str], database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No file at all, and JSON, which cannot be imported yet; nothing is stored then."""
    assert main(["import", "--db-uri", database, *words]) == failures.USAGE
    assert not words or "OTLP/JSON cannot be imported yet" in capsys.readouterr().err
    assert stored(database)["llm_operations"] == []


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_database_that_does_not_answer_is_exit_code_3(scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said once, without the password, however many files there are."""
    url = f"{scheme}://somebody:s3cret-word@127.0.0.1:{free_port()}/nothing"
    assert imported(url, TRACES, LOGS) == failures.UNREACHABLE
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "s3cret-word" not in printed.err
