"""Compressed bodies are inflated within a bound: a bomb is cut off while it inflates, whatever it claims to hold."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from otel_llm_sql.receiver.answers import RefusedError

_GZIP = 16 + zlib.MAX_WBITS
_STEP = 1024 * 1024
"""Bytes inflated at a time."""

IDENTITY = ("", "identity")
Grow = Callable[[int], None]

ENCODINGS = ("gzip", "x-gzip", "deflate")


def inflate(body: bytes, encoding: str, limit: int, grow: Grow) -> bytes:
    """The body as it was before compression.

    Args:
        body: as it came.
        encoding: one of `ENCODINGS`.
        limit: bytes that it may have.
        grow: is told the size of each piece before it is kept, and may refuse it.

    Raises:
        RefusedError: `too_large` beyond the limit, `invalid` where the body is not of that encoding or is cut short.
    """
    try:
        if encoding != "deflate":
            return _members(body, limit, grow)
        return _inflated(zlib.decompressobj(_window(body)), body, limit, grow)[0]
    except zlib.error:
        raise RefusedError("invalid", f"the body is no {encoding}: expected what Content-Encoding says") from None


def _window(body: bytes) -> int:
    """RFC 9110 says zlib; some clients send raw deflate. A zlib header is a multiple of 31."""
    is_zlib = len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


def _members(body: bytes, limit: int, grow: Grow) -> bytes:
    """A gzip file may be several of them, one after the other (RFC 1952)."""
    found: list[bytes] = []
    left = limit
    while body or not found:
        member, body = _inflated(zlib.decompressobj(_GZIP), body, left, grow)
        found.append(member)
        left -= len(member)
    return b"".join(found)


def _inflated(inflater: zlib._Decompress, body: bytes, limit: int, grow: Grow) -> tuple[bytes, bytes]:
    """What one stream holds, and what stands after it."""
    found: list[bytes] = []
    left = limit
    while not inflater.eof:
        piece = inflater.decompress(body, min(_STEP, left + 1))
        body = inflater.unconsumed_tail
        left -= len(piece)
        if left < 0:
            raise RefusedError("too_large", f"the request is larger than {limit} bytes after decompression")
        if not piece and not body and not inflater.eof:
            raise RefusedError("invalid", "the compressed body is cut short")
        grow(len(piece))
        found.append(piece)
    return b"".join(found), inflater.unused_data
