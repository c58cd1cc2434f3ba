"""The lines to a database server, so that one that says nothing any more can be cut (F09).

libpq waits for a silent server for ever: it has no read timeout. Shutting the socket down from another thread ends the
wait with an error, whatever the connection was doing.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

import sqlalchemy as sa


class Lines:
    """All connections of an engine, as the driver's objects.

    Args:
        engine: an engine whose driver's connections have a `fileno()`.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._connections: WeakSet[Any] = WeakSet()
        # A closed connection has no file any more: psycopg says so with an error of its own.
        self._errors = (OSError, engine.dialect.loaded_dbapi.Error)
        sa.event.listen(engine, "connect", lambda connection, _record: self._connections.add(connection))

    @contextmanager
    def cut_after(self, seconds: float) -> Iterator[None]:
        """Cut all lines when what happens inside takes longer."""
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        with suppress(RuntimeError):  # the interpreter is going down and starts no threads any more
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        for connection in list(self._connections):
            with suppress(*self._errors), socket.socket(fileno=os.dup(connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)


class NoLines:
    """For drivers that have a read timeout themselves."""

    @contextmanager
    def cut_after(self, seconds: float) -> Iterator[None]:  # noqa: ARG002 - the interface of Lines
        """Cut nothing."""
        yield
