"""Sessions: which session an operation belongs to. What it says of that session: see `hearing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

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
