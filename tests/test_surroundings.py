"""Spans that are no operation, but say whose operations happen inside of them."""

from __future__ import annotations

import sqlalchemy as sa
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_llm_sql import LlmSqlSpanExporter
from otel_llm_sql.conventions import read
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.store.engines import create_engine

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}


def request(attributes: dict[str, object]) -> Signal:
    """A span of an HTTP server."""
    return Signal("span", "1" * 32, "2" * 16, None, "GET /", 5_000, 9_000, {"http.request.method": "GET"} | attributes)


def test_a_request_that_names_a_session() -> None:
    """It becomes no operation of its own; of its attributes those stay that hold for what is inside."""
    told = read(request({"session.id": "web", "user.id": "ann", "http.route": "/"}))
    assert told is not None
    assert (told.source, told.session_key, told.user_id, told.extras) == ("context", "web", "ann", {})


def test_a_request_that_names_none() -> None:
    """A user alone makes no row: servers put it on every request."""
    assert read(request({"user.id": "ann"})) is None
    assert read(request({"session.id": ""})) is None


def test_a_session_on_the_request_through_the_sdk(url: str) -> None:
    """The root ends last, and the SDK exports it last: the calls inside are in its session."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(LlmSqlSpanExporter(url=url)))
    tracer = provider.get_tracer("app")
    with tracer.start_as_current_span("POST /chat", attributes={"session.id": "web", "user.id": "ann"}):
        for _ in range(2):
            tracer.start_span("chat m", attributes=CHAT).end()
    provider.shutdown()
    engine = create_engine(url)
    with engine.connect() as connection:
        asked = "SELECT session_key, o.user_id FROM llm_operations o JOIN llm_sessions s ON s.session_id = o.session_id"
        assert [tuple(row) for row in connection.execute(sa.text(asked))] == [("web", "ann")] * 2
    engine.dispose()
