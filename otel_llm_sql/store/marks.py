"""Whether spans that are made in callbacks (`twins.CALLBACKS`) were ever stored: until then nobody looks for them.

Looking for them costs every batch as much as there are calls in some seconds; most databases never hold any. A row of
`llm_locks` tells it, of a stripe that nobody locks.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from otel_llm_sql.rows import COLUMNS, NewRow
from otel_llm_sql.rows.twins import is_told_by_callbacks
from otel_llm_sql.schema.tables import locks

_STRIPE = -1
_SCOPE = COLUMNS["llm_spans"].index("scope_name")


def has_callbacks(connection: sa.Connection) -> bool:
    """Whether there may be any."""
    return connection.scalar(sa.select(locks.c.stripe).where(locks.c.stripe == _STRIPE)) is not None


def mark_callbacks(connection: sa.Connection, spans: Sequence[NewRow]) -> None:
    """Note that there are some, with the first of them, in its transaction."""
    if any(is_told_by_callbacks(row[_SCOPE]) for row in spans) and not has_callbacks(connection):
        connection.execute(sa.insert(locks), {"stripe": _STRIPE})
