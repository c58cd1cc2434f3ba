"""One frozen Settings, read once: from arguments, then the environment, then defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set.

    Attributes:
        url: database URL for writing and for sync queries, as given; it may hold pool settings in its query string.
        async_url: database URL for async queries, as given.
        schema: PostgreSQL schema that holds the tables, None for the connection's default.
        capture_content: False stores messages without their content.
        workspace: workspace for sessions whose telemetry names none.
        prices: path of a file with the user's own prices, None for the catalogue alone.
        timeout: seconds one export may take, retries included.
        backlog_bytes: how much telemetry is kept in memory while the database does not take it.
        query_timeout: seconds a query may take.
    """

    url: str
    async_url: str | None = None
    schema: str | None = None
    capture_content: bool = True
    workspace: str | None = None
    prices: str | None = None
    timeout: float = 10.0
    backlog_bytes: int = 64 * 1024 * 1024
    query_timeout: float = 60.0
