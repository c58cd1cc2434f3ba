"""The JSON documents of a file and where they begin: JSON Lines, one document over many lines, or several of them.

No line is parsed to find its end, so a broken one costs itself alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from otel_llm_sql.intake.byte_stream import LARGEST, ByteStream

_MARK = b"\xef\xbb\xbf"
"""The byte order mark, which some editors write."""

_REQUEST = re.compile(rb'\{\s*"resource(?:Spans|Logs|Metrics|_spans|_logs|_metrics)"')


def looks_like_json(head: bytes) -> bool:
    """Whether a file that begins so holds JSON, or nothing at all.

    A protobuf request begins with a newline, and `{` may come next as its length: then a letter in quotes cannot.
    """
    text = head.removeprefix(_MARK)
    if not text.strip() or text.startswith(b"{") or re.match(rb'\s*\{\s*(?:"[A-Za-z]|\})', text):
        return True
    return re.search(rb"[\r\n](?:%s)" % _REQUEST.pattern, text) is not None


def documents(stream: ByteStream) -> Iterator[tuple[int, bytes | None]]:
    """Each document with the number of its first line; None for one that is too large.

    A document that is written over several lines ends with a line that closes it without being indented.
    """
    first, held = 0, bytearray()
    for number, line in _lines(stream):
        if held and (line is None or _REQUEST.match(line)):  # the one before was cut off
            yield first, _whole(held)
            held = bytearray()
        if line is None:
            yield number, None
            continue
        first = first if held else number
        ends = _ends(line, alone=not held)
        if len(held) <= LARGEST:
            held += line
        if ends:
            yield first, _whole(held)
            held = bytearray()
    if held:
        yield first, _whole(held)


def _lines(stream: ByteStream) -> Iterator[tuple[int, bytes | None]]:
    """Every line that is not empty, without what editors add to it."""
    number = 0
    while line := stream.line(LARGEST + 1):
        number += 1
        if len(line) > LARGEST:
            while line and not line.endswith(b"\n"):
                line = stream.line(LARGEST)
            yield number, None
        elif line.strip():
            yield number, line.removeprefix(_MARK)


def _ends(line: bytes, *, alone: bool) -> bool:
    text = line.rstrip()
    if alone:
        return not text.lstrip().startswith(b"{") or (text.endswith(b"}") and len(text) > 1)
    return text.endswith(b"}") and text[:1] in (b"}", b"]")


def _whole(held: bytearray) -> bytes | None:
    return bytes(held.rstrip()) if len(held) <= LARGEST else None
