"""The pipeline as the receiver uses it: many requests in one transaction, and nothing is kept that is not committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa

from otel_llm_sql.errors import SchemaError
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.pipeline import Pipeline
from otel_llm_sql.records import Operation
from otel_llm_sql.store.writer import Letter

Why = Literal["no_ids", "unreadable", "refused"]


@dataclass(slots=True)
class Share:
    """What one request brings to a transaction.

    Attributes:
        received: spans or log records in it.
        ignored: those that are not about GenAI.
        operations: what is to be stored.
        letters: what is to be put away.
        rejected: how many are not stored as they were, and why.
    """

    received: int = 0
    ignored: int = 0
    operations: list[Operation] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    rejected: Counter[Why] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Written:
    """What a transaction did: signals that said something new, that did not, and new dead letters."""

    stored: int
    duplicates: int
    dead_lettered: int


class ReceivingPipeline(Pipeline):
    """Reads and commits in two steps, so that the next requests are read while the database is busy.

    `share` is called by one thread at a time, and so is `commit`; these may be two threads.
    """

    @property
    def engine(self) -> sa.Engine:
        """The engine it writes with."""
        return self._writer.engine

    def share(self, signals: Sequence[Signal]) -> Share:
        """What a request brings. A signal that cannot be read or tied to an operation costs itself alone."""
        share = Share(received=len(signals))
        for signal in signals:
            letters = len(share.letters)
            operation = self._read(signal, share.letters)
            if operation is not None:
                share.operations.append(operation)
                continue
            nameless = not signal.trace_id or not signal.span_id
            if len(share.letters) > letters:
                share.rejected["no_ids" if nameless else "unreadable"] += 1
            elif nameless and signal.kind == "span":  # OTLP-13 holds for every span
                share.rejected["no_ids"] += 1
            else:
                share.ignored += 1
        return share

    def commit(self, shares: Sequence[Share], deadline: float) -> Written:
        """Store what several requests bring; what the database refuses is counted in the share that brought it.

        Args:
            shares: of requests.
            deadline: `time.monotonic()` at which to give up.

        Raises:
            DatabaseUnavailableError: some of it is not stored; storing all of it again does no harm.
            SchemaError: the tables are not those of this version.
        """
        with self._lock:
            before = (self.stored, self.duplicates, self.dead_lettered)
            self._refused: set[int] = set()
            letters = [letter for share in shares for letter in share.letters]
            try:
                self._store([operation for share in shares for operation in share.operations], letters, deadline)
            except SchemaError:
                self._writer.forget_schema()
                raise
            if self._refused:
                for share in shares:
                    share.rejected["refused"] += sum(id(operation) in self._refused for operation in share.operations)
            committed, duplicates = self.stored - before[0], self.duplicates - before[1]
            return Written(committed - duplicates, duplicates, self.dead_lettered - before[2])

    def _write(self, operations: Sequence[Operation], letters: list[Letter], deadline: float) -> None:
        known = len(letters)
        super()._write(operations, letters, deadline)
        if len(operations) == 1 and len(letters) > known:
            self._refused.add(id(operations[0]))
