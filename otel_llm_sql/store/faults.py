"""What a database error means for the rows: try again, bring the schema up, or isolate the row that is refused.

Classified by SQLSTATE or error number, not by Python class: drivers disagree on classes. Messages name the class and
the code alone, because servers quote values (prompts) in theirs.
"""

from __future__ import annotations

import re
import sqlite3

import sqlalchemy as sa
from sqlalchemy import exc

from otel_llm_sql.errors import (
    AccessDeniedError,
    DatabaseUnavailableError,
    RejectedRowsError,
    SchemaError,
    StoreError,
)

# PostgreSQL: connection (08), rollbacks (40), resources (53), operator intervention (57P), lock not available, our own
# statement timeout, and a server that became read-only.
_TRANSIENT_STATES = ("08", "40", "53", "57P", "55P03", "57014", "25006", "58")
_SQLSTATE_LENGTH = 5
_MISSING_STATES = ("42P01", "42703", "3F000")
_CONFLICT_STATES = ("23505", "23503")
_DENIED_STATES = ("28", "3D000", "42501")

# What psycopg says without a SQLSTATE when PostgreSQL lets it not in; in other languages it is taken for a lost one.
_DENIED_WORDS = re.compile(r'password authentication failed|no pg_hba\.conf entry|(role|database) ".*" does not exist')

# MariaDB and MySQL: lock timeouts, deadlocks, lost connections, too many connections, read-only, disk full, timeouts.
_TRANSIENT_NUMBERS = frozenset(
    {1020, 1021, 1040, 1041, 1053, 1129, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1290, 1317, 1792, 1836, 1927}
    | {1028, 1114, 1180, 1969, 2002, 2003, 2006, 2013, 2055, 3024, 4031}
)
_LOST_NUMBERS = frozenset({2002, 2003, 2006, 2013, 2055})
_MISSING_NUMBERS = frozenset({1146, 1054})
_DENIED_NUMBERS = frozenset({1044, 1045, 1049, 1130, 1142, 1143, 1227, 1370, 1698})
_CONFLICT_NUMBERS = frozenset({1062, 1451, 1452})

_TRANSIENT_SQLITE = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY"})
_TRANSIENT_SQLITE |= {"SQLITE_CANTOPEN", "SQLITE_PROTOCOL", "SQLITE_INTERRUPT", "SQLITE_NOMEM"}


_NO_DATABASE_SQLITE = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


class ConflictError(DatabaseUnavailableError):
    """Another writer put in the same key: to be resolved anew."""


def translated(error: Exception) -> StoreError:
    """Our error for an error of SQLAlchemy or of a driver."""
    if isinstance(error, exc.TimeoutError):
        return DatabaseUnavailableError(
            "no connection was free in the pool: raise pool_size or pool_timeout in the URL"
        )
    original = getattr(error, "orig", None) or error
    code, what = _code(original), named(error)
    if _is_denied(original, code):
        return AccessDeniedError(
            f"{what}: the user may not connect or write: check user, password and database of the URL,"
            " and whether CREATE, SELECT, INSERT, UPDATE and DELETE are granted"
        )
    if _is_missing(original, code):
        return SchemaError(
            f"{what}: the tables are not there, or not those of this version: run `otel-llm-sql migrate --db-uri URL`"
        )
    if _is_conflict(original, code):
        return ConflictError(f"{what}: another writer stored the same key")
    if _is_transient(error, original, code):
        return DatabaseUnavailableError(f"{what}: {_state(original, code)}")
    return RejectedRowsError(f"{what}: the database refuses these rows")


def named(error: Exception) -> str:
    """Class and code of a driver's error: all of it that cannot quote a value."""
    original = getattr(error, "orig", None) or error
    code = _code(original)
    return f"{type(original).__name__}{f' {code}' if code else ''}"


def _state(original: BaseException, code: str) -> str:
    """What is the matter with a database that takes nothing now."""
    if code.startswith(_NO_DATABASE_SQLITE):
        return "the file is no SQLite database, or it is damaged"
    if _number(code) in _LOST_NUMBERS or not (code or isinstance(original, sqlite3.Error)):
        return "there is no connection to the database"
    return "the database does not take rows now"


def _code(original: BaseException) -> str:
    # MySQL's number goes first: newer drivers have a SQLSTATE beside it, which says HY000 for most of them. PyMySQL's 0
    # is no number: the connection is closed.
    number = original.args[0] if original.args else None
    if isinstance(number, int) and number and not isinstance(original, OSError):
        return str(number)
    states = (getattr(original, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorname"))
    return next((state for state in states if isinstance(state, str)), "")


def _number(code: str) -> int | None:
    """MySQL's error number; None for a SQLSTATE, which has five characters, all of them digits in some."""
    return int(code) if code.isdecimal() and len(code) < _SQLSTATE_LENGTH else None


def _is_denied(original: BaseException, code: str) -> bool:
    if code:
        return _number(code) in _DENIED_NUMBERS or (not _number(code) and code.startswith(_DENIED_STATES))
    return not isinstance(original, sqlite3.Error) and _DENIED_WORDS.search(str(original)) is not None


def _is_missing(original: BaseException, code: str) -> bool:
    if isinstance(original, sqlite3.OperationalError):
        return "no such table" in str(original) or "has no column" in str(original) or "no such column" in str(original)
    return code in _MISSING_STATES or _number(code) in _MISSING_NUMBERS


def _is_conflict(original: BaseException, code: str) -> bool:
    if isinstance(original, sqlite3.IntegrityError):
        return code in ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_FOREIGNKEY")
    return code in _CONFLICT_STATES or _number(code) in _CONFLICT_NUMBERS


def _is_transient(error: Exception, original: BaseException, code: str) -> bool:
    if isinstance(original, sqlite3.Error):
        return code.startswith((*_TRANSIENT_SQLITE, *_NO_DATABASE_SQLITE))
    if code:
        return _number(code) in _TRANSIENT_NUMBERS or (not _number(code) and code.startswith(_TRANSIENT_STATES))
    # No code at all: the connection broke before the server could say anything.
    lost = isinstance(error, exc.OperationalError | exc.InterfaceError) or getattr(
        error, "connection_invalidated", False
    )
    return lost or isinstance(original, OSError) or isinstance(error, sa.exc.ResourceClosedError)
