"""What a client library was asked and answered, as plain values or as its own objects, in OpenTelemetry's words.

Responses may have the shape of OpenAI's or of Anthropic's API. The call has happened already: of what cannot be read as
one of these as much is told as can be, and whatever an object of another library raises is not the caller's to hear.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from otel_llm_sql import notices

_PLAIN = (str, int, float, Mapping, list, tuple, type(None))
_UNREADABLE = "llm_sql: an object of a recorded call could not be read"


def messages(given: Any) -> list[Any]:
    """Messages as OpenTelemetry's schema has them: role and parts.

    Args:
        given: a text, a message, or several of either; tokens in the place of texts are one message.
    """
    return [_message(plain(message)) for message in _listed(given)]


def parts(content: Any) -> Iterator[Any]:
    """The parts of what a message says.

    Args:
        content: a text, a part, or several of either.
    """
    for part in _listed(content):
        found = plain(part)
        if isinstance(found, Mapping):
            yield _part(found)
        elif found is not None:
            yield {"type": "text", "content": found if isinstance(found, str) else _shown(found)}


def of_response(response: Any) -> dict[str, Any]:
    """The attributes that a response gives: content, usage, model, id and finish reasons.

    Args:
        response: text, or what the API answered, as a mapping or as the client library's object.
    """
    found = plain(response)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        content = found if isinstance(found, str | list) else _shown(found)
        return {"gen_ai.output.messages": _of_output([_message({"role": "assistant", "content": content})], found)}
    output = list(_output(found))
    attributes = {"gen_ai.output.messages": _of_output(output, found)} if output else {}
    reasons = [reason for message in output if isinstance(reason := message.get("finish_reason"), str) and reason]
    said = {
        "gen_ai.response.id": found.get("id"),
        "gen_ai.response.model": found.get("model"),
        "gen_ai.response.finish_reasons": reasons,
    }
    return attributes | {name: value for name, value in said.items() if value} | _usage(_mapping(found.get("usage")))


def plain(value: Any) -> Any:
    """A client library's object, a Pydantic model, as what it holds; anything else as it is."""
    if isinstance(value, (*_PLAIN, type)):
        return value
    try:
        dump = getattr(value, "model_dump", None)
        found = dump(exclude_none=True) if callable(dump) else value
    except Exception as error:  # noqa: BLE001 - a door: an object of another library may raise anything
        notices.warn(_UNREADABLE, error)
        return _text(value)
    return found if found is value or isinstance(found, _PLAIN) else _text(value)


def encoded(name: str, value: Any) -> str:
    """A value as JSON.

    Args:
        name: of the argument that it belongs to.
        value: plain values, and client libraries' objects among them; others are told by their text.

    Raises:
        TypeError: it cannot be written; the message names the argument and shows no content.
    """
    try:
        return json.dumps(value, default=_encodable)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{name} cannot be written as JSON: {type(error).__name__}") from None


def parsed(value: Any) -> Any:
    """What JSON text says; anything else as it is."""
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value


def _message(message: Any, **more: Any) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        return {"role": "user", "parts": list(parts(message))}
    role, content = message.get("role") or "user", message.get("content")
    if role == "tool":
        answer = {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content}
        return {"role": role, "parts": [answer]}
    calls = filter(None, map(_mapping, _listed(message.get("tool_calls"))))
    return {"role": role, "parts": [*parts(content), *map(_tool_call, calls)], **more}


def _tool_call(wanted: Mapping[str, Any]) -> dict[str, Any]:
    function = _mapping(wanted.get("function"))
    part = {"type": "tool_call", "id": wanted.get("id"), "name": function.get("name")}
    return part | {"arguments": parsed(function.get("arguments"))}


def _part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if part.get("type") == "text" and "text" in part:
        return {"type": "text", "content": part["text"]}
    if part.get("type") == "tool_use":
        return {"type": "tool_call", "id": part.get("id"), "name": part.get("name"), "arguments": part.get("input")}
    return part


def _output(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if "choices" not in response:
        if response.get("content"):  # Anthropic's shape
            yield _message({"role": "assistant", **response}, finish_reason=response.get("stop_reason"))
        return
    for choice in map(plain, _listed(response["choices"])):
        if isinstance(choice, Mapping):
            said = plain(choice.get("message")) or {"content": choice.get("text")}
            message = said if isinstance(said, Mapping) else {"content": said}
            yield _message({"role": "assistant", **message}, finish_reason=choice.get("finish_reason"))
        elif choice is not None:
            yield _message({"role": "assistant", "content": choice})


def _of_output(output: list[Any], response: Any) -> str:
    try:
        return encoded("response", output)
    except TypeError:  # keys that are no text, a structure within itself
        return encoded("response", [_message({"role": "assistant", "content": _text(response)})])


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    sent = usage.get("prompt_tokens", usage.get("input_tokens"))
    if isinstance(sent, int) and "prompt_tokens" not in usage:
        # Anthropic's input_tokens leave out what went through the cache; OpenTelemetry's are all of them.
        sent += sum(count for count in (read, written) if isinstance(count, int))
    details = _mapping(usage.get("prompt_tokens_details")) or _mapping(usage.get("input_tokens_details"))
    generated = _mapping(usage.get("completion_tokens_details")) or _mapping(usage.get("output_tokens_details"))
    counts = {
        "input_tokens": sent,
        "output_tokens": usage.get("completion_tokens", usage.get("output_tokens")),
        "cache_read.input_tokens": details.get("cached_tokens", read),
        "cache_write.input_tokens": written,
        "reasoning.output_tokens": generated.get("reasoning_tokens"),
    }
    return {f"gen_ai.usage.{name}": count for name, count in counts.items() if count is not None}


def _listed(value: Any) -> list[Any]:
    """Several, where one may stand for itself; a list of numbers is one: tokens."""
    found = plain(value)
    if found is None or found == "":
        return []
    if isinstance(found, str | bytes | Mapping) or not isinstance(found, Iterable):
        return [found]
    try:
        items = list(found)
    except Exception as error:  # noqa: BLE001 - a door: as above
        notices.warn(_UNREADABLE, error)
        return [_text(found)]
    return [_shown(items)] if items and all(isinstance(item, int | float) for item in items) else items


def _mapping(value: Any) -> Mapping[str, Any]:
    found = plain(value)
    return found if isinstance(found, Mapping) else {}


def _encodable(value: Any) -> Any:
    found = plain(value)
    return _text(value) if found is value else found


def _shown(value: Any) -> str:
    """As JSON where that is possible."""
    try:
        return encoded("", value)
    except TypeError:
        return _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a door: an application's own __str__ may raise anything
        return f"<{type(value).__name__}>"
