"""Spans that are no GenAI operation, but name the session of the operations inside of them: an HTTP request, say."""

from __future__ import annotations

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.shared import context_fields, operation
from otel_llm_sql.conventions.table import Findings, compiled
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

NAMES = ("session.id", "gen_ai.conversation.id", "llm_sql.session_key")
"""Attributes that make such a span worth a row. A user alone does not: servers put it on every request."""

_TABLE = compiled(*context_fields())


def read(signal: Signal) -> Operation | None:
    """What a span says that holds for what happens inside of it; None where it names no session."""
    if signal.kind != "span" or not any(name in signal.attributes for name in NAMES):
        return None
    found = Findings(Cleaner())
    found.collect({name: value for name, value in signal.attributes.items() if name in _TABLE}, _TABLE)
    told = operation(signal, found)
    told.source, told.extras = "context", {}
    return told if told.session_key else None
