"""Group commit: requests that arrive together share one transaction, and each learns the fate of its own rows.

One thread decodes, maps and commits: two would only take Python's lock from each other. While it is busy requests
gather, so a thousand small senders cost little more than one big one; nobody waits longer than a few milliseconds for
neighbours. What waits is bounded in bytes; what cannot be committed is refused, never kept.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from otel_llm_sql import notices
from otel_llm_sql.errors import StoreError
from otel_llm_sql.receiver.answers import Answer, Encoding, Kind, RefusedError
from otel_llm_sql.receiver.decoding import answer_of, share_of
from otel_llm_sql.receiver.metrics import Meters
from otel_llm_sql.receiver.settings import ReceiverSettings
from otel_llm_sql.receiver.storing import ReceivingPipeline, Share

_GROUP = 4 * 1024 * 1024
"""Bytes of requests in one transaction: decoded, they take several times as much memory."""

_DECODED = 6
"""Times its size that a request takes while it is decoded."""

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
    future: asyncio.Future[Outcome]
    loop: asyncio.AbstractEventLoop
    give_up: float
    size: int
    share: Share | None = None


class Groups:
    """Gathers requests and commits them. Its thread starts with the first request.

    Args:
        pipeline: reads and commits.
        meters: what is counted.
        settings: how much may wait, and how long.
    """

    def __init__(self, pipeline: ReceivingPipeline, meters: Meters, settings: ReceiverSettings) -> None:
        self._pipeline, self._meters, self._settings = pipeline, meters, settings
        self._changed = threading.Condition()
        self._arrived: deque[Request] = deque()
        self._used, self._in_hand, self._together = 0, 0, 1
        self._closed = self._stopped = False
        self._thread: threading.Thread | None = None

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
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="llm-sql-receive", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def obstacle(self) -> str:
        """Why a request would be refused now; empty where it would not."""
        if self._closed:
            return "the receiver is shutting down"
        return "too much waits for the database" if self._used >= self._settings.queue_bytes else ""

    @property
    def used(self) -> int:
        """Bytes that requests are accounted for."""
        return self._used

    @property
    def decoding(self) -> int:
        """Bytes that the requests in hand take beyond what they are accounted for, where one of them is large."""
        return _DECODED * self._in_hand if self._in_hand > _GROUP else 0

    def close(self, grace: float) -> None:
        """Refuse new requests, let those that were taken end within `grace` seconds, refuse the rest."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._used == 0, grace)
            self._stopped = True
            self._changed.notify_all()
        self._refuse("the receiver is shutting down")
        if self._thread:
            self._thread.join(1.0)  # a database that hangs does not hold up the end; it is a daemon

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

    def _work(self) -> None:
        while (taken := self._next()) is not None:
            committed = self._commit(self._read_all(taken))
            del taken  # nobody waits with it in hand
            self._in_hand = 0
            if not committed:
                # SQLAlchemy's errors refer to themselves, and hold what was to be stored.
                gc.collect(1)

    def _next(self) -> list[Request] | None:
        """Wait for requests, and a moment for others; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._arrived)
            # As many as came together before may be on their way: who sends alone waits for nobody.
            self._changed.wait_for(self._is_complete, self._settings.group_seconds)
            if self._stopped:
                return None
            taken = self._take()
            self._together = len(taken)
            self._in_hand = sum(len(request.body) for request in taken)
            return taken

    def _is_complete(self) -> bool:
        return self._stopped or len(self._arrived) >= self._together

    def _take(self) -> list[Request]:
        """What fits into one transaction; at least one request."""
        group: list[Request] = []
        size = 0
        while self._arrived and size < _GROUP:
            group.append(self._arrived.popleft())
            size += len(group[-1].body)
        return group

    def _read_all(self, taken: Sequence[Request]) -> list[Request]:
        """Those of the requests in which there is something to commit; the others are answered."""
        outcomes = [(request, self._read(request)) for request in taken]
        if answered := [(request, outcome) for request, outcome in outcomes if outcome is not None]:
            self._settle(answered)
        return [request for request, outcome in outcomes if outcome is None]

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

    def _commit(self, group: Sequence[Request]) -> bool:
        """Store what requests hold, and tell them; whether that went well."""
        wanted = [request for request in group if not request.future.done()]
        shares = [request.share for request in wanted if request.share is not None]
        if not shares:
            self._settle([(request, Answer()) for request in group])
            return True
        started = time.monotonic()
        try:
            written = self._pipeline.commit(shares, max(request.give_up for request in wanted))
        except Exception as error:  # noqa: BLE001 - a door: whatever it was, the sender has what is not stored
            notices.warn("llm_sql receiver: not stored, senders were told to send again", error)
            self._refuse(f"not stored: {_reason(error)}", group)
            return False
        self._meters.committed(written, time.monotonic() - started)
        for request, share in zip(wanted, shares, strict=True):
            self._meters.answered(request.kind, share)
        self._settle([(r, answer_of(r.kind, r.share) if r.share else Answer()) for r in group])
        return True

    def _refuse(self, message: str, group: Sequence[Request] = ()) -> None:
        """Refuse a group, and all that waits: a database that did not take the one does not take the next."""
        with self._changed:
            refused = [*group, *self._arrived]
            self._arrived.clear()
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


def _tell(told: Iterable[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    for future, outcome in told:
        if not future.done():
            future.set_result(outcome)  # an exception would hold the request until Python's collector looks
