"""A transaction that can only read, that ends in time, and that leaves nothing behind. The second wall.

What differs between databases is one frozen value each; a database that is not named here gets a transaction that is
rolled back.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.util import await_only

from otel_llm_sql.query import rules, tokens
from otel_llm_sql.query.rules import Rules
from otel_llm_sql.query.tokens import Lexis

UNCHANGED = {"no_parameters": True}
"""Execution option: the driver gets the SQL alone, and looks for no place to fill in it."""


@dataclass(frozen=True, slots=True)
class ReadSession:
    """How one kind of database is kept from writing.

    Attributes:
        rules: what the SQL must not say.
        lexes: how SQL is read, by what `modes` answers in lower case; the first that fits, "" fits always.
        modes: statement that tells how SQL is read; asked only where a backslash stands in the SQL.
        options: execution options of the connection.
        begin: statements at the start of the transaction; `{ms}` and `{seconds}` are the time a statement may take.
        end: statements after it.
        guard: what else surrounds a statement.
        aware: whether times have a time zone.
        native: whether the driver takes dates, times and decimals.
    """

    rules: Rules = rules.NO_RULES
    lexes: Mapping[tuple[str, ...], Lexis] = field(default_factory=lambda: {(): tokens.STANDARD})
    modes: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    begin: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    guard: Callable[[sa.Connection, float], AbstractContextManager[None]] = lambda _connection, _timeout: nullcontext()
    aware: bool = False
    native: bool = True

    def lexis(self, connection: sa.Connection, sql: str) -> Lexis:
        """How this connection reads this SQL."""
        said = ""
        if self.modes and ("\\" in sql or '"' in sql):
            said = str(say(connection, self.modes).scalar()).lower()
        return next(lexis for modes, lexis in self.lexes.items() if all(mode in said for mode in modes))


def say(connection: sa.Connection, sql: str) -> sa.CursorResult[Any]:
    """Execute SQL as it is: colons, percent signs and question marks mean nothing to us."""
    return connection.exec_driver_sql(sql, execution_options=UNCHANGED)


def session_of(connection: sa.Connection) -> ReadSession:
    """The value for the database of this connection."""
    return SESSIONS.get(connection.dialect.name, ReadSession())


@contextmanager
def reading(connection: sa.Connection, timeout: float) -> Iterator[ReadSession]:
    """Surround statements with a transaction that reads one state of the database, and is always rolled back.

    Args:
        connection: one without a transaction.
        timeout: seconds one statement may take.
    """
    session = session_of(connection)
    connection.execution_options(**session.options)
    times = {"ms": max(1, round(timeout * 1000)), "seconds": f"{timeout:f}"}
    connection.begin()
    try:
        for statement in session.begin:
            say(connection, statement.format(**times))
        with session.guard(connection, timeout):
            yield session
    finally:
        _end(connection, session)


def _end(connection: sa.Connection, session: ReadSession) -> None:
    try:
        connection.rollback()
        for statement in session.end:
            say(connection, statement)
        connection.rollback()
    except sa.exc.DBAPIError:
        connection.invalidate()  # whatever state it is in, nobody gets it


def on_driver(connection: sa.Connection, method: str, *arguments: Any) -> Any:
    """Call a method of the sqlite3 connection, in the thread it belongs to."""
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        return getattr(driver, method)(*arguments)
    # aiosqlite wraps only some methods, other ones in each version.
    return await_only(driver._execute(getattr(driver._conn, method), *arguments))  # type: ignore[union-attr]  # noqa: SLF001 - see above


_LOOKING_PRAGMAS = frozenset(
    {
        *("table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"),
        *("database_list", "function_list", "collation_list", "compile_options"),
    }
)
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock: well below a millisecond."""


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _by: str | None) -> int:
    """Allow what only reads; SQLite asks before it runs a statement."""
    if action in _READING:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and not rules.SQLITE.forbids((second or "").lower()):
        return sqlite3.SQLITE_OK
    looks = action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in _LOOKING_PRAGMAS
    return sqlite3.SQLITE_OK if looks else sqlite3.SQLITE_DENY


@contextmanager
def _sqlite_guard(connection: sa.Connection, timeout: float) -> Iterator[None]:
    deadline = time.monotonic() + timeout
    before = int(say(connection, "PRAGMA query_only").scalar() or 0)
    say(connection, "PRAGMA query_only = ON")
    on_driver(connection, "set_progress_handler", lambda: time.monotonic() > deadline, _STEPS)
    on_driver(connection, "set_authorizer", _authorize)
    try:
        yield
    finally:
        if not connection.invalidated:  # who stops waiting for an answer gives up its connection
            on_driver(connection, "set_authorizer", None)
            on_driver(connection, "set_progress_handler", None, 0)
            say(connection, f"PRAGMA query_only = {before}")


_MYSQL = ReadSession(
    rules=rules.MYSQL,
    lexes={
        ("no_backslash_escapes", "ansi_quotes"): tokens.MYSQL_ANSI_WITHOUT_BACKSLASHES,
        ("no_backslash_escapes",): tokens.MYSQL_WITHOUT_BACKSLASHES,
        ("ansi_quotes",): tokens.MYSQL_ANSI,
        (): tokens.MYSQL,
    },
    modes="SELECT @@sql_mode",
    begin=(
        # Executable comments: the one with M is read by MariaDB alone, the other by MySQL alone.
        (
            "SET @otel_llm_sql_timeout = /*M!100101 @@max_statement_time */ /*!50708 @@max_execution_time */"
            " /*M!100101 , max_statement_time = {seconds} */ /*!50708 , max_execution_time = {ms} */"
        ),
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION READ ONLY",
    ),
    end=(
        (
            "SET /*M!100101 max_statement_time = @otel_llm_sql_timeout */"
            " /*!50708 max_execution_time = @otel_llm_sql_timeout */"
        ),
        "DO 0 /*M!100502 , RELEASE_ALL_LOCKS() */ /*!50705 , RELEASE_ALL_LOCKS() */",
    ),
)

SESSIONS: Mapping[str, ReadSession] = {
    "postgresql": ReadSession(
        rules=rules.POSTGRESQL,
        lexes={(): tokens.POSTGRESQL},
        options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
        # The first query of a read-only transaction fixes it: no setting can make it writable from then on.
        begin=(
            (
                "SELECT set_config('statement_timeout', '{ms}ms', true), set_config('TimeZone', 'UTC', true),"
                " set_config('standard_conforming_strings', 'on', true), set_config('extra_float_digits', '1', true),"
                " set_config('DateStyle', 'ISO, YMD', true), set_config('cursor_tuple_fraction', '1', true)"
            ),
        ),
        end=("SELECT pg_advisory_unlock_all()",),
        aware=True,
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "sqlite": ReadSession(
        rules=rules.SQLITE,
        lexes={(): tokens.SQLITE},
        guard=_sqlite_guard,
        native=False,
    ),
}
