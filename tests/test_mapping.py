"""Attribute names of the application's own: the setting `attributes`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_llm_sql import session
from otel_llm_sql.context import attach
from otel_llm_sql.conventions import attribute_mapping, read
from otel_llm_sql.exporter import LlmSqlSpanExporter
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation
from otel_llm_sql.testing import stored

PLAIN = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
CALL = PLAIN | {"gen_ai.conversation.id": "invented"}
PAIRS = (
    ("session_key", "app.chat"),
    ("session_key", "app.thread"),
    ("workspace", "app.team"),
    ("user_id", "app.user"),
    ("agent_id", "app.agent"),
    ("action_id", "app.step"),
    ("metadata", "app.more"),
    ("metadata.tenant", "app.tenant"),
)


def told(attributes: dict[str, Any], resource: dict[str, Any] | None = None) -> Operation:
    signal = Signal("span", "a" * 32, "b" * 16, None, "chat", 1, 2, CALL | attributes, resource or {})
    operation = read(attribute_mapping(PAIRS).applied(signal))
    assert operation is not None
    return operation


@pytest.mark.quick
def test_every_field_can_be_mapped() -> None:
    """What the application says in its own names wins over what the instrumentation says."""
    operation = told(
        {"app.chat": "c1", "app.team": "w", "app.user": "u", "app.agent": "a", "app.step": "s", "user.id": "other"}
    )
    fields = ("session_key", "workspace", "user_id", "agent_id", "action_id")
    assert [getattr(operation, field) for field in fields] == ["c1", "w", "u", "a", "s"]
    assert operation.extras["app.chat"] == "c1"


@pytest.mark.quick
def test_nothing_is_mapped_where_nothing_is_there() -> None:
    """A span without any of the attributes is read as it is, and is not copied."""
    assert told({}).session_key == "invented"
    signal = Signal("span", "a" * 32, "b" * 16, None, "chat", 1, 2, CALL)
    assert attribute_mapping(PAIRS).applied(signal) is signal
    assert attribute_mapping(()).applied(signal) is signal


@pytest.mark.quick
def test_the_first_attribute_that_is_there_counts() -> None:
    """In the order of the setting, empty ones left out, the span's before the resource's; numbers are text."""
    assert told({"app.thread": "t", "app.chat": "c"}).session_key == "c"
    assert told({"app.thread": 7, "app.chat": ""}).session_key == "7"
    assert told({"app.thread": "t"}, {"app.chat": "r"}).session_key == "t"
    assert told({}, {"app.chat": "r", "app.team": "w"}).session_key == "r"


@pytest.mark.quick
def test_metadata_is_joined() -> None:
    """An object, single keys, and what session() says: the later wins, key by key."""
    own = {"llm_sql.metadata": json.dumps({"plan": "pro", "tenant": "session"})}
    attributes = {"app.more": json.dumps({"plan": "free", "region": "eu"}), "app.tenant": "acme"}
    assert told(attributes).metadata == {"plan": "free", "region": "eu", "tenant": "acme"}
    assert told(attributes | own).metadata == {"plan": "pro", "region": "eu", "tenant": "session"}
    assert told({"app.more": "no object", "app.tenant": 5}).metadata == {"tenant": 5}


@pytest.mark.quick
def test_a_resource_makes_no_rows() -> None:
    """A resource that names the session concerns the GenAI spans; an HTTP span is told nothing of it."""
    signal = Signal("span", "a" * 32, "b" * 16, None, "GET /", 1, 2, {"http.route": "/"}, {"app.chat": "c"})
    assert attribute_mapping(PAIRS).applied(signal) is signal


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.dictionaries(st.sampled_from([name for _, name in PAIRS]), st.recursive(st.text() | st.floats(), st.lists)))
@pytest.mark.quick
def test_any_value_is_survived(attributes: dict[str, Any]) -> None:
    """Whatever the attributes hold, nothing is raised and the call is read."""
    assert told(attributes, attributes).request_model == "m"
    assert told({name: json.dumps(value) for name, value in attributes.items()}).request_model == "m"


def ended(record: Any, resource: dict[str, str] | None = None) -> list[ReadableSpan]:
    """The spans that `record(tracer)` makes."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource(resource or {}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    attach(provider)
    record(provider.get_tracer("app"))
    return list(exporter.get_finished_spans())


def test_a_request_names_the_session_of_its_calls(url: str) -> None:
    """The attribute on the HTTP span around them puts the calls into its session, in whichever order they come."""

    def request(tracer: Any) -> None:
        with (
            tracer.start_as_current_span("POST /chat", attributes={"app.chat": "c1", "app.user": "u"}),
            tracer.start_as_current_span("chat m", attributes=PLAIN),
        ):
            pass

    exporter = LlmSqlSpanExporter(url=url, attributes="session_key=app.chat,user_id=app.user", spool="off")
    exporter.export([*ended(request), *ended(lambda tracer: tracer.start_span("GET /", attributes={"app.x": 1}).end())])
    exporter.shutdown()
    rows = stored(url)
    assert [row["session_key"] for row in rows["llm_sessions"]] == ["c1"]
    assert [(row["operation_type"], row["user_id"]) for row in rows["llm_operations"]] == [("chat", "u")]


def test_a_session_of_ours_wins_over_the_mapping(url: str) -> None:
    """What the program says with session() stands; what it does not say is mapped, the resource's too."""

    def call(tracer: Any) -> None:
        with session(session_key="ours"), tracer.start_as_current_span("chat m", attributes=CALL | {"app.chat": "c"}):
            pass

    mapping = {"session_key": "app.chat", "workspace": "app.team", "metadata.tenant": "app.tenant"}
    exporter = LlmSqlSpanExporter(url=url, attributes=mapping, spool="off")
    exporter.export(ended(call, {"app.team": "w", "app.tenant": "acme"}))
    exporter.shutdown()
    (row,) = stored(url)["llm_sessions"]
    assert (row["session_key"], row["workspace"], row["metadata"]) == ("ours", "w", {"tenant": "acme"})
