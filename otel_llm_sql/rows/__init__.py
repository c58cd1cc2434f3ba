"""Records to rows: identities computed, duplicates folded, twins merged. Pure, but for questions put to `Known`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from otel_llm_sql.records import Operation
from otel_llm_sql.rows.batch import COLUMNS, KEYS, TABLES, NewRow, RowBatch, named
from otel_llm_sql.rows.hearing import Hearing
from otel_llm_sql.rows.known import Carrier, Known, Owner, Row
from otel_llm_sql.rows.resolve import resolve_operations
from otel_llm_sql.rows.settle import Settlement

__all__ = ["COLUMNS", "KEYS", "TABLES", "Carrier", "Known", "NewRow", "Owner", "Row", "RowBatch", "named", "resolve"]


def resolve(operations: Sequence[Operation], known: Known, hold: Callable[[Collection[str]], None]) -> RowBatch:
    """What changes in the database when these operations become known.

    Args:
        operations: canonical operations, each with a trace id and a span id.
        known: the database's answers, within the transaction that will write the rows.
        hold: called with the ids of the sessions that will change, before anything is asked about them.

    Returns:
        The rows to write, in the order of their keys.
    """
    resolution = resolve_operations(operations, known)
    settlement = Settlement(resolution, resolution.batch, Hearing(resolution))
    settlement.write_operations()
    if settlement.touched:
        hold(settlement.touched)
        settlement.search()
        settlement.write_messages()
        settlement.write_definitions()
        settlement.write_sessions()
    resolution.batch.sort()
    return resolution.batch
