"""The environment variables that set the exporters, one name each, whose value is the name itself.

`opentelemetry-instrument` reads this module and offers every name as an option: `--exporter_llm_sql_url` and so on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection

_logger = logging.getLogger(__name__)
_told: set[str] = set()


def warn_of_unknown(prefix: str, known: Collection[str]) -> None:
    """Say once which variables begin as ours do and are none: who misspells one believes it to hold.

    Args:
        prefix: what the names of ours begin with.
        known: all of them.
    """
    for name in sorted(name for name in os.environ if name.startswith(prefix) and name not in known):
        # Kubernetes tells of a service that is called as we are in variables that begin as ours do.
        if name not in _told and not name.removeprefix(prefix).startswith(("SERVICE_", "PORT")):
            _told.add(name)
            _logger.warning("unknown environment variable %s is ignored; known are: %s", name, ", ".join(known))


OTEL_EXPORTER_LLM_SQL_URL = "OTEL_EXPORTER_LLM_SQL_URL"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_URL

Database URL for writing and for sync queries: `sqlite:///llm.db`, `postgresql://user:password@host/name`,
`mysql://...`, `mariadb://...`, or any SQLAlchemy URL. `?pool_size=5&max_overflow=2` sets the pool.
Default: the URL in `CONNECTION_STRING`, else a SQLite file in the user's data directory.
"""

OTEL_EXPORTER_LLM_SQL_ASYNC_URL = "OTEL_EXPORTER_LLM_SQL_ASYNC_URL"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_ASYNC_URL

Database URL for async queries. Default: the same database as `OTEL_EXPORTER_LLM_SQL_URL`, through an async driver.
"""

OTEL_EXPORTER_LLM_SQL_SCHEMA = "OTEL_EXPORTER_LLM_SQL_SCHEMA"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_SCHEMA

PostgreSQL schema that holds the tables. Default: the connection's own.
"""

OTEL_EXPORTER_LLM_SQL_CAPTURE_CONTENT = "OTEL_EXPORTER_LLM_SQL_CAPTURE_CONTENT"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_CAPTURE_CONTENT

`true` stores what messages say; `false` does not; `hash` stores a hash of each text in its place; `redacted` stores
texts without personal data and secrets. Default: `true`.
"""

OTEL_EXPORTER_LLM_SQL_HASH_KEY = "OTEL_EXPORTER_LLM_SQL_HASH_KEY"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_HASH_KEY

A secret: with it the hashes of `CAPTURE_CONTENT=hash` are HMACs, from which short texts cannot be guessed.
"""

OTEL_EXPORTER_LLM_SQL_REDACT_PATTERNS = "OTEL_EXPORTER_LLM_SQL_REDACT_PATTERNS"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_REDACT_PATTERNS

A regular expression, or a JSON list of them, for what `CAPTURE_CONTENT=redacted` replaces beside what it knows.
"""

OTEL_EXPORTER_LLM_SQL_CAPTURE_MEDIA = "OTEL_EXPORTER_LLM_SQL_CAPTURE_MEDIA"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_CAPTURE_MEDIA

`true` keeps the bytes of inline images, audio and files beside their size and SHA-256. Default: `false`.
"""

OTEL_EXPORTER_LLM_SQL_WORKSPACE = "OTEL_EXPORTER_LLM_SQL_WORKSPACE"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_WORKSPACE

Workspace of sessions whose telemetry names none.
"""

OTEL_EXPORTER_LLM_SQL_ATTRIBUTES = "OTEL_EXPORTER_LLM_SQL_ATTRIBUTES"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_ATTRIBUTES

Which attributes of yours, on spans or resources, say what `session()` would:
`session_key=app.chat_id,user_id=app.user.id,metadata.tenant=app.tenant`.
Fields: session_key, workspace, agent_id, action_id, user_id, metadata (a JSON object), metadata.KEY.
"""

OTEL_EXPORTER_LLM_SQL_PRICES = "OTEL_EXPORTER_LLM_SQL_PRICES"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_PRICES

Path of a file with your own prices. Default: the catalogue alone.
"""

OTEL_EXPORTER_LLM_SQL_TIMEOUT = "OTEL_EXPORTER_LLM_SQL_TIMEOUT"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_TIMEOUT

Seconds one export may take, retries included. Default: 10.
"""

OTEL_EXPORTER_LLM_SQL_BACKLOG_BYTES = "OTEL_EXPORTER_LLM_SQL_BACKLOG_BYTES"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_BACKLOG_BYTES

How much telemetry, in bytes, is kept in memory while the database does not take it. Default: 67108864 (64 MiB).
"""

OTEL_EXPORTER_LLM_SQL_QUERY_TIMEOUT = "OTEL_EXPORTER_LLM_SQL_QUERY_TIMEOUT"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_QUERY_TIMEOUT

Seconds a query may take. Default: 60.
"""

OTEL_EXPORTER_LLM_SQL_SPOOL = "OTEL_EXPORTER_LLM_SQL_SPOOL"
"""
.. envvar:: OTEL_EXPORTER_LLM_SQL_SPOOL

Directory for telemetry that a process could not store before it ended; the next one stores it. `off` keeps none.
Default: `otel-llm-sql/spool` in the user's data directory.
"""
