"""Operations that outlive their process: what the database had not taken when it ended, as files.

One file per ending, JSON Lines, readable by its owner alone. The next process that writes to the same database stores
them and removes them; storing twice does no harm, as rows are idempotent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from otel_llm_sql import notices
from otel_llm_sql.records import Message, Operation

_TIMES = 10
_NOT_KEPT = "what the database did not take cannot be kept in files"


@dataclass(frozen=True, slots=True)
class Kept:
    """What one file holds.

    Attributes:
        operations: those of its lines that can be read.
        is_whole: whether all of them can.
    """

    path: Path
    operations: list[Operation]
    is_whole: bool

    def stored(self) -> None:
        """Take the file away, now that its operations are in the database; one with a broken line gets another name."""
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if self.is_whole:
                self.path.unlink()
            else:
                self.path.rename(self.path.with_suffix(".broken"))


class Spool:
    """The files of one database.

    Args:
        directory: where the spools of all databases are; None keeps nothing.
        place: what tells the database from others; its hash names the spool.
        backlog_bytes: what one process keeps in memory. All files together hold ten times as much, then no more.
    """

    def __init__(self, directory: Path | None, place: str, backlog_bytes: int) -> None:
        self._directory = directory / hashlib.sha256(place.encode()).hexdigest()[:16] if directory else None
        self._limit = _TIMES * backlog_bytes

    def write(self, operations: Sequence[Operation]) -> bool:
        """Keep canonical operations in a new file; whether that could be done."""
        if self._directory is None:
            return False
        lines = b"\n".join(map(operation_json, operations))
        try:
            self._directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.mkdir(mode=0o700, exist_ok=True)
            if sum(path.stat().st_size for path in self._files()) + len(lines) > self._limit:
                notices.warn(_NOT_KEPT, f"{self._directory} would hold more than {self._limit:,} bytes")
                return False
            name = self._directory / f"{time.time_ns()}-{os.getpid()}.jsonl"
            partial = name.with_suffix(".part")
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(name)  # a reader never sees half a file
        except OSError as error:
            notices.warn(_NOT_KEPT, f"{error.filename or self._directory}: {error.strerror or type(error).__name__}")
            return False
        return True

    def read(self) -> Iterator[Kept]:
        """What the files hold, oldest first."""
        for path in self._files():
            with contextlib.suppress(OSError):  # another process was faster
                lines = path.read_bytes().splitlines()
                operations = [operation for line in lines if (operation := _operation(line))]
                yield Kept(path, operations, is_whole=len(operations) == len(lines))

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("*.jsonl")) if self._directory else []


def operation_json(operation: Operation) -> bytes:
    """A canonical operation as JSON."""
    return orjson.dumps(asdict(operation), option=orjson.OPT_SORT_KEYS)


def _operation(line: bytes) -> Operation | None:
    try:
        fields = orjson.loads(line)
        fields["messages"] = [Message(**message | {"digest": None}) for message in fields["messages"]]
        return Operation(**fields)
    except (ValueError, TypeError, KeyError):
        return None
