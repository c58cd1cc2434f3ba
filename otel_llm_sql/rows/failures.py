"""Failed calls that two instrumentations of OpenAI's client tell, without a link: there was no answer, hence no id.

Traceloop makes its span about a Responses call when the call is over. It is never the current span, so what another
instrumentation tells of the same call stands beside it or in a trace of its own. All functions are pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from otel_llm_sql.rows.agreement import GENERATING, Calls, fit, place_of
from otel_llm_sql.rows.facts import Fact, SpanKey

LIBRARY = "openai"
"""What scopes contain whose instrumentations see the same failure."""

_AFTERWARDS = ("opentelemetry.instrumentation.openai.v", "openai.response")
"""What the scope begins with, and the name of the spans that are made when the call is over."""

_AT_ONCE = 500_000
"""Microseconds that an instrumentation takes around another, at most: usually one or two thousand."""


def is_of_library(scope_name: str | None) -> bool:
    """Whether a scope is one of the instrumentations of the client library."""
    return scope_name is not None and LIBRARY in scope_name


def may_stand_apart(fact: Fact) -> bool:
    """Whether a span tells of a failure of which another span may tell that has no link to it."""
    values = fact.values
    return (
        values.status == "error"
        and values.response_id is None
        and values.operation_type in GENERATING
        and is_of_library(fact.scope_name)
    )


def told_afterwards(calls: Calls) -> dict[SpanKey, SpanKey]:
    """Span that was made afterwards -> what another instrumentation tells of the same failure, paired one to one."""
    outer: list[SpanKey] = []
    inside: defaultdict[object, list[SpanKey]] = defaultdict(list)
    for key, fact in calls.items():
        if may_stand_apart(fact):
            if _is_made_afterwards(fact):
                outer.append(key)
            else:
                inside[place_of(key, fact)].append(key)
    near = ((o, i) for o in outer for i in inside.get(place_of(o, calls[o]), ()))
    return _closest((_apart(calls[o], calls[i]), o, i) for o, i in near if _is_same_failure(calls[o], calls[i]))


def _closest(fitting: Iterable[tuple[int, SpanKey, SpanKey]]) -> dict[SpanKey, SpanKey]:
    """The closest two are a pair, then the closest two of the others: parallel calls may ask the same at once."""
    found: dict[SpanKey, SpanKey] = {}
    taken: set[SpanKey] = set()
    for _, outer, inner in sorted(fitting):
        if outer not in found and inner not in taken:
            found[outer] = inner
            taken.add(inner)
    return found


def _is_made_afterwards(fact: Fact) -> bool:
    scope, name = _AFTERWARDS
    return fact.span_name == name and fact.scope_name is not None and fact.scope_name.startswith(scope)


def _is_same_failure(outer: Fact, inner: Fact) -> bool:
    """Whether two spans tell the same error about the same question, one around the other and both at once."""
    if _apart(outer, inner) > _AT_ONCE or outer.scope_name == inner.scope_name or not fit(outer, inner):
        return False
    return _errors_agree(outer, inner) and _questions_agree(outer, inner)


def _apart(outer: Fact, inner: Fact) -> int:
    """Microseconds between their beginnings and between their ends."""
    return inner.values.timestamp - outer.values.timestamp + abs(outer.end - inner.end)


def _errors_agree(one: Fact, other: Fact) -> bool:
    # Some put the class of the exception before its text.
    mine, theirs = one.values.error_message, other.values.error_message
    return not mine or not theirs or mine in theirs or theirs in mine


def _questions_agree(one: Fact, other: Fact) -> bool:
    # What was said last is what differs between calls; of a long history not everybody tells everything alike.
    mine, theirs = one.digests[: one.inputs], other.digests[: other.inputs]
    return not mine or not theirs or mine[-1] in theirs or theirs[-1] in mine
