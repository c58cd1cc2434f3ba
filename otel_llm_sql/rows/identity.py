"""Identities are computed, never generated: the same telemetry gives the same keys, whoever delivers it and when.

A message id is 64 bits of its session and 64 bits of the message itself (role, content, parts, and how many equal
messages stand before it in the same call). So the messages of a session are neighbours in every index, and a message
moves between sessions without its text being read again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b

import orjson

from otel_llm_sql.records import DEFINITIONS, JsonValue, Message

_UUID = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}")


def hash128(text: bytes) -> str:
    """128 bits of BLAKE2b, as 32 hex digits."""
    return blake2b(text, digest_size=16).hexdigest()


def uuid_text(digits: str) -> str:
    """The canonical 36 characters of a UUID, from its 32 hex digits."""
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def operation_id(trace_id: str, span_id: str) -> str:
    """The operation that a span tells about, unless a span inside it tells about the same call."""
    return uuid_text(hash128(f"operation\0{trace_id}\0{span_id}".encode()))


@lru_cache(maxsize=4096)
def session_id(workspace: str | None, session_key: str) -> str:
    """The session of an application's own key: the key itself where it is a UUID."""
    if _UUID.fullmatch(session_key):
        return uuid_text(session_key.replace("-", "").lower())
    return uuid_text(hash128(f"session\0{workspace or ''}\0{session_key}".encode()))


def trace_session_id(trace_id: str) -> str:
    """The session of a trace that names none: the trace id, written as a UUID."""
    return uuid_text(trace_id)


@lru_cache(maxsize=4096)
def session_prefix(session: str) -> str:
    """What the ids of all that belongs to a session begin with: a digest or a key completes it."""
    digits = blake2b(session.encode(), digest_size=8).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:]}-"


def key_within(text: str) -> str:
    """What stands in an id behind the prefix of its session."""
    return text[19:]


def _hash64(text: bytes) -> str:
    """64 bits of BLAKE2b in hex, as they end a UUID: with a hyphen before the last twelve digits."""
    return blake2b(text, digest_size=8).digest().hex("-", 6)


def digest_text(digest: str) -> str:
    """A digest as it is kept with evidence: 16 hex digits."""
    return digest.replace("-", "")


def digest_of_text(text: str) -> str:
    """The inverse of `digest_text`."""
    return f"{text[:4]}-{text[4:]}"


def message_digest(message: Message) -> str:
    """What a message says, whoever sends it and when."""
    # A missing content is not an empty one; \1 cannot be confused with text that follows \0.
    text = f"{message.role}\0\1" if message.content is None else f"{message.role}\0{message.content}"
    if message.tool_call_id is not None:  # two tools may answer the same
        text += f"\0\2{message.tool_call_id}"
    if message.parts is None:
        return _hash64(text.encode())
    return _hash64(text.encode() + b"\0\1" + orjson.dumps(message.parts, option=orjson.OPT_SORT_KEYS))


def definitions_digest(definitions: JsonValue) -> str:
    """What a set of tool definitions says."""
    return _hash64(b"tools\0" + orjson.dumps(definitions, option=orjson.OPT_SORT_KEYS))


@lru_cache(maxsize=4096)
def _repeated(digest: str, times: int) -> str:
    return _hash64(b"repeated\0%d\0%d" % (times, int(digest_text(digest), 16)))


def message_keys(digests: list[str]) -> list[str]:
    """Keys of the messages of one call: a message that was said before in the same call gets a key of its own."""
    if len(set(digests)) == len(digests):
        return digests
    seen: dict[str, int] = {}
    keys = []
    for digest in digests:
        times = seen.get(digest, 0)
        seen[digest] = times + 1
        keys.append(_repeated(digest, times) if times else digest)
    return keys


def message_digests(message_ids: Sequence[str]) -> list[str]:
    """What the messages of one call say, from their ids: the inverse of `message_keys`."""
    expected: dict[str, tuple[str, int]] = {}
    digests = []
    for key in map(key_within, message_ids):
        digest, times = expected.pop(key, (key, 0))
        expected[_repeated(digest, times + 1)] = (digest, times + 1)
        digests.append(digest)
    return digests


def definitions_digest_of(extras: Mapping[str, JsonValue]) -> str | None:
    """The digest of the tool definitions that a fact speaks of."""
    text = extras.get(DEFINITIONS)
    return digest_of_text(text) if text else None
