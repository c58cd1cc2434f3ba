"""Engines for the database: a driver that is installed, a small pool, timeouts everywhere, and never traced.

An engine is made without connecting; it connects when it is first used. Statements and errors show no parameters.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

import sqlalchemy as sa
from opentelemetry import context, trace
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.asyncio import create_async_engine as _create_async_engine

from otel_llm_sql.errors import AccessDeniedError, DatabaseUnavailableError, DriverMissingError, SettingsError
from otel_llm_sql.masking import mask
from otel_llm_sql.schema.versions import SCHEMA_OPTION
from otel_llm_sql.store.connections import SESSIONS, UNKNOWN, Purpose, Role, no_arguments
from otel_llm_sql.store.faults import named
from otel_llm_sql.store.urls import POOL_SETTINGS, DatabaseUrl, database_url

__all__ = [
    "DatabaseUrl",
    "Role",
    "after_fork",
    "create_async_engine",
    "create_engine",
    "database_url",
    "uninstrumented",
]

# Instrumentations look for the API's key, whose name has a random part, older ones for the plain name.
_SUPPRESSED = (
    context._SUPPRESS_INSTRUMENTATION_KEY,  # noqa: SLF001 - the API offers no public name for it, through 1.45
    "suppress_instrumentation",
)
# Drivers' instrumentations of 0.54 ask for neither: under a parent that is not sampled, samplers drop their spans.
_UNSAMPLED = trace.NonRecordingSpan(trace.SpanContext(trace_id=1, span_id=1, is_remote=False))

_IN_MEMORY = {"pysqlite": sa.QueuePool, "aiosqlite": sa.AsyncAdaptedQueuePool}


@contextmanager
def uninstrumented() -> Iterator[None]:
    """What happens inside is not traced by instrumentations of database drivers: an exporter must not export itself."""
    current = trace.set_span_in_context(_UNSAMPLED)
    for key in _SUPPRESSED:
        current = context.set_value(key, value=True, context=current)
    token = context.attach(current)
    try:
        yield
    finally:
        context.detach(token)


def create_engine(
    url: str | URL, *, schema: str | None = None, timeout: float = 10.0, role: Role = "write", **options: Any
) -> sa.Engine:
    """Make a sync engine; nothing is connected, and no file or directory is created yet.

    Args:
        url: database URL; see `database_url`.
        schema: PostgreSQL schema that unqualified names mean.
        timeout: seconds for connecting, for one statement, and for a free connection.
        role: a writer begins its SQLite transactions with the write lock, and is strict; a reader does neither.
        **options: further arguments of `sqlalchemy.create_engine`; they go before ours.

    Raises:
        SettingsError: the URL, one of its pool settings or the schema is wrong.
        DriverMissingError: no driver for this database is installed.
    """
    parsed = database_url(url)
    purpose = Purpose(role, timeout, schema)
    with uninstrumented(), _explained(parsed.sync):
        engine = sa.create_engine(parsed.sync, **_options(parsed, parsed.sync, purpose, options))
    if parsed.kind == "sqlite" and not parsed.in_memory:
        _files.add(engine)
    return _prepared(engine, parsed, purpose)


def create_async_engine(
    url: str | URL, *, schema: str | None = None, timeout: float = 10.0, role: Role = "write", **options: Any
) -> AsyncEngine:
    """Make an async engine; arguments and errors are those of `create_engine`."""
    parsed = database_url(url)
    purpose = Purpose(role, timeout, schema)
    with uninstrumented(), _explained(parsed.asynchronous):
        engine = _create_async_engine(parsed.asynchronous, **_options(parsed, parsed.asynchronous, purpose, options))
    _prepared(engine.sync_engine, parsed, purpose)
    return engine


def after_fork(engine: sa.Engine | AsyncEngine) -> None:
    """Forget, in a forked child, the connections that belong to its parent, without closing them."""
    (engine.sync_engine if isinstance(engine, AsyncEngine) else engine).dispose(close=False)


_files: WeakSet[sa.Engine] = WeakSet()


def _close_files() -> None:
    """Before a fork: close the idle connections to SQLite files.

    A child inherits SQLite's notes on the locks of its parent, but not the locks. With them it would wait for locks
    that nobody holds, or commit into a write-ahead log that its parent deletes: rows were lost after SUCCESS.
    """
    for engine in list(_files):
        engine.dispose()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_files)


def _options(parsed: DatabaseUrl, url: URL, purpose: Purpose, options: dict[str, Any]) -> dict[str, Any]:
    """Arguments for the engine: what the caller says goes before the URL, and the URL before what we would choose."""
    session = SESSIONS.get(parsed.kind, UNKNOWN)
    if purpose.schema is not None and not session.has_schemas:
        raise SettingsError(f"schema: {purpose.schema!r} was given for {mask(str(url))}; allowed: only with PostgreSQL")
    arguments = session.arguments.get(url.get_driver_name(), no_arguments)(purpose)
    connect = {name: value for name, value in arguments.items() if name not in url.query}
    connect |= options.get("connect_args", {})
    pool = {} if "poolclass" in options else _pool(parsed, url, purpose)
    return {"hide_parameters": True} | pool | options | {"connect_args": connect}


def _pool(parsed: DatabaseUrl, url: URL, purpose: Purpose) -> dict[str, Any]:
    if parsed.in_memory:
        # The database lives in one connection: it is never given up, and whoever wants it next waits for it.
        return {
            "poolclass": _IN_MEMORY[url.get_driver_name()],
            "pool_size": 1,
            "max_overflow": 0,
            "pool_timeout": purpose.timeout,
        }
    if parsed.kind not in SESSIONS:  # its dialect may want another pool, with other arguments
        return {"pool_pre_ping": True, **parsed.pool}
    ours = {"pool_size": 1, "max_overflow": 1, "pool_timeout": purpose.timeout, "pool_pre_ping": True}
    return ours | dict(parsed.pool)


@contextmanager
def _explained(url: URL) -> Iterator[None]:
    """Say in our words why there is no engine; SQLAlchemy's own message may quote the URL."""
    shown = mask(url.render_as_string())
    try:
        yield
    except sa.exc.NoSuchModuleError as error:
        allowed = "sqlite, postgresql, mysql, mariadb"
        raise SettingsError(f"unknown kind of database: {shown}; allowed: {allowed}") from error
    except ImportError as error:
        raise DriverMissingError(f"the driver for {shown} cannot be loaded: pip install {error.name}") from error
    except sa.exc.InvalidRequestError as error:
        raise SettingsError(f"no async driver: {shown}; allowed: a URL with an async driver") from error


def _prepared(engine: sa.Engine, parsed: DatabaseUrl, purpose: Purpose) -> sa.Engine:
    """Add to an engine what is done on every new connection and at the start of every transaction."""
    session = SESSIONS.get(parsed.kind, UNKNOWN)
    begin = session.begin.get(purpose.role)
    statements = session.statements(purpose)
    file = None if parsed.in_memory or parsed.kind != "sqlite" else parsed.url.database
    directory = Path(file).absolute().parent if file and not file.startswith("file:") else None

    def connect(dialect: sa.Dialect, _record: Any, arguments: Any, named: Any) -> Any:
        if directory and purpose.role == "write":
            # Prompts are private: a directory that we make is the user's alone.
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with uninstrumented(), _able_to_log_in(), _understood(dialect):
            return dialect.connect(*arguments, **named)

    def connected(connection: Any, _record: Any) -> None:
        with uninstrumented():
            if begin:
                connection.isolation_level = None  # the driver leaves transactions to us
            for statement in statements:
                _say(connection, statement, purpose.timeout)
            if not begin and statements:
                connection.commit()  # what PostgreSQL is told inside a transaction would be rolled back with it

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", connected)
    if begin:
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    engine.update_execution_options(**{SCHEMA_OPTION: purpose.schema})
    return engine


@contextmanager
def _able_to_log_in() -> Iterator[None]:
    """Say what to install where a driver cannot log in: PyMySQL, without TLS, to servers with MySQL's own defaults."""
    try:
        yield
    except RuntimeError as error:
        if "cryptography" not in str(error):
            raise
        raise AccessDeniedError("the driver cannot log in: pip install 'otel-llm-sql[mysql]'") from error


@contextmanager
def _understood(dialect: sa.Dialect) -> Iterator[None]:
    """Say where the mistake is when a driver does not know a parameter of the URL; what drivers say may quote it."""
    dbapi: Any = dialect.loaded_dbapi
    try:
        yield
    except (TypeError, dbapi.ProgrammingError) as error:
        if named(error) != type(error).__name__:  # a code: the server has answered
            raise
        raise DatabaseUnavailableError(
            f"the driver {dialect.driver} does not take the parameters of the URL ({named(error)}): what stands behind"
            f" `?` are its own, and {', '.join(POOL_SETTINGS)}"
        ) from None


def _say(connection: Any, statement: str, timeout: float) -> None:
    """Execute a session statement. SQLite does not wait when several processes turn on WAL at once: we do."""
    deadline = time.monotonic() + timeout
    cursor = connection.cursor()
    try:
        while True:
            try:
                cursor.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
    finally:
        cursor.close()
