"""Images, audio and files become descriptors: what it was, how large, and the SHA-256 of its bytes.

The bytes themselves are kept where `capture_media` asks for them, as base64 under `content`, as in OpenTelemetry's blob
parts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from otel_llm_sql.conventions.clean import MAX_DEPTH, Cleaner

_NESTED = (
    *("source", "image_url", "input_audio", "inline_data", "inlineData", "file_data", "fileData"),
    *("file", "image", "audio", "video", "document"),
)
_URLSAFE = str.maketrans("-_", "+/")
_MODALITIES = frozenset({"image", "audio", "video"})
_TYPES = frozenset({"blob", "file", "image", "image_url", "input_image", "audio", "input_audio", "video", "document"})
_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\r\n]+={0,2}\s*")
_SURELY_DATA = 256
"""So many characters of base64 without a blank are no word, also where only a media type says what they are."""


def media_part(cleaner: Cleaner, name: str, raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """A `blob`, `uri` or `file` part, or None where the part holds no media we know.

    OpenAI, Anthropic, Gemini and Bedrock nest the same four things (bytes, address, media type, id) differently: they
    are looked for on the part and up to two levels below it.
    """
    flat = _flattened(_flattened(raw))
    mime = _first(flat, "mime_type", "media_type", "mimeType", "mediaType")
    data = _first(
        flat, "content", "data", "bytes", "file_data", "image_url", "url", "uri", "fileUri", "file_uri", "image"
    )
    if data is None and isinstance(flat.get("data"), list):
        data = _buffer(flat["data"])
    if isinstance(data, str) and data.startswith("data:"):
        mime, data = _data_url(data)
    elif isinstance(data, str) and "://" in data[:32]:
        return _described(cleaner, name, "uri", flat, mime, uri=data)
    if data is None or not isinstance(data, (str, bytes)):
        return _without_data(cleaner, name, flat, mime)
    return _blob(cleaner, name, flat, mime, data)


def without_bytes(cleaner: Cleaner, name: str, value: Any, depth: int = 0) -> Any:
    """Any structure, such as the result of a tool, with descriptors in the place of media; everything else stays."""
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, (list, tuple)):
        return [without_bytes(cleaner, name, item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        if _is_one_of(value.get("type"), _TEXT_TYPES):
            return value
        described = _inline(cleaner, name, value)
        return described or {key: without_bytes(cleaner, name, item, depth + 1) for key, item in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return media_part(cleaner, name, {"content": bytes(value)})
    return media_part(cleaner, name, {"content": value}) if _is_data_url(value) else value


def is_descriptor(part: Mapping[str, Any]) -> bool:
    """Whether this is what we write in the place of inline media."""
    return part.get("type") == "blob" and "sha256" in part and part.keys() <= _DESCRIPTOR


_DESCRIPTOR = frozenset({"type", "modality", "mime_type", "content", "size", "sha256"})


def descriptions(value: Any) -> Any:
    """Strict JSON whose descriptors of media are without the bytes, for people to read."""
    if isinstance(value, list):
        return [descriptions(item) for item in value]
    if not isinstance(value, dict):
        return value
    if is_descriptor(value):
        return {key: item for key, item in value.items() if key != "content"}
    return {key: descriptions(item) for key, item in value.items()}


def _inline(cleaner: Cleaner, name: str, raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """The descriptor of what surely holds bytes; a tool's own JSON may have the same keys."""
    flat = _flattened(_flattened(raw))
    mime = _first(flat, "mime_type", "media_type", "mimeType", "mediaType")
    data = _first(flat, "data", "bytes", "blob", "file_data", "image_url", "url", "content")
    kind, source = raw.get("type"), raw.get("source")
    if mime is None and isinstance(flat.get("format"), str):
        mime = _by_format(flat)
    if data is None or not (mime or _is_one_of(kind, _TYPES)):
        return None
    if isinstance(source, Mapping) and source.get("type") == "text":
        return None
    if _is_data_url(data):
        mime, data = _data_url(str(data))
    else:
        sure = "blob" in (kind, *flat) or (_modality(flat, mime) is not None and data != flat.get("content"))
        if isinstance(data, str) and not (_BASE64.fullmatch(data) and (sure or len(data) >= _SURELY_DATA)):
            return None
    return _blob(cleaner, name, flat, mime, data)


def _is_one_of(kind: Any, kinds: frozenset[str]) -> bool:
    return isinstance(kind, str) and kind in kinds


def _is_data_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("data:") and ";base64," in value[:128]


def _without_data(cleaner: Cleaner, name: str, flat: Mapping[str, Any], mime: Any) -> dict[str, Any] | None:
    if "sha256" in flat:
        return _described(cleaner, name, "blob", flat, mime, size=flat.get("size"), sha256=flat["sha256"])
    file_id = flat.get("file_id")
    return None if file_id is None else _described(cleaner, name, "file", flat, mime, file_id=file_id)


def _described(
    cleaner: Cleaner, name: str, kind: str, flat: Mapping[str, Any], mime: Any, **more: Any
) -> dict[str, Any]:
    if mime is None and isinstance(flat.get("format"), str):
        mime = _by_format(flat)
    facts = {"type": kind, "modality": _modality(flat, mime), "mime_type": mime, **more}
    return {key: cleaner.json(name, value, 3) for key, value in facts.items() if value is not None}


def _by_format(flat: Mapping[str, Any]) -> str:
    """Bedrock and OpenAI's audio say `png` or `wav` where others say `image/png`."""
    modality = next((key for key in flat if key in _MODALITIES), "audio" if "input_audio" in flat else "application")
    return f"{modality}/{flat['format']}"


def _modality(flat: Mapping[str, Any], mime: Any) -> Any:
    told = flat.get("modality")
    family = mime.partition("/")[0] if isinstance(mime, str) else None
    if told is None:
        told = family if family in _MODALITIES else None
    if told is None and isinstance(flat.get("type"), str):
        told = next((one for one in sorted(_MODALITIES) if one in flat["type"]), None)
    return told


def _flattened(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in _NESTED:
        inner = raw.get(key)
        if isinstance(inner, Mapping):
            # The outer type says what it is ("image"), the inner one how it is held ("base64").
            return {**raw, **inner, "type": raw.get("type"), key: None}
    return raw


def _first(flat: Mapping[str, Any], *keys: str) -> Any:
    return next((flat[key] for key in keys if isinstance(flat.get(key), (str, bytes))), None)


def _buffer(numbers: list[Any]) -> bytes | None:
    """The bytes of a Buffer that JavaScript wrote as JSON: `{"type": "Buffer", "data": [137, 80, ...]}`."""
    try:
        return bytes(numbers)
    except (TypeError, ValueError, OverflowError):
        return None


def _data_url(url: str) -> tuple[str | None, str]:
    head, _, data = url.partition(",")
    return head[len("data:") :].partition(";")[0] or None, data


def _blob(cleaner: Cleaner, name: str, flat: Mapping[str, Any], mime: Any, data: Any) -> dict[str, Any]:
    content = data if isinstance(data, bytes) else _decoded(data)
    facts: dict[str, Any] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if cleaner.capture_media:
        # Encoded anew: the same bytes are the same part, whichever alphabet and line breaks they came in.
        facts = {"content": base64.b64encode(content).decode()} | facts
    if mime is None and "format" not in flat:
        # What is not told in one place (a Buffer of JavaScript's) is told in another: it is the same message.
        mime = next((mime for begin, mime in _SIGNATURES if content.startswith(begin)), None)
    return _described(cleaner, name, "blob", flat, mime, **facts)


_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
"""What files of a type begin with."""


def _decoded(text: str) -> bytes:
    """The bytes behind base64 text; text that is none (cut, or a document's own text) stands for itself."""
    try:
        return base64.b64decode(text.translate(_URLSAFE), validate=True)
    except (binascii.Error, ValueError):
        return text.encode("utf-8", "replace")
