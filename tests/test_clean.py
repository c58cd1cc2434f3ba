"""Whatever arrives can be stored as it stands: repairs, their flags, and that nothing raises."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, cast

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storable import problems

from otel_llm_sql import conventions
from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.genai_events import EVENT_NAMES
from otel_llm_sql.conventions.genai_fields import TABLE
from otel_llm_sql.conventions.json_text import dump
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.records import REPAIRED, Operation
from otel_llm_sql.settings import Settings
from otel_llm_sql.store.writer import Writer
from otel_llm_sql.testing import stored

CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}


def read(attributes: dict[str, Any], **fields: Any) -> Operation:
    operation = conventions.read(Signal("span", "a" * 32, "b" * 16, None, "chat", 1, 2, CALL | attributes, **fields))
    assert operation is not None
    assert problems(operation) == []
    return operation


def nested(depth: int) -> Any:
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


class Odd:
    """No type that JSON knows."""

    def __str__(self) -> str:
        return "odd\0"


@pytest.mark.parametrize(
    ("value", "stored", "flag"),
    [
        ("plain é \U0001f600", "plain é \U0001f600", None),
        ("a\0b", "a\ufffdb", "NUL replaced"),
        ("a\ud800b", "a\ufffdb", "lone surrogates replaced"),
        ("\ud83d\ude00\0", "\U0001f600\ufffd", "lone surrogates replaced; NUL replaced"),
        (["a\0b", {"k\0": "v"}], ["a\ufffdb", {"k\ufffd": "v"}], "NUL replaced"),
        (float("nan"), None, "not a finite number"),
        ([1.5, float("inf")], [1.5, None], "not a finite number"),
        (2**63 - 1, 2**63 - 1, None),
        (-(2**63), -(2**63), None),
        (2**63, "9223372036854775808", "integer beyond 64 bits as text"),
        ([10**5_000], [hex(10**5_000)], "integer beyond 64 bits as text"),
        ([2**70], [str(2**70)], "integer beyond 64 bits as text"),
        (b"\0\xff", "AP8=", "bytes as base64"),
        ((1, ("a", None)), [1, ["a", None]], None),
        (MappingProxyType({"k": (1,)}), {"k": [1]}, None),
        ({1: "a", None: "b"}, {"1": "a", "null": "b"}, None),
        (Odd(), "odd\ufffd", "Odd as text; NUL replaced"),
        ({1}, "{1}", "set as text"),
        (nested(28), nested(28), None),
        (True, True, None),
        (None, None, None),
    ],
)
def test_extras_are_strict_json(value: Any, stored: Any, flag: str | None) -> None:
    """F20 to F24: what a database would refuse is repaired, and each repair is listed."""
    operation = read({"some.thing": value})
    assert operation.extras.get("some.thing") == stored
    assert operation.extras.get(REPAIRED, {}).get("some.thing") == flag


@pytest.mark.parametrize("depth", [31, 1_000, 10_000, 50_000])
def test_depth(depth: int) -> None:
    """F27: what lies deeper than 30 levels is JSON text; the stack is never exhausted."""
    extras = read({"some.thing": nested(depth)}).extras
    assert "deeper than 30 levels" in extras[REPAIRED]["some.thing"]
    value, levels = extras["some.thing"], 1
    while isinstance(value, list):
        value, levels = value[0], levels + 1
    assert levels == 30
    assert value == "[" * (depth - 29) + '"core"' + "]" * (depth - 29)


def test_any_value_has_json_text() -> None:
    """The text of a deep or odd value is JSON that says the same; a value that holds itself ends."""
    value: dict[Any, Any] = {"a": [1, True, None, "é\ud800", float("nan"), 2**70], 2: {"b": b"\0"}, "e": [], "f": {}}
    assert json.loads(dump(value)) == {
        "a": [1, True, None, "é\ud800", None, 2**70],
        "2": {"b": "AA=="},
        "e": [],
        "f": {},
    }
    value["self"] = value
    assert json.loads(dump(value))["self"] == "..."


@pytest.mark.parametrize(
    ("told", "tokens", "flagged"),
    [
        (12, 12, False),
        ("12", 12, False),
        ("12.0", 12, False),
        (12.0, 12, False),
        (0, None, False),  # nobody asks with no tokens: they were not counted
        (2**31, 2**31, False),
        (2**63, 2**63 - 1, True),
        (2**70, 2**63 - 1, True),
        ("9" * 5_000, None, True),
        (-1, None, True),
        ("****", None, True),
        ("", None, True),
        (True, None, True),
        (float("nan"), None, True),
        (float("inf"), None, True),
        ([12], None, True),
        (None, None, False),
    ],
)
def test_token_counts(told: Any, tokens: int | None, flagged: bool) -> None:
    """F24: counts are whole, not negative, within 64 bits; text is accepted, masks and nonsense are None."""
    operation = read({"gen_ai.usage.input_tokens": told})
    assert operation.input_tokens == tokens
    assert ("gen_ai.usage.input_tokens" in operation.extras.get(REPAIRED, {})) is flagged


def test_long_keys_end_in_a_hash() -> None:
    """Two conversations whose ids begin alike stay two: what does not fit the column is hashed."""
    keys = [
        read({"gen_ai.operation.name": "chat", "gen_ai.conversation.id": "é" * 300 + end}).session_key for end in "ab"
    ]
    assert [len(key) for key in keys] == [255, 255]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("attribute", "field", "limit"),
    [
        ("gen_ai.response.model", "model", 255),
        ("gen_ai.response.id", "response_id", 255),
        ("gen_ai.agent.name", "agent_name", 255),
        ("user.id", "user_id", 255),
        ("error.type", "error_type", 255),
        ("gen_ai.operation.name", "operation_type", 64),
        ("gen_ai.response.finish_reasons", "finish_reason", 64),
    ],
)
def test_texts_fit_their_columns(attribute: str, field: str, limit: int) -> None:
    """F28, F29: cut in characters, with a flag, and the whole text stays in extras."""
    told = "é" * 300
    operation = read({attribute: told})
    assert getattr(operation, field) == "é" * limit
    assert operation.extras[REPAIRED][attribute] == f"cut from 300 to {limit} characters"
    if field != "finish_reason":
        assert operation.extras[attribute] == told


def test_large_prompts_pass_whole() -> None:
    """F25: 20 MB of prompt is no reason to cut."""
    prompt = "é" * 10_000_000
    operation = read(
        {"gen_ai.input.messages": orjson.dumps([{"role": "user", "content": prompt}]).decode(), "note": prompt}
    )
    assert operation.messages[0].content == operation.extras["note"] == prompt
    assert REPAIRED not in operation.extras


def test_broken_text_of_the_span_itself() -> None:
    """Names, scope and status message are repaired too."""
    operation = read({"k\0": 1}, scope_name="s\0", scope_version="\ud800", status="error", status_message="m\0")
    assert (operation.scope_name, operation.error_message) == ("s\ufffd", "m\ufffd")
    assert (operation.extras["scope_version"], operation.extras["k\ufffd"]) == ("\ufffd", 1)


MESSAGE = '[{"role": "user", "parts": [{"type": "text", "content": "x"}]}]'
SEEDS = ["", "a\0", "\ud800", MESSAGE, '{"a": [1', "[[[]]]", "12", "NaN", '["\\ud800"]']
WORDS = """role parts content type text tool_calls tool_call_id id name arguments response image image_url source data
url finish_reason function toolUse toolResult message reasoning_content refusal mime_type format sha256 summary
tool.result"""
TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=40) | st.sampled_from(SEEDS)
INTEGERS = st.integers() | st.integers(-(2**80), 2**80)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS | st.binary(max_size=9)
KEYS = TEXTS | st.sampled_from(WORDS.split())
KINDS = st.sampled_from(
    ["text", "tool_call", "tool_call_response", "reasoning", "blob", "image", "uri", "function", "odd"]
)
VALUES = st.recursive(
    SCALARS | KINDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.integers(), inner, max_size=4) | st.tuples(inner)
    ),
    max_leaves=12,
)
JSON_VALUES = VALUES.map(dump) | VALUES
ATTRIBUTES = st.dictionaries(st.sampled_from(sorted(TABLE)) | TEXTS, JSON_VALUES, max_size=12)
TIMES = st.integers(-(2**70), 2**70)
SCOPES = ["opentelemetry.instrumentation.genai.bedrock", "opentelemetry.instrumentation.openai_agents"]
"""Instrumentations that have rules of their own."""


@st.composite
def signals(draw: Callable[..., Any]) -> Signal:
    """Any span or log record at all."""
    kind = draw(st.sampled_from(["span", "log"]))
    names = st.sampled_from([*sorted(EVENT_NAMES), "exception"]) | TEXTS
    event = st.builds(SpanEvent, names, TIMES, st.dictionaries(KEYS, JSON_VALUES, max_size=4) | ATTRIBUTES)
    return Signal(
        kind=kind,
        trace_id="a" * 32,
        span_id="b" * 16,
        parent_span_id=None,
        name=draw(names),
        start_ns=draw(TIMES),
        end_ns=draw(TIMES),
        attributes=draw(ATTRIBUTES),
        resource=draw(st.dictionaries(st.sampled_from(["service.name", "service.namespace"]), VALUES)),
        scope_name=draw(st.none() | TEXTS | st.sampled_from(SCOPES)),
        scope_version=draw(st.none() | TEXTS),
        status=draw(st.sampled_from(["unset", "ok", "error"])),
        status_message=draw(st.none() | TEXTS),
        events=tuple(draw(st.lists(event, max_size=3))) if kind == "span" else (),
        body=draw(JSON_VALUES) if kind == "log" else None,
        dropped_attributes=draw(st.integers(0, 3)),
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(signals())
def test_any_signal_is_read_and_can_be_stored(signal: Signal) -> None:
    """Any attributes in, never an exception; what comes out is storable, always the same, and also without content."""
    operation = conventions.read(signal)
    if operation is None:
        return
    assert problems(operation) == []
    assert asdict(cast("Operation", conventions.read(signal))) == asdict(operation)
    orjson.dumps(
        [operation.extras, operation.metadata, operation.tool_definitions, [m.parts for m in operation.messages]]
    )
    conventions.without_content(operation)
    assert problems(operation) == []
    assert all(message.content is None for message in operation.messages)


@given(VALUES)
def test_repairing_twice_changes_nothing_more(value: Any) -> None:
    """What was repaired once needs no repair."""
    stored = Cleaner().json("x", value)
    again = Cleaner()
    assert again.json("x", stored) == stored
    assert again.repaired == {}


def test_the_worst_is_stored(url: str) -> None:
    """A span with everything wrong is stored, and reads back as it was repaired, on each database."""
    bad = {
        "nul": "a\0b",
        "half": "\ud800",
        "nan": math.nan,
        "big": 2**70,
        "deep": nested(200),
        "raw": b"\0",
        "": {"": ""},
    }
    said = [
        {
            "role": "user",
            "parts": [{"type": "tool_call", "id": "\0", "arguments": nested(50_000)}, "a\0\ud800 \U0001f600"],
        }
    ]
    named = {"gen_ai.agent.name": "\U0001f600" * 300, "gen_ai.conversation.id": "\ud800" * 300}
    figures = {"gen_ai.usage.input_tokens": 2**70, "operation.cost": 1e300, "metadata": json.dumps(bad, default=str)}
    operation = read({**bad, **named, **figures, "gen_ai.input.messages": said})
    writer = Writer(Settings(url=url))
    writer.write([operation], time.monotonic() + 60)
    writer.close()
    rows = stored(url)
    [row], [message] = rows["llm_operations"], rows["llm_messages"]
    assert {name: row["extras"][name] for name in bad} == {name: operation.extras.get(name) for name in bad}
    assert (row["agent_name"], row["input_tokens"]) == ("\U0001f600" * 255, 2**63 - 1)
    assert (message["content"], message["parts"]) == ("a\ufffd\ufffd \U0001f600", operation.messages[0].parts)
