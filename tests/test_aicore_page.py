"""AiCore's pages on SQL integration and on the collector, followed line by line with our import."""

from __future__ import annotations

import asyncio
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from otel_llm_sql.collector import LlmOperationCollector, query_db
from otel_llm_sql.schema import tables
from otel_llm_sql.store.engines import create_engine

ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "mariadb": "mysql+aiomysql"}

PAGE_COLUMNS = {
    "llm_sessions": ["session_id", "workspace", "agent_id", "created_at", "metadata"],
    "llm_operations": [
        *("operation_id", "session_id", "action_id", "timestamp", "operation_type", "provider", "model"),
        *("input_tokens", "output_tokens", "latency_ms", "cost", "status", "error_message", "extras"),
    ],
    "llm_messages": ["message_id", "operation_id", "role", "content", "sequence_number"],
}

COST_ANALYSIS = """
    SELECT
        provider,
        SUM(cost) as total_cost,
        COUNT(*) as request_count,
        AVG(latency_ms) as avg_latency
    FROM llm_operations
    GROUP BY provider
    ORDER BY total_cost DESC
    """

SESSION_ANALYSIS = """
    SELECT
        s.workspace,
        s.agent_id,
        COUNT(o.operation_id) as operation_count,
        SUM(o.cost) as total_cost
    FROM llm_sessions s
    JOIN llm_operations o ON s.session_id = o.session_id
    GROUP BY s.workspace, s.agent_id
    """

ERROR_ANALYSIS = """
    SELECT
        provider,
        model,
        error_message,
        COUNT(*) as error_count
    FROM llm_operations
    WHERE status = 'error'
    GROUP BY provider, model, error_message
    ORDER BY error_count DESC
    """


@pytest.fixture
def async_url(url: str, kind: str) -> str:
    """The same database with the async driver in the URL, as the page writes it."""
    return ASYNC_DRIVERS[kind] + url[url.index("://") :]


@pytest.fixture
def collector(url: str, async_url: str, monkeypatch: pytest.MonkeyPatch) -> LlmOperationCollector:
    """A database with four recorded calls, named by the page's environment variables."""
    monkeypatch.setenv("CONNECTION_STRING", url)
    monkeypatch.setenv("ASYNC_CONNECTION_STRING", async_url)
    collector = LlmOperationCollector(db_uri=url, async_db_uri=async_url)
    _record(collector, "openai", "gpt-4o", cost=0.5)
    _record(collector, "openai", "gpt-4o", cost=0.25)
    _record(collector, "anthropic", "claude-sonnet-4-5", cost=0.125)
    _record(collector, "openai", "gpt-4o", cost=0.0, response=None, error_message="Rate limit reached")
    return collector


def _record(collector: LlmOperationCollector, provider: str, model: str, **given: Any) -> None:
    arguments: dict[str, Any] = {
        "completion_args": {"model": model, "messages": [{"role": "user", "content": "Hello"}], "temperature": 0.7},
        "operation_type": "completion",
        "provider": provider,
        "response": {
            "choices": [{"message": {"content": "Hi there!"}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 5},
        },
        "session_id": "page",
        "workspace": "docs",
        "agent_id": "reader",
        "latency_ms": 1200,
        "extras": {"project": "marketing"},
    }
    collector.record_completion(**arguments | given)


def test_the_tables_of_the_page_are_there(collector: LlmOperationCollector, url: str) -> None:
    """Three tables with the page's columns, primary keys, foreign keys and indexes."""
    inspector = sa.inspect(create_engine(url))
    for table, columns in PAGE_COLUMNS.items():
        assert set(columns) <= {column["name"] for column in inspector.get_columns(table)}
        assert inspector.get_pk_constraint(table)["constrained_columns"] == columns[:1]
    assert {key["referred_table"] for key in inspector.get_foreign_keys("llm_operations")} == {"llm_sessions"}
    assert {key["referred_table"] for key in inspector.get_foreign_keys("llm_messages")} == {"llm_operations"}
    indexes = {index["name"] for index in inspector.get_indexes("llm_operations")}
    assert {"idx_llm_operations_timestamp", "idx_llm_operations_provider"} <= indexes


def test_basic_query(collector: LlmOperationCollector) -> None:
    """On the class: everything, and what the page's filters leave."""
    df = LlmOperationCollector.polars_from_db()
    assert isinstance(df, pl.DataFrame)
    assert df.height == 4
    assert set(df["workspace"]) == {"docs"}
    assert set(df["agent_id"]) == {"reader"}
    filtered_df = LlmOperationCollector.polars_from_db(
        start_date="2023-01-01", end_date="2099-12-31", provider="openai", min_tokens=100
    )
    assert filtered_df["cost"].sort().to_list() == [0.25, 0.5]
    before = LlmOperationCollector.polars_from_db(start_date="2023-01-01", end_date="2023-12-31")
    assert (before.height, before.columns) == (0, df.columns)


def test_cost_analysis(collector: LlmOperationCollector) -> None:
    """`query_db` with the page's statement: one mapping per provider."""
    results = query_db(COST_ANALYSIS)
    found = [(r["provider"], float(r["total_cost"]), r["request_count"], float(r["avg_latency"])) for r in results]
    assert found == [("openai", 0.75, 3, 1200.0), ("anthropic", 0.125, 1, 1200.0)]


def test_session_analysis(collector: LlmOperationCollector) -> None:
    """The join of the page."""
    results = query_db(SESSION_ANALYSIS)
    found = [(r["workspace"], r["agent_id"], r["operation_count"], float(r["total_cost"])) for r in results]
    assert found == [("docs", "reader", 4, 0.875)]


def test_error_analysis(collector: LlmOperationCollector) -> None:
    """`polars_from_db` with SQL, on the class."""
    error_df = LlmOperationCollector.polars_from_db(ERROR_ANALYSIS)
    assert error_df.rows() == [("openai", "gpt-4o", "Rate limit reached", 1)]


def test_async_queries_answer_the_same(collector: LlmOperationCollector) -> None:
    """The async twins, on the class through ASYNC_CONNECTION_STRING and on the instance."""

    async def ask() -> tuple[pl.DataFrame, list[Any]]:
        return await LlmOperationCollector.apolars_from_db(provider="openai"), list(
            await collector.aquery_db(COST_ANALYSIS)
        )

    frame, rows = asyncio.run(ask())
    assert frame.height == 3
    assert [row["request_count"] for row in rows] == [3, 1]


def test_pool_sizes_in_the_url(collector: LlmOperationCollector, url: str) -> None:
    """The page's query string is taken, and not sent to the driver."""
    pooled = LlmOperationCollector(db_uri=f"{url}?pool_size=20&max_overflow=10")
    assert pooled.polars_from_db().height == 4


def test_messages_are_rows(collector: LlmOperationCollector) -> None:
    """The page's third table: question and answer, in order."""
    results = query_db("SELECT DISTINCT role, content, sequence_number FROM llm_messages ORDER BY sequence_number")
    assert [(r["role"], r["content"]) for r in results][:2] == [("user", "Hello"), ("assistant", "Hi there!")]


def test_schema_management(url: str) -> None:
    """Tables by hand, their version, and the migration that finds nothing to do."""
    collector = LlmOperationCollector(db_url=url)
    collector.create_tables()
    assert collector.get_schema_version() == tables.VERSION
    collector.migrate_schema()
    assert collector.get_schema_version() == tables.VERSION
