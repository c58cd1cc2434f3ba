"""A vocabulary is a table: which attribute, in which of its spellings, says what. Tables are compiled when imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.records import OWN

_SCALARS = frozenset({str, int, float, bool})

Read: TypeAlias = Callable[[Cleaner, str, Any], Any]
"""How the value of an attribute becomes the value of a field; None means that it says nothing."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of `Operation` (or a step towards one) and the attributes that say it, the most trustworthy first.

    Attributes:
        keep: whether the attribute stays in `extras` too, since the field does not hold all that it says.
    """

    name: str
    read: Read
    spellings: tuple[str, ...]
    keep: bool = False


Table: TypeAlias = Mapping[str, tuple[int, Field]]


def compiled(*fields: Field) -> Table:
    """Attribute -> (rank of the spelling, field)."""
    return {spelling: (rank, field) for field in fields for rank, spelling in enumerate(field.spellings)}


class Findings:
    """What the attributes of one signal said.

    Attributes:
        values: field -> value, for the fields that were found and could be read.
        sources: field -> (attribute, raw value) it came from.
        extras: every attribute that no field holds, cleaned.
    """

    __slots__ = ("_ranks", "cleaner", "extras", "sources", "values")

    def __init__(self, cleaner: Cleaner) -> None:
        self.cleaner = cleaner
        self.values: dict[str, Any] = {}
        self.sources: dict[str, tuple[str, Any]] = {}
        self.extras: dict[str, Any] = {}
        self._ranks: dict[str, int] = {}

    def collect(self, attributes: Mapping[str, Any], table: Table) -> None:
        """Sort attributes into fields and extras. What an earlier call found in a better spelling stands."""
        clean, extras, find, ranks = self.cleaner.json, self.extras, table.get, self._ranks
        for name, value in attributes.items():
            entry = find(name)
            if entry is None:
                if type(name) is str and name.isascii() and "\0" not in name:
                    extras[f"attribute.{name}" if name.startswith(OWN) else name] = clean(name, value, 2)
                else:
                    extras[self.cleaner.text("attribute names", str(name))] = clean("attribute names", value, 2)
            elif entry[1].name in ranks:
                self._take_again(name, value, *entry)
            else:
                self._take(name, value, *entry)

    def _take(self, name: str, value: Any, rank: int, field: Field) -> None:
        read = field.read(self.cleaner, name, value)
        if read is None:
            if value is not None:
                self.put(name, value)
            return
        self._ranks[field.name] = rank
        self.values[field.name] = read
        self.sources[field.name] = (name, value)
        if field.keep or (type(read) is str and read != value):
            self.put(name, value)

    def _take_again(self, name: str, value: Any, rank: int, field: Field) -> None:
        """Another spelling of a field that was found before."""
        if self._ranks[field.name] <= rank:
            self._outranked(field.name, name, value)
            return
        before, raw = self.sources[field.name]
        self._take(name, value, rank, field)
        if self.sources[field.name][0] != before:
            self._outranked(field.name, before, raw)

    def _outranked(self, field: str, name: str, value: Any) -> None:
        """A second spelling is worth keeping only where it says something else."""
        known, said = self.sources[field]
        # Structures are not compared: comparing deep ones exhausts the stack.
        if name != known and not (type(value) in _SCALARS and value == said):
            self.put(name, value)

    def put(self, name: str, value: Any) -> None:
        """Keep an attribute under its own name."""
        if value is not None:
            self.extras[name] = self.cleaner.json(name, value, 2)

    def give_back(self, fields: Iterable[str]) -> None:
        """Let fields go that do not apply here; what the attributes said stays in `extras`."""
        for field in fields:
            if field in self.values:
                del self.values[field]
                self.put(*self.sources[field])


text = Cleaner.bounded
"""For a column of 255 characters."""


def raw(_cleaner: Cleaner, _name: str, value: Any) -> Any:
    """As it came, to be read by somebody else."""
    return value


count = Cleaner.count
"""Tokens."""


def seconds(cleaner: Cleaner, name: str, value: Any) -> int | None:
    """Seconds as whole milliseconds."""
    amount = cleaner.amount(name, value)
    return None if amount is None else cleaner.count(name, amount * 1000 + 0.5)
