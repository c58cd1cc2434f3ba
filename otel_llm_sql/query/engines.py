"""Engines for asking: read-only where the driver can, made once per URL, and no longer their parent's after a fork."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from otel_llm_sql.errors import DatabaseUnavailableError
from otel_llm_sql.store.engines import after_fork, create_async_engine, create_engine
from otel_llm_sql.store.urls import DatabaseUrl, database_url

_engines: weakref.WeakSet[sa.Engine] = weakref.WeakSet()


def reader(url: str | URL, schema: str | None, timeout: float) -> sa.Engine:
    """An engine whose connections are for reading."""
    parsed = database_url(url)
    pool = {"max_overflow": 4} if "max_overflow" not in parsed.pool and not parsed.in_memory else {}
    engine = create_engine(_read_only(parsed), schema=schema, timeout=timeout, role="read", **pool)
    if adapt := _ADAPTED.get(engine.dialect.driver):
        event.listen(engine, "connect", lambda connection, _record: adapt(connection))
    _engines.add(engine)
    return engine


def async_reader(url: str | URL, schema: str | None, timeout: float) -> AsyncEngine:
    """An async engine whose connections are for reading.

    It keeps no connection unless the URL names a `pool_size`: a kept one belongs to one event loop, and nobody closes
    it when that loop ends.
    """
    parsed = database_url(url)
    pool: dict[str, Any] = {} if "pool_size" in parsed.pool or parsed.in_memory else {"poolclass": sa.NullPool}
    engine = create_async_engine(_read_only(parsed), schema=schema, timeout=timeout, role="read", **pool)
    if engine.dialect.driver == "aiosqlite":
        event.listen(engine.sync_engine, "handle_error", _stop_sqlite)
    _engines.add(engine.sync_engine)
    return engine


def _stop_sqlite(context: sa.engine.ExceptionContext) -> None:
    """Stop the statement of a task that is cancelled; it would be waited for until its time is up."""
    if isinstance(context.original_exception, asyncio.CancelledError) and context.connection is not None:
        driver: Any = context.connection.connection.driver_connection
        driver._conn.interrupt()  # noqa: SLF001 - aiosqlite's own method is to be awaited, and does no more


def require_database(url: str | URL) -> None:
    """SQLite would make an empty file for whoever only wants to read.

    Raises:
        DatabaseUnavailableError: there is no such file.
    """
    file = _file(database_url(url))
    if file is not None and not file.exists():
        made = "the first exported span, or `otel-llm-sql migrate`, makes it"
        raise DatabaseUnavailableError(f"no database at {file} yet: {made}")


def _file(parsed: DatabaseUrl) -> Path | None:
    name = parsed.url.database
    if parsed.kind != "sqlite" or parsed.in_memory or not name or name.startswith("file:"):
        return None
    return Path(name).absolute()


def _read_only(parsed: DatabaseUrl) -> URL:
    """The URL, for SQLite one that opens the file only for reading; pool settings stay in it."""
    pool = {name: str(value).lower() for name, value in parsed.pool.items()}
    url, file = parsed.url.update_query_dict(pool), _file(parsed)
    if file is None:
        return url
    return url.set(database=file.as_uri()).update_query_dict({"mode": "ro", "uri": "true"})


def _ids_as_text(connection: Any) -> None:
    """Make psycopg2 hand over UUIDs and JSON as the text they arrive as: the objects take two thirds of the time."""
    from psycopg2.extensions import UNICODE, new_type, register_type

    register_type(new_type((2950, 114, 3802), "LLM_SQL_TEXT", UNICODE), connection)


_ADAPTED: Mapping[str, Callable[[Any], None]] = {"psycopg2": _ids_as_text}
"""What a new connection of a driver is told about values."""


def _forget_parent() -> None:
    for engine in list(_engines):
        after_fork(engine)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
