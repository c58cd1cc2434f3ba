"""What a driver raises, as an error of ours that says what to do. The one place where that is translated.

A message quotes the database's own words, never a URL and never a parameter.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from otel_llm_sql.errors import DatabaseUnavailableError, LlmSqlError, NotReadOnlyError, QueryError, QueryTimeoutError

_TIMEOUT = frozenset({"57014", 1969, 3024, 2013, sqlite3.SQLITE_INTERRUPT})
_READ_ONLY = frozenset({"25006", 1792, 1290, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY})
_NO_TABLE = frozenset({"42P01", 1146})
_UNREACHABLE = ("08", "57P", "28")
_UNREACHABLE_NUMBERS = frozenset({1040, 1044, 1045, 1049, 2002, 2003, 2005, 2006, sqlite3.SQLITE_CANTOPEN})
_NO_TABLES_YET = (
    "nothing has been written there yet: the first exported span or `otel-llm-sql migrate` makes the tables"
)


@contextmanager
def explained(timeout: float) -> Iterator[None]:
    """Turn what drivers and SQLAlchemy raise inside into errors of ours.

    Raises:
        QueryTimeoutError: the statement, or waiting for a connection, took longer than `timeout` seconds.
        NotReadOnlyError: the database refused to write.
        DatabaseUnavailableError: nothing answers, or it lets nobody in.
        QueryError: everything else the database says.
    """
    try:
        yield
    except LlmSqlError:
        raise
    except (TimeoutError, sa.exc.TimeoutError) as error:
        raise _too_long(timeout) from error
    except sa.exc.DBAPIError as error:
        raise _ours(error, timeout) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DatabaseUnavailableError(f"the database is not reachable: {reason}") from error
    except (sqlite3.Error, OverflowError, ValueError) as error:
        raise QueryError(f"the database driver says: {error}") from error
    except sa.exc.SQLAlchemyError as error:
        raise DatabaseUnavailableError(f"no connection ({type(error).__name__})") from error


def _too_long(timeout: float) -> QueryTimeoutError:
    advice = "ask for less (limit, start_date), or raise the timeout"
    return QueryTimeoutError(f"no answer within {timeout:g} seconds: {advice}")


def _ours(error: sa.exc.DBAPIError, timeout: float) -> LlmSqlError:
    code, words = code_of(error), _words(error)
    if code in _TIMEOUT or isinstance(getattr(error.orig, "__cause__", None), TimeoutError):
        return _too_long(timeout)
    if code in _READ_ONLY:
        return NotReadOnlyError(f"only reading is allowed; the database says: {words}")
    if (code in _NO_TABLE or words.startswith("no such table")) and "llm_" in words:
        return QueryError(f"{_NO_TABLES_YET} (the database says: {words})")
    lost = error.connection_invalidated or code in _UNREACHABLE_NUMBERS or str(code).startswith(_UNREACHABLE)
    if lost or (code is None and isinstance(error, sa.exc.OperationalError)):
        return DatabaseUnavailableError(f"the database is not reachable: {words}")
    return QueryError(f"the database refused the SQL: {words}")


def _words(error: sa.exc.DBAPIError) -> str:
    """What the database said, on one line, without what stands before the @ of a URL."""
    return re.sub(r"://\S*@", "://***@", " ".join(str(error.orig).split()))


def code_of(error: sa.exc.DBAPIError) -> str | int | None:
    """SQLSTATE on PostgreSQL, error number on MySQL, result code on SQLite; None where there is none."""
    origin = error.orig
    if (code := getattr(origin, "sqlite_errorcode", None)) is not None:
        return int(code) & 0xFF  # without the extended part
    if origin is not None and origin.args and isinstance(origin.args[0], int):
        return origin.args[0]
    state = getattr(origin, "pgcode", None) or getattr(origin, "sqlstate", None)
    return str(state) if state else None
