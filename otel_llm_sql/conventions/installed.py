"""Vocabularies that other distributions bring along, as entry points: one that fails costs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from otel_llm_sql import notices
from otel_llm_sql.conventions.vocabulary import Vocabulary
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

GROUP = "otel_llm_sql.conventions"
"""The group of entry points."""

_NAMES = ("PREFIXES", "EVENT_NAMES", "MARKS", "SCOPES")
_COLLECTIONS = (tuple, list, set, frozenset)


class Guarded:
    """Somebody else's vocabulary: a signal that it fails to read is read by the next one.

    Args:
        name: of its entry point.
        vocabulary: the object that is to be a `Vocabulary`.

    Raises:
        TypeError: it is none; the message says what is missing.
    """

    def __init__(self, name: str, vocabulary: Any) -> None:
        self._name = name
        self._read = getattr(vocabulary, "read", None)
        if not callable(self._read):
            raise TypeError("read is no function")
        prefixes, events, marks, scopes = (_texts(vocabulary, attribute) for attribute in _NAMES)
        self.PREFIXES, self.EVENT_NAMES = tuple(prefixes), frozenset(events)
        self.MARKS, self.SCOPES = frozenset(marks), tuple(scopes)
        if not marks and not scopes:
            self.SCOPES = ("",)  # nothing says what is spoken: it is asked about every signal

    def read(self, signal: Signal, *, capture_media: bool = False) -> Operation | None:
        """What the vocabulary reads; None where it reads nothing, fails, or returns what is no Operation."""
        try:
            told = self._read(signal, capture_media=capture_media)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - somebody else's program
            notices.warn(f"llm_sql convention {self._name!r} failed, a signal is read without it", error)
            return None
        if told is None or isinstance(told, Operation):
            return told
        kind = type(told).__name__
        notices.warn(f"llm_sql convention {self._name!r} failed, a signal is read without it", f"{kind}, no Operation")
        return None


def _texts(vocabulary: Any, attribute: str) -> tuple[str, ...]:
    value = getattr(vocabulary, attribute, None)
    if not isinstance(value, _COLLECTIONS) or not all(isinstance(item, str) and item for item in value):
        raise TypeError(f"{attribute} is no collection of texts")
    return tuple(value)


def installed() -> tuple[Vocabulary, ...]:
    """The vocabularies of the entry points in `GROUP`, by the entry points' names.

    One that cannot be loaded, or is none, is logged and left out.
    """
    return tuple(_loaded())


def _loaded() -> Iterator[Vocabulary]:
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            yield Guarded(entry.name, entry.load())
        except Exception as error:  # noqa: BLE001 - somebody else's program
            why = str(error) if isinstance(error, TypeError | ImportError | AttributeError) else type(error).__name__
            notices.warn(f"llm_sql convention {entry.name!r} ({entry.value}) is left out", why, float("inf"))


__all__ = ["GROUP", "Guarded", "installed"]
