"""MLflow's tracing over OTLP: whole inputs and outputs as JSON, and every value quoted as JSON.

`mlflow.chat.tokenUsage` counts as OpenTelemetry does, but for Gemini's thoughts: the usage in a provider's own response
says more, and wins. Session, user and tags of a trace are not exported; LangChain's metadata may name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.exchanges import keep, take_call, take_embeddings, take_step, take_tool
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_fields import FIELDS
from otel_llm_sql.conventions.json_coded import opened, quoted
from otel_llm_sql.conventions.providers import provider_name
from otel_llm_sql.conventions.run_metadata import take_metadata
from otel_llm_sql.conventions.shared import context_fields, last_exception, operation
from otel_llm_sql.conventions.table import Field, Findings, compiled, raw, text
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import AGGREGATES, Operation

PREFIXES = ("mlflow.",)
EVENT_NAMES: frozenset[str] = frozenset()
MARKS = frozenset({"mlflow.spanType", "mlflow.spanInputs", "mlflow.spanOutputs"})
SCOPES = ()

_TABLE = compiled(
    *context_fields(),
    Field("kind", quoted(text), ("mlflow.spanType",)),
    Field("sent", raw, ("mlflow.spanInputs",)),
    Field("came_back", raw, ("mlflow.spanOutputs",)),
    Field("usage", raw, ("mlflow.chat.tokenUsage",), keep=True),
    Field("costs", raw, ("mlflow.llm.cost",), keep=True),
    Field("tool_definitions", raw, ("mlflow.chat.tools",)),
    Field("named", quoted(text), ("mlflow.llm.model",)),
    Field("host", quoted(text), ("mlflow.llm.provider",)),
    Field("format", quoted(text), ("mlflow.message.format",), keep=True),
    Field("parameters", raw, ("invocation_params",)),
    *FIELDS,
)

_KINDS = {
    "LLM": "chat",
    "CHAT_MODEL": "chat",
    "EMBEDDING": "embeddings",
    "RERANKER": "rerank",
    "AGENT": "invoke_agent",
    "TOOL": "execute_tool",
    "RETRIEVER": "retrieval",
    "WORKFLOW": "invoke_workflow",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "evaluate",
}
"""Types of spans that are more than a step (`CHAIN`, `PARSER`, `MEMORY`, `TASK`, `UNKNOWN`)."""

_CLIENTS = frozenset({"openai", "anthropic", "gemini", "groq", "mistral", "bedrock"})
"""Formats of messages that are those of a provider's own client; others are frameworks'."""

_USAGE = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_input_tokens",
    "cache_write_input_tokens": "cache_creation_input_tokens",
}
_CHUNK = "mlflow.chunk.item."
_LEFT = ("named", "host", "format", "usage", "costs", "parameters")


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation a span of MLflow's tells of; None for logs, and for other spans."""
    if signal.kind != "span" or not any(name in signal.attributes for name in MARKS):
        return None
    found = Findings(Cleaner(capture_media=capture_media))
    found.collect(signal.attributes, _TABLE)
    found.values["operation_type"] = _KINDS.get(found.values.pop("kind", ""), "chain")
    if kept := take_metadata(found, found.values.pop("metadata", {})):
        found.put("metadata", kept)
    if found.values["operation_type"] == "execute_tool":
        found.values.setdefault("tool_name", found.cleaner.bounded("tool_name", signal.name))
    _take_exchange(found)
    if found.values["operation_type"] not in AGGREGATES:
        _take_model(signal, found)
        _take_usage(found)
    found.give_back(_LEFT)
    _take_events(signal, found)
    take_content(found, [])
    return operation(signal, found)


def _take_exchange(found: Findings) -> None:
    kind = found.values["operation_type"]
    if kind == "execute_tool":
        take_tool(found)
    elif kind == "chat":
        take_call(found)
    elif kind == "embeddings":
        take_embeddings(found)
    elif kind in ("chain", "invoke_agent", "invoke_workflow"):
        take_step(found)
    else:
        keep(found)


def _take_model(signal: Signal, found: Findings) -> None:
    """MLflow names the model that answered where the response does, else the one asked for."""
    values, cleaner = found.values, found.cleaner
    parameters = opened(values.pop("parameters", None))
    if isinstance(parameters, Mapping):
        values.setdefault("tool_definitions", parameters.get("tools"))
        asked = parameters.get("model") or parameters.get("model_name")
        values.setdefault("request_model", cleaner.bounded("request_model", asked))
        found.put("invocation_params", {key: item for key, item in parameters.items() if key != "tools"})
    if isinstance(asked := opened(found.extras.get("model")), str):
        values.setdefault("request_model", cleaner.bounded("request_model", asked))
    named = values.pop("named", None)
    if named:
        values.setdefault("model", named)
    shape = values.pop("format", None)
    provider = provider_name(values.pop("host", None) or (shape if shape in _CLIENTS else "") or "")
    if provider:
        values.setdefault("provider", cleaner.bounded("provider", provider))
    if "tool_definitions" in values:
        found.extras.pop("tools", None)  # the same list as the client was given it


def _take_usage(found: Findings) -> None:
    values, cleaner = found.values, found.cleaner
    usage, costs = opened(values.pop("usage", None)), opened(values.pop("costs", None))
    if isinstance(usage, Mapping):
        for field, key in _USAGE.items():
            if usage.get(key) is not None:
                values.setdefault(field, cleaner.count(field, usage[key]))
    if isinstance(costs, Mapping) and costs.get("total_cost"):
        values.setdefault("cost", cleaner.amount("cost", costs["total_cost"]))


def _take_events(signal: Signal, found: Findings) -> None:
    """The chunks of a stream say when the first came; together they are what came back."""
    others: list[dict[str, Any]] = []
    exception = last_exception(signal)
    for event in signal.events:
        if event.name.startswith(_CHUNK):
            milliseconds = max(event.time_ns - signal.start_ns, 0) // 1_000_000
            found.values.setdefault("time_to_first_token_ms", found.cleaner.count(event.name, milliseconds))
        elif event is not exception:
            others.append({"name": event.name, "time_ns": event.time_ns, "attributes": event.attributes})
    if others:
        found.extras["events"] = found.cleaner.json("events", others, 2)


__all__ = ["EVENT_NAMES", "MARKS", "PREFIXES", "SCOPES", "read"]
