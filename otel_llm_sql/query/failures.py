"""What a driver raises, as an error of ours that says what to do. The one place where that is translated.

A message quotes the database's own words only where they are about the SQL; never a URL, a parameter or a stored value.
What databases say of values ("invalid input syntax for type integer: ...") quotes prompts.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from otel_llm_sql.errors import DatabaseUnavailableError, LlmSqlError, NotReadOnlyError, QueryError, QueryTimeoutError
from otel_llm_sql.masking import mask_all

_TIMEOUT = frozenset({"57014", 1969, 3024, 2013, sqlite3.SQLITE_INTERRUPT})
_READ_ONLY = frozenset({"25006", 1792, 1290, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY})
_NO_TABLE = frozenset({"42P01", 1146})
_UNREACHABLE = ("08", "57P", "28")
_UNREACHABLE_NUMBERS = frozenset({1040, 1044, 1045, 1049, 2002, 2003, 2005, 2006, sqlite3.SQLITE_CANTOPEN})
_ABOUT_SQL = "42"
"""The class of PostgreSQL's errors about syntax and names."""
_ABOUT_SQL_NUMBERS = frozenset({1046, 1049, 1052, 1054, 1055, 1064, 1066, 1109, 1140, 1142, 1143, 1146, 1222, 1248})
_ABOUT_SQL_NUMBERS |= {1128, 1305, 1370, 1630}
_SQLITE_SAYS = re.compile(
    r"(?:no such (?:table|column|function|collation sequence)|ambiguous column name): (.+)"
    r"|near \"(.+)\": syntax error|unrecognized token: \"(.+)\""
)
_RAISED = ("P0", "38", "39")
_RAISED_NUMBERS = frozenset({1644})
"""What functions that somebody installed say: their words may be anything."""
_VALUE = re.compile(r"[\"'`:\u00ab\u00bb\u2018-\u201f\u2039\u203a\u300c\u300e].*", re.DOTALL)
"""From where a message may quote a value, also in other languages."""
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
        # The driver's error quotes values: where a statement ran it is no cause that a traceback may show.
        raise _ours(error, timeout) from (error if error.statement is None else None)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DatabaseUnavailableError(f"the database is not reachable: {reason}") from error
    except (sqlite3.Error, OverflowError, ValueError) as error:
        raise QueryError(f"the database driver says: {_kind(error)} ({type(error).__name__})") from None
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
    said = _primary(error)
    if (code in _NO_TABLE or said.startswith("no such table")) and "llm_" in said:
        return QueryError(f"{_NO_TABLES_YET} (the database says: {words})")
    lost = error.connection_invalidated or code in _UNREACHABLE_NUMBERS or str(code).startswith(_UNREACHABLE)
    broken = code is None and isinstance(error, sa.exc.OperationalError) and not isinstance(error.orig, sqlite3.Error)
    if lost or broken:
        return DatabaseUnavailableError(f"the database is not reachable: {words}")
    return QueryError(f"the database refused the SQL: {words}")


def _words(error: sa.exc.DBAPIError) -> str:
    """What the database said, on one line, without what is secret in a URL and without values."""
    said, code = _primary(error), code_of(error)
    if error.statement is None or _is_about_sql(error, said, code):
        texts = (" ".join(text.split()) for text in (said, _field(error, "hint")))
        return mask_all("; ".join(filter(None, texts)))
    if str(code).startswith(_RAISED) or code in _RAISED_NUMBERS:
        said = "a function raised an error"
    return f"{_kind(said) or type(error.orig).__name__}{_numbered(error, code)}"


def _is_about_sql(error: sa.exc.DBAPIError, said: str, code: str | int | None) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        found = _SQLITE_SAYS.fullmatch(said)
        return found is not None and next(filter(None, found.groups())) in (error.statement or "")
    # PostgreSQL says where in the SQL; without that place it may be a value that was read as a name, or as a language.
    return code in _ABOUT_SQL_NUMBERS or (str(code).startswith(_ABOUT_SQL) and bool(_field(error, "position")))


def _primary(error: sa.exc.DBAPIError) -> str:
    """The message alone: PostgreSQL's details, context and lines quote values."""
    if primary := _field(error, "message"):
        return primary
    number, text = (*getattr(error.orig, "args", ()), None, None)[:2]  # MySQL's
    return text if isinstance(number, int) and isinstance(text, str) else str(error.orig)


def _field(error: sa.exc.DBAPIError, name: str) -> str:
    """A field of PostgreSQL's answer: psycopg has them in `diag`, asyncpg on its own error, SQLAlchemy's cause."""
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        return str(getattr(diagnosis, _DIAGNOSES[name], None) or "")
    return str(getattr(getattr(error.orig, "__cause__", None), name, None) or "")


_DIAGNOSES = {"message": "message_primary", "hint": "message_hint", "position": "statement_position"}


def _kind(said: object) -> str:
    """The first words: what kind of error it is, before any value."""
    return " ".join(_VALUE.sub("", str(said)).split())


def _numbered(error: sa.exc.DBAPIError, code: str | int | None) -> str:
    if code is None or isinstance(error.orig, sqlite3.Error):
        return ""
    return f" (SQLSTATE {code})" if isinstance(code, str) else f" (error {code})"


def code_of(error: sa.exc.DBAPIError) -> str | int | None:
    """SQLSTATE on PostgreSQL, error number on MySQL, result code on SQLite; None where there is none."""
    origin = error.orig
    if (code := getattr(origin, "sqlite_errorcode", None)) is not None:
        return int(code) & 0xFF  # without the extended part
    if origin is not None and origin.args and isinstance(origin.args[0], int):
        return origin.args[0]
    state = getattr(origin, "pgcode", None) or getattr(origin, "sqlstate", None)
    return str(state) if state else None
