"""The views: the same columns and the same answers on every database."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from otel_llm_sql.schema import tables, versions, views
from otel_llm_sql.schema.types import Timestamp, Uuid
from otel_llm_sql.store.engines import create_engine

pytestmark = pytest.mark.quick


def _id(number: int) -> str:
    return str(uuid.UUID(int=number))


NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)
NEXT_DAY = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
SESSIONS = [
    {"session_id": _id(1), "session_key": "chat-1", "workspace": "shop", "agent_id": "helper", "user_id": "ann"},
    {"session_id": _id(2), "session_key": None, "workspace": None, "agent_id": None, "user_id": None},
    {"session_id": _id(3), "session_key": "empty", "workspace": "shop", "agent_id": None, "user_id": None},
]


def _operation(number: int, session: int, timestamp: datetime, **columns: Any) -> dict[str, Any]:
    row = dict.fromkeys(column.name for column in tables.operations.columns)
    row |= {"operation_id": _id(number), "session_id": _id(session), "timestamp": timestamp}
    return row | {"operation_type": "chat", "status": "ok", "input_messages": 0} | columns


OPERATIONS = [
    _operation(
        *(10, 1, NOON),
        provider="openai",
        model="gpt-4o",
        service_name="api",
        cost=0.25,
        latency_ms=10,
        input_tokens=2**62,
        output_tokens=5,
        cache_read_input_tokens=3,
        cache_write_input_tokens=1,
        reasoning_output_tokens=2,
        message_ids=[_id(20), _id(21), _id(22)],
        input_messages=2,
    ),
    _operation(
        *(11, 1, MIDNIGHT),
        provider="openai",
        model="gpt-4o",
        service_name="api",
        cost=0.5,
        latency_ms=15,
        input_tokens=7,
        message_ids=[_id(20), _id(21), _id(22), _id(20), _id(23)],
        input_messages=4,
    ),
    _operation(12, 1, NEXT_DAY, provider="openai", model="GPT-4o", service_name="api", status="error"),
    _operation(13, 1, NEXT_DAY, operation_type="execute_tool", tool_name="search", message_ids=[]),
    _operation(14, 2, NOON, provider="anthropic", model="claude", status="pending", cost=0.0, latency_ms=0),
    _operation(15, 2, NOON, provider="anthropic", model="Ärger", input_tokens=1, output_tokens=1),
]


@pytest.fixture
def loaded(url: str) -> Iterator[sa.Engine]:
    engine = create_engine(url)
    versions.ensure(engine)
    with engine.begin() as connection:
        seen = {"created_at": NOON, "last_seen_at": NOON}
        connection.execute(tables.sessions.insert(), [row | seen for row in SESSIONS])
        connection.execute(tables.operations.insert(), OPERATIONS)
    yield engine
    engine.dispose()


def _rows(engine: sa.Engine, view: str, **columns: Any) -> list[tuple[Any, ...]]:
    chosen = [sa.column(name, type_) if type_ else sa.column(name) for name, type_ in columns.items()]
    with engine.connect() as connection:
        rows = connection.execute(sa.select(*chosen).select_from(sa.table(view))).all()
        assert set(connection.exec_driver_sql(f"SELECT * FROM {view}").keys()) == set(columns)
    return sorted((tuple(row) for row in rows), key=str)


def test_operation_messages_unfolds_what_a_call_sent_and_got(loaded: sa.Engine) -> None:
    """One row per message of a call, repeated history included, in order, told apart by direction."""
    columns = {"operation_id": Uuid, "sequence_number": None, "message_id": Uuid, "direction": None}
    assert _rows(loaded, "llm_operation_messages", **columns) == [
        *[(_id(10), 0, _id(20), "input"), (_id(10), 1, _id(21), "input"), (_id(10), 2, _id(22), "output")],
        *[(_id(11), 0, _id(20), "input"), (_id(11), 1, _id(21), "input"), (_id(11), 2, _id(22), "input")],
        *[(_id(11), 3, _id(20), "input"), (_id(11), 4, _id(23), "output")],
    ]


def test_session_summary(loaded: sa.Engine) -> None:
    """Sums per session; models distinct, case kept, in code point order; a session without operations counts none."""
    names = ("session_key", "workspace", "agent_id", "user_id", "operations", "errors", "input_tokens", "output_tokens")
    columns = {"session_id": Uuid} | dict.fromkeys((*names, "cost"))
    columns |= {"first_at": Timestamp, "last_at": Timestamp, "models": None}
    assert _rows(loaded, "llm_session_summary", **columns) == [
        (*(_id(1), "chat-1", "shop", "helper", "ann", 4, 1, 2**62 + 7, 5, 0.75, NOON, NEXT_DAY), "GPT-4o,gpt-4o"),
        (*(_id(2), None, None, None, None, 2, 0, 1, 1, 0.0, NOON, NOON), "claude,Ärger"),
        (*(_id(3), "empty", "shop", None, None, 0, 0, None, None, None, None, None), None),
    ]


def test_usage_daily(loaded: sa.Engine) -> None:
    """Sums per UTC day, workspace, service, provider and model; what is no call to a provider has a row of its own."""
    names = ("workspace", "service_name", "provider", "model", "operations", "errors", "input_tokens", "output_tokens")
    tokens = ("cache_read_input_tokens", "cache_write_input_tokens", "reasoning_output_tokens")
    columns = {"day": sa.Date} | dict.fromkeys((*names, *tokens, "cost", "avg_latency_ms", "max_latency_ms"))
    first, second = date(2026, 3, 1), date(2026, 3, 2)
    unknown = (None, None, None)
    assert _rows(loaded, "llm_usage_daily", **columns) == sorted(
        [
            (first, "shop", "api", "openai", "gpt-4o", 2, 0, 2**62 + 7, 5, 3, 1, 2, 0.75, 12.5, 15),
            (first, None, None, "anthropic", "claude", 1, 0, None, None, *unknown, 0.0, 0.0, 0),
            (first, None, None, "anthropic", "Ärger", 1, 0, 1, 1, *unknown, *unknown),
            (second, "shop", "api", "openai", "GPT-4o", 1, 1, None, None, *unknown, *unknown),
            (second, "shop", None, None, None, 1, 0, None, None, *unknown, *unknown),
        ],
        key=str,
    )


def test_numbers_have_the_types_of_numbers(loaded: sa.Engine) -> None:
    """Sums of tokens are integers and averages floats everywhere, not the decimals that some databases make of them."""
    with loaded.connect() as connection:
        row = connection.exec_driver_sql(
            "SELECT operations, errors, input_tokens, cost, avg_latency_ms, max_latency_ms FROM llm_usage_daily"
            " WHERE model = 'gpt-4o'"
        ).one()
    assert [type(value) for value in row] == [int, int, int, float, float, int]


def test_a_join_finds_messages_by_their_primary_key(kind: str, loaded: sa.Engine) -> None:
    """Replaying a prompt looks every message up in the primary key: the view's ids have the type of the table's."""
    join = (
        "SELECT v.sequence_number, m.content FROM llm_operation_messages v"
        f" JOIN llm_messages m ON m.message_id = v.message_id WHERE v.operation_id = '{_id(11)}'"
    )
    explain, prepare, sign = {
        "sqlite": ("EXPLAIN QUERY PLAN", "SELECT 1", "SEARCH m USING INDEX sqlite_autoindex_llm_messages_1"),
        # A few rows are read faster without an index: ask what the planner could do.
        "postgresql": ("EXPLAIN", "SET LOCAL enable_seqscan = off", "Index Scan using llm_messages_pkey"),
        "mariadb": ("EXPLAIN FORMAT=TRADITIONAL", "SELECT 1", "'m', .*'eq_ref', 'PRIMARY'"),
    }[kind]
    with loaded.begin() as connection:
        _messages(connection)
        connection.exec_driver_sql(prepare)
        plan = "\n".join(str(tuple(row)) for row in connection.exec_driver_sql(f"{explain} {join}"))
    assert re.search(sign, plan), plan


def _messages(connection: sa.Connection) -> None:
    row = {"operation_id": _id(10), "role": "user", "sequence_number": 0, "direction": "input", "timestamp": NOON}
    connection.execute(tables.messages.insert(), [row | {"message_id": _id(number)} for number in range(20, 200)])


def test_an_unknown_database_gets_no_views() -> None:
    """A dialect we do not know gets tables alone, rather than SQL it may not understand."""
    assert views.create_statements("oracle") == views.drop_statements("oracle") == []


def test_every_kind_of_database_makes_the_same_views(new_database: Callable[[str], str]) -> None:
    """Names and columns of the views are equal on all databases."""
    shapes = []
    for kind in ("sqlite", "postgresql", "mariadb"):
        engine = create_engine(new_database(kind))
        versions.ensure(engine)
        inspector = sa.inspect(engine)
        shapes.append({view: [c["name"] for c in inspector.get_columns(view)] for view in inspector.get_view_names()})
        engine.dispose()
    assert shapes[0] == shapes[1] == shapes[2]
