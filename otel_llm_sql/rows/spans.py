"""Rows of `llm_spans`: what a span tells about, and which session and user it names for the spans inside of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import orjson

from otel_llm_sql.rows.batch import NewRow, named
from otel_llm_sql.rows.facts import Evidence, Fact, SpanKey
from otel_llm_sql.rows.known import Row
from otel_llm_sql.rows.merge import told_session
from otel_llm_sql.rows.placing import Named, Trace


def span_row(key: SpanKey, operation_id: str | None, evidence: Evidence, facts: str | None) -> NewRow:
    """What `llm_spans` tells about a span: the session is the one that is named on the span or on its events."""
    said = evidence.said()
    first = said[0]
    session_key, workspace = told_session(said)
    span = evidence.span or evidence.context
    return (
        *key,
        operation_id,
        evidence.around.parent_span_id,
        span.span_name if span else None,
        span.scope_name if span else None,
        session_key,
        workspace,
        facts,
        first.values.user_id or user_of(said),
    )


def is_changed(row: NewRow, before: Row) -> bool:
    """Whether the row of a span says something else than what is stored."""
    told = named("llm_spans", row)
    told["facts"] = orjson.loads(told["facts"]) if told["facts"] else None
    return any(value != before.get(name) for name, value in told.items())


def name_in(row: Row) -> Named | None:
    """The session that a stored span names."""
    return Named(row["workspace"], row["session_key"]) if row["session_key"] else None


def outlined(rows: Iterable[Row]) -> defaultdict[str, Trace]:
    """The shape of the traces of stored spans, as far as these are all of them."""
    traces: defaultdict[str, Trace] = defaultdict(Trace)
    for row in rows:
        traces[row["trace_id"]].add(row["span_id"], row["parent_span_id"], name_in(row), row["user_id"])
    return traces


def name_of(fact: Fact | None) -> Named | None:
    """The session that a fact names."""
    return Named(fact.workspace, fact.session_key) if fact and fact.session_key else None


def user_of(said: Iterable[Fact]) -> str | None:
    """The user that facts name."""
    return next((fact.values.user_id for fact in said if fact.values.user_id), None)


def names_user(evidence: Evidence) -> bool:
    """Whether a span or one of its events names a user."""
    span = evidence.span
    return bool((span and span.values.user_id) or ((evidence.events or evidence.context) and user_of(evidence.said())))
