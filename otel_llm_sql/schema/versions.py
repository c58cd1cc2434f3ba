"""Which version of the tables a database has, and how it gets the one we write.

An empty database is brought to the newest version at once, without Alembic, safely when many processes start together;
an older one is upgraded only when somebody asks for it. Views hold no data and are always made anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from otel_llm_sql.errors import DatabaseUnavailableError, SchemaError
from otel_llm_sql.schema import tables, views

SCHEMA_OPTION = "otel_llm_sql_schema"
"""Execution option of an engine that names the PostgreSQL schema its tables live in."""

_TRIES = 3
"""How often a process waits for the lock; the whole creation takes MariaDB about a second."""

_MIGRATIONS = Path(__file__).with_name("migrations")


@dataclass(frozen=True, slots=True)
class Exclusion:
    """How one kind of database lets one process alone change the schema.

    Attributes:
        acquire: a query that waits for the lock, and gives 0 where it waited in vain.
        release: what gives it back; None where the end of the transaction does.
        unhurried: what lifts the time limits of a session, for an upgrade of large tables.
    """

    acquire: str
    release: str | None = None
    unhurried: str | None = None


# GET_LOCK belongs to the whole server, hence the name of the database in it.
_MYSQL_LOCK = "SHA2(CONCAT('otel_llm_sql schema ', DATABASE()), 256)"
_MYSQL = Exclusion(
    acquire=f"SELECT GET_LOCK({_MYSQL_LOCK}, 5)",
    release=f"SELECT RELEASE_LOCK({_MYSQL_LOCK})",
    unhurried="SET lock_wait_timeout = 3600 /*M!100101 , max_statement_time = 0 */",
)
_EXCLUSIONS: Mapping[str, Exclusion] = {
    "postgresql": Exclusion(
        # The number is the start of SHA-1("otel_llm_sql schema"); such locks belong to one database.
        acquire="SELECT 1 FROM (SELECT pg_advisory_xact_lock(324513069528973286)) locked",
        unhurried="SELECT set_config('statement_timeout', '0', true)",
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}


def current_version(connection: Connection) -> str | None:
    """The version of the tables in this database; None where there is none, or its creation was interrupted."""
    if not sa.inspect(connection).has_table(tables.schema_version.name):
        return None
    version: str | None = connection.scalar(sa.select(sa.func.max(tables.schema_version.c.version_num)))
    return version


def ensure(engine: Engine) -> None:
    """Bring an empty database to the newest version; do nothing to one that has it.

    Args:
        engine: a writer's engine of `store.engines`.

    Raises:
        SchemaError: the tables are older or newer than this package writes, or are not ours; nothing was changed.
        DatabaseUnavailableError: another process has been changing the schema for seconds.
    """
    with engine.connect() as connection:
        version = current_version(connection)
    if _is_current(version):
        return
    try:
        with _alone(engine) as connection:
            if not _is_current(current_version(connection)):
                _create(connection)
    except sa.exc.DBAPIError:
        # A database without a lock we know: another process may have made the tables under our hands.
        with engine.connect() as connection:
            if engine.dialect.name in _EXCLUSIONS or not _is_current(current_version(connection)):
                raise


def migrate(engine: Engine, target: str = "head") -> list[str]:
    """Upgrade the tables, or downgrade them, with Alembic; an empty database is brought to `target` as well.

    Args:
        engine: a writer's engine of `store.engines`.
        target: revision to go to; `head` for the newest.

    Returns:
        The revisions that were applied or undone, in order.

    Raises:
        SchemaError: the tables are newer than this package, or are not ours; nothing was changed.
    """
    exclusion = _EXCLUSIONS.get(engine.dialect.name)
    with _alone(engine) as connection:
        if exclusion and exclusion.unhurried:
            connection.exec_driver_sql(exclusion.unhurried)
        version = current_version(connection)
        if version is not None and version > tables.VERSION:
            raise _newer(version)
        if version is None and _existing(connection):
            _create(connection)  # what another process began
        return _run_alembic(connection, target)


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction in which no other process changes the schema; SQLite's begins with the write lock anyway."""
    exclusion = _EXCLUSIONS.get(engine.dialect.name, Exclusion(acquire="SELECT 1"))
    with engine.begin() as connection:
        if not any(connection.exec_driver_sql(exclusion.acquire).scalar() for _ in range(_TRIES)):
            raise DatabaseUnavailableError("another process has been changing the tables for seconds; try again later")
        try:
            _create_schema(connection)
            yield connection
        finally:
            if exclusion.release and not connection.invalidated:
                connection.exec_driver_sql(exclusion.release)


def _create_schema(connection: Connection) -> None:
    """The PostgreSQL schema; asked for first, because CREATE SCHEMA IF NOT EXISTS needs the right to create one."""
    name = connection.get_execution_options().get(SCHEMA_OPTION)
    if name is not None and not sa.inspect(connection).has_schema(name):
        connection.execute(sa.schema.CreateSchema(name, if_not_exists=True))


def _is_current(version: str | None) -> bool:
    if version is not None and version > tables.VERSION:
        raise _newer(version)
    if version is not None and version < tables.VERSION:
        raise SchemaError(
            f"the tables are version {version}, this package writes {tables.VERSION}:"
            " run `otel-llm-sql migrate --db-uri URL` with its URL to upgrade them; nothing was changed"
        )
    return version is not None


def _newer(version: str) -> SchemaError:
    return SchemaError(
        f"the tables are version {version}, this package writes {tables.VERSION}:"
        " upgrade the package `otel-llm-sql`; nothing was changed"
    )


def _existing(connection: Connection) -> list[sa.Table]:
    inspector = sa.inspect(connection)
    return [table for table in tables.metadata.sorted_tables if inspector.has_table(table.name)]


def _create(connection: Connection) -> None:
    """Make whatever is missing: where DDL is not transactional (MySQL), a creation may have been cut anywhere."""
    for table in _existing(connection):
        _refuse_foreign(connection, table)
    tables.metadata.create_all(connection)
    for table in tables.metadata.sorted_tables:
        present = {index["name"] for index in sa.inspect(connection).get_indexes(table.name)}
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in present:
                index.create(connection)
    _execute(connection, views.drop_statements(connection.dialect.name))
    _execute(connection, views.create_statements(connection.dialect.name))
    _fill_locks(connection)
    connection.execute(tables.schema_version.delete())
    connection.execute(tables.schema_version.insert().values(version_num=tables.VERSION))


def _refuse_foreign(connection: Connection, table: sa.Table) -> None:
    present = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    missing = sorted(column.name for column in table.columns if column.name not in present)
    if missing:
        raise SchemaError(
            f"there is a table {table.name} that is not ours (it has no column {', '.join(missing)}):"
            " use another database, or another schema on PostgreSQL; nothing was changed"
        )


def _fill_locks(connection: Connection) -> None:
    present = set(connection.scalars(sa.select(tables.locks.c.stripe)))
    missing = [{"stripe": stripe} for stripe in range(tables.LOCK_STRIPES) if stripe not in present]
    if missing:
        connection.execute(tables.locks.insert(), missing)


def _execute(connection: Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def _run_alembic(connection: Connection, target: str) -> list[str]:
    # Alembic takes half a second to import: never on the way of an application that only exports.
    from alembic import command
    from alembic.config import Config

    applied: list[str] = []
    config = Config()
    config.attributes.update(connection=connection, applied=applied)
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    # Alembic would make its version table without our options.
    tables.schema_version.create(connection, checkfirst=True)
    _execute(connection, views.drop_statements(connection.dialect.name))
    forward = target == "head" or target > (current_version(connection) or "")
    (command.upgrade if forward else command.downgrade)(config, target)
    version = current_version(connection)
    if version is not None:
        _execute(connection, views.create_statements(connection.dialect.name, version))
    return applied
