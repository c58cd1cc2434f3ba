"""OpenInference's indexed attributes (`llm.input_messages.0.message.role`) become messages, tools and documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

INDEXED = (
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.tools.",
    "llm.prompts.",
    "llm.choices.",
    "embedding.embeddings.",
    "retrieval.documents.",
    "reranker.input_documents.",
    "reranker.output_documents.",
)
"""What the names of attributes begin with that are one field of one item of a list."""

HIDDEN = "__REDACTED__"
"""What stands in the place of content that the application chose not to tell."""

_ROLES = {"tool-call": "assistant", "tool-response": "user"}
"""smolagents' own roles, and what it sends in their place."""

Fields = dict[str, Any]
"""The fields of one item: the rest of the attribute's name -> value."""


_USUAL = 255
"""Characters of a name that is worth remembering."""


def _placed(name: str) -> tuple[str, int, str] | None:
    """List, index and field of an attribute."""
    first, second, index, *rest = name.split(".", 3)
    # More digits than that are no index, and could not be read as a number.
    if not rest or not index.isascii() or not index.isdigit() or len(index) > 9:  # noqa: PLR2004
        return None
    return f"{first}.{second}", int(index), rest[0]


_place = lru_cache(maxsize=4096)(_placed)
"""The same, remembered: nearly the same names come with every span."""


class Items:
    """The indexed attributes of one span: list -> index -> fields. Lists may begin anywhere and have gaps."""

    __slots__ = ("lists",)

    def __init__(self) -> None:
        self.lists: dict[str, dict[int, Fields]] = {}

    def take(self, name: str, value: Any) -> bool:
        """Take an attribute whose name begins with one of INDEXED; False for one that is no field of an item."""
        place = _place(name) if len(name) <= _USUAL else _placed(name)
        if place is None:
            return False
        listed, index, field = place
        self.lists.setdefault(listed, {}).setdefault(index, {})[field] = value
        return True

    def count(self, name: str) -> int:
        """How many items of a list there are."""
        return len(self.lists.get(name, ()))

    def of(self, name: str) -> list[Fields]:
        """The items of a list in their order."""
        items = self.lists.get(name)
        return [items[index] for index in sorted(items)] if items else []


def message(fields: Fields) -> dict[str, Any]:
    """One message in OpenAI's shape."""
    flat = {name.removeprefix("message."): value for name, value in fields.items()}
    role = flat.get("role")
    told: dict[str, Any] = {"role": _ROLES.get(role, role) if isinstance(role, str) else role}
    flat.setdefault("content", flat.get("prompt.text", flat.get("completion.text")))
    for name in ("name", "tool_call_id", "finish_reason"):
        if name in flat:
            told[name] = flat[name]
    parts = [part for part in map(_part, _nested(flat, "contents")) if part]
    content = flat.get("content")
    told["content"] = parts or (None if content == HIDDEN else content)
    if not any(part["type"] == "tool_use" for part in parts):
        calls = [_call(call, "function") for call in _nested(flat, "tool_calls")]
        calls += [_old_call(flat)] if "function_call_name" in flat else []
        told["tool_calls"] = calls
    return told


def _nested(flat: Mapping[str, Any], name: str) -> Iterator[Fields]:
    """The items of a list inside of an item."""
    found: dict[int, Fields] = {}
    for key, value in flat.items():
        if key.startswith(name):
            _, index, *rest = f"{key}..".split(".", 2)
            if index.isascii() and index.isdigit() and len(index) < 9:  # noqa: PLR2004 - as above
                found.setdefault(int(index), {})[rest[0].rstrip(".")] = value
    return (found[index] for index in sorted(found))


def _part(fields: Fields) -> dict[str, Any] | None:
    content = {name.removeprefix("message_content."): value for name, value in fields.items()}
    kind, text = content.get("type"), content.get("text")
    if any(name.startswith("tool_call.") for name in fields):
        return _call(fields, "tool_use")
    for media in ("image", "audio", "video", "document"):
        inner = {name.rpartition(".")[2]: value for name, value in content.items() if name.startswith(f"{media}.")}
        if inner:
            return {"type": media, **{key: value for key, value in inner.items() if value != HIDDEN}}
    if text == HIDDEN:
        return None
    if kind == "reasoning":
        return {"type": "reasoning", "content": text}
    return {"type": "text", "text": text} if text is not None else None


def _call(fields: Fields, kind: str) -> dict[str, Any]:
    call: dict[str, Any] = {"type": kind}
    for name, value in fields.items():
        key = name.rpartition(".")[2]
        if key in ("id", "name", "arguments") and value != HIDDEN:
            call[key] = value
    return call


def _old_call(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The one function call of the API before tools."""
    arguments = flat.get("function_call_arguments_json")
    return {"type": "function", "name": flat["function_call_name"], "arguments": arguments}


def tool(fields: Fields) -> Any:
    """One tool definition, as it was told: JSON text in all known versions."""
    return fields.get("tool.json_schema") or fields.get("json_schema") or fields


def document(fields: Fields) -> dict[str, Any]:
    """One document that was found: content, id, score, metadata."""
    return {name.removeprefix("document."): value for name, value in fields.items()}
