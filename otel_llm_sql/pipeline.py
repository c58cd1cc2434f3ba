"""The path itself: signals -> operations -> priced -> rows -> committed. The one file that names every hop.

What the database does not take now is kept and tried again, within a bound, across processes too; what it never takes
is isolated and put away as a dead letter; neighbours are never lost. Safe under threads and after fork.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from weakref import WeakSet

from otel_llm_sql.backlog import Backlog
from otel_llm_sql.conventions import attribute_mapping, content, read
from otel_llm_sql.errors import DatabaseUnavailableError, SchemaError, StoreError
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.letters import letter_of_operation, letter_of_signal
from otel_llm_sql.pricing import Prices
from otel_llm_sql.records import Operation
from otel_llm_sql.settings import Settings, spool_directory
from otel_llm_sql.spool import Spool
from otel_llm_sql.store.urls import database_url
from otel_llm_sql.store.writer import Letter, Writer

BATCH = 1000
"""Operations in one transaction: more would hold locks for longer without being faster."""

_RETRY_FIRST, _RETRY_LAST, _AT_THE_END = 1.0, 30.0, 2.0
"""Seconds between two tries of what is kept; and for how long the end of a program waits for who just failed."""

_alive: WeakSet[Pipeline] = WeakSet()


class Pipeline:
    """Delivers signals to one database.

    Args:
        settings: where, and how.

    Attributes:
        stored: signals that were committed.
        ignored: signals that were not about GenAI.
        duplicates: signals that said nothing new.
        dead_lettered: signals that were put away.
        spooled: signals that were kept in files, for a later process.
        dropped: signals that could be kept nowhere.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prices = Prices(settings.prices)
        self._content = content.policy(settings.capture_content, settings.hash_key, settings.redact_patterns)
        self._mapping = attribute_mapping(settings.attributes)
        self._writer = Writer(settings)
        place = database_url(settings.url).place(settings.schema)
        self._spool = Spool(spool_directory(settings), place, settings.backlog_bytes)
        self._start()
        _alive.add(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._kept = threading.Lock()
        self._backlog = Backlog(self._settings.backlog_bytes)
        self._retrier: threading.Thread | None = None
        self._pause = _RETRY_FIRST
        self._try_at = 0.0
        self._closed = threading.Event()
        self._spool_read = False
        self.stored = self.ignored = self.duplicates = self.dead_lettered = self.spooled = self.dropped = 0

    def deliver(self, signals: Iterable[Signal]) -> None:
        """Store signals; returns after the commit.

        Raises:
            StoreError: they are not stored, but kept, and tried again later.
        """
        batch = list(signals)
        self._closed.clear()
        deadline = time.monotonic() + self._settings.timeout
        # While something is kept somebody is trying already: nobody waits for them.
        patience = 0.0 if self._backlog else self._settings.timeout
        if time.monotonic() < self._try_at or not self._lock.acquire(timeout=patience):
            self._keep(batch)
            self._wake_retrier()
            raise DatabaseUnavailableError("the database did not take rows a moment ago")
        try:
            self._drain(deadline)
        except StoreError:
            self._keep(batch)
            raise
        else:
            self._deliver(batch, deadline)
        finally:
            self._lock.release()

    def flush(self, timeout: float = 30.0) -> bool:
        """Try again what is kept.

        Args:
            timeout: seconds it may take.

        Returns:
            Whether nothing is kept any more.
        """
        deadline = time.monotonic() + timeout
        if self._backlog and self._lock.acquire(timeout=timeout):
            try:
                self._drain(deadline)
            except StoreError:
                return False
            finally:
                self._lock.release()
        return not self._backlog

    def close(self, timeout: float = 30.0) -> None:
        """Flush, and close the connections; what is still kept goes to files. A later delivery opens new ones."""
        self.flush(min(timeout, _AT_THE_END) if time.monotonic() < self._try_at else timeout)
        self._closed.set()
        with self._kept:
            while self._backlog:
                self._put_aside(self._backlog.take())
        self._writer.close()

    def replay(self) -> int:
        """Store what earlier processes could not; returns how many signals that were.

        Raises:
            StoreError: the database does not take them; they are kept where they are.
        """
        with self._lock:
            return self._replay(time.monotonic() + self._settings.timeout)

    def _replay(self, deadline: float) -> int:
        count, self._spool_read = 0, True
        for kept in self._spool.read():
            for operation in kept.operations:  # the process that left them may have had other settings
                self._content.apply(operation)
            self._store(kept.operations, [], deadline)
            kept.stored()
            count += len(kept.operations)
        return count

    def _put_aside(self, signals: Sequence[Signal]) -> None:
        operations = [operation for signal in signals if (operation := self._read(signal, []))]
        if operations and self._spool.write(operations):
            self.spooled += len(operations)
        else:
            self.dropped += len(operations)

    def before_fork(self) -> bool:
        """Let a write that is under way end; whether that was waited for, and `after_fork_in_parent` is due.

        A child inherits SQLite's notes on which locks this process holds, and would wait for ever for a thread that it
        does not have (F04). A database that hangs is not waited for longer than a second.
        """
        held = self._lock.acquire(timeout=1.0)
        self._writer.before_fork()
        return held

    def after_fork_in_parent(self) -> None:
        """Write on."""
        self._lock.release()

    def after_fork(self) -> None:
        """In a forked child: the parent delivers what it has; locks and connections are made anew."""
        self._writer.after_fork()
        self._start()

    def _drain(self, deadline: float) -> None:
        while self._backlog:
            with self._kept:
                batch = self._backlog.take()
            self._deliver(batch, deadline, first=True)

    def _deliver(self, batch: Sequence[Signal], deadline: float, *, first: bool = False) -> None:
        letters: list[Letter] = []
        operations = [operation for signal in batch if (operation := self._read(signal, letters))]
        try:
            self._store(operations, letters, deadline)
        except StoreError as error:
            self._keep(batch, first=first)
            self._later(error)
            raise
        self._pause, self._try_at = _RETRY_FIRST, 0.0
        if not self._spool_read:
            with suppress(StoreError):  # this delivery is committed, whatever becomes of earlier ones
                self._replay(deadline)

    def _store(self, operations: Sequence[Operation], letters: list[Letter], deadline: float) -> None:
        for start in range(0, len(operations), BATCH):
            self._write(operations[start : start + BATCH], letters, deadline)
        if letters:
            self.dead_lettered += self._writer.bury(letters, deadline)

    def _read(self, signal: Signal, letters: list[Letter]) -> Operation | None:
        """Hops one and two: a signal becomes a priced operation."""
        try:
            operation = read(self._mapping.applied(signal), capture_media=self._settings.capture_media)
            if operation is None:
                self.ignored += 1
                return None
            self._content.apply(operation)
            operation.workspace = operation.workspace or self._settings.workspace
            self._prices.price(operation)
        except Exception as error:  # noqa: BLE001 - one signal that we misread must not cost its neighbours
            letters.append(self._letter(signal, f"could not be read: {type(error).__name__}"))
            return None
        if not operation.trace_id or not operation.span_id:
            letters.append(self._letter(signal, "names no trace and span: it cannot be tied to an operation"))
            return None
        return operation

    def _letter(self, signal: Signal, reason: str) -> Letter:
        try:
            return letter_of_signal(signal, reason, self._content)
        except Exception:  # noqa: BLE001 - what cannot be read may not be writable either: then its names have to do
            return letter_of_signal(signal, reason, content.NOTHING)

    def _write(self, operations: Sequence[Operation], letters: list[Letter], deadline: float) -> None:
        """Hops three and four: operations become rows, committed; a row that is refused is found by halving."""
        try:
            batch = self._writer.write(operations, deadline)
        except (DatabaseUnavailableError, SchemaError):
            raise
        except Exception as error:  # noqa: BLE001 - refused by the database, or a bug of ours: it costs no neighbour
            if len(operations) == 1:
                reason = str(error) if isinstance(error, StoreError) else f"could not be stored: {type(error).__name__}"
                letters.append(letter_of_operation(operations[0], reason))
                return
            middle = len(operations) // 2
            self._write(operations[:middle], letters, deadline)
            self._write(operations[middle:], letters, deadline)
        else:
            self.stored += len(operations)
            self.duplicates += batch.duplicates

    def _keep(self, batch: Sequence[Signal], *, first: bool = False) -> None:
        with self._kept:
            # What fails after the pipeline was closed would never be tried again.
            self._put_aside(batch if self._closed.is_set() else self._backlog.keep(batch, first=first))

    def _later(self, error: StoreError) -> None:
        """Leave a database alone that does not answer; come back by ourselves, should the application stay silent."""
        if isinstance(error, SchemaError):
            self._writer.forget_schema()
        self._try_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _RETRY_LAST)
        self._wake_retrier()

    def _wake_retrier(self) -> None:
        if self._retrier is None or not self._retrier.is_alive():
            self._retrier = threading.Thread(target=self._retry, name="llm-sql-retry", daemon=True)
            try:
                self._retrier.start()
            except RuntimeError:  # the interpreter is going down
                self._retrier = None

    def _retry(self) -> None:
        while self._backlog and not self._closed.wait(max(0.0, self._try_at - time.monotonic())):
            self.flush(self._settings.timeout)


_shared: dict[Settings, Pipeline] = {}
_sharing = threading.Lock()


def shared(settings: Settings) -> Pipeline:
    """The pipeline of these settings: the exporters of all signals share it."""
    with _sharing:
        if settings not in _shared:
            _shared[settings] = Pipeline(settings)
        return _shared[settings]


_waiting: list[Pipeline] = []


def _before() -> None:
    _waiting.extend(pipeline for pipeline in list(_alive) if pipeline.before_fork())


def _in_parent() -> None:
    while _waiting:
        _waiting.pop().after_fork_in_parent()


def _in_child() -> None:
    _waiting.clear()
    global _sharing  # noqa: PLW0603 - the parent's lock may be held
    _sharing = threading.Lock()
    for pipeline in list(_alive):
        pipeline.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
