"""The locks of one transaction: stripes of `llm_locks`, first those of traces and response ids, then of sessions.

Always in that order, so writers never wait in a circle; and each sees all that those before it committed.
"""

from __future__ import annotations

from collections.abc import Collection
from zlib import crc32

import sqlalchemy as sa

from otel_llm_sql.schema import tables
from otel_llm_sql.store.dialects import Dialect

_HALF = tables.LOCK_STRIPES // 2

_MANY = _HALF // 8
"""Of two batches that touch so many stripes, one waits for the other anyway."""


class Locks:
    """Locks that are held until the transaction ends.

    Args:
        connection: in its transaction.
        dialect: what differs between databases.
    """

    def __init__(self, connection: sa.Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._holds_all = not dialect.locks_rows

    def hold_calls(self, ids: Collection[str]) -> None:
        """Lock traces and response ids; nothing may be locked yet."""
        stripes = {_stripe(key) for key in ids}
        # Who holds some must not ask for all: two of them would wait for each other.
        if self._dialect.lock_all and len(stripes) > _MANY:
            self._connection.exec_driver_sql(self._dialect.lock_all)
            self._holds_all = True
        self._hold(stripes)

    def hold_sessions(self, ids: Collection[str]) -> None:
        """Lock sessions, and whatever else has an id of its own."""
        self._hold({_HALF + _stripe(key) for key in ids})

    def _hold(self, stripes: Collection[int]) -> None:
        if not self._holds_all:
            stripe = tables.locks.c.stripe
            wanted = sa.select(stripe).where(stripe.in_(sorted(stripes))).order_by(stripe)
            self._connection.execute(wanted.with_for_update()).all()


def _stripe(key: str) -> int:
    return crc32(key.encode()) % _HALF
