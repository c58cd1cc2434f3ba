"""Names of tools, which stand with the messages that call one or answer.

Not everybody who tells a message knows the tool's name, so it is no part of what the message says: of all the names
that operations of a session tell for it, its row has the smallest. Each keeps its own with its evidence: who no longer
carries a message takes the name away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Names: TypeAlias = dict[str, str]
"""Names of tools, by digest or id of a message."""

KeptNames: TypeAlias = dict[str, list[int]]
"""Names as they are kept: name -> places of its messages. A history is sent again and again, and names its tools."""


def add_name(names: Names, key: str, name: str | None) -> None:
    """Note the name of a tool; of several that are told for one, any fixed choice will do."""
    if name:
        names[key] = min(name, names.get(key, name))


def add_names(names: Names, more: Mapping[str, str] | None) -> None:
    """Note several."""
    for key, name in (more or {}).items():
        add_name(names, key, name)


def kept_names(names: Mapping[str, str], digests: Sequence[str]) -> KeptNames:
    """Names as they are kept with the messages of a fact."""
    kept: KeptNames = {}
    for place, digest in enumerate(digests):
        if digest in names:
            kept.setdefault(names[digest], []).append(place)
    return kept


def names_from_kept(kept: Mapping[str, Sequence[int]] | None, digests: Sequence[str]) -> Names | None:
    """The inverse of `kept_names`."""
    return {digests[place]: name for name, places in kept.items() for place in places} if kept else None
