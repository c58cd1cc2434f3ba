"""The doors: what they refuse, what they say, and that processes, threads and event loops do not disturb them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import query_data as data
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from otel_llm_sql.cli import main
from otel_llm_sql.errors import DatabaseUnavailableError, QueryError
from otel_llm_sql.query import AsyncQuery, Query, apolars_from_db, polars_from_db, query_db
from otel_llm_sql.query.filters import FILTERS, Filters, selection
from otel_llm_sql.schema.tables import messages
from otel_llm_sql.store.engines import create_engine

pytestmark = pytest.mark.quick

WEST = timezone(timedelta(hours=-5))


@pytest.fixture
def filled(url: str) -> str:
    data.fill(url)
    return url


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"providr": "openai"}, r"unknown filter providr; allowed: start_date, .*min_cost, columns, limit, messages"),
        ({"columns": ["cost", "price"]}, r"unknown column price; allowed: operation_id, .*extras, input_text"),
        ({"columns": []}, "empty list"),
        ({"limit": -1}, "limit: -1 was given; allowed: a whole number"),
        ({"limit": True}, "limit: True"),
        (
            {"limit": 2**70},
            "limit: 1180591620717411303424 was given; allowed: a whole number from 0 to 9223372036854775807",
        ),
        (
            {"start_date": datetime.max.replace(tzinfo=WEST)},
            "start_date: 9999-12-31.* allowed: 0001-01-01.* to 9999-12-31.* UTC",
        ),
        ({"end_date": "0001-01-01T00:00:00+05:00"}, "end_date: 0001-01-01.* allowed: 0001-01-01.* to 9999-12-31.* UTC"),
        ({"limit": 1.5}, "limit: 1.5"),
        ({"start_date": "yesterday"}, "start_date: 'yesterday' was given; allowed: a date like"),
        ({"end_date": 20230101}, "end_date: 20230101"),
        ({"end_date": "2023-02-30"}, "2023-02-30"),
        ({"provider": 5}, "provider: 5 was given; allowed: text or a list"),
        ({"provider": ["openai", None]}, "provider: None"),
        ({"min_tokens": "100"}, "min_tokens: '100' was given; allowed: a number"),
        ({"min_cost": float("nan")}, "min_cost: nan"),
        ({"sql": "SELECT 1", "provider": "openai"}, r"SQL and filters \(provider\) exclude each other"),
        ({"params": {"a": 1}}, "params belong to SQL"),
    ],
)
def test_wrong_arguments_are_explained(tmp_path: Path, arguments: dict[str, Any], said: str) -> None:
    """Each wrong argument is named, with what was given and what is allowed, before anything connects."""
    data.fill(f"sqlite:///{tmp_path}/db", rows=False)
    with pytest.raises(QueryError, match=said):
        polars_from_db(db_uri=f"sqlite:///{tmp_path}/db", **arguments)


def test_every_filter_has_a_type_and_a_meaning() -> None:
    """The typed arguments are the filters that exist."""
    assert set(Filters.__annotations__) == {*FILTERS, "columns", "limit", "messages"}


def test_the_select_is_the_same_for_the_same_arguments() -> None:
    """Filters become one SELECT with bound values."""
    chosen = selection(provider=["a", "b"], start_date=date(2026, 1, 1), limit=3)
    text = str(chosen.statement([sa.literal_column("1")]))
    assert "llm_operations.provider IN (__[POSTCOMPILE_provider_1])" in text
    assert "2026" not in text


def test_a_reader_makes_no_file(tmp_path: Path) -> None:
    """Asking a SQLite database that is not there says so, and does not make one."""
    file = tmp_path / "deep" / "none.db"
    for ask in (query_db, lambda sql, db_uri: asyncio.run(apolars_from_db(sql, db_uri=db_uri))):
        with pytest.raises(DatabaseUnavailableError, match=f"no database at {file} yet"):
            ask("SELECT 1", db_uri=f"sqlite:///{file}")
    assert not file.parent.exists()


def test_a_file_with_a_strange_name_is_read(tmp_path: Path) -> None:
    """Names with spaces, percent signs and question marks are names."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "a b%20#é.db"))
    data.fill(url.render_as_string())
    assert Query(url).query_db("SELECT COUNT(*) AS n FROM llm_operations") == [{"n": 6}]
    assert Query(url).polars_from_db(limit=2).height == 2


def test_without_tables(url: str, kind: str) -> None:
    """An empty database says that nothing has been written yet, and what makes the tables."""
    if kind == "sqlite":
        Path(url.removeprefix("sqlite:///")).touch()
    for ask in (lambda query: query.polars_from_db(), lambda query: query.query_db("SELECT * FROM llm_operations")):
        with Query(url) as query, pytest.raises(QueryError, match=r"nothing has been written there yet.*migrate"):
            ask(query)

    async def ask_async() -> None:
        async with AsyncQuery(url) as query:
            await query.polars_from_db()

    with pytest.raises(QueryError, match="nothing has been written there yet"):
        asyncio.run(ask_async())


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "mysql"])
def test_an_unreachable_server(scheme: str) -> None:
    """Nobody listens: an error of ours, without the password, sync and async."""
    url = f"{scheme}://user:hush@127.0.0.1:1/name"
    with pytest.raises(DatabaseUnavailableError) as sync:
        query_db("SELECT 1", db_uri=url)
    with pytest.raises(DatabaseUnavailableError) as asynchronous:
        asyncio.run(apolars_from_db(db_uri=url))
    assert "hush" not in f"{sync.value} {asynchronous.value}"


def test_a_wrong_password_is_not_repeated(new_database: Callable[[str], str]) -> None:
    """The database's own words come through, the password does not."""
    url = sa.make_url(new_database("postgresql")).set(password="hush-hush")
    with pytest.raises(DatabaseUnavailableError, match="password authentication failed") as raised:
        query_db("SELECT 1", db_uri=url.render_as_string(hide_password=False))
    assert "hush" not in str(raised.value)


MARKER = "MARKER of a 'secret' prompt"
QUOTING = {
    "sqlite": [
        "SELECT json_extract('{}', content) FROM llm_messages",
        "SELECT content || CAST(x'ff' AS TEXT) FROM llm_messages",
    ],
    "postgresql": [
        "SELECT CAST(content AS integer) FROM llm_messages",
        "SELECT CAST(content AS integer), ';' FROM llm_messages",
        "SELECT content::jsonb FROM llm_messages",
        "SELECT now() AT TIME ZONE content FROM llm_messages",
        "SELECT content::tsquery FROM llm_messages",
    ],
    "mariadb": [
        "SELECT EXTRACTVALUE('<a/>', CONCAT('~', (SELECT content FROM llm_messages LIMIT 1)))",
        "SELECT UPDATEXML('<a/>', CONCAT('~', (SELECT content FROM llm_messages LIMIT 1)), '')",
    ],
}
"""SQL whose error quotes what is stored."""


@pytest.fixture
def marked(filled: str) -> str:
    """A database whose messages all hold the marker."""
    engine = create_engine(filled)
    with engine.begin() as connection:
        connection.execute(messages.update().values(content=MARKER))
    engine.dispose()
    return filled


def test_no_stored_value_in_an_error(marked: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the database quotes, an error tells its kind alone: its text, its traceback, and the command's line."""

    async def ask(driver: str, sql: str) -> None:
        async with AsyncQuery(data.with_driver(marked, driver)) as query:
            await query.query_db(sql)

    for sql in QUOTING[kind]:
        said = []
        for driver in data.SYNC_DRIVERS[kind]:
            with Query(data.with_driver(marked, driver)) as query, pytest.raises(QueryError) as raised:
                query.query_db(sql)
            said.append(raised.value)
        for driver in data.ASYNC_DRIVERS[kind]:
            with pytest.raises(QueryError) as raised:
                asyncio.run(ask(driver, sql))
            said.append(raised.value)
        assert main(["sql", "--db-uri", marked, sql]) == 1
        shown = "".join(["".join(traceback.format_exception(error)) for error in said]) + capsys.readouterr().err
        assert shown.count("the database") > len(said)
        assert "MARKER" not in shown
        assert "secret" not in shown


def test_the_kind_of_error_is_told(marked: str, kind: str) -> None:
    """What is wrong with the SQL is said in the database's words; what is wrong with a value, up to the value."""
    wrong = {
        "sqlite": "JSON path error near|bad JSON path",
        "postgresql": r"invalid input syntax for type integer \(SQLSTATE 22P02\)$",
        "mariadb": r"XPATH syntax error \(error 1105\)$",
    }
    with Query(marked) as query:
        with pytest.raises(QueryError, match=wrong[kind]):
            query.query_db(QUOTING[kind][0])
        with pytest.raises(QueryError, match="nosuch"):
            query.query_db("SELECT 1 FROM nosuch")
        with pytest.raises(QueryError, match="modl"):
            query.query_db("SELECT modl FROM llm_operations")


def test_the_largest_arguments(filled: str) -> None:
    """What is allowed at the ends of the range is answered on every database."""
    with Query(filled) as query:
        assert query.polars_from_db(limit=2**63 - 1, start_date="0001-01-01", end_date="9999-12-31").height == 6


def test_after_a_fork(filled: str) -> None:
    """Parent and child both go on asking, each through its own connection."""
    assert query_db("SELECT 1 AS a", db_uri=filled) == [{"a": 1}]
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if query_db("SELECT COUNT(*) AS n FROM llm_operations", db_uri=filled) == [{"n": 6}] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert query_db("SELECT COUNT(*) AS n FROM llm_operations", db_uri=filled) == [{"n": 6}]


def test_many_threads_and_loops(filled: str) -> None:
    """Threads share an engine; every event loop is as good as another."""
    ask = "SELECT COUNT(*) AS n FROM llm_operations"
    with Query(filled) as query, ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: query.query_db(ask), range(30)))
    assert answers == [[{"n": 6}]] * 30
    for _ in range(2):
        assert asyncio.run(apolars_from_db(ask, db_uri=filled)).item() == 6

    async def together() -> list[int]:
        frames = await asyncio.gather(*(apolars_from_db(ask, db_uri=filled) for _ in range(5)))
        return [frame.item() for frame in frames]

    assert asyncio.run(together()) == [6] * 5


def test_an_engine_of_the_caller(new_database: Callable[[str], str]) -> None:
    """A sync or an async engine is asked and not closed; a database in memory is reached so."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    data.metadata.create_all(engine)
    with Query(engine) as query:
        assert query.polars_from_db().height == 0
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO llm_locks (stripe) VALUES (1)")
    engine.dispose()
    url = new_database("postgresql")
    data.fill(url)

    async def ask() -> int:
        engine = create_async_engine(data.with_driver(url, "postgresql+asyncpg"))
        async with AsyncQuery(engine) as query:
            found = (await query.polars_from_db()).height
        await engine.dispose()
        return found

    assert asyncio.run(ask()) == 6


def test_a_schema(new_database: Callable[[str], str]) -> None:
    """On PostgreSQL the tables may stand in a schema of their own, for filters and for SQL, sync and async."""
    url = new_database("postgresql")
    engine = sa.create_engine(data.with_driver(url, "postgresql+psycopg2"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA telemetry")
        connection.exec_driver_sql("SET LOCAL search_path TO telemetry")
        data.metadata.create_all(connection)
    engine.dispose()
    with Query(url, schema="telemetry") as query:
        assert query.polars_from_db().height == 0
        assert query.query_db("SELECT COUNT(*) AS n FROM llm_operations") == [{"n": 0}]

    async def ask() -> int:
        async with AsyncQuery(url, schema="telemetry") as query:
            return (await query.polars_from_db()).height

    assert asyncio.run(ask()) == 0


def test_nothing_heavy_is_imported() -> None:
    """Importing the package loads no Polars; asking for rows loads none either."""
    code = (
        "import sys, sqlite3, otel_llm_sql.query as q; sqlite3.connect(sys.argv[1]).close();"
        "assert q.query_db('SELECT 1 AS a', db_uri='sqlite:///' + sys.argv[1]) == [{'a': 1}];"
        "print([m for m in ('polars', 'pyarrow', 'alembic', 'asyncpg', 'psycopg2') if m in sys.modules])"
    )
    file = Path(os.environ["HOME"]) / "db"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python example of docs/query.md runs."""
    data.fill(f"sqlite:///{tmp_path}/llm.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_EXPORTER_LLM_SQL_URL", "sqlite:///llm.db")
    text = (Path(__file__).parent.parent / "docs" / "query.md").read_text()
    found: dict[str, Any] = {}
    for block in text.split("```python\n")[1:]:
        exec(block.split("```")[0], found)  # noqa: S102 - our own examples
    assert found["frame"].height == 2
    assert {row["provider"] for row in found["rows"]} == {None, "anthropic", "openai"}
