"""SDK spans, SDK log records and OTLP requests become the same Signals."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode

from otel_llm_sql import conventions
from otel_llm_sql.errors import LlmSqlError
from otel_llm_sql.intake import otlp
from otel_llm_sql.intake.otlp import signals_from_logs, signals_from_traces
from otel_llm_sql.intake.sdk import from_log, from_span
from otel_llm_sql.intake.signal import Signal

pytestmark = pytest.mark.quick


class Recorder:
    """A provider whose ended spans are kept."""

    def __init__(self, **settings: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(resource=Resource({"service.name": "shop"}), **settings)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("some.scope", "1.2")

    def span(self, name: str = "chat", **settings: Any) -> ReadableSpan:
        self.tracer.start_span(name, **settings).end(settings.get("end_time"))
        return self.exporter.get_finished_spans()[-1]


def test_a_span_keeps_all_that_conventions_need() -> None:
    """Ids are lower-case hex, times nanoseconds, status a word; parent, scope and resource come along."""
    recorder = Recorder()
    with recorder.tracer.start_as_current_span("outer") as outer:
        inner = recorder.tracer.start_span("chat gpt", start_time=1_000, attributes={"gen_ai.operation.name": "chat"})
        inner.add_event("seen", {"a": 1}, timestamp=1_500)
        inner.set_status(Status(StatusCode.ERROR, "it broke"))
        inner.end(2_000)
    signal = from_span(recorder.exporter.get_finished_spans()[0])
    context = inner.get_span_context()
    assert signal.trace_id == f"{context.trace_id:032x}"
    assert signal.span_id == f"{context.span_id:016x}"
    assert signal.parent_span_id == f"{outer.get_span_context().span_id:016x}"
    assert (signal.kind, signal.name, signal.start_ns, signal.end_ns) == ("span", "chat gpt", 1_000, 2_000)
    assert (signal.status, signal.status_message) == ("error", "it broke")
    assert (signal.scope_name, signal.scope_version, signal.resource["service.name"]) == ("some.scope", "1.2", "shop")
    assert [(event.name, event.time_ns, dict(event.attributes)) for event in signal.events] == [
        ("seen", 1_500, {"a": 1})
    ]


def test_attributes_are_shared_not_copied() -> None:
    """The Signal reads the span's own attributes."""
    span = Recorder().span(attributes={"gen_ai.system": "openai"})
    assert from_span(span).attributes is from_span(span).attributes
    assert isinstance(from_span(span).attributes, Mapping)


def test_a_span_without_end_has_no_latency() -> None:
    """SDK-15: `end_time` may be None for some readers; that is not a latency of 0."""
    span = ReadableSpan("chat", SpanContext(1, 2, False), attributes={"gen_ai.system": "openai"}, start_time=5_000_000)
    operation = conventions.read(from_span(span))
    assert operation is not None
    assert (operation.latency_ms, operation.timestamp, operation.parent_span_id) == (None, 5_000, None)


def test_a_bare_span_is_read() -> None:
    """A span without context, scope or attributes is a Signal with empty ids."""
    signal = from_span(ReadableSpan("chat"))
    assert (signal.trace_id, signal.span_id, signal.scope_name, dict(signal.attributes)) == ("", "", None, {})


def test_names_that_are_no_text() -> None:
    """Nothing stops a program from naming spans and attributes with other things than text."""
    attributes: Any = {7: 1, None: 2, "gen_ai.operation.name": "chat"}
    span = ReadableSpan(None, SpanContext(1, 2, False), attributes=attributes)  # type: ignore[arg-type]
    assert conventions.is_genai_span(span)
    operation = conventions.read(from_span(span))
    assert operation is not None
    assert (operation.span_name, operation.extras) == ("None", {"7": 1, "None": 2})


def test_the_resource_is_read_for_each_span() -> None:
    """SDK-09: after a fork the provider has another resource."""
    context = SpanContext(1, 2, False)
    spans = [ReadableSpan("chat", context, resource=Resource({"service.name": name})) for name in ("parent", "child")]
    assert [from_span(span).resource["service.name"] for span in spans] == ["parent", "child"]


def test_dropped_counts_are_stored() -> None:
    """SDK-13: over the limit the oldest attributes and events are dropped, and their number stands in `extras`."""
    recorder = Recorder(span_limits=SpanLimits(max_span_attributes=4, max_events=1))
    span = recorder.tracer.start_span("chat")
    for index in range(10):
        span.set_attribute(f"some.{index}", index)
    span.set_attribute("gen_ai.operation.name", "chat")
    for _ in range(3):
        span.add_event("tick")
    span.end()
    operation = conventions.read(from_span(recorder.exporter.get_finished_spans()[-1]))
    assert operation is not None
    assert (operation.extras["dropped_attributes"], operation.extras["dropped_events"]) == (7, 2)


def test_sdk_sequences_are_read() -> None:
    """SDK-19: lists arrive as tuples; finish reasons and messages read the same."""
    span = Recorder().span(
        attributes={"gen_ai.operation.name": "chat", "gen_ai.response.finish_reasons": ["stop", "length"]}
    )
    operation = conventions.read(from_span(span))
    assert operation is not None
    assert (operation.finish_reason, operation.extras["otel_llm_sql.finish_reasons"]) == ("stop", ["stop", "length"])


def log(**fields: Any) -> SimpleNamespace:
    defaults = {"trace_id": 1, "span_id": 2, "timestamp": 7, "observed_timestamp": 8, "body": None, "attributes": None}
    return SimpleNamespace(**(defaults | fields))


def wrapped(record: Any) -> SimpleNamespace:
    """As both `LogData` and `ReadableLogRecord` hold a record."""
    return SimpleNamespace(
        log_record=record,
        instrumentation_scope=InstrumentationScope("logs.scope", "3"),
        resource=Resource({"service.name": "shop"}),
        dropped_attributes=2,
    )


def test_log_records_of_all_sdk_versions_are_read() -> None:
    """The event name stands in its field, or (before 1.35, where there is none) in the `event.name` attribute."""
    body = {"content": "hi"}
    new = from_log(wrapped(log(event_name="gen_ai.user.message", body=body)))
    old = from_log(wrapped(log(attributes={"event.name": "gen_ai.user.message"}, body=body)))
    assert new.name == old.name == "gen_ai.user.message"
    assert new.body == old.body == body
    assert (new.kind, new.trace_id, new.span_id, new.start_ns) == ("log", f"{1:032x}", f"{2:016x}", 7)
    assert (new.scope_name, new.scope_version, new.resource["service.name"]) == ("logs.scope", "3", "shop")
    assert new.dropped_attributes == 2


SHOP = Resource({"service.name": "shop"})


class Kept(LogRecordProcessor):
    """Keeps what the SDK would export; `emit` is what 1.33 calls."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def on_emit(self, log_record: Any) -> None:
        self.records.append(log_record)

    emit = on_emit

    def shutdown(self) -> None:
        """Nothing to end."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """Nothing is pending."""
        return timeout_millis >= 0


def record_of_the_sdk(attributes: dict[str, Any]) -> Any:
    """A log record as instrumentations make it with the versions installed here."""
    fields: dict[str, Any] = {"timestamp": 5, "body": {"index": 0}, "attributes": attributes}
    try:
        return LogRecord(event_name="gen_ai.choice", **fields)
    except TypeError:  # before 1.35, where records carry the resource
        fields |= {"attributes": attributes | {"event.name": "gen_ai.choice"}, "resource": SHOP}
        return sdk_logs.LogRecord(**fields)


def test_a_record_of_the_sdk_itself_is_read() -> None:
    """The classes that are installed here: LogData with a LogRecord, or ReadableLogRecord, or what comes next."""
    kept, provider = Kept(), sdk_logs.LoggerProvider(resource=SHOP)
    provider.add_log_record_processor(kept)
    provider.get_logger("logs.scope", "3").emit(record_of_the_sdk({"gen_ai.system": "openai"}))
    [record] = kept.records
    assert conventions.is_genai_log(record)
    signal = from_log(record)
    assert (signal.name, signal.start_ns, signal.attributes["gen_ai.system"]) == ("gen_ai.choice", 5, "openai")
    assert (signal.scope_name, signal.scope_version, signal.resource["service.name"]) == ("logs.scope", "3", "shop")
    assert signal.body == {"index": 0}


def test_a_log_without_context_or_time() -> None:
    """Without trace and span the ids are empty; without a time of its own the observed one counts."""
    signal = from_log(wrapped(log(trace_id=0, span_id=None, timestamp=None)))
    assert (signal.trace_id, signal.span_id, signal.start_ns) == ("", "", 8)


@pytest.mark.parametrize(
    ("attributes", "events", "wanted"),
    [
        ({"http.request.method": "GET", "url.full": "x"}, (), False),
        ({}, (), False),
        ({}, ("exception",), False),
        ({"gen_ai.system": "openai"}, (), True),
        ({"http.method": "GET", "llm_sql.session_key": "s"}, (), True),
        ({"x": 1}, ("gen_ai.user.message",), True),
    ],
)
def test_what_may_be_genai(attributes: dict[str, Any], events: tuple[str, ...], wanted: bool) -> None:
    """Spans are told apart by the names of their attributes and events alone."""
    span = Recorder().tracer.start_span("x", attributes=attributes)
    for name in events:
        span.add_event(name)
    assert conventions.is_genai_span(span) is wanted
    assert conventions.may_be_genai(attributes, events) is wanted


def test_what_logs_may_be_genai() -> None:
    """Log records are told apart by event name and attribute names."""
    assert conventions.is_genai_log(wrapped(log(event_name="gen_ai.choice")))
    assert conventions.is_genai_log(wrapped(log(attributes={"event.name": "gen_ai.choice"})))
    assert conventions.is_genai_log(wrapped(log(event_name="other", attributes={"gen_ai.input.messages": "[]"})))
    assert not conventions.is_genai_log(wrapped(log(body="plain", attributes={"code.line": 1})))


def any_value(value: Any) -> AnyValue:
    if value is None:
        return AnyValue()
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value", bytes: "bytes_value"}
    return AnyValue(**{kinds[type(value)]: value})


def pairs(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


VALUES = {
    "s": "é",
    "b": True,
    "i": 2**62,
    "f": 0.5,
    "y": b"\0\1",
    "l": [1, "a", None],
    "d": {"k": {"n": []}},
    "none": None,
}


def test_otlp_values_become_python_values() -> None:
    """Every kind of attribute value arrives as the Python value it means."""
    request = ExportTraceServiceRequest()
    entry = request.resource_spans.add()
    entry.resource.attributes.extend(pairs({"service.name": "shop"}))
    scope = entry.scope_spans.add()
    scope.scope.name = "s"
    scope.spans.add(
        trace_id=bytes(15) + b"\xab",
        span_id=bytes(7) + b"\xcd",
        name="n",
        start_time_unix_nano=1,
        end_time_unix_nano=2,
        attributes=pairs(VALUES),
    )
    [signal] = signals_from_traces(request.SerializeToString())
    assert signal.attributes == VALUES
    assert (signal.trace_id, signal.span_id, signal.parent_span_id) == (f"{0xAB:032x}", f"{0xCD:016x}", None)
    assert (signal.status, signal.scope_name, signal.scope_version, signal.resource["service.name"]) == (
        "unset",
        "s",
        None,
        "shop",
    )


def test_otlp_logs_become_signals() -> None:
    """The event name comes from its field or the attribute, the time from the record or its observer."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    named = records.add(time_unix_nano=5, body=any_value({"index": 0}))
    if hasattr(named, "event_name"):  # not in opentelemetry-proto before 1.34
        named.event_name = "gen_ai.choice"
    else:
        named.attributes.extend(pairs({"event.name": "gen_ai.choice"}))
    records.add(observed_time_unix_nano=6, attributes=pairs({"event.name": "gen_ai.user.message"}))
    first, second = signals_from_logs(request.SerializeToString())
    assert (first.name, first.start_ns, first.body) == ("gen_ai.choice", 5, {"index": 0})
    assert (second.name, second.start_ns, second.body, second.trace_id) == ("gen_ai.user.message", 6, None, "")


def test_bytes_that_are_no_otlp_are_refused() -> None:
    """Garbage is one of our errors, and says what was expected."""
    with pytest.raises(LlmSqlError, match="ExportTraceServiceRequest"):
        signals_from_traces(b"\xff\xff\xff")


@given(st.binary(max_size=200))
def test_any_bytes_are_otlp_or_refused(payload: bytes) -> None:
    """Bytes are signals that can be read, or one of our errors; nothing else."""
    for read in (signals_from_traces, signals_from_logs):
        try:
            signals = read(payload)
        except LlmSqlError:
            continue
        for signal in signals:
            conventions.read(signal)


def test_a_missing_proto_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without opentelemetry-proto the error names it."""

    def refuse(name: str) -> None:
        raise ImportError(name)

    otlp._message_class.cache_clear()
    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(LlmSqlError, match=r"opentelemetry-proto.*pip install"):
        signals_from_traces(b"")
    otlp._message_class.cache_clear()


def test_conventions_load_neither_sdk_nor_database() -> None:
    """Reading conventions needs no SDK, no SQLAlchemy, no Polars and no protobuf."""
    program = (
        "import sys; sys.modules['otel_llm_sql'] = type(sys)('otel_llm_sql');"
        "sys.modules['otel_llm_sql'].__path__ = ['otel_llm_sql'];"
        "import otel_llm_sql.conventions, otel_llm_sql.intake.otlp;"
        "print([name for name in ('opentelemetry', 'sqlalchemy', 'polars', 'google.protobuf') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"


def test_signals_are_plain() -> None:
    """A Signal can be made by hand with what a vocabulary needs and nothing else."""
    signal = Signal("span", "t", "s", None, "n", 1, 2, {})
    assert (dict(signal.resource), signal.events, signal.dropped_events) == ({}, (), 0)
