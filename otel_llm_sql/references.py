"""How an operation refers to its messages: the one place that packs their ids, and the one that unpacks them.

All messages of an operation belong to its session, so that the first halves of their ids are the same: 8 bytes of
that, once, and 8 bytes of each message. The view `llm_operation_messages` reads the same in SQL.
"""

from __future__ import annotations

from collections.abc import Sequence

HALF = 8
"""Bytes of either half of an id."""

_PREFIX = 19
"""Characters of the first half in a UUID's text, hyphen included."""


def packed(message_ids: Sequence[str]) -> bytes:
    """The ids of the messages of one operation, in order, as they are stored.

    Args:
        message_ids: UUIDs as canonical text; all begin with the prefix of one session.

    Returns:
        Nothing for no ids.
    """
    if not message_ids:
        return b""
    halves = [message_ids[0][:_PREFIX], *(text[_PREFIX:] for text in message_ids)]
    return bytes.fromhex("".join(halves).replace("-", ""))


def unpacked(stored: bytes) -> list[str]:
    """The inverse of `packed`."""
    digits = stored.hex()
    prefix = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-"
    starts = range(2 * HALF, len(digits), 2 * HALF)
    return [f"{prefix}{digits[at : at + 4]}-{digits[at + 4 : at + 16]}" for at in starts]
