"""One call, one row: what all that was told about an operation says together (docs/decisions/0002).

All functions are pure, and none depends on the order in which evidence arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, TypeAlias

import orjson

from otel_llm_sql.records import AGGREGATES, ONLY_OF_CALLS, REPAIRED, JsonValue
from otel_llm_sql.rows.facts import VALUES, Evidence, Fact, Values, fact_json, names_told

_IDENTITY = frozenset({"timestamp", "latency_ms", "status", "operation_type", "cost", "cost_source"})
_ONLY_OF_ERRORS = ("error_type", "error_message")

_Weight: TypeAlias = tuple[tuple[int, int], int, bytes]


def combined(one: Evidence, other: Evidence) -> Evidence:
    """What two deliveries say about one span."""
    events: dict[_Weight, Fact] = {}
    for event in (*one.events, *other.events):
        weight = _weight(event)
        events[weight] = _with_names(events[weight], event) if weight in events else event
    span, context = _heavier(one.span, other.span), _heavier(one.context, other.context)
    return Evidence(span, tuple(events[w] for w in sorted(events)), context)


def _heavier(one: Fact | None, other: Fact | None) -> Fact | None:
    """A span that was open across a fork is exported by parent and child: the longer one saw more."""
    if one is None or other is None:
        return one or other
    mine, theirs = _weight(one), _weight(other)
    return _with_names(one, other) if mine == theirs else max((mine, one), (theirs, other), key=itemgetter(0))[1]


def _with_names(one: Fact, other: Fact) -> Fact:
    """One of two facts that say the same, with the names of tools that either tells."""
    return one if one.names == other.names else replace(one, names=names_told((one, other)))


def _weight(fact: Fact) -> _Weight:
    text = orjson.dumps(fact_json(fact), option=orjson.OPT_SORT_KEYS)
    return (fact.order, fact.values.latency_ms or 0, text)


def same(one: Evidence, other: Evidence) -> bool:
    """Whether two pieces of evidence say the same."""
    return one.span == other.span and one.events == other.events and one.context == other.context


def merged(members: Sequence[Evidence]) -> Fact:
    """One operation from its evidence, innermost first: that gives identity, the others fill what is missing."""
    first = members[0]
    if len(members) == 1 and first.span and first.is_plain:
        return first.span
    said = [fact for evidence in members for fact in evidence.said()]
    values = _identity(first, said)
    for name, found in zip(VALUES, zip(*(fact.values for fact in said), strict=True), strict=True):
        if name not in _IDENTITY:
            values[name] = next((value for value in found if value is not None), None)
    values["model"] = _model(said)
    values["cost"], values["cost_source"] = _cost(said)
    if values["status"] != "error":
        values.update(dict.fromkeys(_ONLY_OF_ERRORS))
    inputs, outputs = (_messages(members, outputs=o) for o in (False, True))
    if values["operation_type"] in AGGREGATES:
        values.update(dict.fromkeys(ONLY_OF_CALLS))
    session_key, workspace = told_session(said)
    return Fact(
        values=Values(**values),
        extras=_extras(said, values),
        digests=inputs + outputs,
        inputs=len(inputs),
        parent_span_id=first.around.parent_span_id,
        session_key=session_key,
        workspace=workspace,
        names=names_told(said) or None,
    )


def naming_fact(said: Iterable[Fact]) -> Fact | None:
    """The first fact that names a session."""
    return next((fact for fact in said if fact.session_key), None)


def told_session(said: Sequence[Fact]) -> tuple[str | None, str | None]:
    """The key of the session that facts name, and its workspace; where none names it, the first workspace told."""
    first = said[0]
    if first.session_key or len(said) == 1:
        return first.session_key, first.workspace
    if naming := naming_fact(said):
        return naming.session_key, naming.workspace
    return None, next((fact.workspace for fact in said if fact.workspace), None)


def _identity(evidence: Evidence, told: Iterable[Fact]) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(VALUES)
    if evidence.span:
        values |= {name: getattr(evidence.span.values, name) for name in _IDENTITY}
        if values["status"] == "ok" and _knows_no_answer(evidence.span):
            # Mistral's client tells of a refused call only that it was made.
            values["status"] = next((f.values.status for f in told if f.values.status == "error"), "ok")
        return values
    said = (event.values.operation_type for event in evidence.events)
    values["timestamp"] = min(event.values.timestamp for event in evidence.events)
    values["operation_type"] = next(filter(None, said), "chat")
    values["status"] = "pending"
    return values


def _knows_no_answer(fact: Fact) -> bool:
    v = fact.values
    answer = (v.input_tokens, v.output_tokens, v.response_id, v.finish_reason)
    return fact.is_call and answer == (None,) * 4 and len(fact.digests) == fact.inputs


def _model(said: Iterable[Fact]) -> str | None:
    """The model that answered: who does not know it has the one asked for in its place."""
    named = [fact.values for fact in said if fact.values.model]
    return next((v.model for v in named if v.model != v.request_model), named[0].model if named else None)


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
