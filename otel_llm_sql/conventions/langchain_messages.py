"""LangChain's messages, in the four ways in which they are serialised, become messages of OpenAI's shape.

`{"lc": 1, "kwargs": {...}}` (dumps), `{"type": "ai", "data": {...}}` (messages_to_dict), `{"type": "human", "content"}`
(model_dump), and `["human", "text"]` (what a prompt template takes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
    "function": "tool",
    "chat": "user",
    "user": "user",
    "assistant": "assistant",
}
_MORE = ("tool_calls", "tool_call_id", "name", "reasoning_content", "refusal")
_PAIR = 2
_SUFFIXES = ("messagechunk", "message")


def openai_shaped(value: Any) -> dict[str, Any] | None:
    """One message.

    Args:
        value: what may be a message of LangChain's.

    Returns:
        `role` and what OpenAI's messages hold, None for anything else.
    """
    if not isinstance(value, dict):
        return _pair(value)
    fields = fields_of(value)
    role = None if fields is None else _role(value, fields)
    if fields is None or role is None:
        return None
    more = fields.get("additional_kwargs")
    # A message's own fields are what LangChain made of the additional ones, in one shape for all providers.
    told = {**(more if isinstance(more, dict) else {}), **{name: item for name, item in fields.items() if item}}
    return {"role": role, "content": fields.get("content"), **{name: told[name] for name in _MORE if told.get(name)}}


def fields_of(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What stands inside of the wrapping of one message; None where there is no message."""
    for key in ("kwargs", "data"):
        inner = value.get(key)
        if isinstance(inner, dict) and "content" in inner and ("lc" in value or "type" in value):
            return inner
    return value if "content" in value and isinstance(value.get("type"), str) and "role" not in value else None


def _role(value: Mapping[str, Any], fields: Mapping[str, Any]) -> str | None:
    told = fields.get("role") if fields.get("type") == "chat" else None
    names = value.get("id")
    wrapper = names[-1] if value.get("lc") and isinstance(names, list) and names else value.get("type")
    for name in (told, fields.get("type"), wrapper):
        if isinstance(name, str):
            word = name.lower()
            for suffix in _SUFFIXES:
                word = word.removesuffix(suffix)
            if word in _ROLES:
                return _ROLES[word]
    return None


def _pair(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, (list, tuple)) or len(value) != _PAIR or not all(isinstance(one, str) for one in value):
        return None
    role = _ROLES.get(value[0])
    return {"role": role, "content": value[1]} if role else None
