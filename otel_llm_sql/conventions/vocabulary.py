"""What a vocabulary is, and which one reads a signal: the most specific one that it is known to speak."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Protocol

from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

_REMEMBERED = 4096
"""Names of attributes, and ways in which signals were recognised."""


class Vocabulary(Protocol):
    """A module, or another object, that knows one vocabulary of attribute names.

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


class Reader:
    """Reads signals by several vocabularies.

    Args:
        vocabularies: the most specific first.
        standard: those of them that are asked first about a signal of which it is not known what it speaks.
        names: beginnings of attributes' names that are of interest beside the vocabularies' own.

    Attributes:
        event_names: the events that are of interest.
        knows_scope: whether the name of a scope is of interest: a span that failed may have no attributes at all.
    """

    def __init__(
        self, vocabularies: Sequence[Vocabulary], standard: Sequence[Vocabulary] = (), names: Sequence[str] = ()
    ) -> None:
        self._vocabularies = tuple(vocabularies)
        self._standard = tuple(standard)
        self._prefixes = tuple({*names, *(prefix for known in vocabularies for prefix in known.PREFIXES)})
        self._plain: set[str] = set()
        self.event_names = frozenset(name for known in vocabularies for name in known.EVENT_NAMES)
        self._marks = {mark: rank for rank, known in reversed([*enumerate(vocabularies)]) for mark in known.MARKS}
        self._order = lru_cache(maxsize=_REMEMBERED)(self._ordered)
        self._scopes = tuple({scope for known in vocabularies for scope in known.SCOPES})
        self.knows_scope = lru_cache(maxsize=_REMEMBERED)(self._knows_scope)

    def may_read(self, attributes: Collection[str]) -> bool:
        """Whether some of these names may be of interest; never wrong with no."""
        # Nearly all spans of an application have names that were seen before: one look at twelve of them takes 0.2 us,
        # comparing them with the beginnings of 26 names 1.4 us.
        if self._plain.issuperset(attributes):
            return False
        for name in attributes:
            if type(name) is str and name.startswith(self._prefixes):
                return True
            if len(self._plain) < _REMEMBERED:
                self._plain.add(name)
        return False

    def _knows_scope(self, scope: str) -> bool:
        return scope.startswith(self._scopes)

    def read(self, signal: Signal, *, capture_media: bool = False) -> Operation | None:
        """What a signal tells, None where no vocabulary recognises it."""
        # One operation on two sets: asking every vocabulary in turn would take longer than reading the span.
        marks = self._marks.keys() & signal.attributes.keys()
        for known in self._order(frozenset(map(self._marks.__getitem__, marks)), signal.scope_name or ""):
            operation = known.read(signal, capture_media=capture_media)
            if operation is not None:
                return operation
        return None

    def _ordered(self, marked: frozenset[int], scope: str) -> tuple[Vocabulary, ...]:
        """All vocabularies: those that a signal is known to speak, then the standard ones, then the others."""

        def precedence(rank: int) -> tuple[bool, bool, int]:
            known = self._vocabularies[rank]
            speaks = rank in marked or scope.startswith(tuple(known.SCOPES))
            return (not speaks, known not in self._standard, rank)

        return tuple(self._vocabularies[rank] for rank in sorted(range(len(self._vocabularies)), key=precedence))
