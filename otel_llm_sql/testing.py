"""For tests of programs that store LLM telemetry, and for our own.

A database that vanishes, real spans and log records of the SDK to put into an exporter, and all that is stored as plain
values to compare:

    with temporary_database() as url:
        exporter = LlmSqlSpanExporter(url=url)
        exporter.export(chat_spans(2, session_key="s-1"))
        exporter.shutdown()
        assert len(stored(url)["llm_operations"]) == 2
"""

from __future__ import annotations

import datetime
import json
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanKind, set_span_in_context

from otel_llm_sql.schema import tables
from otel_llm_sql.store.engines import create_engine

Row = dict[str, Any]

EVENT = "gen_ai.client.inference.operation.details"
_MESSAGES = ("gen_ai.input.messages", "gen_ai.output.messages")
_NOT_CONTENT = {tables.locks.name, tables.schema_version.name}


@contextmanager
def temporary_database() -> Iterator[str]:
    """A SQLite database that is empty at first and gone at the end of the block.

    Yields:
        Its URL.
    """
    with tempfile.TemporaryDirectory(prefix="otel-llm-sql-", ignore_cleanup_errors=True) as directory:
        yield f"sqlite:///{Path(directory).as_posix()}/llm.db"


def chat_spans(count: int = 1, *, session_key: str | None = None, **attributes: Any) -> list[ReadableSpan]:
    """Ended spans of calls to a chat model, one trace each, as an instrumentation with content capture reports them.

    Args:
        count: how many. The messages of each are numbered, so that no two spans say the same.
        session_key: the conversation they belong to; None for one each.
        **attributes: further attributes, or other values; dots are written as `__`: `gen_ai__request__model="m"`.
    """
    exporter = InMemorySpanExporter()
    resource = Resource({"service.name": "sample"})
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("otel_llm_sql.testing")
    given = {name.replace("__", "."): value for name, value in attributes.items()}
    for number in range(count):
        values = {**_chat(number, session_key), **given}
        # An empty context: the spans are roots, whatever is current where the test runs.
        with tracer.start_as_current_span("chat sample-model", Context(), SpanKind.CLIENT, values):
            pass
    return list(exporter.get_finished_spans())


def _chat(number: int, session_key: str | None) -> dict[str, Any]:
    said = {
        "gen_ai.input.messages": [_message("user", f"question {number}")],
        "gen_ai.output.messages": [_message("assistant", f"answer {number}", finish_reason="stop")],
    }
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "sample-model",
        "gen_ai.response.model": "sample-model",
        "gen_ai.response.id": f"sample-{uuid.uuid4()}",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 10 + number,
        "gen_ai.usage.output_tokens": 5,
    }
    conversation = {"gen_ai.conversation.id": session_key} if session_key else {}
    return attributes | conversation | {name: json.dumps(messages) for name, messages in said.items()}


def _message(role: str, content: str, **more: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}], **more}


def content_events(spans: Sequence[ReadableSpan]) -> list[Any]:
    """The log records with which an instrumentation reports the messages of these spans apart from them."""
    try:
        from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
    except ImportError:  # OpenTelemetry before 1.39
        from opentelemetry.sdk._logs.export import InMemoryLogExporter as InMemoryLogRecordExporter
    exporter: Any = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(Resource({"service.name": "sample"}), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("otel_llm_sql.testing")
    for span in spans:
        logger.emit(_event(span))
    return list(exporter.get_finished_logs())


def _event(span: ReadableSpan) -> Any:
    attributes = {name: json.loads(str((span.attributes or {})[name])) for name in _MESSAGES}
    context: Any = span.get_span_context()
    try:
        from opentelemetry._logs import LogRecord

        inside = set_span_in_context(NonRecordingSpan(context), Context())
        return LogRecord(timestamp=span.end_time, context=inside, event_name=EVENT, attributes=attributes)
    except TypeError:  # OpenTelemetry before 1.35: the SDK's class, and no name of its own for events
        from opentelemetry.sdk import _logs

        old: Any = _logs

        ids = {"trace_id": context.trace_id, "span_id": context.span_id, "trace_flags": context.trace_flags}
        return old.LogRecord(span.end_time, **ids, attributes=attributes | {"event.name": EVENT})


def stored(url: str, schema: str | None = None) -> dict[str, list[Row]]:
    """Everything in the tables, in an order that does not depend on the order of arrival.

    Args:
        url: the database.
        schema: PostgreSQL schema of the tables.

    Returns:
        Rows by table name: times as ISO text, JSON as Python values. Tables that are not there have no rows.
    """
    engine = create_engine(url, schema=schema, role="read", poolclass=sa.NullPool)
    with engine.connect() as connection:
        there = set(sa.inspect(connection).get_table_names())
        return {
            table.name: _rows(connection, table) if table.name in there else []
            for table in tables.metadata.sorted_tables
            if table.name not in _NOT_CONTENT
        }


def _rows(connection: sa.Connection, table: sa.Table) -> list[Row]:
    found = connection.execute(sa.select(table)).mappings()
    rows = [{name: _plain(value) for name, value in row.items()} for row in found]
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.datetime) else value
