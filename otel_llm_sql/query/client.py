"""The doors: `Query` and `AsyncQuery` for one database, and functions that ask the one the settings name.

Both faces run the same sync functions of `reading`; nothing connects before the first question.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from otel_llm_sql.errors import QueryError
from otel_llm_sql.query.engines import async_reader, reader, require_database
from otel_llm_sql.query.failures import explained
from otel_llm_sql.query.filters import Filters, selection
from otel_llm_sql.query.parameters import Parameters
from otel_llm_sql.query.reading import read_frame, read_operations, read_rows
from otel_llm_sql.settings import load

if TYPE_CHECKING:
    from typing import Self, Unpack

    import polars as pl

_Answer = TypeVar("_Answer")
_Question = Callable[[sa.Connection], _Answer]


class Query:
    """Questions to one database.

    Args:
        database: a URL, as in the settings, or an engine, which stays the caller's.
        schema: PostgreSQL schema that holds the tables.
        timeout: seconds one question may take.

    Raises:
        SettingsError: the URL is wrong.
        DriverMissingError: it needs a driver that is not installed.
    """

    def __init__(self, database: str | URL | sa.Engine, *, schema: str | None = None, timeout: float = 60.0) -> None:
        self._url = None if isinstance(database, sa.Engine) else database
        self._engine = database if isinstance(database, sa.Engine) else reader(database, schema, timeout)
        self._timeout = timeout

    def polars_from_db(
        self, sql: str | None = None, params: Parameters | None = None, **filters: Unpack[Filters]
    ) -> pl.DataFrame:
        """As the function `polars_from_db`, from this database."""
        return self._ask(_frame_question(sql, params, filters, self._timeout))

    def query_db(self, sql: str, params: Parameters | None = None) -> list[dict[str, Any]]:
        """As the function `query_db`, from this database."""
        return self._ask(lambda connection: read_rows(connection, sql, params, self._timeout))

    def _ask(self, question: _Question[_Answer]) -> _Answer:
        if self._url is not None:
            require_database(self._url)
        with explained(self._timeout), self._engine.connect() as connection:
            return question(connection)

    def close(self) -> None:
        """Close the connections that are kept; the next question opens one again. A caller's engine stays open."""
        if self._url is not None:
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncQuery:
    """Questions to one database, with await; arguments and errors are those of `Query`.

    A connection is made for each question, unless the URL names a `pool_size`: then `close()` it before its event loop
    ends.
    """

    def __init__(self, database: str | URL | AsyncEngine, *, schema: str | None = None, timeout: float = 60.0) -> None:
        self._url = None if isinstance(database, AsyncEngine) else database
        self._engine = database if isinstance(database, AsyncEngine) else async_reader(database, schema, timeout)
        self._timeout = timeout

    async def polars_from_db(
        self, sql: str | None = None, params: Parameters | None = None, **filters: Unpack[Filters]
    ) -> pl.DataFrame:
        """As the function `polars_from_db`, from this database."""
        return await self._ask(_frame_question(sql, params, filters, self._timeout))

    async def query_db(self, sql: str, params: Parameters | None = None) -> list[dict[str, Any]]:
        """As the function `query_db`, from this database."""
        return await self._ask(lambda connection: read_rows(connection, sql, params, self._timeout))

    async def _ask(self, question: _Question[_Answer]) -> _Answer:
        if self._url is not None:
            require_database(self._url)
        with explained(self._timeout):
            async with self._engine.connect() as connection:
                return await connection.run_sync(question)

    async def close(self) -> None:
        """Close the connections that are kept. A caller's engine stays open."""
        if self._url is not None:
            await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def polars_from_db(
    sql: str | None = None,
    params: Parameters | None = None,
    *,
    db_uri: str | None = None,
    **filters: Unpack[Filters],
) -> pl.DataFrame:
    """Read operations, or the answer to any SELECT, into a Polars frame.

    Args:
        sql: one statement that reads; without it, one row per operation, chronological, with its session's
            `session_key`, `workspace` and `agent_id`.
        params: a mapping for `:name`, or a sequence for `?`.
        db_uri: database URL; default: the settings.
        **filters: see `otel_llm_sql.query.Filters`; not together with `sql`.

    Returns:
        Ids as String, times as `Datetime("us", "UTC")`, tokens and milliseconds as Int64, cost in US dollars as
        Float64, JSON as String (compact, keys sorted), on every database and also when nothing is found.

    Raises:
        QueryError: a filter is unknown or cannot be that, or the database does not understand the SQL.
        NotReadOnlyError: the SQL is more than one statement that reads.
        QueryTimeoutError: it took longer than the setting `query_timeout`.
        DatabaseUnavailableError: nothing answers, or there is no database yet.
    """
    return _sync(db_uri).polars_from_db(sql, params, **filters)


def query_db(sql: str, params: Parameters | None = None, *, db_uri: str | None = None) -> list[dict[str, Any]]:
    """Read the answer to any SELECT as a list with a mapping for each row.

    Values are the same on every database: ids and JSON are text, times aware UTC datetimes, counts int, amounts float.
    Arguments and errors are those of `polars_from_db`.
    """
    return _sync(db_uri).query_db(sql, params)


async def apolars_from_db(
    sql: str | None = None,
    params: Parameters | None = None,
    *,
    db_uri: str | None = None,
    **filters: Unpack[Filters],
) -> pl.DataFrame:
    """`polars_from_db` with await, through the async driver."""
    return await _async(db_uri).polars_from_db(sql, params, **filters)


async def aquery_db(sql: str, params: Parameters | None = None, *, db_uri: str | None = None) -> list[dict[str, Any]]:
    """`query_db` with await, through the async driver."""
    return await _async(db_uri).query_db(sql, params)


def _frame_question(
    sql: str | None, params: Parameters | None, filters: Filters, timeout: float
) -> _Question[pl.DataFrame]:
    """Read the arguments before anything connects."""
    if sql is not None:
        if filters:
            raise QueryError(f"SQL and filters ({', '.join(filters)}) exclude each other: put them into the SQL")
        return lambda connection: read_frame(connection, sql, params, timeout)
    if params is not None:
        raise QueryError("params belong to SQL, and there is none")
    chosen = selection(**filters)
    return lambda connection: read_operations(connection, chosen, timeout)


def _sync(db_uri: str | None) -> Query:
    settings = load(url=db_uri)
    return _query(settings.url, settings.schema, settings.query_timeout)


def _async(db_uri: str | None) -> AsyncQuery:
    settings = load(url=db_uri)
    return _async_query(settings.async_url or settings.url, settings.schema, settings.query_timeout)


@lru_cache(maxsize=16)
def _query(url: str, schema: str | None, timeout: float) -> Query:
    return Query(url, schema=schema, timeout=timeout)


@lru_cache(maxsize=16)
def _async_query(url: str, schema: str | None, timeout: float) -> AsyncQuery:
    return AsyncQuery(url, schema=schema, timeout=timeout)
