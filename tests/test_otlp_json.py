"""OTLP JSON becomes the Signals that protobuf gives of the same telemetry; what is wrong costs little."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from otlp_requests import as_json, as_object
from recordings import ALL, FOLDER

from otel_llm_sql import conventions
from otel_llm_sql.errors import LlmSqlError
from otel_llm_sql.intake.otlp import signals_from_logs, signals_from_traces
from otel_llm_sql.intake.otlp_json import signals_from_logs_json, signals_from_traces_json
from otel_llm_sql.intake.signal import Signal

READERS: dict[str, tuple[Any, Callable[[bytes], list[Signal]], Callable[[bytes], list[Signal]]]] = {
    "traces.pb": (ExportTraceServiceRequest, signals_from_traces, signals_from_traces_json),
    "logs.pb": (ExportLogsServiceRequest, signals_from_logs, signals_from_logs_json),
}


def span(**fields: Any) -> Signal:
    """The Signal of one span, between two others that must come through whatever is wrong with it."""
    good = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "neighbour"}
    spans = [good, good | {"name": "n"} | fields, good]
    request = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    first, signal, last = signals_from_traces_json(json.dumps(request).encode())
    assert (first.name, first.trace_id, first.span_id) == ("neighbour", good["traceId"], good["spanId"])
    assert last == first
    return signal


def value(held: Any) -> Any:
    """What an attribute is whose AnyValue is this JSON."""
    signal = span(attributes=[{"key": "before", "value": {"intValue": 1}}, {"key": "k", "value": held}])
    assert signal.attributes["before"] == 1
    return signal.attributes["k"]


# -- equal to protobuf


@pytest.mark.parametrize(
    "style",
    [{}, {"use_integers_for_enums": False, "preserving_proto_field_name": True}],
    ids=["as specified", "as protobuf's tools write"],
)
def test_otlp_10_every_recording_is_the_same_in_json(style: dict[str, Any]) -> None:
    """OTLP-10: the Signals of JSON are those of protobuf, in lowerCamelCase and in the names of the fields."""
    signals = 0
    for name in ALL:
        for file, (message, from_protobuf, from_json) in READERS.items():
            path = FOLDER / name / file
            payload = path.read_bytes() if path.exists() else b""
            found = from_json(as_json(message.FromString(payload), **style))
            assert found == from_protobuf(payload), f"{name}/{file}"
            signals += len(found)
    assert signals > 1000


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
IDS = st.sampled_from([b"", bytes(16), bytes(8), b"\x0a" * 16, b"\xfe" * 8, b"short"])
FIXED64 = st.integers(0, 2**64 - 1)
VALUES = st.recursive(
    st.one_of(
        st.builds(AnyValue),
        st.builds(AnyValue, string_value=TEXTS),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats(allow_nan=False)),
        st.builds(AnyValue, bytes_value=st.binary(max_size=8)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda found: AnyValue(array_value={"values": found})),
        st.lists(st.tuples(TEXTS, inner), max_size=3).map(
            lambda found: AnyValue(kvlist_value={"values": pairs(found)})
        ),
    ),
    max_leaves=6,
)


def pairs(found: list[tuple[str, AnyValue]]) -> list[dict[str, Any]]:
    return [{"key": key, "value": held} for key, held in found]


ATTRIBUTES = st.lists(st.tuples(TEXTS, VALUES), max_size=3).map(pairs)
EVENTS = st.fixed_dictionaries({"name": TEXTS, "time_unix_nano": FIXED64, "attributes": ATTRIBUTES})
SPANS = st.fixed_dictionaries(
    {
        "trace_id": IDS,
        "span_id": IDS,
        "parent_span_id": IDS,
        "name": TEXTS,
        "start_time_unix_nano": FIXED64,
        "end_time_unix_nano": FIXED64,
        "attributes": ATTRIBUTES,
        "events": st.lists(EVENTS, max_size=2),
        "status": st.fixed_dictionaries({"code": st.integers(0, 3), "message": TEXTS}),
        "dropped_attributes_count": st.integers(0, 2**32 - 1),
        "dropped_events_count": st.integers(0, 2**32 - 1),
    }
)
LOGS = st.fixed_dictionaries(
    {
        "trace_id": IDS,
        "span_id": IDS,
        "time_unix_nano": FIXED64,
        "observed_time_unix_nano": FIXED64,
        "event_name": TEXTS,
        "body": VALUES,
        "attributes": ATTRIBUTES,
        "dropped_attributes_count": st.integers(0, 2**32 - 1),
    }
)


def requests(message: Any, envelope: tuple[str, str, str], items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Requests of one kind, of any shape."""
    entries, scopes, name = envelope
    scope = st.fixed_dictionaries({"name": TEXTS, "version": TEXTS})
    inner = st.fixed_dictionaries({"scope": scope, name: st.lists(items, max_size=2)})
    resource = st.fixed_dictionaries({"attributes": ATTRIBUTES})
    entry = st.fixed_dictionaries({"resource": resource, scopes: st.lists(inner, max_size=2)})
    return st.lists(entry, max_size=2).map(lambda found: message(**{entries: found}))


@settings(deadline=None)
@given(requests(ExportTraceServiceRequest, ("resource_spans", "scope_spans", "spans"), SPANS))
def test_any_spans_are_the_same_in_json(request: Any) -> None:
    """Whatever protobuf can say of spans, JSON says too, with numbers as text or as numbers."""
    wanted = signals_from_traces(request.SerializeToString())
    assert signals_from_traces_json(as_json(request)) == wanted
    assert signals_from_traces_json(orjson.dumps(with_numbers(as_object(request)))) == wanted


@settings(deadline=None)
@given(requests(ExportLogsServiceRequest, ("resource_logs", "scope_logs", "log_records"), LOGS))
def test_any_logs_are_the_same_in_json(request: Any) -> None:
    """As for spans."""
    wanted = signals_from_logs(request.SerializeToString())
    assert signals_from_logs_json(as_json(request)) == wanted
    assert signals_from_logs_json(orjson.dumps(with_numbers(as_object(request)))) == wanted


def with_numbers(found: Any) -> Any:
    """The same JSON, 64-bit integers written as numbers."""
    if isinstance(found, list):
        return [with_numbers(item) for item in found]
    if not isinstance(found, dict):
        return found
    return {
        key: int(item) if key == "intValue" or key.endswith("UnixNano") else with_numbers(item)
        for key, item in found.items()
    }


def test_google_misreads_the_ids() -> None:
    """Why this decoder exists: what google writes for 16 bytes is no id of OTLP, so it is none here."""
    request = ExportTraceServiceRequest(
        resource_spans=[{"scope_spans": [{"spans": [{"trace_id": b"\xab" * 16, "span_id": b"\xcd" * 8}]}]}]
    )
    [as_specified] = signals_from_traces_json(as_json(request))
    [as_google] = signals_from_traces_json(orjson.dumps(MessageToDict(request)))
    assert (as_specified.trace_id, as_specified.span_id) == ("ab" * 16, "cd" * 8)
    assert (as_google.trace_id, as_google.span_id) == ("", "")


# -- single fields


@pytest.mark.parametrize(
    "told", ["", "0" * 32, "0af7651916cd43dd8448eb211c80319", "0af7651916cd43dd8448eb211c80319g", " " * 32, 7, None, []]
)
def test_otlp_13_a_wrong_id_marks_its_span_alone(told: Any) -> None:
    """OTLP-13: an id that is zero, of another length or no hex is empty; the neighbours keep theirs."""
    assert span(traceId=told).trace_id == ""
    assert span(spanId=told).span_id == ""
    assert span(parentSpanId=told).parent_span_id is None


def test_otlp_10_ids_are_hex_in_any_case() -> None:
    """OTLP-10: upper case is the same id."""
    told = span(traceId="5B8EFFF798038103D269B633813FC60C", spanId="EEE19B7EC3C1B174", parentSpanId="EeE19B7EC3C1B173")
    assert told.trace_id == "5b8efff798038103d269b633813fc60c"
    assert (told.span_id, told.parent_span_id) == ("eee19b7ec3c1b174", "eee19b7ec3c1b173")


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({"stringValue": ""}, ""),
        ({"stringValue": "é\0😀"}, "é\0😀"),
        ({"boolValue": False}, False),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": 9223372036854775807}, 2**63 - 1),
        ({"intValue": 1e3}, 1000),
        ({"intValue": "1e3"}, 1000),
        ({"doubleValue": 1}, 1.0),
        ({"doubleValue": "0.5"}, 0.5),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"bytesValue": "AAH/+g=="}, b"\0\1\xff\xfa"),
        ({"bytesValue": "AAH_-g"}, b"\0\1\xff\xfa"),
        ({"arrayValue": {"values": [{"intValue": "1"}, {}, {"stringValue": "a"}]}}, [1, None, "a"]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"arrayValue": {"values": []}}}]}}, {"a": []}),
        ({"kvlistValue": {}}, {}),
        ({"string_value": "snake"}, "snake"),
        ({"kvlist_value": {"values": [{"key": "a"}]}}, {"a": None}),
        ({}, None),
        (None, None),
        ({"stringValue": None, "intValue": 3}, 3),
        ({"somethingNew": 1, "boolValue": True}, True),
    ],
)
def test_otlp_11_kinds_of_values(told: Any, wanted: Any) -> None:
    """OTLP-11: every kind of AnyValue, in every form that proto3's JSON allows; null is absent, unset is None."""
    found = value(told)
    assert (found, type(found)) == (wanted, type(wanted))


def test_nan_is_text_or_bare() -> None:
    """JSON has no NaN: proto3 writes it as text, Python's json module (and its file exporter) bare."""
    assert math.isnan(value({"doubleValue": "NaN"}))
    assert math.isnan(value({"doubleValue": math.nan}))


@pytest.mark.parametrize(
    "told",
    [
        {"stringValue": 5},
        {"boolValue": "true"},
        {"intValue": "twelve"},
        {"intValue": True},
        {"intValue": 0.5},
        {"intValue": "9" * 5000},
        {"intValue": 2**63},
        {"doubleValue": "much"},
        {"doubleValue": False},
        {"bytesValue": "no base64!"},
        {"bytesValue": 3},
        {"somethingNew": 1},
        "bare",
        7,
        ["x"],
    ],
)
def test_a_value_of_the_wrong_type_is_none(told: Any) -> None:
    """It costs neither the other attributes nor the other spans."""
    assert value(told) is None


@pytest.mark.parametrize("wrong", [7, "x", True, [1], {"a": 1}, [[]], None])
def test_a_field_of_the_wrong_type_is_absent(wrong: Any) -> None:
    """Each field by itself: the span is what it would be without it."""
    numbers = ("startTimeUnixNano", "endTimeUnixNano", "droppedAttributesCount", "droppedEventsCount")
    for name in ("attributes", "status", *numbers):
        if not (wrong == 7 and name in numbers):
            assert span(**{name: wrong}) == span(), name
    assert wrong == "x" or span(name=wrong) == span(name="")
    assert [event.name for event in span(events=[wrong, {"name": "e"}]).events] == ["", "e"]
    assert span(events=wrong) == span() or isinstance(wrong, list)


@pytest.mark.parametrize("told", [-1, 2**64, "-5", 1.5, "soon", "1" * 30])
def test_a_time_that_is_none_is_zero(told: Any) -> None:
    """Times are unsigned 64-bit numbers of nanoseconds."""
    assert span(startTimeUnixNano=told).start_ns == 0


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (0, "unset"),
        (1, "ok"),
        (2, "error"),
        (99, "unset"),
        ("STATUS_CODE_ERROR", "error"),
        ("2", "error"),
        (None, "unset"),
    ],
)
def test_otlp_14_status_codes(code: Any, wanted: str) -> None:
    """OTLP-10, OTLP-14: enums are integers; names are tolerated, and numbers nobody knows are no failure."""
    assert span(status={"code": code, "message": "m"}).status == wanted
    assert span(status={"code": code, "message": "m"}).status_message == "m"


def test_otlp_10_what_nobody_knows_is_ignored() -> None:
    """OTLP-10: unknown fields at every level, and absent or empty ones; a log's name may be an attribute."""
    record = {"x": 1, "observedTimeUnixNano": 6, "attributes": [{"key": "event.name", "value": {"stringValue": "e"}}]}
    scope = {"scope": {"name": "s", "version": None, "y": []}, "logRecords": [record, {}], "z": {}}
    entry = {"resource": None, "scopeLogs": [scope, {}, {"logRecords": None}], "schemaUrl": "u"}
    request = {"partial": True, "resourceLogs": [entry, {}], "resourceSpans": None}
    first, second = signals_from_logs_json(orjson.dumps(request))
    assert (first.name, first.start_ns, first.body, first.scope_name, first.scope_version) == ("e", 6, None, "s", None)
    assert (second.name, second.start_ns, second.trace_id) == ("", 0, "")
    assert signals_from_traces_json(orjson.dumps(request)) == []


def test_otlp_05_an_empty_request_has_no_signals() -> None:
    """OTLP-05: nothing in it is no failure."""
    for payload in (b"{}", b' {"resourceSpans": []} ', b'{"resourceSpans":[{}]}'):
        assert signals_from_traces_json(payload) == signals_from_logs_json(payload) == []


# -- hostile


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", r"no JSON at character 0"),
        (b'{"resourceSpans": [{"secret', r"no JSON at character \d+"),
        (b'{"resourceSpans": "secret"}', "resourceSpans of the request is no list"),
        (b'{"resourceSpans": [{}, "secret"]}', r"resourceSpans\[1\] of the request is no object"),
        (
            b'{"resourceSpans": [{"scopeSpans": [{}, {"spans": [{}, {}, 7]}]}]}',
            r"spans\[2\] of scopeSpans\[1\] of resourceSpans\[0\] of the request is no object",
        ),
        (b'["secret"]', "the JSON is no object"),
        (b'"secret"', "the JSON is no object"),
        (b'{"secret": "\xff"}', "no UTF-8 at byte 12"),
        (b"\x0a\x03abc", "no JSON at character"),
        (b"[" * 100_000, "no JSON at character"),
        (b'{"a":' * 2_000 + b"1" + b"}" * 2_000, "no JSON at character"),
    ],
)
def test_otlp_06_what_is_no_request_is_refused(payload: bytes, said: str) -> None:
    """OTLP-06: the error says what was wrong and where, and repeats nothing of the content."""
    for read in (signals_from_traces_json, signals_from_logs_json):
        if read is signals_from_logs_json and b"resourceSpans" in payload and payload.endswith(b"}"):
            continue
        with pytest.raises(LlmSqlError, match=said) as raised:
            read(payload)
        assert "secret" not in str(raised.value)
        assert raised.value.__cause__ is None


def test_half_an_emoji_costs_nothing() -> None:
    """JavaScript cuts texts in the middle of a character; the rest of the request is as good as ever."""
    payload = rb'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"cut \ud83d"},{"name":"whole \ud83d\ude00"}]}]}]}'
    assert [signal.name for signal in signals_from_traces_json(payload)] == ["cut \ud83d", "whole 😀"]


@pytest.mark.parametrize("kind", ["arrayValue", "kvlistValue"])
def test_nesting_is_bounded(kind: str) -> None:
    """What protobuf can carry arrives whole; deeper, the value is cut and its span stays."""

    def nested(levels: int) -> dict[str, Any]:
        held: dict[str, Any] = {"stringValue": "x"}
        for _ in range(levels):
            held = {kind: {"values": [held if kind == "arrayValue" else {"key": "k", "value": held}]}}
        return held

    def innermost(found: Any) -> Any:
        while not isinstance(found, str):
            found = found[0] if isinstance(found, list) else found["k"]
        return found

    assert innermost(value(nested(60))) == "x"
    assert innermost(value(nested(64))) == "(nested deeper than 64 levels)"
    assert innermost(value(nested(200))) == "(nested deeper than 64 levels)"


NAMES = st.sampled_from(
    "resourceSpans resourceLogs scopeSpans scopeLogs spans logRecords resource scope attributes key value values body"
    " stringValue intValue doubleValue bytesValue arrayValue kvlistValue events status code name traceId".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)
ITEMS = st.lists(st.dictionaries(NAMES, JSON, max_size=5), max_size=3)


@settings(deadline=None)
@given(st.one_of(JSON, ITEMS.map(lambda items: {"resourceSpans": [{"scopeSpans": [{"spans": items}]}]})))
def test_any_json_is_otlp_or_refused(found: Any) -> None:
    """Signals that can be read, or one of our errors; nothing else."""
    payload = json.dumps(found).encode()
    for read in (signals_from_traces_json, signals_from_logs_json):
        try:
            signals = read(payload)
        except LlmSqlError:
            continue
        for signal in signals:
            conventions.read(signal)
