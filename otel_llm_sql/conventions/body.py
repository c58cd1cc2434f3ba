"""What whole requests and responses of model APIs have in common: what they say, and lists of messages in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from otel_llm_sql.conventions import response_items
from otel_llm_sql.conventions.langchain_messages import openai_shaped

CONTENT = ("content", "tool_calls", "parts", "refusal", "function_call", "reasoning_content")
"""Fields of a message that hold what was said."""


@dataclass(slots=True)
class Body:
    """What a request or a response says.

    Attributes:
        messages: as `messages.read_messages` takes them.
        system: system instructions that stand beside the messages.
        tools: tool definitions as they are.
        model: asked for in a request, that answered in a response.
        finish_reasons: one per choice.
        session_key: the conversation a request belongs to.
        history: what was sent before the answer, where the response tells it.
        rest: everything else that says something.
    """

    messages: list[Any] = field(default_factory=list)
    system: Any = None
    tools: Any = None
    model: str | None = None
    response_id: str | None = None
    finish_reasons: list[str] = field(default_factory=list)
    session_key: str | None = None
    history: list[Any] = field(default_factory=list)
    rest: dict[str, Any] = field(default_factory=dict)


Object: TypeAlias = Mapping[str, Any]
Read: TypeAlias = Callable[[Object], Body | None]


def by_key(value: Object, readers: tuple[tuple[str, Read], ...]) -> Body | None:
    """What the first reader says whose key stands in a body and who recognises it."""
    for key, read in readers:
        if value.get(key) is not None:
            body = read(value)
            if body is not None:
                return body
    return None


def read_state(value: Any) -> Body | None:
    """The messages that a step of a framework takes or gives, None where there are none.

    Args:
        value: parsed JSON: a list of messages, or a state that holds one.
    """
    state = value if isinstance(value, dict) else {"messages": value}
    messages = message_list(state.get("messages"), "assistant")
    rest = {key: item for key, item in state.items() if key != "messages" and not says_nothing(item)}
    return Body(messages, rest=rest) if messages else None


def message_list(value: Any, role: str = "user") -> list[Any]:
    """Messages that may be Responses' items, LangChain's or LangGraph's; empty where anything in it is no message."""
    if not isinstance(value, list):
        return []
    if value and isinstance(value[0], list) and openai_shaped(value[0]) is None:
        return message_list(value[0], role)  # LangChain calls with a list of prompts, nearly always of one
    if response_items.are_items(value):
        return response_items.messages(value, role)
    found: list[Any] = []
    for item in value:
        messages = _messages(item)
        if not messages:
            return []
        found += messages
    return found


def _messages(item: Any) -> list[Any]:
    if not isinstance(item, dict):
        shaped = openai_shaped(item)
        return [shaped] if shaped else []
    if "role" in item:
        return [item] if item.keys() & frozenset(CONTENT) else []
    update = item.get("update")  # a Command of LangGraph's
    if isinstance(update, dict):
        return message_list(update.get("messages"))
    shaped = openai_shaped(item)
    return [shaped] if shaped else []


def gemini_content(content: Any, role: str) -> dict[str, Any] | None:
    """A `Content` of Gemini's as a message; thoughts are marked as such."""
    if isinstance(content, str):
        return {"role": role, "content": content}
    if not isinstance(content, dict) or not isinstance(content.get("parts"), list):
        return None
    return {"role": content.get("role") or role, "parts": [_gemini_part(part) for part in content["parts"]]}


def _gemini_part(part: Any) -> Any:
    if isinstance(part, dict) and part.get("thought"):
        return {"type": "reasoning", "content": part.get("text")}
    return part


def text(value: Any) -> str | None:
    """A text that says something, else None."""
    return value if isinstance(value, str) and value else None


def says_nothing(value: Any) -> bool:
    """Whether a field is as good as absent."""
    return value is None or value in ("", [], {})
