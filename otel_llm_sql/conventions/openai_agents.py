"""Calls of tools as openai-agents-v2 writes them down: a text part with Python's repr of the SDK's class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from otel_llm_sql.conventions.json_text import parse
from otel_llm_sql.conventions.python_text import CLASS, read_repr

_CLASS = "ResponseFunctionToolCall"
_OPENING = f"{_CLASS}("


def with_tool_calls(told: Any) -> Any:
    """Output messages with such parts as calls of tools.

    Args:
        told: what stands in `gen_ai.output.messages`.

    Returns:
        The messages as a structure where there is such a part, else what was told.
    """
    if not isinstance(told, str) or _OPENING not in told:
        return told
    try:
        messages = parse(told)
    except ValueError:
        return told
    for part in _parts(messages):
        content = part.get("content")
        if isinstance(content, str) and content.startswith(_OPENING):
            part.update(_call(content) or {})
    return messages


def _parts(messages: Any) -> Iterator[dict[str, Any]]:
    for message in messages if isinstance(messages, list) else ():
        parts = message.get("parts") if isinstance(message, dict) else None
        yield from (part for part in (parts if isinstance(parts, list) else ()) if isinstance(part, dict))


def _call(text: str) -> dict[str, Any] | None:
    """The repr as a part; None where it is none, or is cut."""
    try:
        call = read_repr(text)
    except ValueError:
        return None
    if not isinstance(call, dict) or call.get(CLASS) != _CLASS:
        return None
    told = {"id": call.get("call_id"), "name": call.get("name"), "arguments": call.get("arguments")}
    return {"type": "tool_call", "content": None, **told}


__all__ = ["with_tool_calls"]
