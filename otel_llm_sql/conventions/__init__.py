"""What attribute names mean: a Signal becomes an Operation, in the words of the first vocabulary that recognises it.

What `read` returns can be stored as it stands. A new vocabulary is one module (`read`, `PREFIXES`, `EVENT_NAMES`) and
one line in `VOCABULARIES`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, cast

from otel_llm_sql.conventions import genai, genai_events
from otel_llm_sql.conventions.content import without_content
from otel_llm_sql.conventions.shared import PREFIX
from otel_llm_sql.intake.sdk import log_attributes, log_name, span_attributes
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation


class Vocabulary(Protocol):
    """A module that knows one vocabulary of attribute names.

    Attributes:
        PREFIXES: what names of its attributes begin with; a signal without any is not looked at further.
        EVENT_NAMES: its events, for signals that are recognised by an event's name alone.
    """

    PREFIXES: tuple[str, ...]
    EVENT_NAMES: frozenset[str]

    def read(self, signal: Signal) -> Operation | None:
        """The operation the signal tells of, None where the vocabulary does not recognise it."""


VOCABULARIES = cast(
    "tuple[Vocabulary, ...]",
    (
        genai_events,
        genai,
    ),
)
"""Tried in this order: the first that recognises a signal wins."""

_PREFIXES = (PREFIX, *{prefix: None for vocabulary in VOCABULARIES for prefix in vocabulary.PREFIXES})
_EVENT_NAMES = frozenset(name for vocabulary in VOCABULARIES for name in vocabulary.EVENT_NAMES)


def read(signal: Signal) -> Operation | None:
    """What a signal tells of a GenAI operation.

    Args:
        signal: a span or a log record.

    Returns:
        A storable Operation, None for a signal that is not about GenAI.
    """
    for vocabulary in VOCABULARIES:
        operation = vocabulary.read(signal)
        if operation is not None:
            return operation
    return None


def may_be_genai(attributes: Iterable[str], events: Iterable[str] = ()) -> bool:
    """Whether names of attributes or events are those of some vocabulary, or set by `otel_llm_sql.session()`.

    Cheap, and never wrong with no: what it lets pass may still be None for `read`.
    """
    for name in attributes:
        if type(name) is str and name.startswith(_PREFIXES):
            return True
    return any(name in _EVENT_NAMES for name in events)


def is_genai_span(span: Any) -> bool:
    """`may_be_genai` of an SDK span, before a Signal is built of it."""
    return may_be_genai(span_attributes(span)) or (
        bool(span.events) and any(event.name in _EVENT_NAMES for event in span.events)
    )


def is_genai_log(record: Any) -> bool:
    """`may_be_genai` of an SDK log record, before a Signal is built of it."""
    return log_name(record) in _EVENT_NAMES or may_be_genai(log_attributes(record))


__all__ = ["VOCABULARIES", "Vocabulary", "is_genai_log", "is_genai_span", "may_be_genai", "read", "without_content"]
