"""The writer: operations in, one transaction, committed. Idempotent; success is reported only after the commit.

Writers in any number of processes lock what they touch (`store/locks.py`). So they never meet on a key, never wait in a
circle, and each sees all that the others committed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from otel_llm_sql import rows
from otel_llm_sql.errors import AccessDeniedError, DatabaseUnavailableError, RejectedRowsError, SchemaError
from otel_llm_sql.records import Operation
from otel_llm_sql.rows.sight import unlinked_names
from otel_llm_sql.schema import versions
from otel_llm_sql.schema.tables import dead_letters
from otel_llm_sql.settings import Settings
from otel_llm_sql.store.checkpoints import Checkpoints
from otel_llm_sql.store.dialects import DIALECTS, UNKNOWN
from otel_llm_sql.store.engines import after_fork, create_engine, database_url, uninstrumented
from otel_llm_sql.store.faults import named, translated
from otel_llm_sql.store.fitting import fit, fit_row, flag, statement_limit
from otel_llm_sql.store.lines import Lines, NoLines
from otel_llm_sql.store.locks import Locks
from otel_llm_sql.store.marks import has_callbacks, mark_callbacks
from otel_llm_sql.store.reader import Reader
from otel_llm_sql.store.statements import apply, new_rows

T = TypeVar("T")


class _NotLockedError(Exception):
    """The transaction needs traces that it did not lock: begin again with them."""

    def __init__(self, trace_ids: Collection[str]) -> None:
        super().__init__(len(trace_ids))
        self.trace_ids = set(trace_ids)


@dataclass(frozen=True, slots=True)
class Letter:
    """What could not be stored as it was.

    Attributes:
        dead_letter_id: computed from the payload.
        received_at: microseconds since the epoch.
        reason: why, without any content.
        payload: JSON text that can be replayed.
    """

    dead_letter_id: str
    received_at: int
    reason: str
    payload: str


class Writer:
    """Writes to one database. It connects when it first writes; it is used by one thread at a time.

    Args:
        settings: where to write, and how long one write may take.
    """

    def __init__(self, settings: Settings) -> None:
        # A ping before each write is a round trip that nobody can cut short when the server hangs (F09). A dead
        # connection is found by the write itself, which is tried again on a new one (F08).
        ping: dict[str, Any] = {} if "pool_pre_ping" in database_url(settings.url).pool else {"pool_pre_ping": False}
        self._engine = create_engine(settings.url, schema=settings.schema, timeout=settings.timeout, **ping)
        self._dialect = DIALECTS.get(self._engine.dialect.name, UNKNOWN)
        self._lines = Lines(self._engine) if self._dialect.hangs else NoLines()
        self._checkpoints = Checkpoints(self._engine)
        self._ready = False
        self._limit: int | None = None

    @property
    def engine(self) -> sa.Engine:
        """The engine it writes with."""
        return self._engine

    def write(self, operations: Sequence[Operation], deadline: float) -> rows.RowBatch:
        """Store operations.

        Args:
            operations: canonical operations with trace and span ids.
            deadline: `time.monotonic()` at which to give up.

        Returns:
            The rows that were committed.

        Raises:
            DatabaseUnavailableError: not now; the same operations may be written later.
            SchemaError: the tables are not those of this version.
            RejectedRowsError: the database refuses one of them.
        """
        traces = {operation.trace_id for operation in operations}
        responses = {operation.response_id for operation in operations if operation.response_id}

        def attempt(connection: sa.Connection) -> rows.RowBatch:
            locks = Locks(connection, self._dialect)
            locks.hold_calls([*traces, *responses, *self._unlinked(connection, operations)])

            def require(trace_ids: Collection[str]) -> None:
                if not traces.issuperset(trace_ids):
                    raise _NotLockedError(trace_ids)

            batch = rows.resolve(operations, Reader(connection, self._dialect, require), locks.hold_sessions)
            self._apply(connection, batch)
            return batch

        while True:
            try:
                batch = self._committed(attempt, deadline)
            except _NotLockedError as more:
                traces |= more.trace_ids
            else:
                self._checkpoints.committed(sum(map(len, batch.inserts.values())))
                return batch

    def _apply(self, connection: sa.Connection, batch: rows.RowBatch) -> None:
        if self._limit is not None:
            fit(batch, self._limit)
        flag(batch)
        apply(connection, self._dialect, batch)
        mark_callbacks(connection, batch.inserts["llm_spans"])

    def _unlinked(self, connection: sa.Connection, operations: Sequence[Operation]) -> set[str]:
        if not self._dialect.locks_rows:
            return set()
        return unlinked_names(operations, lambda: has_callbacks(connection))

    def bury(self, letters: Sequence[Letter], deadline: float) -> int:
        """Put away what could not be stored; returns how many letters are new. Errors as for `write`."""
        unique = {letter.dead_letter_id: letter for letter in letters}

        def attempt(connection: sa.Connection) -> int:
            Locks(connection, self._dialect).hold_sessions(unique)
            c = dead_letters.c
            stored = set(connection.scalars(sa.select(c.dead_letter_id).where(c.dead_letter_id.in_(sorted(unique)))))
            new = [
                {name: getattr(letter, name) for name in Letter.__slots__}
                for key, letter in sorted(unique.items())
                if key not in stored
            ]
            for row in new:
                if self._limit is not None and fit_row(row, self._limit):
                    row["reason"] += " (payload cut: max_allowed_packet)"
            new_rows(connection, self._dialect, "llm_dead_letters", new)
            return len(new)

        return self._committed(attempt, deadline)

    def _committed(self, attempt: Callable[[sa.Connection], T], deadline: float) -> T:
        """Run an attempt in a transaction until it is committed; what is transient is tried until the deadline."""
        tries, reason = 0, None
        while True:
            try:
                return self._transaction(attempt, deadline)
            except AccessDeniedError:
                # Nobody grants it within seconds, and a server may lock out who asks too often. Connections that are
                # open would not learn of it: MySQL looks at what is granted when they begin.
                with uninstrumented():
                    self._engine.dispose()
                raise
            except DatabaseUnavailableError as error:
                if reason and time.monotonic() >= deadline:
                    raise reason from error  # this try was cut short by ourselves: that tells nothing
                tries, reason = tries + 1, error
                # Jitter keeps writers that collided from colliding again.
                pause = random.uniform(0.5, 1.0) * min(0.01 * 2**tries, 1.0)  # noqa: S311 - not for secrets
                if time.monotonic() + pause >= deadline:
                    raise
                time.sleep(pause)

    def _transaction(self, attempt: Callable[[sa.Connection], T], deadline: float) -> T:
        left = deadline - time.monotonic()
        if left <= 0:
            raise DatabaseUnavailableError("no time is left for the database")
        driver_error = self._engine.dialect.loaded_dbapi.Error
        with uninstrumented(), _translating(driver_error), self._lines.cut_after(left):
            if not self._ready:
                self._prepare()
            with self._engine.connect() as connection:
                try:
                    with connection.begin():
                        return attempt(connection)
                except driver_error as error:  # from COPY, which SQLAlchemy does not see
                    connection.invalidate(error)
                    raise

    def _prepare(self) -> None:
        """Have the tables there, and know the database's limits."""
        try:
            versions.ensure(self._engine)
        except sa.exc.DBAPIError as error:
            if isinstance(translated(error), RejectedRowsError):  # it is not the rows that it refuses
                raise SchemaError(
                    f"the database refuses our tables ({named(error)}): SQLite, PostgreSQL, MySQL and MariaDB take them"
                ) from error
            raise
        with self._engine.connect() as connection:
            self._limit = statement_limit(connection, self._dialect)
        self._ready = True

    def forget_schema(self) -> None:
        """Look at the schema again before the next write."""
        self._ready = False

    def before_fork(self) -> None:
        """Let a checkpoint that is under way end: a child would inherit SQLite's notes on its locks."""
        self._checkpoints.wait(1.0)

    def after_fork(self) -> None:
        """Forget the parent's connections."""
        after_fork(self._engine)

    def close(self) -> None:
        """Close all connections; a later write opens new ones."""
        self._checkpoints.wait(1.0)
        with uninstrumented():
            self._engine.dispose()


@contextmanager
def _translating(driver_error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError, driver_error) as error:
        raise translated(error) from error
