"""Asking the database: rows and Polars frames, by filters or by SQL, sync and async, and never writing.

Polars loads when the first frame is made.
"""

from __future__ import annotations

from otel_llm_sql.query.client import AsyncQuery, Query, apolars_from_db, aquery_db, polars_from_db, query_db
from otel_llm_sql.query.filters import Filters

__all__ = ["AsyncQuery", "Filters", "Query", "apolars_from_db", "aquery_db", "polars_from_db", "query_db"]
