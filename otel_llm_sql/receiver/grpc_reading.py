"""Messages are read from gRPC, which tells the size of one only when it is whole, and meanwhile takes what is sent.

So the memory of the process is watched. Where it grows beyond what the process holds while nothing is read and what may
be under way, all messages but the one that was begun first are given up, and their senders told to come again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from otel_llm_sql.receiver.answers import RefusedError, too_slow
from otel_llm_sql.receiver.groups import Groups
from otel_llm_sql.receiver.memory import give_back, resident
from otel_llm_sql.receiver.settings import ReceiverSettings

_LOOK = 0.01
"""Seconds between two looks at the memory: gRPC reads 10 MB in that time."""

_BESIDE = 32 * 1024 * 1024
"""Bytes that may come to what the process holds for good and what may be under way: connections, what is decoded."""

_GROWN = 96 * 1024 * 1024
"""Bytes that the process may come to hold for good: modules that are loaded later, caches."""


class Reading:
    """The messages that are being read.

    Args:
        groups: knows what is under way beside them.
        settings: how much that may be, and how long it may take.
    """

    def __init__(self, groups: Groups, settings: ReceiverSettings) -> None:
        self._groups, self._settings = groups, settings
        self._first = self._held = resident()
        self._begun: dict[asyncio.Timeout, None] = {}
        self._given_up: set[asyncio.Timeout] = set()
        self._next_look: asyncio.TimerHandle | None = None

    async def message(self, context: Any) -> Any:
        """The message of a call, or what grpc.aio gives for none.

        Raises:
            RefusedError: it does not go on arriving, or there is no room for it.
        """
        if self._begun and self._is_full():
            raise _no_room()
        if not self._begun and not self._groups.used:
            self._held = min(max(self._held, resident()), self._first + _GROWN)
        counted = self._settings.least_counted
        self._groups.reserve(counted)
        try:
            async with asyncio.timeout(self._settings.sending_seconds) as patience:
                self._begun[patience] = None
                self._watch()
                return await context.read()
        except TimeoutError:
            raise (_no_room() if patience in self._given_up else too_slow()) from None
        finally:
            self._begun.pop(patience, None)
            self._given_up.discard(patience)
            self._groups.release(counted)

    def _watch(self) -> None:
        if self._next_look is None:
            self._next_look = asyncio.get_running_loop().call_later(_LOOK, self._look)

    def _look(self) -> None:
        self._next_look = None
        if len(self._begun) > 1 and self._is_full():
            now = asyncio.get_running_loop().time()
            for patience in [*self._begun][1:]:
                if not patience.expired():  # whose task has not heard of it yet
                    self._given_up.add(patience)
                    patience.reschedule(now)
        if len(self._begun) > 1:
            self._watch()

    def _is_full(self) -> bool:
        allowed = self._held + self._settings.queue_bytes + _BESIDE + self._groups.decoding
        if resident() <= allowed:
            return False
        give_back()  # what was freed may still be ours
        return resident() > allowed


def _no_room() -> RefusedError:
    return RefusedError("unavailable", "too much is being received", retry_after=1.0)
