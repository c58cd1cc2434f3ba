"""LangSmith's SDK in its OpenTelemetry mode: runs of LangChain, of wrapped clients and of traced functions.

Prompt and completion are whole bodies under OpenTelemetry's older names. `gen_ai.system` is guessed from the model's
name, and `gen_ai.operation.name` from the type of the run (a retriever is told as embeddings): the run's own words win.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.exchanges import fill_usage, keep, take_call, take_step, take_tool
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_fields import FIELDS
from otel_llm_sql.conventions.json_coded import gathered, opened
from otel_llm_sql.conventions.providers import provider_name
from otel_llm_sql.conventions.run_metadata import take_metadata
from otel_llm_sql.conventions.shared import context_fields, last_exception, operation
from otel_llm_sql.conventions.table import Field, Findings, compiled, raw, text
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import AGGREGATES, Operation

PREFIXES = ("langsmith.",)
EVENT_NAMES: frozenset[str] = frozenset()
MARKS = frozenset({"langsmith.span.kind", "langsmith.trace.name"})
SCOPES = ("langsmith",)

_TABLE = compiled(
    *context_fields(),
    Field("kind", text, ("langsmith.span.kind",)),
    Field("sent", raw, ("gen_ai.prompt",)),
    Field("came_back", raw, ("gen_ai.completion",)),
    *FIELDS,
)

_KINDS = {
    "llm": "chat",
    "tool": "execute_tool",
    "retriever": "retrieval",
    "embedding": "embeddings",
    "agent": "invoke_agent",
}
"""Types of runs that are more than a step (`chain`, `prompt`, `parser`)."""

_METADATA = "langsmith.metadata."
_OF_CALLS = frozenset(
    {
        *("usage_metadata", "_type", "model", "model_name", "model_id", "stream", "streaming", "stop", "n", "top_p"),
        *("temperature", "max_tokens", "max_completion_tokens", "invocation_params", "revision_id", "tool_call_id"),
    }
)
"""What LangChain and LangSmith put among the metadata about the call itself."""

_PRINTED = re.compile(r"([A-Za-z_][\w.]*)\((['\"])(.*)\2\)\Z", re.DOTALL)
_TRACEBACK = "\n\nTraceback (most recent call last)"


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation a run tells of; None for logs, and for spans that are no run."""
    if signal.kind != "span" or not any(str(name).startswith(PREFIXES) for name in signal.attributes):
        return None
    found = Findings(Cleaner(capture_media=capture_media))
    found.collect(signal.attributes, _TABLE)
    values = found.values
    kind = values.pop("kind", None)
    values["operation_type"] = _KINDS.get(kind, "chain") if kind else values.get("operation_type", "chain")
    _take_metadata(found)
    _take_exchange(found)
    take_content(found, [])
    return operation(_with_error(signal, found), found)


def _take_metadata(found: Findings) -> None:
    values = found.values
    told = gathered(found.extras, _METADATA)
    of_call = {key: told.pop(key) for key in list(told) if key in _OF_CALLS}
    kept = take_metadata(found, told) | of_call
    if kept:
        found.put(_METADATA[:-1], kept)
    if values["operation_type"] in AGGREGATES:
        return
    provider = told.get("ls_provider")
    if isinstance(provider, str) and (named := provider_name(provider)):
        values["provider"] = found.cleaner.bounded("provider", named)
    fill_usage(found, opened(of_call.get("usage_metadata")))


def _take_exchange(found: Findings) -> None:
    kind = found.values["operation_type"]
    for field, wrapping in (("sent", "input"), ("came_back", "output")):
        told = opened(found.values.get(field))
        if isinstance(told, Mapping) and told.keys() == {wrapping}:  # what is no dict gets one around it
            found.values[field] = told[wrapping]
    if kind == "execute_tool":
        take_tool(found)
    elif kind == "chat":
        take_call(found)
    elif kind in ("chain", "invoke_agent"):
        take_step(found)
    else:
        keep(found)


def _with_error(signal: Signal, found: Findings) -> Signal:
    """An exception is told as one of type Exception whose message is another's repr and traceback."""
    exception = last_exception(signal)
    told: Any = exception.attributes.get("exception.message") if exception else None
    if signal.status != "error" or signal.status_message or not isinstance(told, str):
        return signal
    message = told.partition(_TRACEBACK)[0]
    printed = _PRINTED.match(message)
    if printed:
        found.values.setdefault("error_type", found.cleaner.bounded("error_type", printed[1]))
    return replace(signal, status_message=printed[3] if printed else message)


__all__ = ["EVENT_NAMES", "MARKS", "PREFIXES", "SCOPES", "read"]
