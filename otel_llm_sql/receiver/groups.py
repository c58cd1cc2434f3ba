"""Group commit: requests that arrive together share one transaction, and each learns the fate of its own rows.

One thread decodes and maps, another commits what the first has ready. While the database is busy requests gather, so a
thousand small senders cost little more than one big one; nobody waits longer than a few milliseconds for neighbours.
What waits is bounded in bytes; what cannot be committed is refused, never kept.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from otel_llm_sql import notices
from otel_llm_sql.errors import StoreError
from otel_llm_sql.pipeline import BATCH
from otel_llm_sql.receiver.answers import Answer, Encoding, Kind, RefusedError
from otel_llm_sql.receiver.decoding import answer_of, share_of
from otel_llm_sql.receiver.metrics import Meters
from otel_llm_sql.receiver.settings import ReceiverSettings
from otel_llm_sql.receiver.storing import ReceivingPipeline, Share

_GROUP = 4 * 1024 * 1024
"""Bytes of requests in one transaction, and decoded ahead of it: decoded, they take several times as much memory."""

Outcome = Answer | RefusedError


@dataclass(slots=True, eq=False)
class Request:
    """A request on its way.

    Attributes:
        future: of `loop`; done when nobody waits for the answer any more.
        give_up: `time.monotonic()` at which the sender is answered in any case.
        size: bytes it is accounted for.
        share: what it holds, once it is decoded.
    """

    kind: Kind
    body: bytes
    encoding: Encoding
    future: asyncio.Future[Answer]
    loop: asyncio.AbstractEventLoop
    give_up: float
    size: int
    share: Share | None = None


class Groups:
    """Gathers requests and commits them. Its threads start with the first request.

    Args:
        pipeline: reads and commits.
        meters: what is counted.
        settings: how much may wait, and how long.
    """

    def __init__(self, pipeline: ReceivingPipeline, meters: Meters, settings: ReceiverSettings) -> None:
        self._pipeline, self._meters, self._settings = pipeline, meters, settings
        self._changed = threading.Condition()
        self._arrived: deque[Request] = deque()
        self._ready: deque[Request] = deque()
        self._ready_bytes = self._used = self._reading = 0
        self._closed = self._stopped = False
        self._threads: list[threading.Thread] = []

    def reserve(self, size: int) -> None:
        """Account for bytes that are held for a request.

        Raises:
            RefusedError: too much waits already, or the receiver is shutting down.
        """
        with self._changed:
            self._reserve(size)

    def release(self, size: int) -> None:
        """The bytes are held no more."""
        with self._changed:
            self._release(size)

    def add(self, request: Request) -> None:
        """Have a request stored; its future is told. Errors as for `reserve`."""
        with self._changed:
            self._reserve(request.size)
            self._arrived.append(request)
            if not self._threads:
                self._start()
            self._changed.notify_all()

    def obstacle(self) -> str:
        """Why a request would be refused now; empty where it would not."""
        if self._closed:
            return "the receiver is shutting down"
        return "too much waits for the database" if self._used >= self._settings.queue_bytes else ""

    def close(self, grace: float) -> None:
        """Refuse new requests, let those that were taken end within `grace` seconds, refuse the rest."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._used == 0, grace)
            self._stopped = True
            self._changed.notify_all()
        self._refuse("the receiver is shutting down")
        for thread in self._threads:
            thread.join(1.0)  # a database that hangs does not hold up the end; both are daemons

    def _reserve(self, size: int) -> None:
        if self._closed:
            raise RefusedError("unavailable", "the receiver is shutting down", retry_after=1.0)
        if self._used + size > self._settings.queue_bytes:
            raise RefusedError("unavailable", "too much waits for the database", retry_after=1.0)
        self._used += size
        self._meters.queued(self._used)

    def _release(self, size: int) -> None:
        self._used -= size
        self._meters.queued(self._used)
        if not self._used:
            self._changed.notify_all()

    def _start(self) -> None:
        for work, name in ((self._read_all, "llm-sql-read"), (self._commit_all, "llm-sql-commit")):
            self._threads.append(threading.Thread(target=work, name=name, daemon=True))
            self._threads[-1].start()

    def _read_all(self) -> None:
        while True:
            with self._changed:
                self._reading = 0
                self._changed.wait_for(lambda: self._stopped or (self._arrived and self._ready_bytes < _GROUP))
                if self._stopped:
                    return
                request = self._arrived.popleft()
                self._reading = 1
            outcome = self._read(request)
            if outcome is None:
                with self._changed:
                    self._ready.append(request)
                    self._ready_bytes += request.size
                    self._changed.notify_all()
            else:
                self._settle([(request, outcome)])

    def _read(self, request: Request) -> Outcome | None:
        """Decode and map; None where there is something to commit."""
        if request.future.done():
            return Answer()  # nobody waits for it
        try:
            share = share_of(request.kind, request.body, request.encoding, self._pipeline.share)
        except RefusedError as error:
            return error
        request.body, request.share = b"", share
        self._meters.read(request.kind, share.received, share.ignored)
        if share.operations or share.letters:
            return None
        self._meters.answered(request.kind, share)
        return answer_of(request.kind, share)

    def _commit_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._ready)
                if self._stopped:
                    return
                # Worth a wait only while somebody is on the way.
                self._changed.wait_for(self._is_complete, self._settings.group_seconds)
                group = self._take()
                self._changed.notify_all()
            self._commit(group)

    def _is_complete(self) -> bool:
        return self._stopped or not (self._arrived or self._reading) or self._ready_bytes >= _GROUP

    def _take(self) -> list[Request]:
        """What fits into one transaction; at least one request."""
        group: list[Request] = []
        size = count = 0
        while self._ready and (not group or (size < _GROUP and count < BATCH)):
            request = self._ready.popleft()
            group.append(request)
            size += request.size
            count += len(request.share.operations) if request.share else 0
        self._ready_bytes -= size
        return group

    def _commit(self, group: Sequence[Request]) -> None:
        wanted = [request for request in group if not request.future.done()]
        shares = [request.share for request in wanted if request.share is not None]
        if not shares:
            self._settle([(request, Answer()) for request in group])
            return
        started = time.monotonic()
        try:
            written = self._pipeline.commit(shares, max(request.give_up for request in wanted))
        except Exception as error:  # noqa: BLE001 - a door: whatever it was, the sender has what is not stored
            notices.warn("llm_sql receiver: not stored, senders were told to send again", error)
            self._refuse(f"not stored: {_reason(error)}", group)
            return
        self._meters.committed(written, time.monotonic() - started)
        for request, share in zip(wanted, shares, strict=True):
            self._meters.answered(request.kind, share)
        self._settle([(r, answer_of(r.kind, r.share) if r.share else Answer()) for r in group])

    def _refuse(self, message: str, group: Sequence[Request] = ()) -> None:
        """Refuse a group, and all that waits: a database that did not take the one does not take the next."""
        with self._changed:
            refused = [*group, *self._ready, *self._arrived]
            self._ready.clear()
            self._arrived.clear()
            self._ready_bytes = 0
        self._settle([(request, RefusedError("unavailable", message, retry_after=2.0)) for request in refused])

    def _settle(self, outcomes: Sequence[tuple[Request, Outcome]]) -> None:
        """Tell the futures, with one call per event loop, and forget the requests."""
        with self._changed:
            self._release(sum(request.size for request, _ in outcomes))
        for loop in {request.loop for request, _ in outcomes}:
            told = [(request.future, outcome) for request, outcome in outcomes if request.loop is loop]
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(partial(_tell, told))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, StoreError) else "an error of the receiver's own"


def _tell(told: Iterable[tuple[asyncio.Future[Answer], Outcome]]) -> None:
    for future, outcome in told:
        if future.done():
            continue
        if isinstance(outcome, Answer):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
