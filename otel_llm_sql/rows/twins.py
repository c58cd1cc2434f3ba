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
from otel_llm_sql.rows.facts import Evidence, Fact, SpanKey, Values

CLOCK_SKEW = 2_000_000
"""Microseconds by which the clocks of two machines may differ: one call seen by a client and by a gateway."""

PROMPTLY = 2_000_000
"""Microseconds after a callback's span within which the client's call begins; the window in which others are sought."""

_MILLISECOND = 1000
"""Microseconds by which an end may be wrong: it is computed from whole milliseconds."""

GENERATING = frozenset({"chat", "text_completion", "generate_content", "unknown"})
"""Operation types that are spellings of one kind of call."""

CLIENTS = {"com.anthropic.sdk.python": "anthropic", "mistralai_sdk_tracer": "mistral"}
"""Scopes of client libraries that tell their calls themselves -> what the scopes of their instrumentations contain.

Not all of these make their span the current one: then the two spans of a call have the same parent, or none at all in
two traces, and where the library does not know the response id either nothing but the clock ties them."""

_LIBRARIES = (*CLIENTS.values(), "logfire.")

CALLBACKS = "langchain"
"""What scopes contain whose spans are made in callbacks: they are never the current span, so what a client library or
its instrumentation tells about the same call stands beside them or in a trace of its own, not inside."""

Evidences = Mapping[SpanKey, Evidence]
Calls = Mapping[SpanKey, Fact]


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
    children, same_response = _relatives(calls)
    inner = {key: best for key in children if (best := _nested(key, children[key], calls))}
    # Where a child has the same id, that is the call: others with this id are a cache's or a constant's.
    linked = {key for key, best in inner.items() if _same_response(calls[key], calls[best])}
    for keys in same_response:
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
    if _kind(outer) != _kind(inner):
        return False
    # A router asks another model than it was asked for, a step sums up its calls: one disagreement proves nothing.
    return _tokens_agree(outer.values, inner.values) or _models_agree(outer.values, inner.values)


def _kind(fact: Fact) -> str:
    operation_type = fact.values.operation_type
    return "chat" if operation_type in GENERATING else str(operation_type)


def _same_response(one: Fact, other: Fact) -> bool:
    return one.values.response_id is not None and one.values.response_id == other.values.response_id


def _twin(key: SpanKey, linked: Container[SpanKey], others: Iterable[SpanKey], calls: Calls) -> SpanKey | None:
    """The innermost other span with this response id that tells about the same call; not one with a twin inside."""
    fact = calls[key]
    candidates = [
        (_extent(other, calls[other]), other)
        for other in others
        if other != key and other not in linked
        if _is_inside(other, calls[other], key, fact) and _agree(calls[other], fact)
    ]
    return min(candidates)[1] if candidates else None


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
    skew = _MILLISECOND if inner_key.trace_id == outer_key.trace_id else CLOCK_SKEW
    return inner.values.timestamp >= outer.values.timestamp - skew and inner.end <= outer.end + skew


def _agree(one: Fact, other: Fact) -> bool:
    mine, theirs = one.values, other.values
    # Traceloop counts the first token of Anthropic's streams twice: equal input is enough where the response is one.
    same_input = mine.input_tokens is not None and mine.input_tokens == theirs.input_tokens
    return (same_input or _tokens_agree(mine, theirs)) and _models_agree(mine, theirs)


def _tokens_agree(one: Values, other: Values) -> bool:
    # Nobody asks with no tokens: LangChain has 0 where its client's stream does not say how many.
    pairs = zip(_tokens(one), _tokens(other), strict=True)
    return all(not mine or not theirs or mine == theirs for mine, theirs in pairs)


def _tokens(values: Values) -> tuple[int | None, int | None]:
    return values.input_tokens, values.output_tokens


def _models_agree(one: Values, other: Values) -> bool:
    mine, theirs = (tuple(name for name in (v.model, v.request_model) if name) for v in (one, other))
    return not mine or not theirs or any(a in b or b in a for a in mine for b in theirs)


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
            side[library, _place(key, fact)].append(key)
    found: dict[SpanKey, SpanKey] = {}
    for place in clients.keys() & others.keys():
        near = [(o, i) for o in others[place] for i in clients[place] if _fit(calls[o], calls[i])]
        found.update(_nearest(near, calls))
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
                inside[_place(key, fact)].append(key)
        elif key not in inner and fact.values.response_id is None:
            outer.append(key)
    near = ((o, i) for o in outer for place in {None, _place(o, calls[o])} for i in inside.get(place, ()))
    return _nearest([(o, i) for o, i in near if _is_told_again(calls[o], calls[i])], calls)


def _is_told_again(outer: Fact, inner: Fact) -> bool:
    """Whether a span of CALLBACKS tells about the client's call inside of it."""
    values, told = outer.values, inner.values
    if told.timestamp - values.timestamp > PROMPTLY or not _fit(outer, inner):
        return False
    if values.status == told.status == "error":
        return True
    return any(one and one == other for one, other in zip(_tokens(values), _tokens(told), strict=True))


def _place(key: SpanKey, fact: Fact) -> object:
    """Where a span stands: beside others with the same parent, or with those that have none in any trace."""
    return (key.trace_id, fact.parent_span_id) if fact.parent_span_id else None


def _streams(calls: Calls, inner: Mapping[SpanKey, SpanKey]) -> dict[SpanKey, SpanKey]:
    """Request of a stream -> the record of its answer, which directly continues it: of several, each takes the last."""
    parts: defaultdict[object, list[tuple[int, bool, SpanKey]]] = defaultdict(list)
    for key, fact in calls.items():
        part = fact.extras.get(STREAM)
        if part in (STREAM_REQUEST, STREAM_ANSWER) and key not in inner:
            asked = (fact.scope_name, fact.values.service_name, fact.values.request_model, *fact.digests[: fact.inputs])
            is_answer = part == STREAM_ANSWER
            moment = fact.values.timestamp if is_answer else fact.end - _MILLISECOND
            parts[asked, _place(key, fact)].append((moment, is_answer, key))
    found: dict[SpanKey, SpanKey] = {}
    for told in parts.values():
        waiting: list[SpanKey] = []
        for _, is_answer, key in sorted(told):
            if not is_answer:
                waiting.append(key)
            elif waiting:
                found[waiting.pop()] = key
    return found


def _nearest(fitting: Iterable[tuple[SpanKey, SpanKey]], calls: Calls) -> dict[SpanKey, SpanKey]:
    """Each outer span with the inner one that begins soonest in it, where that one knows no nearer outer span."""
    pairs = sorted((calls[i].values.timestamp - calls[o].values.timestamp, o, i) for o, i in fitting)
    first_of_outer = {o: i for _, o, i in reversed(pairs)}
    first_of_inner = {i: o for _, o, i in reversed(pairs)}
    return {o: i for o, i in first_of_outer.items() if first_of_inner[i] == o}


def _fit(outer: Fact, inner: Fact) -> bool:
    values, told = outer.values, inner.values
    is_inside = told.timestamp >= values.timestamp and inner.end <= outer.end + _MILLISECOND
    if not is_inside or None not in (values.response_id, told.response_id) or values.service_name != told.service_name:
        return False
    return _kind(outer) == _kind(inner) and _agree(outer, inner)
