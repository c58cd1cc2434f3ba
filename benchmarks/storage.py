"""Bytes on disk of long conversations, beside one row per message and call; and what a call costs as they grow.

Every call of an agent sends again all that was said before, and one message more; 2 kB a message. Rivals store
the messages of each call whole: that is measured with the very same texts in a table of their own, beside the same
operations.
"""

from __future__ import annotations

import argparse
import time

import sqlalchemy as sa
from load import spans
from opentelemetry.sdk.trace import ReadableSpan
from servers import NAMES, started

from otel_llm_sql.exporter import LlmSqlSpanExporter
from otel_llm_sql.rows import TABLES
from otel_llm_sql.schema.types import Uuid, long_text
from otel_llm_sql.store.engines import create_engine

TURNS = 50
LENGTH = 2000
"""Characters of a message."""

TENTH = TURNS // 10

SIZES = {
    "sqlite": "SELECT SUM(pgsize) FROM dbstat WHERE name = :name OR name LIKE 'sqlite_autoindex_' || :name || '%'"
    " OR name IN (SELECT name FROM pragma_index_list(:name))",
    "postgresql": "SELECT pg_total_relation_size(CAST(:name AS regclass))",
    "mysql": "SELECT data_length + index_length FROM information_schema.tables"
    " WHERE table_schema = DATABASE() AND table_name = :name",
}
"""Bytes of a table with its indexes."""

whole = sa.Table(
    "whole_messages",
    sa.MetaData(),
    sa.Column("operation_id", Uuid, primary_key=True),
    sa.Column("sequence_number", sa.Integer, primary_key=True),
    sa.Column("role", sa.String(32)),
    sa.Column("content", long_text()),
    sa.Column("direction", sa.String(8)),
)
FILL = (
    "INSERT INTO whole_messages SELECT o.operation_id, o.sequence_number, m.role, m.content, o.direction"
    " FROM llm_operation_messages o JOIN llm_messages m ON m.message_id = o.message_id"
)


def conversation(seed: int) -> list[ReadableSpan]:
    """The calls of one conversation."""
    return spans(TURNS, history=True, seed=seed, calls=TURNS, length=LENGTH, new_roles=("user",))


def write(url: str, conversations: int) -> list[float]:
    """Seconds of each turn, all conversations together."""
    made = [conversation(seed) for seed in range(conversations)]
    door = LlmSqlSpanExporter(url=url, timeout=60)
    door.export([])
    seconds = []
    for turn in zip(*made, strict=True):
        started = time.perf_counter()
        result = door.export(turn)
        seconds.append(time.perf_counter() - started)
        assert result.name == "SUCCESS", result
    door.shutdown()
    return seconds


def sizes(url: str) -> tuple[int, int]:
    """Bytes of our tables, and of the same operations with the messages of each call whole."""
    engine = create_engine(url, timeout=600)
    with engine.begin() as connection:
        whole.create(connection)
        connection.exec_driver_sql(FILL)
    with engine.connect() as connection:
        kind = connection.dialect.name
        if kind != "sqlite":
            analyze = "ANALYZE TABLE {}" if kind == "mysql" else "ANALYZE {}"
            for name in (*TABLES, whole.name):
                connection.exec_driver_sql(analyze.format(name)).close()
        size = {
            name: int(connection.scalar(sa.text(SIZES[kind]), {"name": name}) or 0) for name in (*TABLES, whole.name)
        }
        ids = int(connection.scalar(sa.text("SELECT SUM(LENGTH(message_ids)) FROM llm_operations")) or 0)
    engine.dispose()
    theirs = size.pop(whole.name)
    ours = sum(size.values())
    return ours, ours - size["llm_messages"] - ids + theirs


def payload(span: ReadableSpan) -> int:
    """Characters of the messages that a span carries."""
    return sum(len(str((span.attributes or {})[f"gen_ai.{side}.messages"])) for side in ("input", "output"))


def main() -> None:
    """Print a line for each database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=20)
    parser.add_argument("databases", nargs="*", default=list(NAMES))
    arguments = parser.parse_args()
    calls = conversation(0)
    first, last = (sum(map(payload, part)) / TENTH / 1000 for part in (calls[:TENTH], calls[-TENTH:]))
    print(f"payload of a call: {first:,.0f} kB in the first tenth, {last:,.0f} kB in the last")
    for name, new_database in started(arguments.databases):
        url = new_database()
        seconds = write(url, arguments.conversations)
        ours, theirs = (size / arguments.conversations / 1000 for size in sizes(url))
        begun, ended = (
            sum(part) / TENTH / arguments.conversations * 1e6 for part in (seconds[:TENTH], seconds[-TENTH:])
        )
        print(
            f"{name:12} {ours:5,.0f} kB a conversation, {theirs:6,.0f} with messages whole: ratio"
            f" {theirs / ours:.1f}. A call {begun:,.0f} us at first, {ended:,.0f} at last: {ended / begun:.1f} x"
            f" (payload {last / first:.1f} x)",
            flush=True,
        )


if __name__ == "__main__":
    main()
