"""What went wrong, as an exit code and as one line that holds neither password nor prompt."""

from __future__ import annotations

import sqlite3

from otel_llm_sql import errors
from otel_llm_sql.masking import mask_all

FAILURE, USAGE, UNREACHABLE, OUT_OF_DATE = 1, 2, 3, 4

TRACEBACK = "OTEL_LLM_SQL_TRACEBACK"
"""Environment variable: set, a failure ends in its traceback (which may hold prompts and passwords)."""

_CODES: tuple[tuple[type[Exception], int], ...] = (
    (errors.DriverMissingError, FAILURE),
    (errors.SettingsError, USAGE),
    (errors.DatabaseUnavailableError, UNREACHABLE),
    (errors.SchemaError, OUT_OF_DATE),
)
"""The first class that fits gives the code; everything else is a failure."""


def exit_code(error: Exception) -> int:
    """The exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILURE)


def line(error: Exception) -> str:
    """One line for an error. Only our own messages are shown: others may quote rows or URLs."""
    if isinstance(error, errors.LlmSqlError):
        return mask_all(" ".join(str(error).split()))
    if isinstance(error, OSError) and error.strerror and not isinstance(error, sqlite3.Error):
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"unexpected {type(error).__name__} (set {TRACEBACK}=1 to see the traceback)"
