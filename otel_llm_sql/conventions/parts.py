"""The parts of a message, whoever shaped them, in OpenTelemetry's shapes.

`{"type": "text", "content"}`, `{"type": "tool_call", "id", "name", "arguments"}`,
`{"type": "tool_call_response", "id", "response"}`, `{"type": "reasoning", "content"}`, and descriptors of media. Shapes
of OpenAI (Chat and Responses), Anthropic, Bedrock and Gemini are read; what is unknown is kept as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from otel_llm_sql.conventions.clean import Cleaner, as_text
from otel_llm_sql.conventions.media import media_part, without_bytes

Part: TypeAlias = dict[str, Any]
_Read: TypeAlias = Callable[[Cleaner, str, Mapping[str, Any]], Part | None]

_NOISE = frozenset({"finish_reason", "index", "cache_control", "annotations", "logprobs"})
_DEPTH = 3
"""Values in a part stand below the list of parts and the part."""


def read_parts(cleaner: Cleaner, name: str, content: Any) -> list[Part]:
    """The parts of what stands under `parts` or `content`: text, one part, or a list of both."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "content": cleaner.text(name, content)}]
    if isinstance(content, Mapping):
        part = read_part(cleaner, name, content)
        return [part] if part else []
    if isinstance(content, (list, tuple)):
        return [part for item in content for part in _item(cleaner, name, item)]
    return [{"type": "text", "content": cleaner.text(name, as_text(content))}]


def _item(cleaner: Cleaner, name: str, item: Any) -> list[Part]:
    if isinstance(item, Mapping):
        part = read_part(cleaner, name, item)
        return [part] if part else []
    return read_parts(cleaner, name, item if item is None or isinstance(item, str) else as_text(item))


def read_part(cleaner: Cleaner, name: str, raw: Mapping[str, Any]) -> Part | None:
    """One part; None for a part that says nothing."""
    kind = raw.get("type")
    if kind == "text":
        content = raw.get("content")
        if type(content) is str:
            return {"type": "text", "content": cleaner.text(name, content)}
    read = _BY_TYPE.get(kind) if isinstance(kind, str) else _by_key(raw)
    return (read or _generic)(cleaner, name, raw)


def _by_key(raw: Mapping[str, Any]) -> _Read | None:
    """Bedrock and Gemini name no type: the key of a part says what it is."""
    return next((read for key, read in _BY_KEY.items() if raw.get(key) is not None), None)


def _text(cleaner: Cleaner, name: str, raw: Mapping[str, Any]) -> Part | None:
    content = _first(raw, "content", "text", "refusal")
    if content is None:
        return None
    return {"type": "text", "content": cleaner.text(name, as_text(content))}


def _reasoning(cleaner: Cleaner, name: str, raw: Mapping[str, Any]) -> Part | None:
    content = _first(raw, "content", "thinking", "text", "reasoning", "summary")
    while isinstance(content, Mapping):
        content = _first(content, "reasoningText", "text", "content")
    if isinstance(content, (list, tuple)):
        content = "\n".join(as_text(_first(item, "text", "content")) for item in content if _is_map(item))
    return {"type": "reasoning", "content": cleaner.text(name, as_text(content))} if content else None


def _tool_call(cleaner: Cleaner, name: str, raw: Mapping[str, Any]) -> Part | None:
    inner = next(
        (raw[key] for key in ("function", "toolUse", "functionCall", "function_call") if _is_map(raw.get(key))), raw
    )
    call: Part = {"type": "tool_call"}
    call_id = _first(raw, "call_id", "id", "toolCallId") or _first(inner, "toolUseId", "id")
    if call_id is not None:
        call["id"] = cleaner.text(name, as_text(call_id))
    tool = _first(inner, "name", "toolName")
    if tool is not None:
        call["name"] = cleaner.text(name, as_text(tool))
    arguments = _first(inner, "arguments", "input", "args")
    if arguments is not None:
        call["arguments"] = read_arguments(cleaner, name, arguments)
    return call


def read_arguments(cleaner: Cleaner, name: str, value: Any) -> Any:
    """Arguments of a tool call: JSON text becomes JSON, so that a call and its repetition in the history are equal."""
    if not isinstance(value, str):
        return cleaner.json(name, value, _DEPTH)
    text = value.strip()
    if not text:
        return {}
    return cleaner.structure(name, text, _DEPTH) if text[0] in "{[" else cleaner.text(name, value)


def _tool_response(cleaner: Cleaner, name: str, raw: Mapping[str, Any]) -> Part | None:
    inner = next(
        (raw[key] for key in ("toolResult", "functionResponse", "function_response") if _is_map(raw.get(key))), raw
    )
    response: Part = {"type": "tool_call_response"}
    call_id = _first(raw, "tool_use_id", "call_id", "tool_call_id", "id", "toolCallId") or _first(
        inner, "toolUseId", "id"
    )
    if call_id is not None:
        response["id"] = cleaner.text(name, as_text(call_id))
    result = _first(inner, "response", "result", "content", "output")
    if raw.get("type") == "tool-result" and _is_map(result) and "value" in result:
        result = result["value"]  # Vercel's AI SDK says what kind of result it is: text, json, error-text, ...
    if result is not None:
        response["response"] = read_response(cleaner, name, result)
    return response


def read_response(cleaner: Cleaner, name: str, value: Any) -> Any:
    """The result of a tool; a list of texts is that text, as Anthropic and Bedrock wrap what OpenAI sends bare.

    Media in it are described, as everywhere.
    """
    if isinstance(value, str):
        return cleaner.text(name, value)
    if isinstance(value, (list, tuple)) and value and all(_is_text(item) for item in value):
        return cleaner.text(name, "\n".join(_first(item, "text", "content") for item in value))
    return cleaner.json(name, without_bytes(cleaner, name, value), _DEPTH)


def _is_text(item: Any) -> bool:
    if not _is_map(item) or item.get("type", "text") != "text":
        return False
    return isinstance(_first(item, "text", "content"), str) and len(item) <= 2  # noqa: PLR2004 - the text and its type


def _media(cleaner: Cleaner, name: str, raw: Mapping[str, Any]) -> Part | None:
    return media_part(cleaner, name, raw) or _generic(cleaner, name, raw)


def _generic(cleaner: Cleaner, name: str, raw: Mapping[str, Any]) -> Part | None:
    if any(isinstance(raw.get(key), str) for key in ("mime_type", "media_type")):
        part = media_part(cleaner, name, raw)
        if part is not None:
            return part
    kept = {key: value for key, value in raw.items() if value is not None and key not in _NOISE}
    for key, value in kept.items():
        if isinstance(value, str) and value.startswith("data:") and ";base64," in value[:128]:
            kept[key] = media_part(cleaner, name, {"content": value})
    part = cleaner.json(name, kept, 2)
    if not part:
        return None
    return {"type": "generic", **part} if isinstance(part.get("type", ""), str) else {**part, "type": "generic"}


def _first(raw: Mapping[str, Any], *keys: str) -> Any:
    for key in keys:
        value = raw.get(key)
        if value is not None:
            return value
    return None


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


_BY_TYPE: dict[str, _Read] = {
    **dict.fromkeys(("text", "input_text", "output_text", "summary_text", "refusal"), _text),
    **dict.fromkeys(("tool_call", "function", "tool_use", "function_call", "tool-call", "server_tool_use"), _tool_call),
    **dict.fromkeys(("tool_call_response", "tool_result", "function_call_output", "tool-result"), _tool_response),
    **dict.fromkeys(("reasoning", "thinking"), _reasoning),
    **dict.fromkeys(
        ("blob", "uri", "file", "image", "image_url", "input_image", "audio", "input_audio", "video"), _media
    ),
    **dict.fromkeys(("document", "input_file"), _media),
}

_BY_KEY: dict[str, _Read] = {
    "text": _text,
    "toolUse": _tool_call,
    "functionCall": _tool_call,
    "function_call": _tool_call,
    "toolResult": _tool_response,
    "functionResponse": _tool_response,
    "function_response": _tool_response,
    "reasoningContent": lambda cleaner, name, raw: _reasoning(cleaner, name, {"content": raw["reasoningContent"]}),
    **dict.fromkeys(
        ("image", "inline_data", "inlineData", "file_data", "fileData", "document", "video", "audio"), _media
    ),
    "content": _text,
}
