"""The tree of things that can go wrong.

A message says what was wrong, what was expected and what to do. It never holds a password or a prompt.
"""

from __future__ import annotations


class LlmSqlError(Exception):
    """Anything this package raises on purpose."""


class SettingsError(LlmSqlError, ValueError):
    """A setting is wrong: which one, what was given, what is allowed."""


class DriverMissingError(SettingsError):
    """The database URL needs a driver that is not installed; the message says what to install."""


class StoreError(LlmSqlError):
    """The database did not take the rows."""


class DatabaseUnavailableError(StoreError):
    """A transient fault (not reachable, busy, full, read-only, timed out): the same rows may succeed later."""


class AccessDeniedError(DatabaseUnavailableError):
    """The database does not let this user in, or not write: once that is granted the same rows succeed."""


class SchemaError(StoreError):
    """The tables are not the version this package writes, or could not be made; nothing is written until they are."""


class RejectedRowsError(StoreError):
    """The database refuses these rows whatever the weather: they are to be isolated, not retried."""


class ReceiverError(LlmSqlError):
    """The receiver cannot serve: what is in the way, and what to do."""


class QueryError(LlmSqlError):
    """A question could not be answered."""


class NotReadOnlyError(QueryError):
    """The SQL would change something, or is more than one statement."""


class QueryTimeoutError(QueryError):
    """The statement ran longer than the query timeout."""
