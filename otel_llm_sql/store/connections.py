"""What each kind of database is told about a new connection: timeouts, time zone, isolation, search path.

One frozen value for each kind; a database that is not named here gets none of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["write", "read"]
"""What a connection is for: a writer gives up early and is strict, a reader keeps more of the server's own settings."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a connection is for.

    Attributes:
        role: write or read.
        timeout: seconds to connect, and seconds one statement may take.
        schema: PostgreSQL schema, None for the connection's default.
    """

    role: Role = "write"
    timeout: float = 10.0
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """How one kind of database is connected to.

    Attributes:
        arguments: per driver, what its `connect` is given for a purpose; what the URL says goes before it.
        statements: what is said on a new connection.
        begin: per role, the statement that begins a transaction where the driver does not do it itself.
        has_schemas: whether the setting `schema` means something.
    """

    arguments: Mapping[str, Callable[[Purpose], dict[str, Any]]] = field(default_factory=dict)
    statements: Callable[[Purpose], tuple[str, ...]] = lambda _purpose: ()
    begin: Mapping[Role, str] = field(default_factory=dict)
    has_schemas: bool = False


def no_arguments(_purpose: Purpose) -> dict[str, Any]:
    """What a driver is given that we do not know."""
    return {}


def quoted(identifier: str) -> str:
    """An identifier as PostgreSQL writes it, whatever it holds."""
    return '"' + identifier.replace('"', '""') + '"'


def _libpq(purpose: Purpose) -> dict[str, Any]:
    return {
        "application_name": "otel-llm-sql",
        "connect_timeout": max(2, math.ceil(purpose.timeout)),
        # A server that vanished without a word is noticed after about 25 idle seconds, in the middle of a write after
        # the timeout: no client-side read timeout exists in libpq.
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": _milliseconds(purpose.timeout),
    }


def _asyncpg(purpose: Purpose) -> dict[str, Any]:
    return {
        "timeout": purpose.timeout,
        "command_timeout": purpose.timeout + 1,
        "server_settings": {"application_name": "otel-llm-sql"},
    }


def _postgresql(purpose: Purpose) -> tuple[str, ...]:
    settings = {
        "TimeZone": "UTC",
        "default_transaction_isolation": "read committed",
        "statement_timeout": f"{_milliseconds(purpose.timeout)}ms",
    }
    if purpose.role == "write":
        # A lock is waited for half as long as a statement may take, so that the reason is known; a writer that was
        # frozen in the middle of a transaction does not hold its locks for ever.
        settings["lock_timeout"] = f"{_milliseconds(purpose.timeout / 2)}ms"
        # A writer asks for keys alone. Of tables that nobody has analysed PostgreSQL thinks that they are small, and
        # reads them whole for a batch of keys.
        settings["enable_seqscan"] = "off"
        settings["idle_in_transaction_session_timeout"] = f"{_milliseconds(purpose.timeout * 3)}ms"
    if purpose.schema is not None:
        settings["search_path"] = quoted(purpose.schema)
    # set_config() takes them all in one round trip, through every driver.
    calls = (f"set_config('{name}', {_literal(value)}, false)" for name, value in settings.items())
    return (f"SELECT {', '.join(calls)}",)


def _mysql_connect(purpose: Purpose) -> dict[str, Any]:
    return {"charset": "utf8mb4", "connect_timeout": max(1, math.ceil(purpose.timeout))}


def _mysql_connect_and_read(purpose: Purpose) -> dict[str, Any]:
    # The server ends a long statement by itself; the client's timeouts are for a server that is silent.
    seconds = math.ceil(purpose.timeout) + 1
    return _mysql_connect(purpose) | {"read_timeout": seconds, "write_timeout": seconds}


def _mysql(purpose: Purpose) -> tuple[str, ...]:
    settings = ["time_zone = '+00:00'"]
    if purpose.role == "write":
        settings.append(f"innodb_lock_wait_timeout = {max(1, math.ceil(purpose.timeout / 2))}")
        settings.append("sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'")
    # Executable comments: the first is read by MariaDB alone, the second by MySQL alone.
    limits = (
        f"/*M!100101 , max_statement_time = {purpose.timeout:f} */",
        f"/*!50708 , max_execution_time = {_milliseconds(purpose.timeout)} */",
    )
    return (
        f"SET {', '.join(settings)} {' '.join(limits)}",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    )


# A checkpoint costs two fsyncs: at 1,000 pages, SQLite's own default, every batch of 512 calls would pay for one. This
# is the bound for a log with which `store/checkpoints.py` cannot keep up.
_CHECKPOINT = "PRAGMA wal_autocheckpoint = 8000"
# Keys are hashes, so a batch touches pages all over its indexes: in SQLite's own 2 MB they are written more than once.
_CACHE = "PRAGMA cache_size = -8000"


def _sqlite(purpose: Purpose) -> tuple[str, ...]:
    both = ("PRAGMA foreign_keys = ON",)
    # WAL lets readers read while a writer writes; it is a property of the file, which a reader leaves alone.
    write = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", _CHECKPOINT, _CACHE)
    return (*both, *write) if purpose.role == "write" else both


def _sqlite_connect(purpose: Purpose) -> dict[str, Any]:
    # `timeout` is the busy timeout; connections are handed from thread to thread by the pool, one at a time.
    return {"timeout": max(5.0, purpose.timeout), "check_same_thread": False}


def _milliseconds(seconds: float) -> int:
    return max(1, min(round(seconds * 1000), 2**31 - 1))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_MYSQL = Session(
    arguments={
        "pymysql": _mysql_connect_and_read,
        "mysqldb": _mysql_connect_and_read,
        "aiomysql": _mysql_connect,
        "asyncmy": _mysql_connect,
    },
    statements=_mysql,
)

SESSIONS: Mapping[str, Session] = {
    "postgresql": Session(
        arguments={"psycopg2": _libpq, "psycopg": _libpq, "asyncpg": _asyncpg},
        statements=_postgresql,
        has_schemas=True,
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "sqlite": Session(
        arguments={"pysqlite": _sqlite_connect, "aiosqlite": _sqlite_connect},
        statements=_sqlite,
        # A transaction that reads before it writes cannot wait for another writer (SQLITE_BUSY_SNAPSHOT): a writer
        # takes the write lock when it begins.
        begin={"write": "BEGIN IMMEDIATE", "read": "BEGIN"},
    ),
}
UNKNOWN = Session()
"""What is told to a database that we do not know: nothing."""
