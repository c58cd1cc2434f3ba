"""A program with an instrumented `openai` client, as its owner would write it, run inside of the tests.

Its telemetry goes to an OTLP address, and is kept here as well, to compare with what arrives elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_llm_sql import conventions
from otel_llm_sql.demo import stand_in
from otel_llm_sql.intake.otlp import signals_from_logs, signals_from_traces
from otel_llm_sql.intake.signal import Signal


class Application:
    """Visits of a web shop: plain spans and logs, a request that names its session, and calls of a model inside.

    Args:
        address: where its telemetry goes, OTLP/HTTP without the path.
        token: what it shows there.
        authority: path of the certificate that the address is known by, for TLS.
    """

    def __init__(self, address: str, token: str, authority: str | None = None) -> None:
        shown: Any = {"headers": {"Authorization": f"Bearer {token}"}, "certificate_file": authority}
        resource = Resource.create({"service.name": "shop"})
        self._spans, self._records = InMemorySpanExporter(), InMemoryLogRecordExporter()
        self._tracing = TracerProvider(resource=resource)
        self._logging = LoggerProvider(resource=resource)
        for exporter in (self._spans, OTLPSpanExporter(f"{address}/v1/traces", **shown)):
            self._tracing.add_span_processor(SimpleSpanProcessor(exporter))
        for keeper in (self._records, OTLPLogExporter(f"{address}/v1/logs", **shown)):
            self._logging.add_log_record_processor(SimpleLogRecordProcessor(keeper))
        self._client: Any = None

    @contextmanager
    def instrumented(self) -> Iterator[Application]:
        """Its client is instrumented, and has a stand-in to talk to, while the block runs."""
        instrumentor = OpenAIInstrumentor()
        instrumentor.instrument(tracer_provider=self._tracing, logger_provider=self._logging)
        try:
            with stand_in.running() as url, openai.OpenAI(base_url=url, api_key="none", max_retries=0) as self._client:
                yield self
        finally:
            instrumentor.uninstrument()
            self._tracing.shutdown()
            self._logging.shutdown()

    def visit(self, session: str, question: str = "What is the capital of France?") -> None:
        """A request with two calls of a model, one of which fails, and a request that has nothing to do with it."""
        tracer, logger = self._tracing.get_tracer("shop.web"), self._logging.get_logger("shop")
        with tracer.start_as_current_span("POST /chat", attributes={"session.id": session, "url.path": "/chat"}):
            with tracer.start_as_current_span("SELECT basket", attributes={"db.system.name": "postgresql"}):
                logger.emit(body="basket read", event_name="shop.basket", attributes={"items": 3})
            self._ask("gpt-4o-mini", question)
            self._ask("gpt-5-pro", question)
        self.browse()

    def browse(self) -> None:
        """A request that has nothing to do with a model."""
        with self._tracing.get_tracer("shop.web").start_as_current_span("GET /", attributes={"url.path": "/"}):
            pass

    def _ask(self, model: str, question: str) -> None:
        messages = [{"role": "user", "content": question}]
        try:
            self._client.chat.completions.create(model=model, messages=messages)
        except openai.RateLimitError:
            return

    def told(self) -> list[Signal]:
        """All spans and log records so far, as OTLP tells them."""
        spans = encode_spans(self._spans.get_finished_spans()).SerializeToString()
        records = encode_logs(self._records.get_finished_logs()).SerializeToString()
        return signals_from_traces(spans) + signals_from_logs(records)


def is_wanted(signal: Signal) -> bool:
    """Whether the exporter would take it, by names alone: the Collector's filter is to say the same."""
    reader = conventions._reader()
    names = [signal.name] if signal.kind == "log" else [event.name for event in signal.events]
    scope = signal.kind == "span" and reader.knows_scope(signal.scope_name or "")
    return scope or conventions.may_be_genai(signal.attributes, names)


def key(signal: Signal) -> tuple[str, ...]:
    """What tells a span or log record from all others."""
    named = (signal.name, str(signal.start_ns)) if signal.kind == "log" else ()
    return (signal.kind, signal.trace_id, signal.span_id, *named)
