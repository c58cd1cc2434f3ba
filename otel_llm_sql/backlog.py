"""Telemetry that the database has not taken yet: kept in memory within a bound, oldest first."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from otel_llm_sql.intake.signal import Signal

_OVERHEAD = 1024
"""Bytes an object costs beside its texts; measured on spans of the OpenAI instrumentation."""


_SCALAR = 64
"""Bytes of a value beside its text."""

_DEEP = 20


class Backlog:
    """Signals in the order in which they came, at most so many bytes of them.

    Args:
        limit: bytes; when they are exceeded the oldest signals are given out.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batches: deque[tuple[list[Signal], int]] = deque()
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._batches)

    def __len__(self) -> int:
        return sum(len(batch) for batch, _ in self._batches)

    def keep(self, signals: Sequence[Signal], *, first: bool = False) -> list[Signal]:
        """Keep signals for later, in front of all others or behind them; returns those that had to make room."""
        excess: list[Signal] = []
        if not signals:
            return excess
        entry = (list(signals), sum(map(_bytes, signals)))
        (self._batches.appendleft if first else self._batches.append)(entry)
        self._size += entry[1]
        while self._size > self._limit and self._batches:
            batch, size = self._batches.popleft()
            self._size -= size
            excess += batch
        return excess

    def take(self) -> list[Signal]:
        """The oldest batch; empty when there is none."""
        if not self._batches:
            return []
        batch, size = self._batches.popleft()
        self._size -= size
        return batch


def _bytes(signal: Signal) -> int:
    events = sum(_texts(event.attributes.values()) for event in signal.events)
    return _OVERHEAD + _texts(signal.attributes.values()) + _texts([signal.body]) + events


def _texts(values: Iterable[object], depth: int = 0) -> int:
    return sum(_size(value, depth) for value in values)


def _size(value: object, depth: int) -> int:
    if isinstance(value, str | bytes):
        return sys.getsizeof(value)
    if depth > _DEEP:
        return _SCALAR
    if isinstance(value, Mapping):
        return _SCALAR + _texts(value.values(), depth + 1)
    return _SCALAR + (_texts(value, depth + 1) if isinstance(value, list | tuple) else 0)
