"""One call, one row: which spans tell about the same call, and what they say together (docs/decisions/0002).

All functions are pure, and none depends on the order in which evidence arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from otel_llm_sql.records import AGGREGATES, ONLY_OF_CALLS, REPAIRED, JsonValue
from otel_llm_sql.rows.facts import VALUES, Evidence, Fact, SpanKey, Values, add_name, fact_json

CLOCK_SKEW = 2_000_000
"""Microseconds by which the clocks of two machines may differ: one call seen by a client and by a gateway."""

_IDENTITY = frozenset({"timestamp", "latency_ms", "status", "operation_type", "cost", "cost_source"})
_ONLY_OF_ERRORS = ("error_type", "error_message")
_MILLISECOND = 1000
"""Microseconds by which an end may be wrong: it is computed from whole milliseconds."""

_GENERATING = frozenset({"chat", "text_completion", "generate_content", "unknown"})
"""Operation types that are spellings of one kind of call."""

Evidences = Mapping[SpanKey, Evidence]


def combined(one: Evidence, other: Evidence) -> Evidence:
    """What two deliveries say about one span."""
    # A span that was open across a fork is exported by parent and child: the longer one saw more.
    span = max(filter(None, (one.span, other.span)), key=_weight, default=None)
    context = max(filter(None, (one.context, other.context)), key=_weight, default=None)
    events = {_weight(event): event for event in (*one.events, *other.events)}
    return Evidence(span, tuple(events[w] for w in sorted(events)), context)


def _weight(fact: Fact) -> tuple[tuple[int, int], int, bytes]:
    text = orjson.dumps(fact_json(fact), option=orjson.OPT_SORT_KEYS)
    return (fact.order, fact.values.latency_ms or 0, text)


def same(one: Evidence, other: Evidence) -> bool:
    """Whether two pieces of evidence say the same."""
    return one.span == other.span and one.events == other.events and one.context == other.context


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
    for keys in same_response:
        for key in keys:
            if best := _twin(key, keys, calls):
                inner[key] = best
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
    return "chat" if operation_type in _GENERATING else str(operation_type)


def _twin(key: SpanKey, others: Iterable[SpanKey], calls: Mapping[SpanKey, Fact]) -> SpanKey | None:
    """The innermost other span with this response id that tells about the same call."""
    fact = calls[key]
    candidates = [
        (_extent(other, calls[other]), other)
        for other in others
        if other != key and _is_inside(other, calls[other], key, fact) and _agree(calls[other], fact)
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
    return _tokens_agree(one.values, other.values) and _models_agree(one.values, other.values)


def _tokens_agree(one: Values, other: Values) -> bool:
    pairs = ((one.input_tokens, other.input_tokens), (one.output_tokens, other.output_tokens))
    return all(None in pair or pair[0] == pair[1] for pair in pairs)


def _models_agree(one: Values, other: Values) -> bool:
    mine, theirs = (tuple(name for name in (v.model, v.request_model) if name) for v in (one, other))
    return not mine or not theirs or any(a in b or b in a for a in mine for b in theirs)


def merged(members: Sequence[Evidence]) -> Fact:
    """One operation from its evidence, innermost first: that gives identity, the others fill what is missing."""
    first = members[0]
    if len(members) == 1 and first.span and first.is_plain:
        return first.span
    said = [fact for evidence in members for fact in evidence.said()]
    values = _identity(first)
    for name, found in zip(VALUES, zip(*(fact.values for fact in said), strict=True), strict=True):
        if name not in _IDENTITY:
            values[name] = next((value for value in found if value is not None), None)
    values["cost"], values["cost_source"] = _cost(said)
    if values["status"] != "error":
        values.update(dict.fromkeys(_ONLY_OF_ERRORS))
    inputs, outputs = (_messages(members, outputs=o) for o in (False, True))
    if values["operation_type"] in AGGREGATES:
        values.update(dict.fromkeys(ONLY_OF_CALLS))
    naming = naming_fact(said)
    return Fact(
        values=Values(**values),
        extras=_extras(said, values),
        digests=inputs + outputs,
        inputs=len(inputs),
        parent_span_id=first.around.parent_span_id,
        session_key=naming.session_key if naming else None,
        workspace=naming.workspace if naming else next((f.workspace for f in said if f.workspace), None),
        names=_names(said),
    )


def _names(said: Iterable[Fact]) -> dict[str, str]:
    names: dict[str, str] = {}
    for fact in said:
        for digest, name in fact.names.items():
            add_name(names, digest, name)
    return names


def naming_fact(said: Iterable[Fact]) -> Fact | None:
    """The first fact that names a session."""
    return next((fact for fact in said if fact.session_key), None)


def _identity(evidence: Evidence) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(VALUES)
    if evidence.span:
        return values | {name: getattr(evidence.span.values, name) for name in _IDENTITY}
    said = (event.values.operation_type for event in evidence.events)
    values["timestamp"] = min(event.values.timestamp for event in evidence.events)
    values["operation_type"] = next(filter(None, said), "chat")
    values["status"] = "pending"
    return values


def _cost(said: Sequence[Fact]) -> tuple[float | None, str | None]:
    rank = {"reported": 0, "override": 1, "catalog": 2}
    known = [f.values for f in said if f.values.cost is not None]
    best = min(known, key=lambda v: rank.get(v.cost_source or "", 3), default=None)
    return (best.cost, best.cost_source) if best else (None, None)


def _extras(said: Sequence[Fact], values: Mapping[str, Any]) -> dict[str, JsonValue]:
    extras: dict[str, JsonValue] = {}
    repaired: dict[str, JsonValue] = {}
    for fact in reversed(said):
        extras.update(fact.extras)
        repaired.update(fact.extras.get(REPAIRED) or {})
    if repaired:
        extras[REPAIRED] = repaired
    if values["cost"] is not None:
        extras.pop("cost_unknown", None)
    return extras


def _messages(members: Sequence[Evidence], *, outputs: bool) -> list[str]:
    """Digests of one direction, from the first piece of evidence that has any."""
    for evidence in members:
        if evidence.span and (found := _side(evidence.span, outputs=outputs)):
            return found
        complete = [_side(e, outputs=outputs) for e in evidence.events if len(e.digests) > 1 or _is_details(e)]
        if found := next(filter(None, complete), []):
            return found
        if found := [d for event in evidence.events for d in _side(event, outputs=outputs)]:
            return found
    return []


def _is_details(event: Fact) -> bool:
    return bool(event.values.operation_type)


def _side(fact: Fact, *, outputs: bool) -> list[str]:
    return fact.digests[fact.inputs :] if outputs else fact.digests[: fact.inputs]
