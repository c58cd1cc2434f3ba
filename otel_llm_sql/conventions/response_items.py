"""The items of OpenAI's Responses API, in which a message, its reasoning and each tool call stand side by side.

What the model said between two turns of the others is one message, as it is in every other API: so an answer equals its
repetition in the next request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OF_TOOLS = "_call_output"
_OF_MODEL = ("function_call", "custom_tool_call", "reasoning")


def are_items(value: Any) -> bool:
    """Whether this is a list of items, of which at least one stands in no other API."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return False
    return all("type" in item or "role" in item for item in value) and (
        not value or any(_is_item(item.get("type")) for item in value)
    )


def _is_item(kind: Any) -> bool:
    if not isinstance(kind, str) or kind == "tool_call":  # that is a part of LangChain's
        return False
    return kind == "message" or kind in _OF_MODEL or kind.endswith(("_call", _OF_TOOLS))


def messages(items: list[Mapping[str, Any]], role: str) -> list[dict[str, Any]]:
    """The items as messages of `role` and `parts`.

    Args:
        items: what `are_items` accepts.
        role: of messages that name none.
    """
    found: list[dict[str, Any]] = []
    for item in items:
        kind = item.get("type")
        if isinstance(kind, str) and kind.endswith(_OF_TOOLS):
            found.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")})
        elif _is_item(kind) and kind != "message":
            _say(found, [_call(item)])
        else:
            _add(found, item, item.get("role") or role)
    return found


def _add(found: list[dict[str, Any]], item: Mapping[str, Any], role: Any) -> None:
    content = item.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    if role == "assistant":
        _say(found, parts)
    else:
        found.append({"role": role, "parts": parts})


def _say(found: list[dict[str, Any]], parts: list[Any]) -> None:
    """Go on with what the model says, or begin."""
    if found and found[-1]["role"] == "assistant":
        found[-1]["parts"] = found[-1]["parts"] + parts
    else:
        found.append({"role": "assistant", "parts": parts})


def _call(item: Mapping[str, Any]) -> Mapping[str, Any]:
    if item.get("type") == "custom_tool_call":
        return {**item, "type": "function_call", "arguments": item.get("input")}
    return item


def finish_reason(body: Mapping[str, Any]) -> str | None:
    """What the status of a response amounts to in the words of the other APIs."""
    status = body.get("status")
    if status == "incomplete":
        details = body.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return _REASONS.get(reason, reason) if isinstance(reason, str) else "incomplete"
    if status != "completed":
        return status if status in ("failed", "cancelled") else None
    calls = (item.get("type") in ("function_call", "custom_tool_call") for item in body.get("output") or ())
    return "tool_calls" if any(calls) else "stop"


_REASONS = {"max_output_tokens": "length"}
