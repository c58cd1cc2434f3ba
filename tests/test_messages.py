"""Messages: every shape that is seen in the wild becomes the same few values."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.messages import name_tools, read_messages
from otel_llm_sql.records import Message

pytestmark = pytest.mark.quick

NAME = "gen_ai.input.messages"
PIXEL = b"\x89PNG\r\n\x1a\n\xff\xfe"
ENCODED = base64.b64encode(PIXEL).decode()
DIGEST = {"size": len(PIXEL), "sha256": hashlib.sha256(PIXEL).hexdigest()}


def read(value: Any, direction: Any = "input", role: str | None = None) -> list[Message]:
    return read_messages(Cleaner(), NAME, value, direction, role)


def one(message: Any, direction: Any = "input") -> Message:
    [read_one] = read([message], direction)
    return read_one


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "parts": [{"type": "text", "content": "Hi"}], "name": None},
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"role": "user", "content": [{"text": "Hi"}]},
        {"role": "human", "parts": ["Hi"]},
        {"role": "USER", "content": {"type": "text", "content": "Hi"}},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    ],
)
def test_text(message: dict[str, Any]) -> None:
    """Text alone is content without parts, whoever shaped it, and alone or in a list or in JSON text."""
    wanted = [Message("user", "Hi")]
    assert read([message]) == read(message) == read(json.dumps([message])) == read((message,)) == wanted
    assert read((json.dumps(message),)) == wanted


def test_texts_are_lines() -> None:
    """Several texts are joined by line breaks; that says it all, so there are no parts."""
    assert one(
        {"role": "user", "parts": [{"type": "text", "content": "a"}, {"type": "text", "content": "b"}]}
    ) == Message("user", "a\nb")


@pytest.mark.parametrize(
    ("value", "content"), [("Hi there", "Hi there"), ('"Hi"', "Hi"), ("42", "42"), ("{} is empty", "{} is empty")]
)
def test_plain_text(value: str, content: str) -> None:
    """An attribute that is no JSON is one message."""
    assert read(value) == [Message("user", content)]
    assert read(value, "output") == [Message("assistant", content, direction="output")]
    assert read(value, role="system") == [Message("system", content)]


@pytest.mark.parametrize("value", [None, "", "[]", [], (), "null" * 0, [None]])
def test_nothing(value: Any) -> None:
    """Nothing is no message."""
    assert read(value) == []


def test_bare_parts_are_one_message() -> None:
    """System instructions are a list of parts."""
    assert read([{"type": "text", "content": "a"}, {"type": "text", "content": "b"}], role="system") == [
        Message("system", "a\nb")
    ]


def test_content_that_was_not_captured() -> None:
    """A message of which only the role is known has content None; one that was captured empty has an empty text."""
    assert one({"role": "user", "parts": []}) == Message("user", None)
    assert one({"role": "user"}) == Message("user", None)
    assert one({"role": "user", "content": ""}) == Message("user", "")


CALL_PART = {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"city": "Paris"}}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "parts": [CALL_PART]},
        {"role": "assistant", "parts": [CALL_PART | {"arguments": '{"city": "Paris"}'}], "finish_reason": "tool_call"},
        {"role": "assistant", "parts": [{"type": "text", "content": ""}, CALL_PART]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"city": "Paris"}'}}
            ],
        },
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"city": "Paris"}}}],
        },
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"city":"Paris"}'}}
            ],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"city": "Paris"}}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "f", "input": {"city": "Paris"}}}]},
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "c1", "name": "f", "input": {"city": "Paris"}}}],
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f"}}],
        },
        {"role": "model", "parts": [{"function_call": {"id": "c1", "name": "f", "args": {"city": "Paris"}}}]},
    ],
)
def test_tool_calls(message: dict[str, Any]) -> None:
    """A call reads the same when it is made and when it is sent again, in every shape: arguments are JSON."""
    assert one(message) == Message("assistant", None, [CALL_PART])


def test_a_responses_item_is_a_message() -> None:
    """OpenAI's Responses put calls and results beside messages."""
    items = [
        {"type": "function_call", "call_id": "c1", "id": "fc_1", "name": "f", "arguments": '{"city": "Paris"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "18C"},
        {"role": "user", "content": "Thanks"},
    ]
    messages = read(items, role="assistant")
    assert [(message.role, message.content, message.tool_call_id) for message in messages] == [
        ("tool", "18C", "c1"),
        ("assistant", None, None),
        ("user", "Thanks", None),
    ]
    assert messages[1].parts == [CALL_PART]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [("", {}), ("not json", "not json"), ('{"cut": ', '{"cut":'), ([1, 2], [1, 2]), ("[1]", [1]), ('"x"', '"x"')],
)
def test_arguments(arguments: Any, wanted: Any) -> None:
    """JSON text becomes JSON, other text stays."""
    message = one({"role": "assistant", "parts": [CALL_PART | {"arguments": arguments}]})
    assert message.parts is not None
    assert message.parts[0]["arguments"] == wanted


ANSWER = Message("tool", "18C", [{"type": "tool_call_response", "id": "c1", "response": "18C"}], "input", "c1")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "18C"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "result": "18C"}]},
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "c1", "response": [{"type": "text", "text": "18C"}]}],
        },
        {"role": "user", "parts": [{"type": "tool_call_response", "id": "c1", "response": "18C"}]},
        {"role": "tool", "content": "18C", "tool_call_id": "c1"},
        {"role": "tool", "content": "18C", "id": "c1"},
        {"role": "function", "content": [{"type": "text", "text": "18C"}], "tool_call_id": "c1"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "18C"}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "18C"}]}}]},
    ],
)
def test_tool_results(message: dict[str, Any]) -> None:
    """A result is a message of role tool with the id of its call, in every shape."""
    assert one(message) == ANSWER


def test_structured_results() -> None:
    """A result that is JSON stays JSON in the part; a person reads it as JSON text."""
    message = one({"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"t": 18}}]})
    assert (message.content, message.parts) == (
        '{"t":18}',
        [{"type": "tool_call_response", "id": "c1", "response": {"t": 18}}],
    )


IMAGE = {"type": "blob", "modality": "image", "mime_type": "image/png", **DIGEST}
URL = f"data:image/png;base64,{ENCODED}"
SEEN = {"type": "text", "text": f"see {URL}"}
LONG = b"%PDF" + bytes(300)
PDF = {
    "type": "blob",
    "mime_type": "application/pdf",
    "size": len(LONG),
    "sha256": hashlib.sha256(LONG).hexdigest(),
}


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        ([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ENCODED}}], [IMAGE]),
        ([SEEN, {"type": "image", "data": ENCODED, "mimeType": "image/png"}], [SEEN, IMAGE]),
        ([{"type": "input_image", "image_url": URL}], [IMAGE]),
        ([{"type": "image_url", "image_url": {"url": URL}}], [IMAGE]),
        ([{"image": {"format": "png", "source": {"bytes": ENCODED}}}], [IMAGE]),
        ({"content": [{"type": "image", "data": ENCODED, "mimeType": "image/png"}]}, {"content": [IMAGE]}),
        ({"chart": URL, "n": 1}, {"chart": IMAGE, "n": 1}),
        (
            {"type": "resource", "resource": {"mimeType": "application/pdf", "blob": base64.b64encode(LONG).decode()}},
            {"type": "resource", "resource": PDF},
        ),
    ],
)
def test_media_in_results_are_described(result: Any, wanted: Any) -> None:
    """An image that a tool gives back leaves type, size and digest, in every shape; the text beside it stays."""
    for part in (
        {"type": "tool_result", "tool_use_id": "c1", "content": result},
        {"type": "function_call_output", "call_id": "c1", "output": result},
        {"type": "tool_call_response", "id": "c1", "response": result},
    ):
        message = one({"role": "user", "content": [part]})
        assert message.parts == [{"type": "tool_call_response", "id": "c1", "response": wanted}]
        assert json.loads(message.content or "") == wanted


@pytest.mark.parametrize(
    "result",
    [
        f"the picture is {URL}",
        URL,
        {"type": "file", "data": "success1"},
        {"type": "image", "url": "https://example.com/a.png", "alt": "a cat"},
        {"mime_type": "text/plain", "content": "abcd"},
        {"type": "image", "content": "nicecats"},
        [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Once"}}],
        [SEEN, {"n": 1}],
    ],
)
def test_results_without_media_stay(result: Any) -> None:
    """What a tool wrote is not altered, whatever its keys are called; a data URL in a text stays as well."""
    message = one({"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": result}]})
    assert message.parts == [{"type": "tool_call_response", "id": "c1", "response": result}]


def test_several_results_are_several_messages() -> None:
    """Anthropic and Bedrock send all results, and text, in one user message."""
    results = [{"type": "tool_result", "tool_use_id": name, "content": name.upper()} for name in ("a", "b")]
    messages = read([{"role": "user", "content": [*results, {"type": "text", "text": "Go on"}]}])
    assert [(message.role, message.content, message.tool_call_id) for message in messages] == [
        ("tool", "A", "a"),
        ("tool", "B", "b"),
        ("user", "Go on", None),
    ]


def test_tools_are_named() -> None:
    """A message that makes one call has its tool's name, and so has the answer."""
    messages = read(
        [{"role": "assistant", "parts": [CALL_PART]}, {"role": "tool", "content": "18C", "tool_call_id": "c1"}]
    )
    name_tools(messages)
    assert [message.tool_name for message in messages] == ["f", "f"]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "reasoning", "content": "hm"},
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"reasoningContent": {"reasoningText": {"text": "hm"}}},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
    ],
)
def test_reasoning(part: dict[str, Any]) -> None:
    """Reasoning is a part, not content."""
    message = one({"role": "assistant", "content": [part, {"type": "text", "text": "Paris"}]}, "output")
    assert message.content == "Paris"
    assert message.parts == [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "Paris"}]


def test_reasoning_and_refusal_beside_the_content() -> None:
    """DeepSeek's reasoning and OpenAI's refusal stand beside the content."""
    message = one({"role": "assistant", "content": None, "reasoning_content": "hm", "refusal": "No."})
    assert message == Message(
        "assistant", "No.", [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "No."}]
    )


@pytest.mark.parametrize(
    "part",
    [
        {"type": "blob", "mime_type": "image/png", "modality": "image", "content": ENCODED},
        {"type": "blob", "mime_type": "image/png", "modality": "image", "data": PIXEL},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ENCODED}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{ENCODED}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ENCODED}},
        {"inline_data": {"mime_type": "image/png", "data": ENCODED.replace("+", "-").replace("/", "_")}},
        {"image": {"format": "png", "source": {"bytes": ENCODED}}},
    ],
)
def test_inline_media_is_described(part: dict[str, Any]) -> None:
    """The bytes are never copied: type, size and digest tell what was sent."""
    message = one({"role": "user", "content": [{"type": "text", "text": "What?"}, part]})
    wanted = {"type": "blob", "modality": "image", "mime_type": "image/png", **DIGEST}
    assert (message.content, message.parts) == ("What?", [{"type": "text", "content": "What?"}, wanted])


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        (
            {"type": "uri", "mime_type": "image/png", "modality": "image", "uri": "https://e.org/a.png"},
            {"type": "uri", "modality": "image", "mime_type": "image/png", "uri": "https://e.org/a.png"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://e.org/a.png", "detail": "low"}},
            {"type": "uri", "modality": "image", "uri": "https://e.org/a.png"},
        ),
        ({"type": "file", "file": {"file_id": "f1"}}, {"type": "file", "file_id": "f1"}),
        (
            {"type": "file", "modality": "image", "file_id": "f1"},
            {"type": "file", "modality": "image", "file_id": "f1"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": ENCODED, "format": "wav"}},
            {"type": "blob", "modality": "audio", "mime_type": "audio/wav", **DIGEST},
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Once upon"}},
            {"type": "blob", "mime_type": "text/plain", "size": 9, "sha256": hashlib.sha256(b"Once upon").hexdigest()},
        ),
        ({"kind": 1, "media_type": "image/png"}, {"type": "generic", "kind": 1, "media_type": "image/png"}),
        (
            {"kind": 1, "mime_type": "image/png", "data": ENCODED},
            {"type": "blob", "modality": "image", "mime_type": "image/png", **DIGEST},
        ),
        ({"type": "anthropic_image"}, {"type": "anthropic_image"}),
        ({"type": "custom", "value": {"a": 1}, "cache_control": {}}, {"type": "custom", "value": {"a": 1}}),
        (
            {"type": "custom", "src": f"data:image/png;base64,{ENCODED}"},
            {"type": "custom", "src": {"type": "blob", "modality": "image", "mime_type": "image/png", **DIGEST}},
        ),
        ({"weird": 1}, {"type": "generic", "weird": 1}),
    ],
)
def test_other_parts(part: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Addresses and file ids are kept, unknown parts as they are, without data."""
    assert one({"role": "user", "content": [part]}).parts == [wanted]


def test_a_descriptor_that_is_read_again_stays() -> None:
    """What we describe, a replay describes the same."""
    described = {"type": "blob", "modality": "image", "mime_type": "image/png", **DIGEST}
    assert one({"role": "user", "parts": [described]}).parts == [described]


def test_cut_json_is_one_message() -> None:
    """SDK-14: a length limit cuts JSON text anywhere; what is left is kept as it is, with a flag."""
    whole = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi" * 50}]}])
    for end in range(1, len(whole)):
        cleaner = Cleaner()
        assert read_messages(cleaner, NAME, whole[:end], "input") == [Message("user", whole[:end])]
        assert cleaner.repaired == {NAME: "broken JSON, kept as text"}
    assert read(whole[:50], "output")[0].role == "assistant"
    assert read(('{"role": "user", "cont', "b")) == [Message("user", '{"role": "user", "cont\nb')]


def test_json_that_is_too_deep_is_text() -> None:
    """F27: 10,000 and 50,000 levels are no crash: the text is kept."""
    for depth in (2_000, 10_000, 50_000):
        text = '[{"role": "user", "content": ' + "[" * depth + "]" * depth + "}]"
        assert read(text) == [Message("user", text)]
    nested: Any = "x"
    for _ in range(50_000):
        nested = [nested]
    message = one({"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "arguments": nested}]})
    assert json.dumps(message.parts).count("[") > 50_000


def test_reasoning_in_reasoning_is_no_recursion() -> None:
    """Nor are parts that hold parts of their kind, as deep as a parser lets them be."""
    for key in ("content", "summary", "thinking"):
        text = f'{{"type": "reasoning", "{key}": [' * 500 + "]}" * 500
        assert len(read(f'[{{"role": "assistant", "parts": [{text}]}}]')) == 1


def test_numbers_that_are_none_in_deep_json() -> None:
    """Python's own parser, for what the fast one refuses, ends at its limit as text does."""
    text = "[" * 5_000 + "NaN" + "]" * 5_000
    assert read(text) == [Message("user", text)]
    assert one(CALL_PART | {"arguments": '{"t": NaN}'}).parts == [CALL_PART | {"arguments": {"t": None}}]


def test_integers_in_json_keep_their_digits() -> None:
    """Arguments beyond 64 bits are text, not a rounded float."""
    message = one(CALL_PART | {"arguments": '{"id": 123456789012345678901}'})
    assert message.parts is not None
    assert message.parts[0]["arguments"] == {"id": "123456789012345678901"}
    whole = '[{"role": "assistant", "parts": [{"type": "tool_call", "arguments": {"id": 123456789012345678901}}]}]'
    assert read(whole)[0].parts == [{"type": "tool_call", "arguments": {"id": "123456789012345678901"}}]


def test_odd_characters() -> None:
    """F20 to F22: NUL bytes and lone surrogates, as characters or as JSON escapes, become U+FFFD."""
    for told in ("a\0b", "a\ud800b", ["a\0b"], r'["a\u0000b"]', r'["a\ud800b"]', '["a\0b"]', '["a\ud800b"]'):
        assert read(told) == [Message("user", "a\ufffdb")]
    assert read(r'["\ud83d\ude00"]') == [Message("user", "\U0001f600")]


@pytest.mark.parametrize(
    "value", [7, True, 1.5, {"a": 1}, [[1]], [7], b"\xff[", {"role": 7, "parts": {"x": object()}}, [{"parts": 3}]]
)
def test_any_value_is_read(value: Any) -> None:
    """Whatever stands there, it becomes messages."""
    assert all(isinstance(message, Message) for message in read(value))


@pytest.mark.parametrize("more", [{}, {"type": "strange", "id": {"not": "text"}}])
def test_a_tool_call_without_an_id_is_read(more: dict[str, Any]) -> None:
    """Ollama names no ids; and an id that is no text is no reason to lose the message."""
    call = {"function": {"name": "f", "arguments": {"city": "Paris"}}, **more}
    message = one({"role": "assistant", "content": "", "tool_calls": [call, call]})
    assert message.parts is not None
    assert len(message.parts) == 2
    assert "Paris" in str(message.parts[0])


def test_long_names_are_cut() -> None:
    """Roles, ids and names fit their columns."""
    message = one({"role": "r" * 100, "content": "x"})
    assert message.role == "r" * 32
    answer = one({"role": "tool", "content": "x", "tool_call_id": "i" * 300, "name": "n" * 300})
    assert (len(answer.tool_call_id or ""), len(answer.tool_name or "")) == (255, 255)
    assert (
        len(one({"role": "assistant", "content": "x", "finish_reason": "f" * 99}, "output").finish_reason or "") == 64
    )
