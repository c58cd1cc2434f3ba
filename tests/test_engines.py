"""Engines: which driver, which pool, what a connection is told, and that nothing of it is traced."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_llm_sql.errors import DatabaseUnavailableError, DriverMissingError, SettingsError
from otel_llm_sql.store import urls
from otel_llm_sql.store.engines import (
    after_fork,
    create_async_engine,
    create_engine,
    database_url,
    uninstrumented,
)

pytestmark = pytest.mark.quick

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "sync", "asynchronous"),
    [
        ("postgresql://h/d", "postgresql+psycopg2", "postgresql+asyncpg"),
        ("postgres://h/d", "postgresql+psycopg2", "postgresql+asyncpg"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2", "postgresql+asyncpg"),
        ("postgresql+asyncpg://h/d", "postgresql+psycopg2", "postgresql+asyncpg"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg", "postgresql+psycopg"),
        ("mysql://h/d", "mysql+pymysql", "mysql+aiomysql"),
        ("mariadb://h/d", "mariadb+pymysql", "mariadb+aiomysql"),
        ("mysql+aiomysql://h/d", "mysql+pymysql", "mysql+aiomysql"),
        ("mysql+pymysql://h/d", "mysql+pymysql", "mysql+aiomysql"),
        ("sqlite:///x.db", "sqlite+pysqlite", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///x.db", "sqlite+pysqlite", "sqlite+aiosqlite"),
        # What we do not know is not ours to change.
        ("sqlite+pysqlcipher:///x.db", "sqlite+pysqlcipher", "sqlite+pysqlcipher"),
        ("mssql+pyodbc://h/d", "mssql+pyodbc", "mssql+pyodbc"),
        ("oracle://h/d", "oracle", "oracle"),
    ],
)
def test_drivers(url: str, sync: str, asynchronous: str) -> None:
    """A bare URL gets an installed driver; a driver of the other side gets its counterpart; the rest passes."""
    parsed = database_url(url)
    assert (parsed.sync.drivername, parsed.asynchronous.drivername) == (sync, asynchronous)


def test_the_next_driver_is_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the preferred driver is not installed, another one that is does as well."""
    monkeypatch.setattr(urls, "_installed", lambda module: module == "psycopg")
    parsed = database_url("postgresql://h/d")
    assert (parsed.sync.drivername, parsed.asynchronous.drivername) == ("postgresql+psycopg", "postgresql+psycopg")


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("postgresql://u:s3cret@h/d", "psycopg2-binary.*psycopg"),
        ("mysql://u:s3cret@h/d", r"otel-llm-sql\[mysql\]"),
        ("postgresql+psycopg2://u:s3cret@h/d", "pip install 'psycopg2-binary'$"),
    ],
)
def test_a_missing_driver_says_what_to_install(url: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the packages to install, and no password."""
    monkeypatch.setattr(urls, "_installed", lambda _module: False)
    with pytest.raises(DriverMissingError, match=hint) as raised:
        create_engine(url)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        (f"{SECRET}@h", SettingsError, "not a database URL"),
        (f"postgresql://u:{SECRET}@h:port/d", SettingsError, "not a database URL"),
        (f"nosuch://u:{SECRET}@h/d", SettingsError, "unknown kind of database: nosuch://"),
        (f"oracle+cx_oracle://u:{SECRET}@h/d", DriverMissingError, "pip install"),
        (f"sqlite://u:{SECRET}@llm.db", SettingsError, "no SQLite URL: .*; allowed: three slashes"),
        ("sqlite://llm.db", SettingsError, "no SQLite URL: sqlite://llm.db; allowed: three slashes"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str, error: type[Exception], words: str) -> None:
    """Whatever is wrong with a URL, the message and its causes show no password."""
    with pytest.raises(error, match=words) as raised:
        create_engine(url)
    cause: BaseException | None = raised.value
    while cause:
        assert SECRET not in str(cause)
        cause = cause.__cause__


def test_an_async_engine_needs_an_async_driver() -> None:
    """A database whose driver is not async is refused with words of ours."""
    with pytest.raises((SettingsError, DriverMissingError)):
        create_async_engine("mssql+pymssql://h/d")


def test_pool_settings_are_lifted_out_of_the_url() -> None:
    """Pool settings go to the engine, every other parameter stays where it was."""
    settings = "pool_size=20&max_overflow=10&pool_timeout=1.5&pool_recycle=300&pool_pre_ping=false&echo=false"
    url = f"postgresql://h/d?{settings}&sslmode=require&target_session_attrs=read-write"
    parsed = database_url(url)
    assert dict(parsed.sync.query) == {"sslmode": "require", "target_session_attrs": "read-write"}
    size = {"pool_size": 20, "max_overflow": 10, "pool_timeout": 1.5}
    assert parsed.pool == size | {"pool_recycle": 300, "pool_pre_ping": False, "echo": False}
    engine: Any = create_engine(url)
    assert (engine.pool.size(), engine.pool._max_overflow, engine.pool._timeout) == (20, 10, 1.5)
    assert (engine.pool._recycle, engine.pool._pre_ping) == (300, False)


def test_without_pool_settings_a_process_holds_one_or_two_connections() -> None:
    """The default pool is small, checks its connections, and gives up waiting after the timeout."""
    engine: Any = create_engine("postgresql://h/d", timeout=3)
    assert (engine.pool.size(), engine.pool._max_overflow) == (1, 1)
    assert (engine.pool._pre_ping, engine.pool._timeout) == (True, 3)
    assert engine.hide_parameters


@pytest.mark.parametrize(
    ("parameter", "allowed"),
    [
        ("pool_size=0", "1 or more"),
        ("pool_size=many", "whole number"),
        ("pool_size=1&pool_size=2", "whole number"),
        ("max_overflow=-2", "-1 or more"),
        ("pool_timeout=-1", "seconds"),
        ("pool_recycle=x", "whole number"),
        ("pool_pre_ping=maybe", "true or false"),
        ("echo=2", "true or false"),
    ],
)
def test_a_wrong_pool_setting_says_what_is_allowed(parameter: str, allowed: str) -> None:
    """The message names the parameter and its allowed values, and shows no URL."""
    with pytest.raises(
        SettingsError, match=f"^{parameter.partition('=')[0]} .*was given; allowed: .*{allowed}"
    ) as raised:
        create_engine(f"postgresql://u:{SECRET}@h/d?{parameter}")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("driver", ["postgresql+psycopg2", "postgresql+psycopg", "mysql+pymysql"])
def test_a_parameter_that_no_driver_knows_is_said(driver: str) -> None:
    """A misspelt pool setting goes to the driver, which refuses it: the message says where it stands, and not what."""
    pytest.importorskip(driver.partition("+")[2])
    engine = create_engine(f"{driver}://u:{SECRET}@127.0.0.1:1/d?pool_siz={SECRET}")
    with pytest.raises(
        DatabaseUnavailableError, match=r"does not take the parameters of the URL .*pool_size"
    ) as raised:
        engine.connect()
    assert SECRET not in str(raised.value)


def test_parameters_are_respelled_for_the_other_side() -> None:
    """asyncpg calls sslmode ssl, and refuses what only libpq knows; who names a driver is taken literally."""  # noqa: D403 - its name
    given = database_url("postgresql://h/d?sslmode=require&application_name=mine&keepalives=1")
    assert dict(given.asynchronous.query) == {"ssl": "require"}
    assert dict(given.sync.query) == {"sslmode": "require", "application_name": "mine", "keepalives": "1"}
    explicit = database_url("postgresql+asyncpg://h/d?ssl=require&prepared_statement_cache_size=0")
    assert dict(explicit.asynchronous.query) == {"ssl": "require", "prepared_statement_cache_size": "0"}
    assert dict(explicit.sync.query) == {"sslmode": "require"}


QUERIES = {
    "sqlite": "SELECT (SELECT foreign_keys FROM pragma_foreign_keys), (SELECT journal_mode FROM pragma_journal_mode),"
    " (SELECT synchronous FROM pragma_synchronous), (SELECT timeout FROM pragma_busy_timeout)",
    "postgresql": "SELECT current_setting('TimeZone'), current_setting('transaction_isolation'),"
    " current_setting('statement_timeout'), current_setting('lock_timeout'),"
    " current_setting('idle_in_transaction_session_timeout'), current_setting('application_name')",
    # Executable comments: the first is read by MariaDB alone, the second by MySQL alone.
    "mariadb": "SELECT @@time_zone, /*M!100101 @@tx_isolation, @@max_statement_time, */"
    " /*!50708 @@transaction_isolation, @@max_execution_time / 1000, */ @@innodb_lock_wait_timeout,"
    " @@sql_mode LIKE 'STRICT_ALL_TABLES,%%', @@character_set_connection",
}
EXPECTED = {
    "sqlite": (1, "wal", 1, 5000),
    "postgresql": ("UTC", "read committed", "4s", "2s", "12s", "otel-llm-sql"),
    "mariadb": ("+00:00", "READ-COMMITTED", 4.0, 2, 1, "utf8mb4"),
}


def _settings(connection: sa.Connection, kind: str) -> tuple[Any, ...]:
    return tuple(connection.exec_driver_sql(QUERIES[kind]).one())


def test_a_writers_connection_is_told_its_limits(url: str, kind: str) -> None:
    """Timeouts, time zone, isolation and strictness are set on every connection, and survive a rollback."""
    engine = create_engine(url, timeout=4)
    with engine.connect() as connection:
        assert _settings(connection, kind) == EXPECTED[kind]
        connection.rollback()
        assert _settings(connection, kind) == EXPECTED[kind]
    engine.dispose()


def test_an_async_connection_is_told_the_same(url: str, kind: str) -> None:
    """The async side has the same session settings."""

    async def ask() -> tuple[Any, ...]:
        engine = create_async_engine(url, timeout=4)
        async with engine.connect() as connection:
            await connection.rollback()
            settings = await connection.run_sync(_settings, kind)
        await engine.dispose()
        return settings

    assert asyncio.run(ask()) == EXPECTED[kind]


def test_what_the_url_says_goes_before_ours(new_database: Any) -> None:
    """A driver argument in the URL is not overridden."""
    engine = create_engine(new_database("postgresql") + "?application_name=mine")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar() == "mine"
    engine.dispose()


def test_a_schema_is_for_postgresql(tmp_path: Path) -> None:
    """`schema` elsewhere is refused rather than ignored."""
    for url in (f"sqlite:///{tmp_path}/x.db", f"mysql://u:{SECRET}@h/d"):
        with pytest.raises(SettingsError, match=r"schema: 'telemetry' was given.*only with PostgreSQL") as raised:
            create_engine(url, schema="telemetry")
        assert SECRET not in str(raised.value)


def test_a_connection_is_given_up_after_the_timeout() -> None:
    """A port that accepts and never answers does not hang the writer (the wait is bounded, however long)."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        for url in (f"postgresql://u:{SECRET}@127.0.0.1:{port}/d", f"mysql://u:{SECRET}@127.0.0.1:{port}/d"):
            with pytest.raises(sa.exc.OperationalError) as raised:
                create_engine(url, timeout=1).connect()
            assert SECRET not in str(raised.value)


def test_a_sqlite_file_is_made_on_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories are created when a writer connects, not before, and not by readers; `~` and relative paths work."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for url, file in (("sqlite:///~/a/b/x.db", "a/b/x.db"), ("sqlite:///c/d/x.db", "c/d/x.db")):
        with pytest.raises(sa.exc.OperationalError, match="unable to open database file"):
            create_engine(url, role="read").connect()
        engine = create_engine(url)
        assert not (tmp_path / file).parent.exists()
        monkeypatch.chdir("/")
        engine.connect().close()
        assert (tmp_path / file).exists()
        engine.dispose()
        monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_in_memory_sqlite_is_one_database_for_all_threads(url: str) -> None:
    """Every thread sees the same tables, one after the other, also with pool settings in the URL."""
    engine = create_engine(url + ("&" if "?" in url else "?") + "pool_size=5&pool_recycle=0")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")

    def insert() -> None:
        for x in range(20):
            with engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO t VALUES (?)", (x,))

    threads = [threading.Thread(target=insert) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 80
    engine.dispose()


def test_in_memory_sqlite_is_one_database_on_the_async_side() -> None:
    """An async engine keeps its in-memory database from one connection to the next."""

    async def ask() -> Any:
        engine = create_async_engine("sqlite://")
        async with engine.begin() as connection:
            await connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
        async with engine.connect() as connection:
            answer = (await connection.exec_driver_sql("SELECT count(*) FROM t")).scalar()
        await engine.dispose()
        return answer

    assert asyncio.run(ask()) == 0


def test_a_sqlite_writer_takes_the_lock_when_it_begins(new_database: Any) -> None:
    """A transaction that reads before it writes cannot lose the race to another writer (F19); readers are let be."""
    url = new_database("sqlite")
    writer, other, reader = create_engine(url), create_engine(url), create_engine(url, role="read")
    with writer.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
    with writer.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 0
        with other.connect() as second:
            second.connection.driver_connection.execute("PRAGMA busy_timeout = 1")
            with pytest.raises(sa.exc.OperationalError, match="locked"):
                second.exec_driver_sql("INSERT INTO t VALUES (2)")
        with reader.connect() as third:
            assert third.exec_driver_sql("SELECT count(*) FROM t").scalar() == 0
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
    for engine in (writer, other, reader):
        engine.dispose()


def test_ddl_is_transactional_on_sqlite(new_database: Any) -> None:
    """A rollback takes CREATE TABLE back: the driver does not commit behind our back."""
    engine = create_engine(new_database("sqlite"))
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
        connection.rollback()
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What the instrumentations of the drivers trace, switched on before any engine exists."""
    instrumentation = "opentelemetry.instrumentation"
    modules = [pytest.importorskip(f"{instrumentation}.{driver}") for driver in ("sqlite3", "psycopg2")]
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentors = (modules[0].SQLite3Instrumentor(), modules[1].Psycopg2Instrumentor())
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)
    yield exporter
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_our_work_is_not_traced(url: str, spans: InMemorySpanExporter) -> None:
    """Connecting, session statements, pings and statements inside uninstrumented() make no spans; others do."""
    engine = create_engine(url)
    for _ in range(2):  # the second time the pool pings
        with uninstrumented(), engine.begin() as connection:
            connection.exec_driver_sql("SELECT 1")
    assert spans.get_finished_spans() == ()
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT 1")
    assert "SELECT" in [span.name for span in spans.get_finished_spans()]
    engine.dispose()


def test_session_statements_are_never_traced(new_database: Any, spans: InMemorySpanExporter) -> None:
    """What a new connection is told is our work, also when a person's query opens it."""
    engine = create_engine(new_database("sqlite"))
    engine.connect().close()
    assert "journal_mode" not in str([dict(span.attributes or {}) for span in spans.get_finished_spans()])
    sqlite3.connect(":memory:").cursor().execute("PRAGMA journal_mode").connection.close()
    assert "journal_mode" in str([dict(span.attributes or {}) for span in spans.get_finished_spans()])
    engine.dispose()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_leaves_its_parents_connections_alone(url: str) -> None:
    """After after_fork() a child opens a connection of its own, and the parent's still works when the child is gone."""
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            after_fork(engine)
            with engine.connect() as connection:
                code = 0 if connection.exec_driver_sql("SELECT 2").scalar() == 2 else 1
            engine.dispose()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 3").scalar() == 3
    engine.dispose()


def test_errors_hide_parameters(new_database: Any) -> None:
    """SQLAlchemy's errors, which print parameters by default, show none of ours."""
    engine = create_engine(new_database("sqlite"))
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="parameters hidden") as raised:
        connection.execute(sa.text("SELECT * FROM missing WHERE x = :x"), {"x": SECRET})
    assert SECRET not in str(raised.value)
    engine.dispose()


def test_the_callers_options_go_first(tmp_path: Path) -> None:
    """Further engine arguments are passed on, and another pool class comes without our pool settings."""
    engine = create_engine(f"sqlite:///{tmp_path}/x.db", poolclass=sa.NullPool, connect_args={"timeout": 7})
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 7000
    assert isinstance(engine.pool, sa.NullPool)
