"""What attribute names mean: a Signal becomes an Operation, in the words of the most specific vocabulary it speaks.

What `read` returns can be stored as it stands. A new vocabulary is one module (`Vocabulary`) and one line in
`VOCABULARIES`, or an entry point of another distribution (group `otel_llm_sql.conventions`): what such a one is
written with is exported here, and stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any, cast

from otel_llm_sql.conventions import (
    adk,
    genai,
    genai_events,
    genkit,
    haystack,
    installed,
    langfuse,
    langsmith,
    litellm,
    logfire,
    mlflow,
    openinference,
    openlit,
    pydantic_ai,
    surroundings,
    traceloop,
    vercel,
)
from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.content import without_content
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_fields import FIELDS as GENAI_FIELDS
from otel_llm_sql.conventions.genai_fields import finish_words, operation_word, provider
from otel_llm_sql.conventions.mapping import AttributeMapping
from otel_llm_sql.conventions.messages import read_messages
from otel_llm_sql.conventions.shared import PREFIX, context_fields, operation
from otel_llm_sql.conventions.table import Field, Findings, compiled, count, milliseconds, raw, seconds, text
from otel_llm_sql.conventions.vocabulary import Reader, Vocabulary
from otel_llm_sql.intake.sdk import log_attributes, log_name, span_attributes
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.records import Message, Operation

VOCABULARIES = cast(
    "tuple[Vocabulary, ...]",
    (
        vercel,
        genkit,
        adk,
        haystack,
        langfuse,
        langsmith,
        litellm,
        logfire,
        mlflow,
        pydantic_ai,
        openinference,
        openlit,
        traceloop,
        genai_events,
        genai,
    ),
)
"""The most specific first: of a span that speaks two of them, the first tells what the second means."""

_STANDARD = cast("tuple[Vocabulary, ...]", (genai_events, genai))


@cache
def _reader() -> Reader:
    """Ours and, before them, those that are installed; these are looked for when the first signal arrives."""
    return Reader((*installed.installed(), *VOCABULARIES), _STANDARD, (PREFIX, *surroundings.NAMES))


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """What a signal tells of a GenAI operation.

    Args:
        signal: a span or a log record.
        capture_media: whether the bytes of inline images, audio and files are kept, beside their size and SHA-256.

    Returns:
        A storable Operation, None for a signal that is not about GenAI.
    """
    signal = openinference.of_host(signal)
    return _reader().read(signal, capture_media=capture_media) or surroundings.read(signal)


def may_be_genai(attributes: Collection[str], events: Iterable[str] = ()) -> bool:
    """Whether names of attributes or events are those of some vocabulary, or set by `otel_llm_sql.session()`.

    Cheap, and never wrong with no: what it lets pass may still be None for `read`.
    """
    reader = _reader()
    return reader.may_read(attributes) or any(name in reader.event_names for name in events)


def is_genai_span(span: Any, names: frozenset[str] = frozenset()) -> bool:
    """`may_be_genai` of an SDK span, before a Signal is built of it.

    Args:
        span: a ReadableSpan.
        names: attributes that make a span of interest, too.
    """
    attributes = span_attributes(span)
    if may_be_genai(attributes) or (names and not names.isdisjoint(attributes)):
        return True
    if bool(span.events) and any(event.name in _reader().event_names for event in span.events):
        return True
    scope = span.instrumentation_scope
    return scope is not None and _reader().knows_scope(scope.name)


def is_genai(signal: Signal, names: frozenset[str] = frozenset()) -> bool:
    """`may_be_genai` of a Signal; arguments as for `is_genai_span`."""
    if may_be_genai(signal.attributes, (event.name for event in signal.events)):
        return True
    if signal.kind == "log":
        return signal.name in _reader().event_names
    return not names.isdisjoint(signal.attributes) or _reader().knows_scope(signal.scope_name or "")


def attribute_mapping(pairs: Iterable[tuple[str, str]]) -> AttributeMapping:
    """The application's own attributes, as `Settings.attributes` pairs them with fields, under our names."""
    return AttributeMapping(pairs, may_be_genai)


def is_genai_log(record: Any) -> bool:
    """`may_be_genai` of an SDK log record, before a Signal is built of it."""
    return log_name(record) in _reader().event_names or may_be_genai(log_attributes(record))


__all__ = [
    "GENAI_FIELDS",
    "VOCABULARIES",
    "Cleaner",
    "Field",
    "Findings",
    "Message",
    "Operation",
    "Signal",
    "SpanEvent",
    "Vocabulary",
    "attribute_mapping",
    "compiled",
    "context_fields",
    "count",
    "finish_words",
    "is_genai",
    "is_genai_log",
    "is_genai_span",
    "may_be_genai",
    "milliseconds",
    "operation",
    "operation_word",
    "provider",
    "raw",
    "read",
    "read_messages",
    "seconds",
    "take_content",
    "text",
    "without_content",
]
