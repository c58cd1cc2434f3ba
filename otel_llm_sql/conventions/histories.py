"""Histories that were read before: an agent sends its whole conversation again on every call.

The JSON text of a longer history begins with the text of the shorter one, so only what was added needs to be read. It
is only a memory of what was parsed: forgetting costs time, and nothing else.
"""

from __future__ import annotations

from otel_llm_sql.records import Message

_LONGEST = 1024 * 1024
"""Characters of a history that is worth remembering."""

_ALL = 4 * 1024 * 1024
"""Characters that are remembered of all histories together; what was not used for longest is forgotten first. With the
messages that were read it is about 2.5 times as much memory."""

_NOTHING: tuple[str, list[Message]] = ("", [])

_known: dict[str, tuple[str, list[Message]]] = {}
_size = 0


def recall(conversation: str, text: str) -> tuple[list[Message], str]:
    """What was read before of a JSON text.

    Args:
        conversation: what names the history.
        text: JSON text of the whole history.

    Returns:
        The messages that are known, and JSON text of those that are not.
    """
    known, messages = _known.get(conversation, _NOTHING)
    end = len(known) - 1  # where its closing bracket stands, the longer text has a comma
    if known and text[end : end + 1] == "," and text.startswith(known[:end]):
        return messages, "[" + text[end + 1 :]
    return _NOTHING[1], text


def remember(conversation: str, text: str, messages: list[Message]) -> None:
    """Keep what was read: JSON text of a list that ends with a message, and needed no repair."""
    global _size  # noqa: PLW0603 - a race between two threads makes the bound a little wrong, and nothing else
    if len(text) > _LONGEST or text[-1] != "]":
        return
    _size += len(text) - len(_known.pop(conversation, _NOTHING)[0])
    _known[conversation] = (text, messages)
    while _size > _ALL:
        try:
            oldest, _ = _known.pop(next(iter(_known)), _NOTHING)
        except (StopIteration, RuntimeError):  # another thread is at it
            return
        _size -= len(oldest)
