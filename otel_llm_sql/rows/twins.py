"""Twins: which spans tell about the same call (docs/decisions/0002).

By the response id, by direct nesting where there is none, and by the clock for the few client libraries that tell their
calls themselves and that their instrumentations do not link. All functions are pure, and none depends on the order in
which evidence arrived.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from functools import lru_cache

from otel_llm_sql.records import STREAM, STREAM_ANSWER, STREAM_REQUEST
from otel_llm_sql.rows.agreement import (
    GENERATING,
    MILLISECOND,
    PROMPTLY,
    Calls,
    added_up,
    agree,
    fit,
    kind,
    models_agree,
    nearest,
    place_of,
    same_response,
    tokens,
    tokens_agree,
)
from otel_llm_sql.rows.facts import Evidence, Fact, SpanKey
from otel_llm_sql.rows.failures import told_afterwards

CLOCK_SKEW = 2_000_000
"""Microseconds by which the clocks of two machines may differ: one call seen by a client and by a gateway."""

CLIENTS = {"com.anthropic.sdk.python": "anthropic", "mistralai_sdk_tracer": "mistral"}
"""Scopes of client libraries that tell their calls themselves -> what the scopes of their instrumentations contain.

Not all of these make their span the current one: then the two spans of a call have the same parent, or none at all in
two traces, and where the library does not know the response id either nothing but the clock ties them."""

_LIBRARIES = (*CLIENTS.values(), "logfire.")

CALLBACKS = "langchain"
"""What scopes contain whose spans are made in callbacks: they are never the current span, so what a client library or
its instrumentation tells about the same call stands beside them or in a trace of its own, not inside."""

Evidences = Mapping[SpanKey, Evidence]


def groups(evidences: Evidences) -> dict[SpanKey, list[SpanKey]]:
    """The spans of each operation: innermost span -> all that tell about it, from the innermost outwards."""
    inner = _inner_spans(evidences)
    telling = [key for key, evidence in evidences.items() if evidence.is_operation]
    if not inner:
        return {key: [key] for key in telling}
    found: dict[SpanKey, list[tuple[int, SpanKey]]] = {}
    for key in telling:
        innermost, depth = _follow(key, inner)
        found.setdefault(innermost, []).append((depth, key))
    return {innermost: [key for _, key in sorted(members)] for innermost, members in found.items()}


def _follow(key: SpanKey, inner: Mapping[SpanKey, SpanKey]) -> tuple[SpanKey, int]:
    seen = [key]
    while (key := inner.get(key, key)) not in seen:
        seen.append(key)
    if key == seen[-1]:
        return key, len(seen) - 1
    return min(seen[seen.index(key) :]), len(seen) - 1  # contradicting telemetry: any fixed choice will do


def _inner_spans(evidences: Evidences) -> dict[SpanKey, SpanKey]:
    calls = {key: span for key, evidence in evidences.items() if (span := evidence.span) and span.is_call}
    children, sharing = _relatives(calls)
    inner = {key: best for key in children if (best := _nested(key, children[key], calls))}
    inner.update(told_afterwards(calls))
    # Where a child has the same id, that is the call: others with this id are a cache's or a constant's.
    linked = {key for key, best in inner.items() if same_response(calls[key], calls[best])}
    for keys in sharing:
        for key in keys:
            if key not in linked and (best := _twin(key, linked, keys, calls)):
                inner[key] = best
    inner.update(_unlinked(calls, inner))
    inner.update(_by_callbacks(calls, inner))
    inner.update(_streams(calls, inner))
    return inner


def _relatives(calls: Mapping[SpanKey, Fact]) -> tuple[dict[SpanKey, list[SpanKey]], Iterable[list[SpanKey]]]:
    """Calls by the call that is their parent, and those that share a response id."""
    children: dict[SpanKey, list[SpanKey]] = {}
    first: dict[str, SpanKey] = {}
    shared: dict[str, list[SpanKey]] = {}
    for key, fact in calls.items():
        if fact.parent_span_id:
            parent = SpanKey(key.trace_id, fact.parent_span_id)
            if parent in calls:
                children.setdefault(parent, []).append(key)
        if response_id := fact.values.response_id:
            other = first.setdefault(response_id, key)
            if other is not key:
                shared.setdefault(response_id, [other]).append(key)
    return children, shared.values()


def _nested(outer: SpanKey, children: Iterable[SpanKey], calls: Mapping[SpanKey, Fact]) -> SpanKey | None:
    """The child that an outer span tells about: of several tries, the last."""
    around = calls[outer]
    said = around.values.response_id
    candidates = [
        (calls[key].values.response_id == said, calls[key].end, key)
        for key in children
        if _may_be_told_by(around, calls[key])
    ]
    return max(candidates)[2] if candidates else None


def _may_be_told_by(outer: Fact, inner: Fact) -> bool:
    """Whether a span may tell about the call directly inside it; where ids tell, they decide."""
    ids = (outer.values.response_id, inner.values.response_id)
    if None not in ids:
        return bool(ids[0] == ids[1])
    if kind(outer) != kind(inner):
        return False
    # A router asks another model than it was asked for, a step sums up its calls: one disagreement proves nothing.
    return tokens_agree(outer.values, inner.values) or models_agree(outer.values, inner.values)


def _twin(key: SpanKey, linked: Container[SpanKey], others: Iterable[SpanKey], calls: Calls) -> SpanKey | None:
    """The innermost other span with this response id that tells about the same call; not one with a twin inside."""
    fact = calls[key]
    candidates = [
        (not agree(calls[other], fact), _extent(other, calls[other]), other)
        for other in others
        if other != key and other not in linked
        if _is_inside(other, calls[other], key, fact) and (agree(calls[other], fact) or _repeats(fact, calls[other]))
    ]
    return min(candidates)[2] if candidates else None


def _repeats(outer: Fact, inner: Fact) -> bool:
    """Whether Traceloop's LangChain added up what it was told once for each choice."""
    return is_told_by_callbacks(outer.scope_name) and added_up(outer, inner)


def _extent(key: SpanKey, fact: Fact) -> tuple[int, int, SpanKey]:
    return (fact.values.latency_ms or 0, -fact.values.timestamp, key)


def _is_inside(inner_key: SpanKey, inner: Fact, outer_key: SpanKey, outer: Fact) -> bool:
    if inner_key.trace_id == outer_key.trace_id:
        if outer.parent_span_id == inner_key.span_id:
            return False
        if inner.parent_span_id == outer_key.span_id:
            return True
    # One instrumentation tells a call once: two of its spans with one response id are a cache or a constant id.
    if inner.scope_name == outer.scope_name or _extent(inner_key, inner) > _extent(outer_key, outer):
        return False
    skew = MILLISECOND if inner_key.trace_id == outer_key.trace_id else CLOCK_SKEW
    return inner.values.timestamp >= outer.values.timestamp - skew and inner.end <= outer.end + skew


@lru_cache(maxsize=1024)
def library_of(scope_name: str | None) -> str | None:
    """What scopes contain beside whose spans others may stand that tell about the same calls, without a link."""
    if not scope_name:
        return None
    return next((library for library in _LIBRARIES if library in scope_name), None)


def _unlinked(calls: Calls, inner: Mapping[SpanKey, SpanKey]) -> dict[SpanKey, SpanKey]:
    """Instrumentation's span -> the client library's own, of calls that are told twice without a link."""
    clients: defaultdict[object, list[SpanKey]] = defaultdict(list)
    others: defaultdict[object, list[SpanKey]] = defaultdict(list)
    linked = {*inner, *inner.values()}
    for key, fact in calls.items():
        library = library_of(fact.scope_name)
        if library and key not in linked:
            side = clients if fact.scope_name in CLIENTS else others
            side[library, place_of(key, fact)].append(key)
    found: dict[SpanKey, SpanKey] = {}
    for place in clients.keys() & others.keys():
        near = [(o, i) for o in others[place] for i in clients[place] if fit(calls[o], calls[i])]
        found.update(nearest(near, calls))
    return found


def is_told_by_callbacks(scope_name: str | None) -> bool:
    """Whether the spans of a scope are made in callbacks: see CALLBACKS."""
    return scope_name is not None and CALLBACKS in scope_name


def _by_callbacks(calls: Calls, inner: Mapping[SpanKey, SpanKey]) -> dict[SpanKey, SpanKey]:
    """Span made in a callback that knows no response id -> the client's, beside it or without a parent."""
    told = {*inner.values()}
    outer: list[SpanKey] = []
    inside: defaultdict[object, list[SpanKey]] = defaultdict(list)
    for key, fact in calls.items():
        if fact.values.operation_type not in GENERATING:
            continue
        if not is_told_by_callbacks(fact.scope_name):
            if key not in told:
                inside[place_of(key, fact)].append(key)
        elif key not in inner and fact.values.response_id is None:
            outer.append(key)
    near = ((o, i) for o in outer for place in {None, place_of(o, calls[o])} for i in inside.get(place, ()))
    return nearest([(o, i) for o, i in near if _is_told_again(calls[o], calls[i])], calls)


def _is_told_again(outer: Fact, inner: Fact) -> bool:
    """Whether a span of CALLBACKS tells about the client's call inside of it."""
    values, told = outer.values, inner.values
    if told.timestamp - values.timestamp > PROMPTLY or not fit(outer, inner):
        return False
    if values.status == told.status == "error":
        return True
    return any(one and one == other for one, other in zip(tokens(values), tokens(told), strict=True))


def _streams(calls: Calls, inner: Mapping[SpanKey, SpanKey]) -> dict[SpanKey, SpanKey]:
    """Request of a stream -> the record of its answer, which directly continues it: of several, each takes the last."""
    parts: defaultdict[object, list[tuple[int, bool, SpanKey]]] = defaultdict(list)
    for key, fact in calls.items():
        part = fact.extras.get(STREAM)
        if part in (STREAM_REQUEST, STREAM_ANSWER) and key not in inner:
            asked = (fact.scope_name, fact.values.service_name, fact.values.request_model, *fact.digests[: fact.inputs])
            is_answer = part == STREAM_ANSWER
            moment = fact.values.timestamp if is_answer else fact.end - MILLISECOND
            parts[asked, place_of(key, fact)].append((moment, is_answer, key))
    found: dict[SpanKey, SpanKey] = {}
    for told in parts.values():
        waiting: list[SpanKey] = []
        for _, is_answer, key in sorted(told):
            if not is_answer:
                waiting.append(key)
            elif waiting:
                found[waiting.pop()] = key
    return found
