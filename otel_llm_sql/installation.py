"""Puts the exporters on OpenTelemetry's providers: on those the application has set, else on new global ones."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from opentelemetry import _logs, trace
from opentelemetry._logs._internal import ProxyLoggerProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_llm_sql import context
from otel_llm_sql.exporter import LlmSqlLogExporter, LlmSqlSpanExporter

_DELAY_MILLIS = 500
"""Half a second from the end of a call to its row, where the SDK waits for five: people look at once."""


class Installation:
    """The exporters on the providers, until `shutdown`.

    Args:
        settings: arguments of the exporters.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.tracer_provider = _tracer_provider()
        self.logger_provider = _logger_provider()
        self._exporter = LlmSqlSpanExporter(**settings)
        self._spans: Any = BatchSpanProcessor(self._exporter, schedule_delay_millis=_DELAY_MILLIS)
        self._logs: Any = BatchLogRecordProcessor(LlmSqlLogExporter(**settings), schedule_delay_millis=_DELAY_MILLIS)
        context.attach(self.tracer_provider)
        self.tracer_provider.add_span_processor(self._spans)
        self.logger_provider.add_log_record_processor(self._logs)

    def flush(self, timeout: float) -> bool:
        """Export what is queued; whether all of it is stored."""
        # The SDK's processors answer True, older ones None, whatever became of the export (#4568).
        millis = int(timeout * 1000)
        queued = (self._spans.force_flush(millis), self._logs.force_flush(millis))
        return False not in queued and self._exporter.force_flush(millis)

    def shutdown(self) -> None:
        """Export what is queued, then export nothing more. The providers stay, with whatever else they export to."""
        self._logs.shutdown()
        self._spans.shutdown()


def _tracer_provider() -> TracerProvider:
    current = trace.get_tracer_provider()
    if isinstance(current, TracerProvider):
        return current
    ours = TracerProvider()
    if isinstance(current, trace.ProxyTracerProvider):  # nobody has set one
        trace.set_tracer_provider(ours)
    return ours


def _logger_provider() -> LoggerProvider:
    current = _logs.get_logger_provider()
    if isinstance(current, LoggerProvider):
        return current
    ours = LoggerProvider()
    if isinstance(current, ProxyLoggerProvider):
        _logs.set_logger_provider(ours)
        _set_event_logger_provider(ours)
    return ours


def _set_event_logger_provider(provider: LoggerProvider) -> None:
    """Before 1.37 instrumentations send content events through an API of its own, which has a provider of its own."""
    try:
        events, sdk = import_module("opentelemetry._events"), import_module("opentelemetry.sdk._events")
    except ImportError:
        return
    events.set_event_logger_provider(sdk.EventLoggerProvider(logger_provider=provider))
