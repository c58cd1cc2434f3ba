"""A connection for one command, with what the driver says about it turned into our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from otel_llm_sql.errors import DatabaseUnavailableError, LlmSqlError, SchemaError, StoreError
from otel_llm_sql.masking import mask
from otel_llm_sql.query.failures import explained
from otel_llm_sql.schema.tables import VERSION
from otel_llm_sql.settings import Settings
from otel_llm_sql.store.engines import create_engine
from otel_llm_sql.store.faults import translated
from otel_llm_sql.store.urls import database_url


@contextmanager
def connected(settings: Settings, role: Literal["read", "write"] = "read") -> Iterator[tuple[Engine, Connection]]:
    """Connect for the duration of a command.

    Args:
        settings: where.
        role: what the connection is for.

    Yields:
        The engine and a connection of it.

    Raises:
        DatabaseUnavailableError: nothing answers there, or it lets nobody in.
        SchemaError: a table or column is missing.
        StoreError: the database refused a statement of the command.
    """
    if role == "read":
        _require_file(settings)
    engine = create_engine(settings.url, schema=settings.schema, role=role)
    try:
        with _reached(engine, settings) as connection:
            yield engine, connection
    except SQLAlchemyError as error:
        fault = translated(error)
        if isinstance(fault, SchemaError | DatabaseUnavailableError):
            raise fault from error
        raise StoreError(f"{mask(settings.url)}: the database refused ({_kind(error)})") from error
    finally:
        engine.dispose()


def require_current(found: str | None) -> None:
    """Accept the version this package writes, and no tables at all: the first write makes them.

    Raises:
        SchemaError: the tables are older or newer.
    """
    if found in (None, VERSION):
        return
    migrate = "run `otel-llm-sql migrate --db-uri URL` with its URL"
    advice = migrate if str(found) < VERSION else "upgrade the package otel-llm-sql"
    raise SchemaError(f"the schema is {found}, this package writes {VERSION}: {advice}")


def _require_file(settings: Settings) -> None:
    """SQLite would make an empty file for whoever only wants to read."""
    parsed = database_url(settings.url)
    if parsed.kind == "sqlite" and not parsed.in_memory and not Path(parsed.url.database or "").exists():
        made = "the first write, or `otel-llm-sql migrate --db-uri URL`, makes it"
        raise DatabaseUnavailableError(f"{mask(settings.url)}: there is no such file yet; {made}")


def _reached(engine: Engine, settings: Settings) -> Connection:
    try:
        with explained(settings.timeout):
            return engine.connect()
    except LlmSqlError as error:
        raise DatabaseUnavailableError(f"{mask(settings.url)}: {error}") from error


def _kind(error: SQLAlchemyError) -> str:
    return type(error.orig if isinstance(error, DBAPIError) else error).__name__
