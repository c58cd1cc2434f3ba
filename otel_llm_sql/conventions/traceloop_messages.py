"""Messages and tools as Traceloop's older generations tell them: one attribute for each field of each message.

`gen_ai.prompt.N.*` and `gen_ai.completion.N.*` become OpenAI-shaped messages, `llm.request.functions.N.*` tool
definitions. Numbers may start anywhere: the SDK drops the oldest attributes of a long conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby, pairwise
from typing import Any, TypeAlias

from otel_llm_sql.conventions.json_coded import opened
from otel_llm_sql.conventions.json_text import parse

_Told: TypeAlias = dict[int, dict[str, Any]]

_DIRECTIONS = {
    "gen_ai.prompt.": "input",
    "gen_ai.completion.": "output",
    "llm.prompts.": "input",
    "llm.completions.": "output",
    "llm.request.functions.": "tool_definitions",
}
PREFIXES = tuple(_DIRECTIONS)
"""What the attributes begin with; the names before 2024 had `llm.prompts` and `llm.completions`."""

_DIGITS = 6
"""A number has no more digits: the SDK allows 128 attributes, and nobody sends a million messages."""

_FIELDS = frozenset(
    {"role", "content", "user", "tool_call_id", "refusal", "finish_reason", "name", "description", "parameters"}
)
_OF_CALLS = frozenset({"id", "name", "arguments"})


def split(attributes: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The attributes that are told one by one, and what the indexed ones say together.

    Returns:
        Everything that is no message or tool; and messages (`input`, `output`) and `tool_definitions`, where there
        are any.
    """
    indexed = [name for name in attributes if type(name) is str and name.startswith(PREFIXES)]
    if not indexed:
        return attributes, {}
    told: dict[str, _Told] = {}
    read = {name for name in indexed if _take(told, name, attributes[name])}
    rest = {name: value for name, value in attributes.items() if name not in read}
    return rest, {direction: _LISTS[direction](items) for direction, items in told.items()}


def _take(told: dict[str, _Told], name: str, value: Any) -> bool:
    """Sort one attribute in; no for names that tell of something else, such as a prompt's filter results."""
    prefix = next(prefix for prefix in PREFIXES if name.startswith(prefix))
    number, _, path = name[len(prefix) :].partition(".")
    if not _is_number(number):
        return False
    keys = path.split(".")
    if len(keys) == 1 and path in _FIELDS:
        _item(told, prefix, number)[path] = value
        return True
    return _take_call(told, prefix, number, keys, value)


def _take_call(told: dict[str, _Told], prefix: str, number: str, keys: list[str], value: Any) -> bool:
    """`tool_calls.M.name`, or `function_call.name` as OpenAI had it first."""
    if keys[0] == "function_call":
        keys = ["tool_calls", "0", *keys[1:]]
    if keys[0] != "tool_calls" or len(keys) != 3 or not _is_number(keys[1]) or keys[2] not in _OF_CALLS:  # noqa: PLR2004 - tool_calls, its number, its field
        return False
    calls = _item(told, prefix, number).setdefault("tool_calls", {})
    calls.setdefault(int(keys[1]), {})[keys[2]] = value
    return True


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _item(told: dict[str, _Told], prefix: str, number: str) -> dict[str, Any]:
    return told.setdefault(_DIRECTIONS[prefix], {}).setdefault(int(number), {})


def _messages(items: _Told, role: str) -> list[dict[str, Any]]:
    messages = []
    thought: list[str] = []
    for _, item in sorted(items.items()):
        message = {"role": role, **_message(item)}
        if item.get("role") == "thinking":  # Anthropic's thinking is told as a message before the one it belongs to
            thought.append(str(item.get("content") or ""))
            continue
        if thought:
            message["reasoning_content"] = "\n".join(thought)
            thought = []
        messages.append(message)
    if thought:
        messages.append({"role": "assistant", "reasoning_content": "\n".join(thought)})
    return messages


def _message(item: dict[str, Any]) -> dict[str, Any]:
    calls = item.get("tool_calls")
    message = {key: value for key, value in item.items() if key != "user"}
    message["content"] = _content(item.get("content", item.get("user")))
    if calls:
        message["tool_calls"] = [call for _, call in sorted(calls.items())]
    return message


def _content(content: Any) -> Any:
    """Text, or the parts of which the JSON text was written."""
    if not isinstance(content, str) or content[:2] != "[{":
        return content
    try:
        parts = parse(content)
    except ValueError:
        return content
    shaped = isinstance(parts, list) and all(isinstance(part, Mapping) and "type" in part for part in parts)
    return parts if shaped else content


def _tools(items: _Told) -> list[dict[str, Any]]:
    tools = []
    for _, item in sorted(items.items()):
        tool = {key: item[key] for key in ("name", "description", "parameters") if item.get(key) is not None}
        tool["parameters"] = opened(tool.get("parameters"))
        tools.append({"type": "function", **{key: value for key, value in tool.items() if value is not None}})
    return tools


def with_call_ids(told: Any) -> Any:
    """A history in which the calls of tools carry the ids that their results answer.

    The instrumentation of openai-agents tells a call by its own id when it is received (`call_...`), and by the id of
    the item around it when it is sent again (`fc_...`), while its result still names the former.

    Args:
        told: what stands in `gen_ai.input.messages`.

    Returns:
        The messages as a structure where ids had to be mended, else what was told.
    """
    if not isinstance(told, str) or f'"{_ITEM}' not in told:
        return told
    try:
        messages = parse(told)
    except ValueError:
        return told
    runs = [(kind, list(parts)) for kind, parts in groupby(_parts(messages), _kind)]
    for (kind, calls), (next_kind, results) in pairwise(runs):
        if (kind, next_kind) == ("call", "result") and len(calls) == len(results):
            for call, result in zip(calls, results, strict=True):
                call["id"] = result.get("id")
    return messages


_ITEM = "fc_"


def _kind(part: dict[str, Any]) -> str:
    if part.get("type") == "tool_call":
        return "call" if str(part.get("id")).startswith(_ITEM) else "known call"
    return "result" if part.get("type") == "tool_call_response" else "other"


def _parts(messages: Any) -> list[dict[str, Any]]:
    told = (
        [message.get("parts") for message in messages if isinstance(message, dict)]
        if isinstance(messages, list)
        else []
    )
    return [part for parts in told if isinstance(parts, list) for part in parts if isinstance(part, dict)]


_LISTS: dict[str, Callable[[_Told], list[dict[str, Any]]]] = {
    "input": lambda items: _messages(items, "user"),
    "output": lambda items: _messages(items, "assistant"),
    "tool_definitions": _tools,
}
