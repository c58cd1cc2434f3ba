"""Haystack's `ChatMessage`, as JSON and as Python prints it, becomes a message of OpenTelemetry's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_llm_sql.conventions.json_coded import opened
from otel_llm_sql.conventions.python_text import CLASS, read_repr
from otel_llm_sql.conventions.usage import read_usage

_PART_OF_CLASS = {
    "TextContent": "text",
    "ToolCall": "tool_call",
    "ToolCallResult": "tool_call_result",
    "ReasoningContent": "reasoning",
    "ImageContent": "image",
    "FileContent": "file",
}
_TOOL_KEYS = ("name", "description", "parameters")


def opened_body(value: Any) -> Any:
    """A body out of JSON text or Python's repr; anything else as it is."""
    told = opened(value)
    if not isinstance(told, str) or told[:1] not in ("{", "["):
        return told
    try:
        return read_repr(told)
    except ValueError:
        return told


def messages(told: Any) -> list[Any]:
    """The messages of a list; none where something in it is no message."""
    read = [message(item) for item in told] if isinstance(told, list) else []
    return read if all(read) else []


def message(told: Any) -> dict[str, Any] | None:
    """One message, None for anything else."""
    if not isinstance(told, Mapping):
        return None
    role, content = told.get("role", told.get("_role")), told.get("content", told.get("_content"))
    if not isinstance(role, str) or not isinstance(content, (list, str)):
        return None
    if isinstance(content, str):
        return {"role": role, "content": content}
    return {"role": role, "parts": [_part(item) for item in content]}


def _part(told: Any) -> Any:
    if not isinstance(told, Mapping):
        return told
    named = _PART_OF_CLASS.get(str(told.get(CLASS)))
    kind = named or next((key for key in _READERS if key in told), None)
    if kind is None:
        return told
    inner = told if named else told[kind]
    return _READERS[kind](inner) if isinstance(inner, Mapping) or kind == "text" else told


def _text(told: Any) -> dict[str, Any]:
    return {"type": "text", "content": told.get("text") if isinstance(told, Mapping) else told}


def _tool_call(told: Mapping[str, Any]) -> dict[str, Any]:
    call = {"type": "tool_call", "id": told.get("id"), "name": told.get("tool_name")}
    return call | {"arguments": told.get("arguments")}


def _tool_result(told: Mapping[str, Any]) -> dict[str, Any]:
    origin = told.get("origin")
    call_id = origin.get("id") if isinstance(origin, Mapping) else None
    return {"type": "tool_call_response", "id": call_id, "response": told.get("result")}


def _reasoning(told: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "reasoning", "content": told.get("reasoning_text")}


def _media(told: Mapping[str, Any]) -> dict[str, Any]:
    data = told.get("base64_image", told.get("base64_data"))
    return {"type": "blob", "mime_type": told.get("mime_type"), "content": data}


_READERS: dict[str, Any] = {
    "text": _text,
    "tool_call": _tool_call,
    "tool_call_result": _tool_result,
    "reasoning": _reasoning,
    "image": _media,
    "file": _media,
}


def tools(told: Any) -> list[dict[str, Any]]:
    """Tool definitions out of Haystack's tools."""
    if not isinstance(told, list):
        return []
    found = []
    for item in told:
        tool = item.get("data", item) if isinstance(item, Mapping) else {}
        if isinstance(tool, Mapping) and isinstance(tool.get("name"), str):
            found.append({"type": "function", "function": {key: tool[key] for key in _TOOL_KEYS if key in tool}})
    return found


def usage_of(usage: Any, component: str) -> dict[str, int]:
    """Tokens as a generator's `meta` tells them, always under OpenAI's names.

    Args:
        usage: parsed JSON.
        component: type of the generator: Anthropic's leaves cached tokens out, as its provider does.
    """
    told = read_usage(usage)
    if told and component.startswith("Anthropic") and "input_tokens" in told and isinstance(usage, Mapping):
        pairs = (
            ("cache_read_input_tokens", "cache_read_input_tokens"),
            ("cache_write_input_tokens", "cache_creation_input_tokens"),
        )
        for field, key in pairs:
            tokens = usage.get(key)
            if type(tokens) is int and field not in told:
                told[field] = tokens
                told["input_tokens"] += tokens
    return told
