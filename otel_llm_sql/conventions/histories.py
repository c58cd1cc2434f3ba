"""Histories that were read before: an agent sends its whole conversation again on every call.

The JSON text of a longer history begins with the text of the shorter one, so only what was added needs to be read. It
is only a memory of what was parsed: forgetting costs time, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.json_text import parse
from otel_llm_sql.records import Message

_LONGEST = 1024 * 1024
"""Characters of a history that is worth remembering."""

_ALL = 4 * 1024 * 1024
"""Characters that are remembered of all histories together; what was not used for longest is forgotten first. With the
messages that were read it is about 2.5 times as much memory."""

_NOTHING: tuple[str, list[Message]] = ("", [])

_known: dict[str, tuple[str, list[Message]]] = {}
_size = 0


def read(conversation: str, text: str, build: Callable[[Any], list[Message]], cleaner: Cleaner) -> list[Message] | None:
    """The messages of a history.

    Args:
        conversation: what names it.
        text: a JSON text.
        build: reads the messages of a JSON value.
        cleaner: what repairs; a history that had to be repaired is not remembered: its repairs are to be listed again.

    Returns:
        The messages; None where the whole has to be read in another way.

    Raises:
        ValueError: it is no JSON.
    """
    known, messages = _known.get(conversation, _NOTHING)
    cleaner.inexact = False
    if known and text.startswith(known) and text[len(known) : len(known) + 1] == ",":
        items = parse("[" + text[len(known) + 1 :])
        found = messages + build(items)
    else:
        items = parse(text)
        found = build(items)
    if cleaner.inexact:
        return None
    # Parts without a message around them are put together: there the boundary of two texts would show.
    whole = type(items) is list and all(type(item) is dict and "role" in item for item in items)
    if whole and not cleaner.repaired and len(text) <= _LONGEST and text[-1:] == "]":
        _remember(conversation, text[:-1], found)
    return found


def _remember(conversation: str, text: str, messages: list[Message]) -> None:
    global _size  # noqa: PLW0603 - a race between two threads makes the bound a little wrong, and nothing else
    _size += len(text) - len(_known.pop(conversation, _NOTHING)[0])
    _known[conversation] = (text, messages)
    while _size > _ALL:
        try:
            oldest, _ = _known.pop(next(iter(_known)), _NOTHING)
        except (StopIteration, RuntimeError):  # another thread is at it
            return
        _size -= len(oldest)
