"""A vocabulary is a table: which attribute, in which of its spellings, says what. Tables are compiled when imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.records import OWN

_OWN_LENGTH = len(OWN)
_REMEMBERED = 1024
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


Entry: TypeAlias = tuple[str, int, Read, bool]
"""What an attribute says: field, rank of the spelling, how it is read, whether it is kept in `extras` too."""

Table: TypeAlias = Mapping[str, Entry]


def compiled(*fields: Field) -> Table:
    """Attribute -> what it says.

    Args:
        *fields: one may be told more than once, read in different ways: what is told first is the most trustworthy.
    """
    table: dict[str, Entry] = {}
    ranks: dict[str, int] = {}
    for field in fields:
        for spelling in field.spellings:
            rank = ranks[field.name] = ranks.get(field.name, -1) + 1
            table.setdefault(spelling, (field.name, rank, field.read, field.keep))
    return table


class Findings:
    """What the attributes of one signal said.

    Attributes:
        values: field -> value, for the fields that were found and could be read.
        sources: field -> (attribute, raw value, rank of the spelling) it came from.
        extras: every attribute that no field holds, cleaned.
    """

    __slots__ = ("cleaner", "extras", "sources", "values")

    def __init__(self, cleaner: Cleaner) -> None:
        self.cleaner = cleaner
        self.values: dict[str, Any] = {}
        self.sources: dict[str, tuple[str, Any, int]] = {}
        self.extras: dict[str, Any] = {}

    def collect(self, attributes: Mapping[str, Any], table: Table) -> None:
        """Sort attributes into fields and extras. What an earlier call found in a better spelling stands."""
        cleaner, values, sources, extras = self.cleaner, self.values, self.sources, self.extras
        find, clean = table.get, cleaner.json
        for name, value in attributes.items():
            entry = find(name)
            if entry is None:
                if type(name) is str and name.isascii() and "\0" not in name and name[:_OWN_LENGTH] != OWN:
                    extras[name] = clean(name, value, 2)
                else:
                    self._unusual(name, value)
                continue
            field, rank, read, keep = entry
            if field in sources:
                self._take_again(name, value, entry)
                continue
            said = read(cleaner, name, value)
            if said is None:
                self.put(name, value)
                continue
            values[field], sources[field] = said, (name, value, rank)
            if keep or (said is not value and type(said) is str and said != value):
                self.put(name, value)

    def _unusual(self, name: Any, value: Any) -> None:
        """An attribute that cannot stand in `extras` under its own name."""
        if type(name) is str and name.isascii() and "\0" not in name:
            self.extras[f"attribute.{name}"] = self.cleaner.json(name, value, 2)
        else:
            kept = self.cleaner.json("attribute names", value, 2)
            self.extras[self.cleaner.text("attribute names", str(name))] = kept

    def _take_again(self, name: str, value: Any, entry: Entry) -> None:
        """Another spelling of a field that was found before: the better one stands, the other is kept if it differs."""
        field, rank, read, keep = entry
        before, raw, known = self.sources[field]
        if known <= rank:
            self._outranked(name, value, before, raw)
            return
        said = read(self.cleaner, name, value)
        if said is not None:
            self.values[field], self.sources[field] = said, (name, value, rank)
        if said is None or keep or (type(said) is str and said != value):
            self.put(name, value)
        if said is not None:
            self._outranked(before, raw, name, value)

    def _outranked(self, name: str, value: Any, known: str, said: Any) -> None:
        """A second spelling is worth keeping only where it says something else."""
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
                if field in self.sources:
                    self.put(*self.sources[field][:2])


def closed(read: Read) -> Read:
    """Remember what texts say, for attributes whose values come from a small set.

    Args:
        read: what it says may depend on the value alone; texts that had to be repaired are read each time.
    """
    known: dict[str, Any] = {}

    def remembered(cleaner: Cleaner, name: str, value: Any) -> Any:
        if type(value) is not str:
            return read(cleaner, name, value)
        said = known.get(value)
        if said is None:
            said = read(cleaner, name, value)
            if said is not None and len(known) < _REMEMBERED and not cleaner.repaired:
                known[value] = said
        return said

    return remembered


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


def milliseconds(cleaner: Cleaner, name: str, value: Any) -> int | None:
    """Milliseconds as whole ones."""
    amount = cleaner.amount(name, value)
    return None if amount is None else cleaner.count(name, amount + 0.5)
