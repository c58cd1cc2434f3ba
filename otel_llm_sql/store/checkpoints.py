"""Checkpoints of SQLite files beside the writer: rows go from the write-ahead log into the database on another core.

Left to itself SQLite does it within a commit, which then takes ten times as long. It still does where this one falls
behind, so the log stays bounded.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress

import sqlalchemy as sa

from otel_llm_sql.store.engines import uninstrumented

_ROWS = 4000
"""Rows between two checkpoints: about 5 MB of log, and two fsyncs."""


class Checkpoints:
    """Checkpoints of one database; for anything but a plain SQLite file it does nothing.

    Args:
        engine: the writer's.
    """

    def __init__(self, engine: sa.Engine) -> None:
        file = engine.url.database if engine.dialect.driver == "pysqlite" else None
        self._file = file if file and file != ":memory:" and not file.startswith("file:") else None
        self._rows = 0
        self._thread: threading.Thread | None = None

    def committed(self, rows: int) -> None:
        """Tell that rows were committed: from time to time they are moved, while the caller goes on."""
        self._rows += rows
        if self._file and self._rows >= _ROWS and not (self._thread and self._thread.is_alive()):
            self._rows = 0
            self._thread = threading.Thread(target=self._checkpoint, name="llm-sql-checkpoint", daemon=True)
            with suppress(RuntimeError):  # the interpreter is going down
                self._thread.start()

    def _checkpoint(self) -> None:
        # A connection of its own: the pool may have no other than the writer's.
        with suppress(sqlite3.Error), uninstrumented(), closing(sqlite3.connect(str(self._file))) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def wait(self, timeout: float) -> None:
        """Wait for one that is under way, at most so many seconds."""
        if self._thread:
            with suppress(RuntimeError):  # it never started
                self._thread.join(timeout)
