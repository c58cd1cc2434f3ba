"""`capture_media`: inline images, audio and files with their bytes, or only with what describes them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from recordings import CASES, load

from otel_llm_sql import LlmSqlSpanExporter, conventions
from otel_llm_sql.conventions import content
from otel_llm_sql.conventions.media import descriptions
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Message
from otel_llm_sql.testing import Row, chat_spans, stored, temporary_database

pytestmark = pytest.mark.quick

PIXEL = b"\x89PNG\r\n\x1a\n\xff\xfe"
ENCODED = base64.b64encode(PIXEL).decode()
URL = f"data:image/png;base64,{ENCODED}"
DESCRIBED = {
    "type": "blob",
    "modality": "image",
    "mime_type": "image/png",
    "size": len(PIXEL),
    "sha256": hashlib.sha256(PIXEL).hexdigest(),
}
KEPT = DESCRIBED | {"content": ENCODED}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ENCODED}}
IMAGES = [
    IMAGE,
    {"type": "blob", "mime_type": "image/png", "modality": "image", "content": ENCODED},
    {"type": "image_url", "image_url": {"url": URL}},
    {"inline_data": {"mime_type": "image/png", "data": ENCODED.replace("+", "-").replace("/", "_")}},
    {"image": {"format": "png", "source": {"bytes": PIXEL}}},
    {"type": "image", "image": {"type": "Buffer", "data": [*PIXEL]}},
    {"type": "blob", "mime_type": None, "modality": "image", "content": ENCODED},
    KEPT,
]


def messages(said: Any, *, capture_media: bool = True, **attributes: Any) -> list[Message]:
    """What is read of messages that stand on a chat span."""
    told = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": said, **attributes}
    signal = Signal("span", "a" * 32, "b" * 16, None, "chat", 1, 2, told)
    operation = conventions.read(signal, capture_media=capture_media)
    assert operation is not None
    return operation.messages


@pytest.mark.parametrize("image", IMAGES)
def test_the_bytes_are_kept(image: dict[str, Any]) -> None:
    """Whichever shape and alphabet they came in, they are OpenTelemetry's blob part, the same each time."""
    (message,) = messages([{"role": "user", "content": [{"type": "text", "text": "What?"}, image]}])
    assert (message.content, message.parts) == ("What?", [{"type": "text", "content": "What?"}, KEPT])
    (again,) = messages([{"role": "user", "content": [{"type": "text", "text": "What?"}, *(message.parts or [])[1:]]}])
    assert again == message


def test_the_bytes_of_results_are_kept_once() -> None:
    """What a tool gives back keeps its bytes in `parts`; the text for people has the description."""
    result = {"type": "tool_result", "tool_use_id": "c1", "content": {"chart": URL, "n": 1}}
    (message,) = messages([{"role": "user", "content": [result]}])
    assert message.parts == [{"type": "tool_call_response", "id": "c1", "response": {"chart": KEPT, "n": 1}}]
    assert json.loads(message.content or "") == {"chart": DESCRIBED, "n": 1}


def test_a_history_that_was_read_without_media() -> None:
    """What is remembered of a history is not mixed: each way of reading gets its own."""
    first = {"role": "user", "content": [IMAGE]}
    longer = [first, {"role": "assistant", "content": "A pixel."}, {"role": "user", "content": "Sure?"}]
    for capture_media, wanted in ((False, DESCRIBED), (True, KEPT), (False, DESCRIBED)):
        for said in ([first], longer):
            key = {"gen_ai.conversation.id": "pixels"}
            read = messages(json.dumps(said), capture_media=capture_media, **key)
            assert read[0].parts == [wanted]


def blobs(value: Any) -> Iterator[dict[str, Any]]:
    """All parts with bytes in a structure."""
    if isinstance(value, dict) and value.get("type") == "blob":
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from blobs(item)


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("/image")])
def test_recorded_images(name: str) -> None:
    """In recordings the bytes are those that size and digest speak of, and nothing else differs."""
    case = load(name)
    kept = [op for signal in case.signals if (op := conventions.read(signal, capture_media=True)) is not None]
    for operation in kept:
        for blob in blobs(asdict(operation)["messages"]):
            found = base64.b64decode(blob["content"], validate=True)
            assert (len(found), hashlib.sha256(found).hexdigest()) == (blob["size"], blob["sha256"])
        for message in operation.messages:
            message.parts = descriptions(message.parts)
    assert kept == case.operations


def exported(url: str, **settings: Any) -> list[Row]:
    """The message with the image after two deliveries by two exporters."""
    said = json.dumps([{"role": "user", "content": [{"type": "text", "text": "What?"}, IMAGE]}])
    for _ in range(2):
        exporter = LlmSqlSpanExporter(url=url, **settings)
        exporter.export(chat_spans(session_key="s", **{"gen_ai.input.messages": said}))
        exporter.shutdown()
    return [row for row in stored(url)["llm_messages"] if row["role"] == "user"]


def test_media_in_the_database(url: str) -> None:
    """On every database the bytes stand in `parts`, and a message is stored once however often it is sent."""
    (row,) = exported(url, capture_media="true")
    assert (row["content"], row["parts"][1]) == ("What?", KEPT)


@pytest.mark.parametrize(("mode", "left"), [("true", KEPT), ("redacted", KEPT), ("hash", {"type": "blob"})])
def test_media_and_the_other_switch(mode: str, left: Any) -> None:
    """Where content is not stored its bytes are not either; redaction does not look into them."""
    with temporary_database() as url:
        (row,) = exported(url, capture_media=True, capture_content=mode)
        assert row["parts"][1] == left


def test_base64_is_no_text_to_redact() -> None:
    """Digits and letters of bytes are never taken for a phone number or a card."""
    data = "+4917012345678/4111111111111111/" * 4
    (message,) = messages([{"role": "user", "content": [{"type": "blob", "mime_type": "image/png", "content": data}]}])
    operation = conventions.read(Signal("span", "a" * 32, "b" * 16, None, "c", 1, 2, {"gen_ai.system": "openai"}))
    assert operation is not None
    operation.messages = [message]
    content.policy("redacted").apply(operation)
    assert (operation.messages[0].parts or [{}])[0]["content"] == data
