"""Identities are computed, never generated: the same telemetry gives the same keys, whoever delivers it and when.

A message id is 64 bits of its session and 64 bits of the message itself (role, content, parts, and how many equal
messages stand before it in the same call). So the messages of a session are neighbours in every index, and a message
moves between sessions without its text being read again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

import orjson

from otel_llm_sql.records import JsonValue

_UUID = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}")


def hash128(text: bytes) -> int:
    """128 bits of BLAKE2b, as an integer."""
    return int.from_bytes(blake2b(text, digest_size=16).digest())


def hash64(text: bytes) -> int:
    """64 bits of BLAKE2b, as an integer."""
    return int.from_bytes(blake2b(text, digest_size=8).digest())


def uuid_text(value: int) -> str:
    """The canonical 36 characters of a 128-bit value."""
    h = f"{value:032x}"
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def uuid_value(text: str) -> int:
    """The 128-bit value of a UUID's text."""
    return int(text.replace("-", ""), 16)


def operation_id(trace_id: str, span_id: str) -> str:
    """The operation that a span tells about, unless a span inside it tells about the same call."""
    return uuid_text(hash128(f"operation\0{trace_id}\0{span_id}".encode()))


@lru_cache(maxsize=4096)
def session_id(workspace: str | None, session_key: str) -> str:
    """The session of an application's own key: the key itself where it is a UUID."""
    if _UUID.fullmatch(session_key):
        return uuid_text(uuid_value(session_key))
    return uuid_text(hash128(f"session\0{workspace or ''}\0{session_key}".encode()))


def trace_session_id(trace_id: str) -> str:
    """The session of a trace that names none: the trace id, written as a UUID."""
    return f"{trace_id[:8]}-{trace_id[8:12]}-{trace_id[12:16]}-{trace_id[16:20]}-{trace_id[20:]}"


@lru_cache(maxsize=4096)
def session_prefix(session: str) -> str:
    """What the ids of all that belongs to a session begin with."""
    h = f"{hash64(session.encode()):016x}"
    return f"{h[:8]}-{h[8:12]}-{h[12:]}-"


def id_within(prefix: str, key: int) -> str:
    """The id of something of a session, by its 64-bit key."""
    h = f"{key:016x}"
    return f"{prefix}{h[:4]}-{h[4:]}"


def key_within(text: str) -> int:
    """The inverse of `id_within`."""
    return int(text[19:23] + text[24:], 16)


def digest_text(digest: int) -> str:
    """16 hex digits."""
    return f"{digest:016x}"


def message_digest(role: str, content: str | None, parts: list[JsonValue] | None) -> int:
    """What a message says, whoever sends it and when."""
    # A missing content is not an empty one; \1 cannot be confused with text that follows \0.
    text = f"{role}\0\1" if content is None else f"{role}\0{content}"
    if parts is None:
        return hash64(text.encode())
    return hash64(text.encode() + b"\0\1" + orjson.dumps(parts, option=orjson.OPT_SORT_KEYS))


def definitions_digest(definitions: JsonValue) -> int:
    """What a set of tool definitions says."""
    return hash64(b"tools\0" + orjson.dumps(definitions, option=orjson.OPT_SORT_KEYS))


def _repeated(digest: int, times: int) -> int:
    return hash64(b"repeated\0%d\0%d" % (times, digest))


def message_keys(digests: Iterable[int]) -> list[int]:
    """Keys of the messages of one call: a message that was said before in the same call gets a key of its own."""
    seen: dict[int, int] = {}
    keys = []
    for digest in digests:
        times = seen.get(digest, 0)
        seen[digest] = times + 1
        keys.append(_repeated(digest, times) if times else digest)
    return keys


def message_digests(keys: Sequence[int]) -> list[int]:
    """The inverse of `message_keys`."""
    expected: dict[int, tuple[int, int]] = {}
    digests = []
    for key in keys:
        digest, times = expected.pop(key, (key, 0))
        expected[_repeated(digest, times + 1)] = (digest, times + 1)
        digests.append(digest)
    return digests
