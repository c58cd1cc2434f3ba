"""Sessions: which session an operation belongs to, and what its operations say of a session."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from otel_llm_sql.records import JsonValue
from otel_llm_sql.rows.facts import SpanKey
from otel_llm_sql.rows.identity import session_id


class Named(NamedTuple):
    """A session as an application names it: its key within its workspace."""

    workspace: str | None
    session_key: str

    @property
    def session_id(self) -> str:
        """The session's id."""
        return session_id(self.workspace, self.session_key)


T = TypeVar("T", Named, str)


class Trace:
    """The spans of one trace, as far as sessions and users depend on them.

    Attributes:
        parents: span -> the span around it.
        names: span -> the session it names itself.
        users: span -> the user it names itself.
    """

    def __init__(self) -> None:
        self.parents: dict[str, str | None] = {}
        self.names: dict[str, Named] = {}
        self.users: dict[str, str] = {}

    def add(self, span_id: str, parent_span_id: str | None, name: Named | None, user: str | None) -> None:
        """Add a span, with what it says itself; what was known of it before is forgotten."""
        self.parents[span_id] = parent_span_id
        self.names.pop(span_id, None)
        self.users.pop(span_id, None)
        if name:
            self.names[span_id] = name
        if user:
            self.users[span_id] = user

    def above(self, span_id: str, said: Mapping[str, T]) -> T | None:
        """What the nearest span above says."""
        seen = {span_id}
        above = self.parents.get(span_id)
        while above is not None and above not in seen:
            if above in said:
                return said[above]
            seen.add(above)
            above = self.parents.get(above)
        return None


def around(
    members: Sequence[SpanKey], traces: Mapping[str, Trace], what: Callable[[Trace], Mapping[str, T]]
) -> T | None:
    """What holds for an operation that does not say it itself: said above its spans, or alone in their trace."""
    telling = [key for key in members if what(traces[key.trace_id])]
    for key in telling:
        trace = traces[key.trace_id]
        if said := trace.above(key.span_id, what(trace)):
            return said
    for key in telling:
        distinct = set(what(traces[key.trace_id]).values())
        if len(distinct) == 1:
            return distinct.pop()
    return None


Stamp = tuple[int, str]
"""When something was said, and by which operation: the earliest wins, then the smallest id."""

_LAST = 2**63 - 1


def inherited_stamp(name: Named) -> Stamp:
    """Of an operation that does not name its session itself: whoever does is believed first, then the smallest name."""
    return (_LAST, f"{name.session_key} {name.workspace or ''}")


SAID = ("session_key", "workspace", "agent_id", "user_id")


@dataclass(slots=True)
class Profile:
    """What the operations of one session say about it; the first to say something is believed."""

    said: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    metadata: dict[str, tuple[Stamp, JsonValue]] = field(default_factory=dict)

    def hear(self, stamp: Stamp, **values: str | None) -> None:
        """Take what one operation says: values of SAID."""
        said = self.said
        for name, value in values.items():
            if value and (name not in said or stamp < said[name][0]):
                said[name] = (stamp, value)

    def hear_metadata(self, stamp: Stamp, metadata: Mapping[str, JsonValue]) -> None:
        """Take the application's attributes, each by itself."""
        for name, value in metadata.items():
            if name not in self.metadata or stamp < self.metadata[name][0]:
                self.metadata[name] = (stamp, value)

    def recall(self, row: Mapping[str, Any], *, without: Container[str] = ()) -> list[tuple[str, Stamp]]:
        """Take what a session's row remembers; returns what it had from the operations in `without`."""
        forgotten = []
        provenance = dict(row["provenance"] or {})
        for name, (when, who) in (provenance.pop("metadata", None) or {}).items():
            if who in without:
                forgotten.append((f"metadata.{name}", (when, who)))
            else:
                self.hear_metadata((when, who), {name: row["metadata"][name]})
        for name, (when, who) in provenance.items():
            if who in without:
                forgotten.append((name, (when, who)))
            else:
                self.hear((when, who), **{name: row[name]})
        return forgotten

    def knows(self, name: str, stamp: Stamp) -> bool:
        """Whether something said no later than this is known."""
        known = self.metadata.get(name[9:]) if name.startswith("metadata.") else self.said.get(name)
        return known is not None and known[0] <= stamp

    def columns(self) -> dict[str, Any]:
        """Columns of `llm_sessions`, with what is needed to merge them again."""
        provenance: dict[str, Any] = {name: list(self.said[name][0]) for name in SAID if name in self.said}
        if self.metadata:
            provenance["metadata"] = {name: list(self.metadata[name][0]) for name in sorted(self.metadata)}
        row: dict[str, Any] = {name: self.said[name][1] if name in self.said else None for name in SAID}
        row["metadata"] = {name: self.metadata[name][1] for name in sorted(self.metadata)} or None
        row["provenance"] = provenance or None
        return row
