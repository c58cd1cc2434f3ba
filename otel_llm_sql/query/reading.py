"""The two ways to ask, as sync functions of a SQLAlchemy connection; the async side runs them by `run_sync`.

Raw SQL goes to the driver as it is. Where a driver would send several statements at once, SQL with a semicolon inside
goes as a value to a server-side cursor, which takes one statement only: the wall does not rest on our reading of SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from otel_llm_sql.errors import NotReadOnlyError, QueryError
from otel_llm_sql.query.canonical import canonical_all
from otel_llm_sql.query.columns import Column, fetched, typed
from otel_llm_sql.query.failures import explained
from otel_llm_sql.query.filters import ORDER, Selection
from otel_llm_sql.query.parameters import Parameters, bind, plain
from otel_llm_sql.query.rules import require_read_only
from otel_llm_sql.query.sessions import ReadSession, reading, say
from otel_llm_sql.query.tokens import tokenize
from otel_llm_sql.schema.tables import messages

if TYPE_CHECKING:
    import polars as pl

_SEVERAL = frozenset({"psycopg2", "psycopg"})
"""Drivers that send the text of several statements to PostgreSQL, which runs them all."""
_REMEMBER = "SELECT set_config('otel_llm_sql.statement', {}, true)"
_OPEN = (
    "DO $otel$ DECLARE answer refcursor := 'otel_llm_sql_answer';"
    " BEGIN OPEN answer NO SCROLL FOR EXECUTE current_setting('otel_llm_sql.statement'); END $otel$"
)
_FETCH = "FETCH ALL FROM otel_llm_sql_answer"


def read_columns(connection: sa.Connection, sql: str, parameters: Parameters | None, timeout: float) -> list[Column]:
    """Ask one question in SQL.

    Args:
        connection: one without a transaction.
        sql: one statement that reads.
        parameters: a mapping for `:name`, a sequence for `?`; None where there are none.
        timeout: seconds it may take.

    Raises:
        NotReadOnlyError: it is more than a question.
        QueryTimeoutError: it took too long.
        DatabaseUnavailableError: nothing answers.
        QueryError: the database does not understand it.
    """
    with explained(timeout), reading(connection, timeout) as session:
        text, values = _prepared(connection, session, sql, parameters)
        result = _execute(connection, text, values)
        if not result.returns_rows:
            raise NotReadOnlyError("the SQL returns no rows: only one statement that reads is allowed")
        cursor: Any = result.cursor
        return typed(cursor.description, fetched(cursor), connection.dialect.name)


def read_rows(
    connection: sa.Connection, sql: str, parameters: Parameters | None, timeout: float
) -> list[dict[str, Any]]:
    """`read_columns` as a mapping for each row."""
    columns = read_columns(connection, sql, parameters, timeout)
    names = [column.name for column in columns]
    values = (canonical_all(c.values, long_numbers=True) if c.kind == "json" else c.values for c in columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def read_frame(connection: sa.Connection, sql: str, parameters: Parameters | None, timeout: float) -> pl.DataFrame:
    """`read_columns` as a frame."""
    from otel_llm_sql.query.frames import frame

    return frame(read_columns(connection, sql, parameters, timeout))


def read_operations(connection: sa.Connection, selection: Selection, timeout: float) -> pl.DataFrame:
    """Read the chosen operations, and the texts of their messages where they are wanted; raises as `read_columns`."""
    from otel_llm_sql.query.frames import in_order, joined_texts
    from otel_llm_sql.query.routes import read

    with explained(timeout), reading(connection, timeout):
        operations = read(connection, selection.selected, selection.statement)
        if selection.texts:
            contents = {"message_id": messages.c.message_id, "content": messages.c.content}
            operations = joined_texts(operations, read(connection, contents, selection.contents))
    return in_order(operations, ORDER).select(selection.columns)


def _prepared(
    connection: sa.Connection, session: ReadSession, sql: str, parameters: Parameters | None
) -> tuple[str, tuple[Any, ...]]:
    """The statement as the driver takes it, once it is known to be one that reads."""
    if not isinstance(sql, str):
        raise QueryError(f"SQL text is expected, {type(sql).__name__} was given")
    tokens = tokenize(sql, session.lexis(connection, sql))
    require_read_only(tokens, session.rules)
    while tokens and (tokens[-1].kind == "space" or tokens[-1].text == ";"):
        tokens.pop()
    if not parameters:
        return "".join(token.text for token in tokens), ()
    text, values = bind(tokens, parameters, connection.dialect.paramstyle)
    return text, tuple(plain(value, native=session.native, aware=session.aware) for value in values)


def _execute(connection: sa.Connection, sql: str, values: Sequence[Any]) -> sa.CursorResult[Any]:
    several = connection.dialect.driver in _SEVERAL
    if several and values and connection.dialect.driver == "psycopg2":
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as composer:
            sql, values = composer.mogrify(sql, tuple(values)).decode(), ()
    if several and not values and ";" in sql:
        return _execute_alone(connection, sql)
    if values:
        return connection.exec_driver_sql(sql, tuple(values))
    return say(connection, sql)


def _execute_alone(connection: sa.Connection, sql: str) -> sa.CursorResult[Any]:
    connection.execute(sa.text(_REMEMBER.format(":sql")), {"sql": sql})
    say(connection, _OPEN)
    return say(connection, _FETCH)
