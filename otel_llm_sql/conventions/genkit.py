"""Genkit: every action and helper is a span whose input and output are JSON in `genkit:input` and `genkit:output`.

Only actions of subtype `model` and `embedder` ask a provider; `generate`, flows and prompts around them repeat what
their calls said.
"""

from __future__ import annotations

import re

from otel_llm_sql.conventions import genai_fields
from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.genai import span_messages
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_rules import apply_rules
from otel_llm_sql.conventions.genkit_content import take_embeddings, take_exchange, take_tool
from otel_llm_sql.conventions.shared import context_fields, operation
from otel_llm_sql.conventions.table import Field, Findings, compiled, raw, text
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

PREFIXES = ("genkit:",)
EVENT_NAMES: frozenset[str] = frozenset()
MARKS = frozenset({"genkit:name", "genkit:path", "genkit:type"})
SCOPES = ("genkit-tracer",)

TABLE = compiled(
    Field("subtype", text, ("genkit:metadata:subtype",), keep=True),
    Field("name", text, ("genkit:name",), keep=True),
    Field("request", raw, ("genkit:input",)),
    Field("response", raw, ("genkit:output",)),
    *context_fields(session_key=("genkit:sessionId",), action_id=("genkit:metadata:flow:name",)),
    *genai_fields.FIELDS,
)

_OPERATION_TYPES = {
    "model": "chat",
    "background-model": "generate_content",
    "embedder": "embeddings",
    "retriever": "retrieval",
    "reranker": "rerank",
    "evaluator": "evaluate",
    "tool": "execute_tool",
    "tool.v2": "execute_tool",
    "flow": "invoke_workflow",
    "agent": "invoke_agent",
}
"""By the subtype of an action; everything else is a step of the framework's."""

_OF_MODELS = frozenset({"chat", "generate_content", "embeddings", "rerank"})
_FLOW = re.compile(r"\{([^{},]+),t:(?:action,s:)?flow\}")


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation a span tells of; None for logs and for spans of others."""
    if signal.kind != "span" or not MARKS & signal.attributes.keys():
        return None
    found = Findings(Cleaner(capture_media=capture_media))
    found.collect(signal.attributes, TABLE)
    told = span_messages(signal, found) if signal.events else []
    values = found.values
    subtype, name = values.pop("subtype", None), values.pop("name", None)
    kind = values.setdefault("operation_type", _OPERATION_TYPES.get(subtype, "chain") if subtype else "chain")
    path = signal.attributes.get("genkit:path")
    flow = _FLOW.search(path) if isinstance(path, str) else None
    if flow:
        values.setdefault("action_id", text(found.cleaner, "genkit:path", flow[1]))
    if kind in _OF_MODELS:
        _take_model_name(found, name)
    if kind == "execute_tool":
        values.setdefault("tool_name", name)
        take_tool(found)
    elif kind == "embeddings":
        take_embeddings(found)
    else:
        take_exchange(found, asked=kind in _OF_MODELS)
    apply_rules(signal, found)
    take_content(found, told)
    return operation(signal, found)


def _take_model_name(found: Findings, name: str | None) -> None:
    """`openai/gpt-4o-mini`: a plugin, most of them named after their provider, and its name for the model."""
    plugin, _, model = (name or "").partition("/")
    if model:
        found.values.setdefault("request_model", model)
        provider = genai_fields.provider(found.cleaner, "genkit:name", plugin)
        if provider:
            found.values.setdefault("provider", provider)
    elif name:
        found.values.setdefault("request_model", name)


__all__ = ["EVENT_NAMES", "MARKS", "PREFIXES", "SCOPES", "read"]
