"""What attribute names mean: a Signal becomes an Operation, in the words of the most specific vocabulary it speaks.

What `read` returns can be stored as it stands. A new vocabulary is one module (`Vocabulary`) and one line in
`VOCABULARIES`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Protocol, cast

from otel_llm_sql.conventions import genai, genai_events, surroundings, vercel
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
        MARKS: attributes of which one is enough to know that a signal speaks this vocabulary.
        SCOPES: what the names of instrumentations begin with that speak it without a mark.
    """

    PREFIXES: tuple[str, ...]
    EVENT_NAMES: frozenset[str]
    MARKS: frozenset[str]
    SCOPES: tuple[str, ...]

    def read(self, signal: Signal, *, capture_media: bool = False) -> Operation | None:
        """The operation the signal tells of, None where the vocabulary does not recognise it."""


VOCABULARIES = cast(
    "tuple[Vocabulary, ...]",
    (
        vercel,
        genai_events,
        genai,
    ),
)
"""The most specific first: of a span that speaks two of them, the first tells what the second means."""

_PREFIXES = tuple(
    {PREFIX, *surroundings.NAMES, *(prefix for vocabulary in VOCABULARIES for prefix in vocabulary.PREFIXES)}
)
_EVENT_NAMES = frozenset(name for vocabulary in VOCABULARIES for name in vocabulary.EVENT_NAMES)
_MARKS = {mark: rank for rank, vocabulary in reversed([*enumerate(VOCABULARIES)]) for mark in vocabulary.MARKS}


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """What a signal tells of a GenAI operation.

    Args:
        signal: a span or a log record.
        capture_media: whether the bytes of inline images, audio and files are kept, beside their size and SHA-256.

    Returns:
        A storable Operation, None for a signal that is not about GenAI.
    """
    # One operation on two sets: asking every vocabulary in turn would take longer than reading the span.
    marks = _MARKS.keys() & signal.attributes.keys()
    for rank in _order(frozenset(map(_MARKS.__getitem__, marks)), signal.scope_name or ""):
        operation = VOCABULARIES[rank].read(signal, capture_media=capture_media)
        if operation is not None:
            return operation
    return surroundings.read(signal)


@lru_cache(maxsize=4096)
def _order(marked: frozenset[int], scope: str) -> tuple[int, ...]:
    """Ranks of all vocabularies: those that a signal is known to speak, then OpenTelemetry's, then the others."""

    def precedence(rank: int) -> tuple[bool, bool, int]:
        speaks = rank in marked or scope.startswith(VOCABULARIES[rank].SCOPES)
        return (not speaks, VOCABULARIES[rank] not in (genai_events, genai), rank)

    return tuple(sorted(range(len(VOCABULARIES)), key=precedence))


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
