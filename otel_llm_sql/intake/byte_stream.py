"""The bytes of a file, decompressed while they are read: gzip, Zstandard or neither, told by their beginning.

Never more than a few chunks are held, however large the file or what is in it. Where nothing more can be decompressed
the stream ends and `fault` says so: what came before is good.
"""

from __future__ import annotations

import gzip
import importlib
import io
import sys
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

from otel_llm_sql.errors import LlmSqlError

LARGEST = 64 * 1024 * 1024
"""Bytes of the largest request that is read: as much as OTLP recommends that receivers take."""

ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP = b"\x1f\x8b"

_CHUNK = 256 * 1024
_ENOUGH = 64
"""Bytes that tell what a file is."""


class ByteStream:
    """Bytes to read.

    Args:
        file: what they come from; it need not be seekable.

    Attributes:
        head: the first bytes, to tell what it is; empty for an empty file.
        position: bytes that were read, after decompression.

    Raises:
        LlmSqlError: they are compressed with Zstandard, and nothing is installed that reads it.
    """

    def __init__(self, file: BinaryIO) -> None:
        packed = _Headed(getattr(file, "read1", file.read))
        self._unpacked = _Unpacked(_reader(packed))
        headed = _Headed(self._unpacked.pull)
        self.head = headed.head
        self.position = 0
        self._bytes = io.BufferedReader(headed, _CHUNK)

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end."""
        return self._counted(self._bytes.read(size))

    def line(self, size: int) -> bytes:
        """Bytes to the end of the line, with it; at most so many."""
        return self._counted(self._bytes.readline(size))

    def skip(self, size: int) -> int:
        """Read so many bytes and forget them; how many were missing."""
        while size and (found := self.read(min(size, _CHUNK))):
            size -= len(found)
        return size

    @property
    def fault(self) -> str | None:
        """Why the stream ends here, where that is not the end of the file; None before it ends."""
        return None if self._bytes.peek(1) else self._unpacked.fault

    def _counted(self, found: bytes) -> bytes:
        self.position += len(found)
        return found


class _Headed(io.RawIOBase):
    """A source whose first bytes can be looked at before they are read."""

    def __init__(self, pull: Callable[[int], bytes]) -> None:
        self._pull = pull
        self.head = b""
        while len(self.head) < _ENOUGH and (more := pull(_CHUNK)):
            self.head += more
        self._rest = self.head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        found = self._rest[:size] or self._pull(size)
        self._rest = self._rest[size:]
        buffer[: len(found)] = found
        return len(found)


class _Unpacked:
    """Decompressed bytes, until they end or are found to be broken."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._count = 0
        self.fault: str | None = None

    def pull(self, size: int) -> bytes:
        if self.fault:
            return b""
        try:
            found: bytes = self._reader.read1(size)
        except EOFError:
            self.fault = f"ends too early: nothing can be decompressed after byte {self._count} of its content"
            return b""
        except _damages():
            self.fault = f"is damaged: nothing can be decompressed after byte {self._count} of its content"
            return b""
        self._count += len(found)
        return found


def _reader(packed: _Headed) -> Any:
    if packed.head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=packed)
    if packed.head.startswith(ZSTD):
        return zstd().ZstdFile(packed)
    return io.BufferedReader(packed, _CHUNK)


def zstd() -> Any:
    """The module that Python has since 3.14, or its copy for older ones.

    Raises:
        LlmSqlError: it is not installed.
    """
    try:
        return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError as error:
        raise LlmSqlError("reading Zstandard needs backports.zstd: pip install 'otel-llm-sql[otlp]'") from error


def _damages() -> tuple[type[Exception], ...]:
    """What is raised for bytes that cannot be decompressed."""
    try:
        return gzip.BadGzipFile, zlib.error, zstd().ZstdError
    except LlmSqlError:  # then there is none that could be damaged
        return gzip.BadGzipFile, zlib.error
