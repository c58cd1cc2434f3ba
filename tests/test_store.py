"""The writer against real databases: the same telemetry gives the same rows, however it is delivered."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Iterable

import pytest
import sqlalchemy as sa
import telemetry
from otel_llm_sql.records import Operation
from otel_llm_sql.rows import TABLES
from otel_llm_sql.schema.tables import metadata
from otel_llm_sql.settings import Settings
from otel_llm_sql.store.writer import Writer

pytestmark = pytest.mark.quick


def rows_of(writer: Writer) -> dict[str, list[dict[str, object]]]:
    """All rows, by table, in the order of their keys."""
    found = {}
    with writer.engine.connect() as connection:
        for table in TABLES:
            rows = [dict(row._mapping) for row in connection.execute(sa.select(metadata.tables[table]))]
            found[table] = sorted(rows, key=lambda row: str(list(row.values())[:2]))
    return found


def deliver(url: str, batches: Iterable[list[Operation]]) -> dict[str, list[dict[str, object]]]:
    """Write batches to an empty database; its rows."""
    writer = Writer(Settings(url=url))
    for batch in batches:
        writer.write(copy.deepcopy(batch), time.monotonic() + 30)
    rows = rows_of(writer)
    writer.close()
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_order_batches_and_repetition_leave_no_trace(new_database, kind: str, seed: int) -> None:
    """Shuffled, split and partly repeated: the same rows in every table."""
    whole = deliver(new_database(kind), [telemetry.everything()])
    chance = random.Random(seed)
    parts = deliver(new_database(kind), telemetry.split(telemetry.everything(), chance))
    for table in TABLES:
        assert parts[table] == whole[table]
