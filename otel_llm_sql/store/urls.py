"""A database URL as people write it, turned into what a sync and an async engine need.

Bare URLs pick a driver that is installed, whatever SQLAlchemy's own default is; pool settings are lifted out of the
query string, where drivers refuse them. No message shows a password.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from otel_llm_sql.errors import DriverMissingError, SettingsError
from otel_llm_sql.masking import mask


@dataclass(frozen=True, slots=True)
class Driver:
    """A DBAPI driver: its name in a URL, the module to look for, and what to install."""

    name: str
    module: str
    install: str


@dataclass(frozen=True, slots=True)
class Database:
    """What is known of one kind of database: its drivers in order of preference.

    Attributes:
        sync: drivers for the sync side.
        asynchronous: drivers for the async side; a driver may fit both.
        spelled: per driver, query parameters that other drivers take, and how this one spells them; None drops them.
    """

    sync: tuple[Driver, ...]
    asynchronous: tuple[Driver, ...]
    spelled: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)


_LIBPQ_ONLY = (
    *("application_name", "channel_binding", "connect_timeout", "gssencmode", "keepalives", "keepalives_count"),
    *("keepalives_idle", "keepalives_interval", "options", "tcp_user_timeout"),
)
_ASYNCPG_ONLY = ("command_timeout", "prepared_statement_cache_size", "prepared_statement_name_func", "timeout")
_PSYCOPG = Driver("psycopg", "psycopg", "psycopg[binary]")
_MYSQL = Database(
    sync=(
        Driver("pymysql", "pymysql", "otel-llm-sql[mysql]"),
        Driver("mysqldb", "MySQLdb", "mysqlclient"),
        Driver("mariadbconnector", "mariadb", "mariadb"),
        Driver("mysqlconnector", "mysql.connector", "mysql-connector-python"),
    ),
    asynchronous=(
        Driver("aiomysql", "aiomysql", "otel-llm-sql[mysql]"),
        Driver("asyncmy", "asyncmy", "asyncmy"),
    ),
)
DATABASES: Mapping[str, Database] = {
    "postgresql": Database(
        sync=(Driver("psycopg2", "psycopg2", "psycopg2-binary"), _PSYCOPG, Driver("pg8000", "pg8000", "pg8000")),
        asynchronous=(Driver("asyncpg", "asyncpg", "asyncpg"), _PSYCOPG),
        spelled={
            # asyncpg takes libpq's sslmode values under the name `ssl`, and refuses names it does not know.
            "asyncpg": {"sslmode": "ssl"} | dict.fromkeys(_LIBPQ_ONLY),
            "psycopg2": {"ssl": "sslmode"} | dict.fromkeys(_ASYNCPG_ONLY),
            "psycopg": {"ssl": "sslmode"} | dict.fromkeys(_ASYNCPG_ONLY),
        },
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "sqlite": Database(
        sync=(Driver("pysqlite", "sqlite3", "a Python with sqlite3"),),
        asynchronous=(Driver("aiosqlite", "aiosqlite", "aiosqlite"),),
    ),
}
"""The databases whose drivers we choose; a URL of any other SQLAlchemy dialect passes as it is."""

_SPELLINGS = {"postgres": "postgresql"}


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A URL without pool settings, and the pool settings.

    Attributes:
        url: the URL as given, pool settings taken out.
        pool: arguments for the engine.
    """

    url: URL
    pool: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The database part of the URL: `sqlite`, `postgresql`, `mysql`, `mariadb`, or another dialect's name."""
        return self.url.get_backend_name()

    @property
    def sync(self) -> URL:
        """The URL for a sync engine.

        Raises:
            DriverMissingError: no driver is installed.
        """
        known = DATABASES.get(self.kind)
        return _with_driver(self.url, known.sync, known.asynchronous, known) if known else self.url

    @property
    def asynchronous(self) -> URL:
        """The URL for an async engine.

        Raises:
            DriverMissingError: no driver is installed.
        """
        known = DATABASES.get(self.kind)
        return _with_driver(self.url, known.asynchronous, known.sync, known) if known else self.url

    @property
    def in_memory(self) -> bool:
        """Whether this is SQLite without a file, which lives as long as its one connection."""
        mode = self.url.query.get("mode")
        return self.kind == "sqlite" and (
            self.url.database in (None, "", ":memory:", "file::memory:") or mode == "memory"
        )

    def place(self, schema: str | None) -> str:
        """What tells a database from all others, whoever asks and how: no user, password, driver or option.

        Args:
            schema: PostgreSQL schema that holds the tables.
        """
        told = {name: value for name, value in self.url.query.items() if name in _PLACES}
        bare = self.url.set(drivername=self.kind, username=None, password=None, query=told)
        return f"{bare.render_as_string()}#{schema or ''}"


_PLACES = frozenset({"host", "port", "dbname", "service", "unix_socket", "odbc_connect"})
"""Parameters that say where a database is."""


def database_url(url: str | URL) -> DatabaseUrl:
    """Read a database URL.

    Args:
        url: any SQLAlchemy URL; `postgres://` is understood, and for SQLite a path that starts with `~`.
            Relative ones are made whole.
            `pool_size`, `max_overflow`, `pool_timeout`, `pool_recycle`, `pool_pre_ping` and `echo` in its query
            string are settings of the engine; every other parameter stays.

    Raises:
        SettingsError: it is no URL, or a pool setting is wrong.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Without the cause: SQLAlchemy's message may quote the URL.
        raise SettingsError(
            f"not a database URL: {mask(str(url))}; allowed: dialect://user:password@host/name"
        ) from None
    backend, _, driver = parsed.drivername.partition("+")
    backend = _SPELLINGS.get(backend, backend)
    if backend == "sqlite" and any((parsed.username, parsed.password, parsed.host, parsed.port)):
        allowed = "three slashes before a relative path (sqlite:///llm.db), four where it is absolute"
        raise SettingsError(f"no SQLite URL: {mask(str(url))}; allowed: {allowed}")
    parsed = parsed.set(drivername=f"{backend}+{driver}" if driver else backend)
    if backend == "sqlite" and parsed.database and not parsed.database.startswith((":memory:", "file:")):
        # Whole: the program may go to another directory, and means the same file.
        parsed = parsed.set(database=str(Path(parsed.database).expanduser().absolute()))
    pool = {name: read(name, parsed.query[name]) for name, read in POOL_SETTINGS.items() if name in parsed.query}
    return DatabaseUrl(parsed.difference_update_query(list(pool)), pool)


def _with_driver(url: URL, wanted: tuple[Driver, ...], others: tuple[Driver, ...], database: Database) -> URL:
    """Keep a driver that fits this side, or that nobody knows; replace a bare one, or one of the other side."""
    given = url.drivername.partition("+")[2]
    named = tuple(driver for driver in wanted if driver.name == given)
    if given and not named and given not in {driver.name for driver in others}:
        return url
    driver = next((driver for driver in named or wanted if _installed(driver.module)), None)
    if driver is None:
        choices = " or ".join(f"pip install '{driver.install}'" for driver in named or wanted)
        raise DriverMissingError(f"no driver for {mask(url.render_as_string())} is installed: {choices}")
    spelled = {} if named else database.spelled.get(driver.name, {})
    renamed = {spelled.get(name, name): value for name, value in url.query.items()}
    query = {name: value for name, value in renamed.items() if name is not None}
    return url.set(drivername=f"{url.get_backend_name()}+{driver.name}", query=query)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _whole(least: int) -> Callable[[str, Any], int]:
    def read(name: str, value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value) and int(value) >= least:
            return int(value)
        raise _wrong(name, f"a whole number, {least} or more")

    return read


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return float(value)
    raise _wrong(name, "seconds, 0 or more")


def _switch(name: str, value: Any) -> bool:
    switches = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in switches:
        return switches[value.lower()]
    raise _wrong(name, "true or false")


def _wrong(name: str, allowed: str) -> SettingsError:
    return SettingsError(
        f"{name} in the database URL: what is not shown, as it may be part of a password, was given; allowed: {allowed}"
    )


POOL_SETTINGS: Mapping[str, Callable[[str, Any], Any]] = {
    "pool_size": _whole(1),
    "max_overflow": _whole(-1),
    "pool_timeout": _seconds,
    "pool_recycle": _whole(-1),
    "pool_pre_ping": _switch,
    "echo": _switch,
}
