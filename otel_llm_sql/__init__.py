"""OpenTelemetry exporter and SQL sink for LLM telemetry. Importing it is cheap: each name is loaded when it is used."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_llm_sql.collector import LlmOperationCollector
    from otel_llm_sql.context import session
    from otel_llm_sql.errors import (
        DatabaseUnavailableError,
        DriverMissingError,
        LlmSqlError,
        NotReadOnlyError,
        QueryError,
        QueryTimeoutError,
        RejectedRowsError,
        SchemaError,
        SettingsError,
        StoreError,
    )
    from otel_llm_sql.exporter import LlmSqlLogExporter, LlmSqlSpanExporter
    from otel_llm_sql.query import AsyncQuery, Query, apolars_from_db, aquery_db, polars_from_db, query_db
    from otel_llm_sql.settings import Settings

    __version__: str

__all__ = [
    "AsyncQuery",
    "DatabaseUnavailableError",
    "DriverMissingError",
    "LlmOperationCollector",
    "LlmSqlError",
    "LlmSqlLogExporter",
    "LlmSqlSpanExporter",
    "NotReadOnlyError",
    "Query",
    "QueryError",
    "QueryTimeoutError",
    "RejectedRowsError",
    "SchemaError",
    "Settings",
    "SettingsError",
    "StoreError",
    "__version__",
    "apolars_from_db",
    "aquery_db",
    "polars_from_db",
    "query_db",
    "session",
]

_ROOMS = {
    "collector": ("LlmOperationCollector",),
    "context": ("session",),
    "exporter": ("LlmSqlLogExporter", "LlmSqlSpanExporter"),
    "query": ("AsyncQuery", "Query", "apolars_from_db", "aquery_db", "polars_from_db", "query_db"),
    "settings": ("Settings",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version("otel-llm-sql")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
