"""A small database to ask: three sessions, six operations, five messages, with everything that is hard to read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from otel_llm_sql.schema.tables import messages, metadata, operations, sessions
from otel_llm_sql.store.engines import create_engine

START = datetime(2023, 5, 31, 23, 59, 59, 999_999, tzinfo=UTC)

SYNC_DRIVERS = {
    "sqlite": ("sqlite",),
    "postgresql": ("postgresql+psycopg2", "postgresql+psycopg"),
    "mariadb": ("mysql+pymysql",),
}
ASYNC_DRIVERS = {
    "sqlite": ("sqlite+aiosqlite",),
    "postgresql": ("postgresql+asyncpg", "postgresql+psycopg"),
    "mariadb": ("mysql+aiomysql",),
}


def uid(number: int) -> str:
    """A UUID that is easy to recognise."""
    return f"00000000-0000-4000-8000-{number:012x}"


def with_driver(url: str, driver: str) -> str:
    """The URL with the name of a driver in it."""
    return driver + url[url.index("://") :]


def _session(number: int, **values: Any) -> dict[str, Any]:
    return {"session_id": uid(number), "created_at": START, "last_seen_at": START, **values}


SESSIONS = [
    _session(1, session_key="talk-1", workspace="shop", agent_id="seller", user_id="ann", metadata={"b": [1, None]}),
    _session(2, session_key="talk-2", workspace="lab", agent_id=None, user_id=None),
    _session(3, session_key=None, workspace=None, agent_id=None, user_id=None),
]


def _operation(number: int, session: int, **values: Any) -> dict[str, Any]:
    given = {"operation_type": "chat", "status": "ok", "input_messages": 0, **values}
    return {
        "operation_id": uid(number),
        "session_id": uid(session),
        "timestamp": START + timedelta(hours=number - 10),
        **given,
    }


HARD_TEXT = "quote \" and ' comma, semi; back\\slash %s :name ?\r\nnext line\t\u2028 é 漢 🙂 NULL \\N"
OPERATIONS = [
    _operation(10, 1, provider="openai", model="gpt-5", input_tokens=90, output_tokens=20, latency_ms=700)
    | {"cost": 0.1 + 0.2, "message_ids": [uid(100), uid(101), uid(102)], "input_messages": 2}
    | {"extras": {"zeta": 1, "a": {"y": 1, "x": 2}}}
    | {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "user_id": "bob"},
    _operation(11, 1, provider="openai", model="gpt-5", input_tokens=200, output_tokens=None, latency_ms=1500)
    | {
        "cost": 1e-7,
        "message_ids": [uid(100), uid(101), uid(102), uid(103), uid(104)],
        "input_messages": 4,
        "service_name": "web",
    },
    _operation(12, 2, provider="anthropic", model="claude", input_tokens=10, output_tokens=5, latency_ms=30)
    | {
        "cost": 2.5,
        "error_message": "",
        "action_id": "plan",
        "extras": {"big": 18446744073709551615, "text": HARD_TEXT},
    },
    _operation(13, 2, provider="openai", model="gpt-5", status="error", error_message="slow down"),
    _operation(14, 3, operation_type="execute_tool", tool_name="search", error_message=HARD_TEXT, extras={}),
    _operation(15, 3, provider="openai", model="gpt-5-mini", cost=0.0, input_tokens=2**40, output_tokens=0)
    | {"latency_ms": 0},
]
MESSAGES = [
    {"message_id": uid(100), "operation_id": uid(10), "role": "system", "content": "Be brief.", "direction": "input"},
    {"message_id": uid(101), "operation_id": uid(10), "role": "user", "content": HARD_TEXT, "direction": "input"},
    {"message_id": uid(102), "operation_id": uid(10), "role": "assistant", "content": "Hello", "direction": "output"},
    {"message_id": uid(103), "operation_id": uid(11), "role": "user", "content": None, "direction": "input"},
    {"message_id": uid(104), "operation_id": uid(11), "role": "assistant", "content": "", "direction": "output"},
]


def fill(url: str, *, rows: bool = True) -> None:
    """Make the tables in an empty database, and write the rows."""
    engine = create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        metadata.create_all(connection)
        if rows:
            for table, given in ((sessions, SESSIONS), (operations, OPERATIONS), (messages, _placed(MESSAGES))):
                names = {name for row in given for name in row}
                connection.execute(sa.insert(table), [dict.fromkeys(names) | row for row in given])
    engine.dispose()


def _placed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"sequence_number": number, "timestamp": START, **row} for number, row in enumerate(rows)]


def repeat(url: str, count: int) -> None:
    """Write operations of one session in which most columns are NULL, except in the last row."""
    engine = create_engine(url, poolclass=sa.NullPool)
    common = {"session_id": uid(1), "operation_type": "chat", "status": "ok", "input_messages": 0}
    rows = [
        {"operation_id": uid(n), "timestamp": START + timedelta(seconds=n), "input_tokens": n, **common}
        | {"tool_name": None, "cost": None}
        for n in range(count)
    ]
    rows[-1] |= {"tool_name": "last", "cost": 0.25}
    with engine.begin() as connection:
        connection.execute(sa.insert(sessions), [SESSIONS[0]])
        for start in range(0, count, 1_000):
            connection.execute(sa.insert(operations), rows[start : start + 1_000])
    engine.dispose()
