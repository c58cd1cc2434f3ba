"""Facts: what one signal said, in the form that is compared, merged and kept.

Every decision is made on facts, and a fact read back from the database equals the fact that was written. That is why
order, batching and repetition of the deliveries leave no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from otel_llm_sql.records import AGENT_ID, AGGREGATES, DEFINITIONS, METADATA, JsonValue, Operation
from otel_llm_sql.rows.identity import (
    definitions_digest,
    digest_of_text,
    digest_text,
    key_within,
    message_digests,
)
from otel_llm_sql.rows.naming import Names, add_names, kept_names, names_from_kept
from otel_llm_sql.rows.texts import Texts


class Values(NamedTuple):
    """Columns of `llm_operations` that an Operation gives as they stand."""

    action_id: str | None
    timestamp: int
    operation_type: str
    provider: str | None
    model: str | None
    request_model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_input_tokens: int | None
    cache_write_input_tokens: int | None
    reasoning_output_tokens: int | None
    latency_ms: int | None
    time_to_first_token_ms: int | None
    cost: float | None
    cost_source: str | None
    status: str
    error_type: str | None
    error_message: str | None
    finish_reason: str | None
    response_id: str | None
    tool_name: str | None
    agent_name: str | None
    user_id: str | None
    service_name: str | None


VALUES = Values._fields
"""Their names."""

_NOTHING = Values._make({"timestamp": 0, "operation_type": "", "status": ""}.get(name) for name in VALUES)
"""What a span says as an operation that is none."""

_values = attrgetter(*VALUES)
_stored_values = itemgetter(*VALUES)

_AROUND = ("parent_span_id", "span_name", "scope_name", "session_key", "workspace")
_shown = attrgetter(*_AROUND)
_stored_shown = itemgetter(*_AROUND)

_RANKS = {"system": 0, "developer": 0, "user": 1, "assistant": 2, "tool": 3}


class SpanKey(NamedTuple):
    """What identifies a span."""

    trace_id: str
    span_id: str


@dataclass(slots=True)
class Fact:
    """What one span or one content event said.

    Attributes:
        values: columns of `llm_operations`; `timestamp` in microseconds since the epoch.
        digests: its messages, inputs first.
        inputs: how many of them are inputs.
        order: for an event, its time in nanoseconds and the rank of its role: the order of the conversation.
        names: names of tools that it tells, by digest of the message: see `naming`.
    """

    values: Values
    extras: dict[str, JsonValue]
    digests: list[str]
    inputs: int
    parent_span_id: str | None = None
    span_name: str | None = None
    scope_name: str | None = None
    session_key: str | None = None
    workspace: str | None = None
    order: tuple[int, int] = (0, 0)
    names: Names | None = None

    @property
    def is_call(self) -> bool:
        """Whether it is a call to a provider."""
        return self.values.operation_type not in AGGREGATES

    @property
    def end(self) -> int:
        """End of the operation in microseconds since the epoch."""
        return self.values.timestamp + (self.values.latency_ms or 0) * 1000


@dataclass(slots=True)
class Evidence:
    """Everything that was said about one span.

    Attributes:
        span: by the span itself, as a GenAI operation.
        events: by content events that name it.
        context: by the span itself, which is no operation and only names a session or a user.
    """

    span: Fact | None = None
    events: tuple[Fact, ...] = ()
    context: Fact | None = None

    def said(self) -> tuple[Fact, ...]:
        """All facts, the most telling first."""
        if self.context:
            return tuple(filter(None, (self.span, *self.events, self.context)))
        return (self.span, *self.events) if self.span else self.events

    @property
    def around(self) -> Fact:
        """The fact that knows the span's name and its parent, where the span itself was told."""
        return self.span or self.context or self.events[0]

    @property
    def is_operation(self) -> bool:
        """Whether it tells about an operation."""
        return bool(self.span or self.events)

    @property
    def is_plain(self) -> bool:
        """Whether a fact of the span alone says it all."""
        return not self.events and not (self.span and self.context)


def fact_of(operation: Operation, texts: Texts) -> Fact:
    """The fact of an operation; its messages and tool definitions go to `texts`."""
    digests, names = texts.learn(operation.messages)
    extras = operation.extras
    if operation.agent_id:
        extras[AGENT_ID] = operation.agent_id
    if operation.metadata:
        extras[METADATA] = operation.metadata
    if operation.tool_definitions is not None:
        digest = definitions_digest(operation.tool_definitions)
        texts.definitions[digest] = operation.tool_definitions
        extras[DEFINITIONS] = digest_text(digest)
    fact = Fact(
        Values._make(_values(operation)),
        extras,
        digests,
        [message.direction for message in operation.messages].count("input"),
        operation.parent_span_id,
        operation.span_name if operation.source == "span" else None,
        operation.scope_name if operation.source == "span" else None,
        operation.session_key,
        operation.workspace,
    )
    fact.names = names
    if operation.source == "event":
        fact.order = _order(operation)
    return fact


def evidence_of(operation: Operation, texts: Texts) -> Evidence:
    """What one signal says about its span."""
    if operation.source == "context":
        return Evidence(context=_context(operation.user_id, _shown(operation)))
    fact = fact_of(operation, texts)
    return Evidence(fact) if operation.source == "span" else Evidence(None, (fact,))


def _order(operation: Operation) -> tuple[int, int]:
    return (operation.event_time_ns, _RANKS.get(operation.messages[0].role, 4) if operation.messages else 5)


def evidence_json(evidence: Evidence) -> dict[str, JsonValue]:
    """Evidence as it is kept in `llm_spans.facts`."""
    kept: dict[str, JsonValue] = {"events": [fact_json(event) | names_json(event) for event in evidence.events]}
    for name, fact in (("span", evidence.span), ("context", evidence.context)):
        if fact:
            kept[name] = fact_json(fact) | names_json(fact)
    return kept


def names_json(fact: Fact) -> dict[str, JsonValue]:
    """The names of tools that a fact tells: all that is kept of one that says no more than its operation's row."""
    return {"names": kept_names(fact.names, fact.digests)} if fact.names else {}


def fact_json(fact: Fact) -> dict[str, JsonValue]:
    """A fact as strict JSON, without the names of tools: who tells them or not says the same."""
    return {
        "values": {k: v for k, v in zip(VALUES, fact.values, strict=True) if v is not None},
        "extras": fact.extras,
        "messages": [digest_text(digest) for digest in fact.digests],
        "inputs": fact.inputs,
        "session_key": fact.session_key,
        "workspace": fact.workspace,
        "order": list(fact.order),
    }


def evidence_from_row(span_row: Mapping[str, Any], operation: Mapping[str, Any]) -> Evidence:
    """Evidence as it was kept in the row of a span, or in that of the operation that it alone tells about."""
    kept = span_row["facts"] or {}
    return _evidence_from_json(kept, span_row) if "events" in kept else Evidence(_fact_from_row(operation, span_row))


def names_in(kept: Mapping[str, Any], digests: Sequence[str]) -> Names:
    """The names of tools in what is kept of a span, where its operation has these messages."""
    if "events" in kept:
        return names_told(_evidence_from_json(kept, {}).said())
    return names_from_kept(kept.get("names"), digests) or {}


def names_told(said: Iterable[Fact]) -> Names:
    """The names of tools that facts tell."""
    names: Names = {}
    for fact in said:
        add_names(names, fact.names)
    return names


def _evidence_from_json(kept: Mapping[str, Any], span_row: Mapping[str, Any]) -> Evidence:
    span, context = kept.get("span"), kept.get("context")
    return Evidence(
        span=_fact_from_json(span, span_row) if span else None,
        events=tuple(_fact_from_json(event, {}) for event in kept["events"]),
        context=_fact_from_json(context, span_row) if context else None,
    )


def _fact_from_json(kept: Mapping[str, Any], span_row: Mapping[str, Any]) -> Fact:
    digests = [digest_of_text(text) for text in kept["messages"]]
    return Fact(
        values=Values(**(dict.fromkeys(VALUES) | kept["values"])),
        extras=kept["extras"],
        digests=digests,
        inputs=kept["inputs"],
        parent_span_id=span_row.get("parent_span_id"),
        span_name=span_row.get("span_name"),
        scope_name=span_row.get("scope_name"),
        session_key=kept["session_key"],
        workspace=kept["workspace"],
        order=(kept["order"][0], kept["order"][1]),
        names=names_from_kept(kept.get("names"), digests),
    )


def _fact_from_row(operation: Mapping[str, Any], span_row: Mapping[str, Any]) -> Fact:
    """The fact of a span that is the only source of an operation, read back from that operation's row."""
    digests = message_digests(operation["message_ids"] or ())
    extras = dict(operation["extras"] or {})
    if DEFINITIONS in extras:
        extras[DEFINITIONS] = digest_text(key_within(extras[DEFINITIONS]))
    return Fact(
        # The operation's user may be inherited.
        values=Values._make(_stored_values(operation))._replace(user_id=span_row["user_id"]),
        extras=extras,
        digests=digests,
        inputs=operation["input_messages"],
        parent_span_id=span_row["parent_span_id"],
        span_name=span_row["span_name"],
        scope_name=span_row["scope_name"],
        session_key=span_row["session_key"],
        workspace=span_row["workspace"],
        names=names_from_kept((span_row["facts"] or {}).get("names"), digests),
    )


def context_from_row(span_row: Mapping[str, Any]) -> Fact:
    """The fact of a span that is no operation, read back from its row."""
    return _context(span_row["user_id"], _stored_shown(span_row))


def _context(user_id: str | None, shown: tuple[Any, ...]) -> Fact:
    return Fact(_NOTHING._replace(user_id=user_id), {}, [], 0, *shown)
