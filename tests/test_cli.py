"""`otel-llm-sql`: words in, rows out, and exit codes that say what went wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import sqlalchemy as sa
from databases import free_port

from otel_llm_sql.cli import failures, main, output
from otel_llm_sql.schema import tables, versions
from otel_llm_sql.store.engines import create_engine

COMMAND = str(Path(sys.executable).with_name("otel-llm-sql"))


@pytest.fixture
def stored(url: str) -> str:
    """URL of a database with the tables, two sessions' worth of operations and nothing else."""
    return _fill(url)


@pytest.fixture
def stored_file(new_database: Callable[[str], str]) -> str:
    """The same, always in SQLite: for what does not depend on the database."""
    return _fill(new_database("sqlite"))


def _fill(url: str) -> str:
    engine = create_engine(url)
    versions.ensure(engine)
    with engine.begin() as connection:
        _insert(connection)
    engine.dispose()
    return url


def _insert(connection: sa.Connection) -> None:
    from datetime import UTC, datetime

    moment = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
    session = "00000000-0000-4000-8000-000000000001"
    connection.execute(tables.sessions.insert(), {"session_id": session, "created_at": moment, "last_seen_at": moment})
    for number, (model, cost) in enumerate((("gpt-4o-mini", 0.25), ("gpt-4o-mini", 0.5), ("claude", None))):
        connection.execute(
            tables.operations.insert(),
            {
                "operation_id": f"00000000-0000-4000-8000-00000000001{number}",
                "session_id": session,
                "timestamp": moment,
                "operation_type": "chat",
                "model": model,
                "cost": cost,
                "input_tokens": 10 + number,
                "status": "ok",
                "input_messages": 0,
            },
        )


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# -- sql


def test_sql_prints_csv_when_it_is_piped(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Into a pipe goes CSV with a header; NULL is an empty field."""
    statement = "SELECT model, cost, input_tokens FROM llm_operations ORDER BY input_tokens"
    assert main(["sql", "--db-uri", stored, statement]) == 0
    assert capsys.readouterr().out == "model,cost,input_tokens\ngpt-4o-mini,0.25,10\ngpt-4o-mini,0.5,11\nclaude,,12\n"


def test_sql_prints_json_when_asked(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` gives an array of objects with numbers as numbers, also where a database sums to a decimal."""
    statement = "SELECT model, SUM(input_tokens) AS tokens, SUM(cost) AS cost FROM llm_operations GROUP BY model"
    assert main(["sql", "--db-uri", stored, "--json", statement + " ORDER BY model"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"model": "claude", "tokens": 12, "cost": None},
        {"model": "gpt-4o-mini", "tokens": 21, "cost": 0.75},
    ]


def test_sql_prints_an_aligned_table_when_asked(stored_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--format table` aligns the columns, numbers to the right, and shows NULL."""
    statement = "SELECT model, input_tokens AS t, cost FROM llm_operations ORDER BY input_tokens"
    assert main(["sql", "--db-uri", stored_file, "--format", "table", statement]) == 0
    lines = ["model         t  cost", "-----------  --  ----", "gpt-4o-mini  10  0.25"]
    assert capsys.readouterr().out.splitlines()[:3] == lines


def test_sql_reads_its_statement_from_standard_input(stored_file: str) -> None:
    """`-` is standard input."""
    ran = _run("sql", "--db-uri", stored_file, "-", stdin="SELECT COUNT(*) AS n\nFROM llm_operations")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "n\n3\n", "")


def test_sql_keeps_the_header_when_there_is_no_row(stored_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that reads the CSV finds its columns also when nothing was found."""
    assert main(["sql", "--db-uri", stored_file, "SELECT model FROM llm_operations WHERE 1 = 0"]) == 0
    assert capsys.readouterr().out == "model\n"


def test_sql_changes_nothing(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A statement that would change rows is refused with exit code 1, and changes none."""
    assert main(["sql", "--db-uri", stored, "DELETE FROM llm_operations"]) == 1
    assert main(["sql", "--db-uri", stored, "SELECT COUNT(*) AS n FROM llm_operations"]) == 0
    assert capsys.readouterr().out == "n\n3\n"


def test_sql_shows_control_characters_instead_of_sending_them(
    stored_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A prompt cannot move the cursor, colour the terminal or turn the direction of the text."""
    statement = "SELECT 'a' || char(27) || '[31m' || char(10) || char(8238) AS text"
    assert main(["sql", "--db-uri", stored_file, "--format", "table", statement]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "a\\x1b[31m\\n\\u202e"


def test_a_terminal_gets_a_table(stored_file: str) -> None:
    """On a terminal rows are a table, with rich where it is installed."""
    shown = _on_a_terminal({}, "sql", "--db-uri", stored_file, "SELECT model, cost FROM llm_operations")
    assert "gpt-4o-mini" in shown
    assert "─" in shown
    assert "model,cost" not in shown


def test_no_color_is_honoured(stored_file: str) -> None:
    """With NO_COLOR set nothing on the terminal is an escape sequence; without it the header is bold."""
    words = ("sql", "--db-uri", stored_file, "SELECT model FROM llm_operations")
    assert "\x1b[" not in _on_a_terminal({"NO_COLOR": "1"}, *words)
    assert "\x1b[1m" in _on_a_terminal({}, *words)


def test_a_row_that_is_too_wide_for_the_terminal_is_printed_as_a_record(stored_file: str) -> None:
    """`SELECT *` stays readable: one line per column, with nothing cut."""
    shown = _on_a_terminal({}, "sql", "--db-uri", stored_file, "SELECT * FROM llm_operations")
    assert "-- row 3" in shown
    assert "00000000-0000-4000-8000-000000000012" in shown


def test_a_reader_that_has_seen_enough_is_no_failure(stored_file: str) -> None:
    """`otel-llm-sql sql ... | head -1` ends quietly."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) SELECT i FROM n"
    with subprocess.Popen(
        [COMMAND, "sql", "--db-uri", stored_file, numbers], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "i\n"
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 0)


# -- status and migrate


def test_status_says_where_which_version_and_how_much(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status shows the database without its password, both versions, the counts and the newest operation."""
    assert main(["status", "--db-uri", stored, "--json"]) == 0
    out = capsys.readouterr().out
    status = json.loads(out)
    assert "test:test" not in out
    assert (status["schema_found"], status["schema_wanted"]) == (tables.VERSION, tables.VERSION)
    assert (status["llm_sessions"], status["llm_operations"], status["llm_messages"]) == (1, 3, 0)
    assert status["newest_operation"] == "2026-11-23T12:30:00+00:00"


def test_status_before_the_first_write(url: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty database is fine; a SQLite file that is not there yet is said to be so, and is not made."""
    code = main(["status", "--db-uri", url])
    printed = capsys.readouterr()
    if kind == "sqlite":
        assert (code, Path(url.removeprefix("sqlite:///")).exists()) == (failures.UNREACHABLE, False)
        assert "no such file yet" in printed.err
    else:
        assert code == 0
        assert "no tables yet" in printed.out


def test_migrate_makes_the_tables_and_may_be_run_again(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The first run says what it made, the second that nothing was to do."""
    assert main(["migrate", "--db-uri", url]) == 0
    assert capsys.readouterr().out.endswith(f"no tables -> {tables.VERSION}\n")
    assert main(["migrate", "--db-uri", url]) == 0
    assert capsys.readouterr().out.endswith(f"already at {tables.VERSION}\n")
    assert main(["status", "--db-uri", url]) == 0


def test_an_older_schema_is_exit_code_4_until_it_is_migrated(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status and demo name the command that helps; after it all is well."""
    _migrate_to(url, "0001")
    for command in ("status", "demo"):
        assert main([command, "--db-uri", url]) == failures.OUT_OF_DATE
        assert "otel-llm-sql migrate" in capsys.readouterr().err
    assert main(["migrate", "--db-uri", url]) == 0
    assert main(["status", "--db-uri", url]) == 0


def test_a_newer_schema_is_exit_code_4(stored_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables from a newer release of this package ask for an upgrade of the package."""
    with create_engine(stored_file).begin() as connection:
        connection.execute(tables.schema_version.update().values(version_num="9999"))
    assert main(["status", "--db-uri", stored_file]) == failures.OUT_OF_DATE
    assert "upgrade the package" in capsys.readouterr().err


def test_a_missing_table_is_exit_code_4(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A database that says it is current and is not: one line, and the command that helps."""
    engine = create_engine(stored)
    with engine.begin() as connection:
        tables.dead_letters.drop(connection)
    engine.dispose()
    assert main(["status", "--db-uri", stored]) == failures.OUT_OF_DATE
    assert capsys.readouterr().err.count("\n") == 1


def _migrate_to(url: str, version_num: str) -> None:
    engine = create_engine(url)
    versions.migrate(engine, version_num)
    engine.dispose()


# -- failures


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
@pytest.mark.parametrize("words", [["status"], ["migrate"], ["sql", "SELECT 1"], ["demo"]])
def test_a_database_that_does_not_answer_is_exit_code_3(
    scheme: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command says in one line, without the password, that nothing answers."""
    url = f"{scheme}://somebody:s3cret-word@127.0.0.1:{free_port()}/nothing"
    assert main([words[0], "--db-uri", url, *words[1:]]) == failures.UNREACHABLE
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "s3cret-word" not in error


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["sql"],
        ["sql", "--csv", "--json", "SELECT 1"],
        ["status", "postgresql://u:s3cret-word@host/db"],
        ["status", "postgresql://host/db?user=u&password=s3cret-word"],
        ["status", "postgresql://host/db?user=u&password=a@s3cret-word"],
        ["status", "mssql+pyodbc:///?odbc_connect=UID%3Du%3BPWD%3Ds3cret-word"],
        ["status", "--db-uri", "s3cret-word"],
        ["status", "--db-uri", "nodatabase://u:s3cret-word@host/db"],
    ],
)
def test_wrong_words_are_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown words and wrong settings are usage errors; a password among them is not repeated."""
    assert main(words) == failures.USAGE
    error = capsys.readouterr().err
    assert error.startswith(("usage:", "otel-llm-sql:"))
    assert "s3cret-word" not in error


def test_a_statement_that_the_database_refuses_is_exit_code_1(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelled table is one line, not a traceback."""
    assert main(["sql", "--db-uri", stored, "SELECT * FROM llm_operation"]) == failures.FAILURE
    error = capsys.readouterr().err
    assert error.startswith("otel-llm-sql: ")
    assert error.count("\n") == 1


def test_an_error_of_somebody_else_is_named_and_not_quoted() -> None:
    """What a foreign exception says may hold a row or a URL: only its class is shown."""
    assert "secret" not in failures.line(ValueError("secret"))
    assert "ValueError" in failures.line(ValueError("secret"))


def test_control_c_is_exit_code_130(new_database: Callable[[str], str]) -> None:
    """A query that the server is still working on ends at once, and quietly."""
    url = new_database("postgresql")
    endless = "SELECT COUNT(*) FROM generate_series(1, 1000000000000) AS endless"
    working = sa.text("SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE '%AS endless' AND state = 'active'")
    with subprocess.Popen(
        [COMMAND, "sql", "--db-uri", url, endless], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        with create_engine(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while connection.scalar(working) == 0:
                assert process.poll() is None
                time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert (process.wait(timeout=30), *process.communicate()) == (130, "", "")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` is the installed version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"otel-llm-sql {version('otel-llm-sql')}\n"


def test_starting_loads_nothing_heavy() -> None:
    """`--help` needs neither polars nor alembic, nor SQLAlchemy, nor rich."""
    code = (
        "import sys; from otel_llm_sql.cli import main; main(['--help']);"
        "print([m for m in ('polars', 'alembic', 'sqlalchemy', 'rich', 'genai_prices') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_values_become_strict_json() -> None:
    """NaN, decimals, bytes and times have one spelling each."""
    from datetime import UTC, datetime
    from decimal import Decimal

    given = [float("nan"), Decimal(3), Decimal("0.5"), b"\x00\xff", datetime(2026, 1, 2, tzinfo=UTC), True]
    assert [output.plain(value) for value in given] == [None, 3, 0.5, "00ff", "2026-01-02T00:00:00+00:00", True]


def _run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *words], input=stdin, capture_output=True, text=True, check=False)


def _on_a_terminal(environment: dict[str, str], *words: str) -> str:
    """What a person sees on a terminal of 80 columns."""
    inner, outer = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    env = {**kept, "TERM": "xterm-256color", "COLUMNS": "80", **environment}
    with subprocess.Popen([COMMAND, *words], stdout=outer, stderr=subprocess.PIPE, env=env) as process:
        os.close(outer)
        shown = b""
        try:
            while read := os.read(inner, 65536):
                shown += read
        except OSError:  # how Linux says that the other side has closed
            pass
        assert process.wait() == 0
    os.close(inner)
    return shown.decode()
