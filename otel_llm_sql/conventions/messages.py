"""Message JSON, structures and parts become Messages; shared by all vocabularies.

OpenTelemetry's messages (`role`, `parts`) and OpenAI-shaped ones (`role`, `content`, `tool_calls`) are read. A message
that is sent again as history gives the same role, content and parts, whichever shape it then has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from otel_llm_sql.conventions import histories
from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.json_text import dump, parse, parse_exactly
from otel_llm_sql.conventions.media import descriptions
from otel_llm_sql.conventions.parts import Part, read_part, read_parts, read_response
from otel_llm_sql.records import Message

Direction: TypeAlias = Literal["input", "output"]

_ROLES = {"model": "assistant", "ai": "assistant", "human": "user", "function": "tool"}
_SPEAKERS = frozenset({"system", "developer", "user", "assistant"})
_PLAIN_KEYS = frozenset({"role", "parts", "content", "name", "finish_reason"})
_OPENINGS = frozenset('[{"')
_MESSAGE_KEYS = ("role", "parts", "tool_calls")


def read_messages(
    cleaner: Cleaner,
    name: str,
    value: Any,
    direction: Direction,
    role: str | None = None,
    conversation: str | None = None,
) -> list[Message]:
    """The messages an attribute holds, as JSON text or structured.

    Args:
        cleaner: repairs, and lists what it repaired under `name`.
        name: the attribute.
        value: JSON text, a list of messages or of parts, one message, or plain text.
        direction: whether they were sent or received.
        role: for messages that name none; by default user for input, assistant for output.
        conversation: names the history that this may be, so that what was read of it before is not read again.

    Returns:
        The messages in their order. JSON that is cut or broken is one message with the raw text.
    """
    if value is None:
        return []
    role = role or ("user" if direction == "input" else "assistant")
    if not isinstance(value, str):
        if not isinstance(value, (bytes, bytearray)):
            return _sequence(cleaner, name, value, direction, role)
        value = value.decode("utf-8", "replace")
    text = value if value.isascii() and "\0" not in value else cleaner.text(name, value)
    if text[:1] not in _OPENINGS and text.lstrip()[:1] not in _OPENINGS:
        return [Message(role, text, direction=direction)] if text else []
    try:
        return _parsed(cleaner, name, text, direction, role, conversation)
    except ValueError:
        cleaner.note(name, "broken JSON, kept as text")
        return [Message(role, text, direction=direction)]


def _parsed(
    cleaner: Cleaner, name: str, text: str, direction: Direction, role: str, conversation: str | None
) -> list[Message]:
    known, rest = ([], text) if conversation is None else histories.recall(conversation, text)
    cleaner.inexact = False
    items = parse(rest)
    messages = _sequence(cleaner, name, items, direction, role)
    if cleaner.inexact:
        return _sequence(cleaner, name, parse_exactly(text), direction, role)
    if conversation is None:
        return messages
    messages = known + messages
    if not cleaner.repaired and _ends_with_message(items):
        histories.remember(conversation, text, messages)
    return messages


def _ends_with_message(items: Any) -> bool:
    """Parts without a message around them are put together: only after a message more may be read by itself."""
    return type(items) is list and len(items) > 0 and type(items[-1]) is dict and "role" in items[-1]


def _sequence(cleaner: Cleaner, name: str, value: Any, direction: Direction, role: str) -> list[Message]:
    messages: list[Message] = []
    loose: list[Part] = []
    for told in value if type(value) is list or isinstance(value, (list, tuple)) else (value,):
        if type(told) is dict and not loose:
            simple = _simple(cleaner, name, told, direction)
            if simple is not None:
                messages.append(simple)
                continue
        item = _opened(told) if isinstance(told, str) else told
        if type(item) is not dict and not isinstance(item, Mapping):
            loose += read_parts(cleaner, name, item) if item is not None else ()
        elif any(key in item for key in _MESSAGE_KEYS):
            messages += _flushed(loose, direction, role) if loose else ()
            messages += read_message(cleaner, name, item, direction, role)
        elif (part := read_part(cleaner, name, item)) is not None:
            loose.append(part)
    return messages + _flushed(loose, direction, role) if loose else messages


def _opened(item: str) -> Any:
    """A message as JSON text: attributes of most SDKs can hold a list of texts, not of structures."""
    if item[:1] != "{" or '"role"' not in item:
        return item
    try:
        return parse(item)
    except ValueError:
        return item


def _flushed(loose: list[Part], direction: Direction, role: str) -> list[Message]:
    """Parts that stand in no message are one message together."""
    parts = loose[:]
    loose.clear()
    return _assembled(role, parts, direction, None, None) if parts else []


def _simple(cleaner: Cleaner, name: str, raw: dict[str, Any], direction: Direction) -> Message | None:
    """The message that nearly all are, by a short way: a known role and one text."""
    role, parts = raw.get("role"), raw.get("parts")
    if type(role) is not str or role not in _SPEAKERS or type(parts) is not list or len(parts) != 1:
        return None
    part = parts[0]
    if type(part) is not dict or part.get("type") != "text":
        return None
    if len(raw) > 2 and not raw.keys() <= _PLAIN_KEYS:  # noqa: PLR2004 - role and parts
        return None
    content = part.get("content")
    if type(content) is not str:
        return None
    if not content.isascii() or "\0" in content:
        content = cleaner.text(name, content)
    finish = cleaner.bounded(name, raw.get("finish_reason"), 64) if direction == "output" else None
    return Message(role, content, None, direction, None, None, finish)


def read_message(cleaner: Cleaner, name: str, raw: Mapping[str, Any], direction: Direction, role: str) -> list[Message]:
    """One message; results of tools that stand in it are messages of their own, of role tool."""
    told = raw.get("role")
    # Traceloop does not know the role of a chunk of LangChain's; whoever answers is known.
    if told is not None and told != "" and (told != "unknown" or direction == "input"):
        role = role_name(cleaner, name, told)
    content = raw.get("parts")
    parts = read_parts(cleaner, name, raw.get("content") if content is None else content)
    if not raw.keys() <= _PLAIN_KEYS:
        parts = _more_parts(cleaner, name, raw, parts)
    call_id = None
    if role == "tool":
        call_id = cleaner.bounded(name, raw.get("tool_call_id") or raw.get("id"))
        parts = _as_response(cleaner, name, parts, call_id)
    finish = cleaner.bounded(name, raw.get("finish_reason"), 64) if direction == "output" else None
    messages = _assembled(role, parts, direction, finish, call_id)
    if role == "tool" and raw.get("name"):
        for message in messages:
            message.tool_name = cleaner.bounded(name, raw["name"])
    return messages


def role_name(cleaner: Cleaner, name: str, role: Any) -> str:
    """A role by OpenTelemetry's name for it, in lower case."""
    text = (cleaner.bounded(name, role, 32) or "user").lower()
    return _ROLES.get(text, text)[:32]


def _more_parts(cleaner: Cleaner, name: str, raw: Mapping[str, Any], parts: list[Part]) -> list[Part]:
    """What OpenAI-shaped messages hold beside their content."""
    reasoning = raw.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        parts = [{"type": "reasoning", "content": cleaner.text(name, reasoning)}, *parts]
    refusal = raw.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts = [*parts, {"type": "text", "content": cleaner.text(name, refusal)}]
    calls = raw.get("tool_calls")
    if isinstance(calls, (list, tuple)) and calls:
        known = [part["id"] for part in parts if part["type"] == "tool_call" and "id" in part]
        read = [read_part(cleaner, name, {"type": "function", **call}) for call in calls if isinstance(call, Mapping)]
        parts = [*parts, *(call for call in read if call and call.get("id") not in known)]
    return parts


def _as_response(cleaner: Cleaner, name: str, parts: list[Part], call_id: str | None) -> list[Part]:
    """The text of a tool message is the response to its call."""
    if not parts or any(part["type"] != "text" for part in parts):
        return parts
    response = read_response(cleaner, name, "\n".join(part["content"] for part in parts))
    part: Part = {"type": "tool_call_response", "id": call_id, "response": response}
    return [{key: value for key, value in part.items() if value is not None}]


def _assembled(
    role: str, parts: list[Part], direction: Direction, finish: str | None, call_id: str | None
) -> list[Message]:
    if len(parts) == 1 and parts[0]["type"] == "text":
        return [Message(role, parts[0]["content"], None, direction, call_id, None, finish)]
    rest = [part for part in parts if part["type"] != "tool_call_response"]
    messages = [_response(part, direction, call_id) for part in parts if part["type"] == "tool_call_response"]
    if rest or not messages:
        messages.append(_message(role, rest, direction, finish, call_id))
    return messages


def _response(part: Part, direction: Direction, call_id: str | None) -> Message:
    response = part.get("response")
    content = response if response is None or isinstance(response, str) else dump(descriptions(response))
    answered = part.get("id")
    return Message("tool", content, [part], direction, answered[:255] if answered else call_id)


def _message(role: str, parts: list[Part], direction: Direction, finish: str | None, call_id: str | None) -> Message:
    texts = [part["content"] for part in parts if part["type"] == "text" and part["content"]]
    plain = all(part["type"] == "text" for part in parts)
    content = "\n".join(texts) if texts or (plain and parts) else None
    # Empty text beside a tool call is noise: the same call has none when it is sent again.
    kept = None if plain else [part for part in parts if part["type"] != "text" or part["content"]]
    return Message(role, content, kept, direction, call_id, None, finish)


def name_tools(messages: Sequence[Message]) -> None:
    """Give the messages of one exchange the names of the tools they call or answer."""
    names: dict[str, str] = {}
    for message in messages:
        if message.parts is None and message.tool_call_id is None:
            continue
        if message.role == "tool" and message.tool_call_id:
            message.tool_name = message.tool_name or names.get(message.tool_call_id)
        elif message.parts:
            calls = [part for part in message.parts if part["type"] == "tool_call" and part.get("name")]
            names.update({call["id"]: call["name"][:255] for call in calls if call.get("id")})
            if len(calls) == 1:
                message.tool_name = calls[0]["name"][:255]


def finish(messages: Sequence[Message], reasons: Sequence[str]) -> None:
    """Give messages that were received their finish reason: their own, else that of their choice, else the first."""
    for index, message in enumerate(messages if reasons else ()):
        if message.finish_reason is None:
            message.finish_reason = reasons[index] if index < len(reasons) else reasons[0]
