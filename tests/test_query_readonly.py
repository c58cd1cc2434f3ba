"""Nothing that a person writes as SQL changes anything, and the connection is as good as before."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import query_data as data
import sqlalchemy as sa

from otel_llm_sql.errors import NotReadOnlyError, QueryError, QueryTimeoutError
from otel_llm_sql.query import AsyncQuery, Query
from otel_llm_sql.query import reading as reading_room
from otel_llm_sql.store.engines import create_engine

pytestmark = pytest.mark.quick

COMMON = {
    "second statement": "SELECT 1; DELETE FROM llm_operations",
    "commit first": "SELECT 1; COMMIT; DELETE FROM llm_operations",
    "rollback and begin": "SELECT 1; ROLLBACK; BEGIN; DELETE FROM llm_operations; COMMIT",
    "delete": "DELETE FROM llm_operations",
    "update": "UPDATE llm_operations SET cost = 0",
    "insert": "INSERT INTO llm_locks (stripe) VALUES (9)",
    "drop": "DROP TABLE llm_operations",
    "create": "CREATE TABLE escaped (a INTEGER)",
    "temporary": "CREATE TEMPORARY TABLE escaped (a INTEGER)",
    "data-modifying CTE": "WITH gone AS (DELETE FROM llm_operations RETURNING 1) SELECT * FROM gone",
    "CTE before delete": "WITH a AS (SELECT 1) DELETE FROM llm_operations",
    "comment between": "SELECT 1 /* ' */ ; /* ' */ DELETE FROM llm_operations",
    "line comment": "SELECT 1 -- '\n; DELETE FROM llm_operations -- '",
    "locking": "SELECT * FROM llm_operations FOR UPDATE",
    "begin": "BEGIN",
    "set": "SET foo = 1",
}
PER_KIND = {
    "sqlite": {
        "attach": "ATTACH DATABASE '{directory}/escaped.db' AS escaped",
        "pragma": "PRAGMA query_only = OFF",
        "pragma function": "SELECT * FROM pragma_journal_mode('delete')",
        "vacuum into": "VACUUM INTO '{directory}/escaped.db'",
        "load_extension": "SELECT load_extension('{directory}/escaped.so')",
        "writefile": "SELECT writefile('{directory}/escaped', 'x')",
        "quoted function": "SELECT \"load_extension\"('x')",
        "savepoint": "SAVEPOINT escaped",
        "reindex": "REINDEX",
        "explain and run": "EXPLAIN SELECT 1; DELETE FROM llm_operations",
    },
    "postgresql": {
        "begin read write": "SELECT 1; ROLLBACK; BEGIN READ WRITE; INSERT INTO llm_locks VALUES (9); COMMIT",
        "dollar quote": "SELECT $a$ ' $a$; COMMIT; DELETE FROM llm_operations; SELECT $a$ ' $a$",
        "no dollar quote": "SELECT 1 AS x€$$; COMMIT; DELETE FROM llm_operations; --$$",
        "E string": "SELECT E'\\''; COMMIT; DELETE FROM llm_operations; --'",
        "E string in pieces": "SELECT E'a'\n'\\' '; COMMIT; DELETE FROM llm_operations; -- '",
        "nested comment": "SELECT 1 /* /* */ ; COMMIT; DELETE FROM llm_operations; -- */ */ ",
        "copy to file": "COPY llm_operations TO '{directory}/escaped'",
        "copy to program": "COPY llm_operations TO PROGRAM 'cat > {directory}/escaped'",
        "copy from program": "COPY llm_locks FROM PROGRAM 'echo 9'",
        "select into": "SELECT * INTO escaped FROM llm_operations",
        "select into temp": "SELECT * INTO TEMP escaped FROM llm_operations",
        "explain analyze": "EXPLAIN ANALYZE DELETE FROM llm_operations",
        "explain (analyze)": "EXPLAIN (ANALYZE, VERBOSE) DELETE FROM llm_operations",
        "for share": "SELECT * FROM llm_operations FOR SHARE",
        "do": "DO $$ BEGIN DELETE FROM llm_operations; END $$",
        "call": "CALL something()",
        "lo_import": "SELECT lo_import('/etc/passwd')",
        "lo_export": "SELECT lo_export(1, '{directory}/escaped')",
        "lo_create": "SELECT lo_create(424242)",
        "pg_read_file": "SELECT pg_read_file('/etc/passwd')",
        "quoted function": "SELECT \"pg_read_file\"('/etc/passwd')",
        "unicode function": "SELECT U&\"p\\0067_read_file\"('/etc/passwd')",
        "qualified function": "SELECT pg_catalog . pg_read_file /* */ ('/etc/passwd')",
        "terminate": "SELECT pg_terminate_backend(pg_backend_pid())",
        "set_config": "SELECT set_config('transaction_read_only', 'off', false)",
        "nextval": "SELECT nextval('escaped')",
        "dblink": "SELECT dblink_exec('dbname=x', 'DELETE FROM llm_operations')",
        "advisory lock": "SELECT pg_advisory_lock(1)",
        "dollar quotes": "SELECT $\u20ac$ ' $\u20ac$, pg_read_file('/etc/hostname'), $\u20ac$ ' $\u20ac$",
        "digits of others": "SELECT $\u0663$ ' $\u0663$, pg_notify('a', 'b'), $\u0663$ ' $\u0663$",
        "notify": "SELECT pg_notify('a', 'b')",
        "SQL as text": "SELECT query_to_xml('SELECT pg_advisory_lock(1)', true, true, '')",
        "set transaction": "SET TRANSACTION READ WRITE",
        "listen": "LISTEN escaped",
        "prepare": "PREPARE escaped AS DELETE FROM llm_operations",
        "table function": "SELECT * FROM pg_ls_dir('/')",
    },
    "mariadb": {
        "into outfile": "SELECT * FROM llm_operations INTO OUTFILE '{directory}/escaped'",
        "into dumpfile": "SELECT 'x' INTO DUMPFILE '{directory}/escaped'",
        "into variable": "SELECT 1 INTO @escaped",
        "assignment": "SELECT @escaped := 1",
        "set session": "SET SESSION TRANSACTION READ WRITE",
        "set statement": "SET STATEMENT max_statement_time = 0 FOR DELETE FROM llm_operations",
        "executable comment": "SELECT 1 /*! INTO OUTFILE '{directory}/escaped' */",
        "executable comment of MariaDB": "SELECT 1 /*M! INTO OUTFILE '{directory}/escaped' */",
        "backslash": "SELECT '\\'' INTO OUTFILE '{directory}/escaped' -- '",
        "sleep": "SELECT SLEEP(100)",
        "benchmark": "SELECT BENCHMARK(1000000000000, MD5('x'))",
        "get_lock": "SELECT GET_LOCK('escaped', 0)",
        "no space": "SELECT 1 --\u00a0 INTO OUTFILE '{directory}/escaped' FROM (SELECT 1 AS \u00a0) AS t",
        "control character": "SELECT 1 --\x7f '\n INTO OUTFILE \"{directory}/escaped\" -- '",
        "failover": "SELECT asynchronous_connection_failover_delete_source('c', 'host', 3306, '')",
        "lock of a service": "SELECT service_get_write_locks('escaped', 'a', 0)",
        "load_file": "SELECT LOAD_FILE('/etc/passwd')",
        "call": "CALL something()",
        "do": "DO SLEEP(100)",
        "share mode": "SELECT * FROM llm_operations LOCK IN SHARE MODE",
        "analyze": "ANALYZE DELETE FROM llm_operations",
        "explain": "EXPLAIN DELETE FROM llm_operations",
        "handler": "HANDLER llm_operations OPEN",
        "hash comment": "SELECT 1 # '\n INTO OUTFILE '{directory}/escaped' # '",
        "no comment": "SELECT 1--1 INTO OUTFILE '{directory}/escaped'",
        "lock tables": "LOCK TABLES llm_operations WRITE",
        "xa": "XA START 'escaped'",
    },
}


@pytest.fixture
def filled(url: str) -> str:
    data.fill(url)
    return url


@pytest.fixture
def contents(filled: str) -> Iterator[Callable[[], object]]:
    """What is in the database: tables, and every row of ours."""
    engine = create_engine(filled, role="read", poolclass=sa.NullPool)

    def read() -> object:
        with engine.connect() as connection:
            names = sorted(sa.inspect(connection).get_table_names())
            tables = sa.MetaData()
            tables.reflect(connection)
            counts = [sa.select(sa.func.count()).select_from(table) for table in tables.sorted_tables]
            rows = [connection.execute(count).scalar() for count in counts]
            return names, rows, connection.exec_driver_sql("SELECT SUM(cost) FROM llm_operations").scalar()

    yield read
    engine.dispose()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory that the servers may write to."""
    place = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    place.chmod(0o777)
    return place


def attempts(kind: str, directory: Path) -> dict[str, str]:
    return {name: sql.replace("{directory}", str(directory)) for name, sql in (COMMON | PER_KIND[kind]).items()}


def test_no_escape(filled: str, kind: str, contents: Callable[[], object], directory: Path) -> None:
    """Every known way out is refused, changes nothing, and leaves a connection that answers, on each sync driver."""
    before = contents()
    for driver in data.SYNC_DRIVERS[kind]:
        with Query(data.with_driver(filled, driver)) as query:
            for name, sql in attempts(kind, directory).items():
                with pytest.raises(QueryError):
                    pytest.fail(f"{name} returned {query.query_db(sql)}")
                assert query.query_db("SELECT COUNT(*) AS n FROM llm_operations") == [{"n": 6}], name
                assert not list(directory.iterdir()), name
            _require_no_state(query, kind)
    assert contents() == before


def test_no_escape_async(filled: str, kind: str, contents: Callable[[], object], directory: Path) -> None:
    """The async drivers are as safe."""
    before = contents()

    async def attempt(driver: str) -> None:
        async with AsyncQuery(data.with_driver(filled, driver)) as query:
            for name, sql in attempts(kind, directory).items():
                with pytest.raises(QueryError):
                    pytest.fail(f"{name} returned {await query.query_db(sql)}")
            assert await query.query_db("SELECT COUNT(*) AS n FROM llm_operations") == [{"n": 6}]

    for driver in data.ASYNC_DRIVERS[kind]:
        asyncio.run(attempt(driver))
    assert not list(directory.iterdir())
    assert contents() == before


def test_quotes_mean_what_the_server_says(new_database: Callable[[str], str]) -> None:
    """With ANSI_QUOTES double quotes hold a name: a function in them is seen, where they hold a text it is none."""
    url = new_database("mariadb")
    with Query(f"{url}?init_command=SET SESSION sql_mode='ANSI_QUOTES'") as query:
        for sql in ("SELECT \"load_file\"('/etc/hostname')", 'SELECT "sleep"(2)'):
            with pytest.raises(NotReadOnlyError, match="does more than read"):
                query.query_db(sql)
        assert query.query_db('SELECT x."a b" FROM (SELECT 1 AS "a b") AS x') == [{"a b": 1}]
    with Query(url) as query:
        assert query.query_db('SELECT "sleep(2)" AS a') == [{"a": "sleep(2)"}]


def test_the_database_holds_without_the_rules(
    filled: str, kind: str, contents: Callable[[], object], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall alone: with the check of the SQL taken away, nothing that is stored changes either."""
    monkeypatch.setattr(reading_room, "require_read_only", lambda _tokens, _rules: None)
    before = contents()
    beyond = {
        # What no transaction stops: files and signals of the server's superuser, prepared statements. Only a role can.
        "postgresql": {"copy to file", "copy to program", "pg_read_file", "quoted function", "qualified function"}
        | {"terminate", "lo_export", "table function", "unicode function", "prepare", "dollar quotes"},
        "mariadb": {
            "into outfile",
            "no space",
            "control character",
            "into dumpfile",
            "executable comment",
            "executable comment of MariaDB",
            "sleep",
        }
        | {"backslash", "benchmark", "load_file", "hash comment", "no comment", "lock tables", "xa", "do", "handler"},
        "sqlite": set(),
    }[kind]
    for driver in data.SYNC_DRIVERS[kind]:
        with Query(data.with_driver(filled, driver)) as query:
            for name, sql in attempts(kind, directory).items():
                if name in beyond:
                    continue
                with contextlib.suppress(QueryError):
                    query.query_db(sql)
                assert query.query_db("SELECT COUNT(*) AS n FROM llm_operations") == [{"n": 6}], name
            _require_no_state(query, kind)
    assert contents() == before
    assert not list(directory.iterdir())


def _require_no_state(query: Query, kind: str) -> None:
    """Nothing of an attempt is left in the connection that the pool hands out next."""
    engine = query._engine
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    questions = {
        "postgresql": "SELECT (SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory') + "
        "(SELECT COUNT(*) FROM pg_cursors) + (SELECT COUNT(*) FROM pg_prepared_statements WHERE name = 'escaped')",
        "mariadb": "SELECT IS_USED_LOCK('escaped') IS NOT NULL",
        "sqlite": "PRAGMA query_only",
    }
    with engine.connect() as connection:
        assert connection.exec_driver_sql(questions[kind]).scalar() == 0
        if kind == "postgresql":
            assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "off"


QUESTIONS = {
    "semicolon at the end": "SELECT 1 AS a;  ",
    "semicolon in a string": "SELECT 1 AS a WHERE ';' <> 'x; DELETE'",
    "semicolon in a comment": "SELECT 1 AS a -- ; COMMIT\n",
    "comment after": "SELECT 1 AS a; -- done",
    "comment before": "/* ; */ SELECT 1 AS a",
    "CTE": "WITH RECURSIVE t(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t WHERE a < 1) SELECT a FROM t",
    "words in names": "SELECT x.delete_me AS a FROM (SELECT 1 AS delete_me) AS x",
    "replace function": "SELECT 1 AS a WHERE REPLACE('abc', 'b', 'x') = 'axc'",
}


def assert_answered(url: str, kind: str, question: str) -> None:
    for driver in data.SYNC_DRIVERS[kind]:
        with Query(data.with_driver(url, driver)) as query:
            assert query.query_db(question) == [{"a": 1}]


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_are_answered(filled: str, kind: str, name: str) -> None:
    """What only reads is not refused, however it looks."""
    assert_answered(filled, kind, QUESTIONS[name])


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_question_in_parentheses_is_answered(filled: str, kind: str) -> None:
    """Parentheses around a SELECT do not hide it; SQLite itself knows none."""
    assert_answered(filled, kind, "(SELECT 1 AS a)")


def slow_question(kind: str) -> str:
    if kind == "mariadb":  # its recursion ends by itself
        digits = "(SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5)"
        return "SELECT COUNT(*) FROM " + ", ".join(f"{digits} AS t{n}" for n in range(14))
    return "WITH RECURSIVE t(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t WHERE a < 2000000000) SELECT COUNT(*) FROM t"


def test_timeout(filled: str, kind: str) -> None:
    """A question that takes too long ends with an error that says so, and the next one is answered."""
    slow = slow_question(kind)
    for driver in data.SYNC_DRIVERS[kind]:
        with Query(data.with_driver(filled, driver), timeout=0.3) as query:
            with pytest.raises(QueryTimeoutError, match=r"0\.3 seconds"):
                query.query_db(slow)
            assert query.query_db("SELECT 1 AS a") == [{"a": 1}]

    async def ask(driver: str) -> None:
        async with AsyncQuery(data.with_driver(filled, driver), timeout=0.3) as query:
            with pytest.raises(QueryTimeoutError):
                await query.query_db(slow)

    for driver in data.ASYNC_DRIVERS[kind]:
        asyncio.run(ask(driver))


def test_a_question_that_nobody_waits_for_any_more(filled: str, kind: str) -> None:
    """A task that is cancelled ends as cancelled, whatever its statement is doing, and the next one is answered."""
    slow = slow_question(kind)

    async def ask(driver: str) -> None:
        async with AsyncQuery(data.with_driver(filled, driver), timeout=20) as query:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(query.query_db(slow), 0.3)
            assert await query.query_db("SELECT 1 AS a") == [{"a": 1}]

    for driver in data.ASYNC_DRIVERS[kind]:
        asyncio.run(ask(driver))


def test_the_callers_engine_is_left_as_it_was(filled: str, kind: str) -> None:
    """A connection of the caller's own engine can write again after a question, and has its own timeout."""
    engine = create_engine(filled, timeout=7)
    limit = {
        "sqlite": "PRAGMA query_only",
        "postgresql": "SHOW statement_timeout",
        "mariadb": "SELECT /*M!100101 @@max_statement_time */ /*!50708 @@max_execution_time */",
    }[kind]
    with engine.connect() as connection:
        before = connection.exec_driver_sql(limit).scalar()
    with Query(engine, timeout=3) as query:
        assert query.query_db("SELECT 1 AS a") == [{"a": 1}]
    with engine.begin() as connection:
        assert connection.exec_driver_sql(limit).scalar() == before
        connection.exec_driver_sql("INSERT INTO llm_locks (stripe) VALUES (9)")
    assert query.query_db("SELECT COUNT(*) AS n FROM llm_locks") == [{"n": 1}]
    engine.dispose()


def test_the_reason_is_said(new_database: Callable[[str], str]) -> None:
    """A refusal names what is refused and what is allowed."""
    url = new_database("sqlite")
    data.fill(url, rows=False)
    with Query(url) as query:
        with pytest.raises(NotReadOnlyError, match=r"DELETE.*only one statement that reads"):
            query.query_db("DELETE FROM llm_operations")
        with pytest.raises(NotReadOnlyError, match=r"^FOR UPDATE locks or counts: only one statement that reads"):
            query.query_db("SELECT 1 FOR UPDATE")
