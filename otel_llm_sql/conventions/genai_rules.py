"""What single instrumentations mean by OpenTelemetry's names, and what an operation is that does not say it.

Each rule goes by the name of a scope, never by sizes: what was reported otherwise than it is meant stays in `extras`.
"""

from __future__ import annotations

from typing import Any

from otel_llm_sql.conventions.openai_agents import with_tool_calls
from otel_llm_sql.conventions.providers import provider_of_model
from otel_llm_sql.conventions.table import Findings
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import AGGREGATES

_DECIDING = (
    ("execute_tool", ("gen_ai.tool.call.id", "gen_ai.tool.call.arguments", "gen_ai.tool.name")),
    ("embeddings", ("gen_ai.embeddings.dimension.count", "gen_ai.request.encoding_formats")),
    ("retrieval", ("gen_ai.retrieval.query.text", "gen_ai.retrieval.documents")),
    ("chat", ("gen_ai.request.model", "gen_ai.response.model", "gen_ai.response.id", "gen_ai.usage.input_tokens")),
)
"""What an operation without a name is, by what stands on it: the first row of which something is there."""

_DECIDING_UNNAMED = (
    ("invoke_workflow", ("gen_ai.workflow.name",)),
    ("invoke_agent", ("gen_ai.agent.name", "gen_ai.agent.id")),
    ("chat", ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system", "gen_ai.provider.name")),
)
"""The same by names that stand on steps too: not where the instrumentation says that it is something unknown."""

_BEDROCK = (
    "opentelemetry.instrumentation.genai.bedrock",
    "opentelemetry.instrumentation.botocore.bedrock-runtime",
    "opentelemetry.instrumentation.bedrock",
)
"""Scopes whose `input_tokens` are without cached ones, as Bedrock counts, against the convention."""

_AGENT_FRAMEWORK = "agent_framework"
_STRANDS = "strands."
_UNDOTTED = frozenset({"events", "system_prompt"})
"""What has no dot in `extras` and is not of the application."""

_OPENAI_AGENTS = "opentelemetry.instrumentation.openai_agents"
_AGENT_DEFAULTS = {"agent_name": "OpenAI Agent", "agent_id": "agent"}
"""What openai-agents-v2 puts where it knows no agent."""

_MISTRAL_OPERATION = "mistral_ai.operation.id"
"""Where Mistral's own client says what it asks for; it gives no operation name."""

_CALLS = frozenset({None, "chat", "text_completion", "generate_content", "embeddings", "rerank"})
_OF_CALLS = frozenset({"model", "request_model", "input_tokens", "output_tokens", "response_id"})


def apply_rules(signal: Signal, found: Findings) -> None:
    """The rules of single instrumentations, and the kind of an operation that does not say it."""
    values = found.values
    scope = signal.scope_name or ""
    if values.get("operation_type") in (None, "unknown") and signal.kind == "span":
        values["operation_type"] = _decided(signal, values.get("operation_type"))
    if scope.startswith(_BEDROCK):
        _bedrock(found)
    elif scope == _OPENAI_AGENTS:
        _openai_agents(found)
    elif scope.startswith(_STRANDS):
        _strands(found)
    elif scope == _AGENT_FRAMEWORK and values.get("provider") == "anthropic":
        _add_cached(found)  # its Anthropic client hands the usage on as Anthropic sent it
    if values.get("operation_type") not in _CALLS and not values.keys() & _OF_CALLS:
        # A step some framework invented (`agent_handoff`) asked nobody.
        found.give_back(("provider",))


def _decided(signal: Signal, told: str | None) -> str:
    if str(signal.attributes.get(_MISTRAL_OPERATION)).startswith("embeddings"):
        return "embeddings"
    rows = _DECIDING if told else _DECIDING + _DECIDING_UNNAMED
    for operation_type, names in rows:
        if any(name in signal.attributes for name in names):
            return operation_type
    first = signal.name.partition(" ")[0]
    if first in AGGREGATES or first in _CALLS:
        return first
    return "chain" if told else "unknown"


def _bedrock(found: Findings) -> None:
    values = found.values
    if "embed" in (values.get("request_model") or "") and values.get("operation_type") in _CALLS:
        # botocore tells every Titan model as text_completion, every other as chat.
        values["operation_type"] = "embeddings"
    _add_cached(found)


def _add_cached(found: Findings) -> None:
    values = found.values
    cached = (values.get("cache_read_input_tokens") or 0) + (values.get("cache_write_input_tokens") or 0)
    if cached and values.get("input_tokens") is not None:
        name, value, _ = found.sources["input_tokens"]
        found.put(name, value)
        values["input_tokens"] = found.cleaner.count(name, values["input_tokens"] + cached)


def _strands(found: Findings) -> None:
    """It gives the time to the first token in milliseconds, and the application's `trace_attributes` as they are.

    Its own names all have a dot: the others are the application's.
    """
    values, extras = found.values, found.extras
    if "time_to_first_token_ms" in values:
        name, value, _ = found.sources["time_to_first_token_ms"]
        values["time_to_first_token_ms"] = found.cleaner.count(name, value)
    if "provider" not in values and values.get("operation_type") in _CALLS:
        # It gives its own name as the provider's, but a model's id may say who was asked.
        provider = provider_of_model(values.get("request_model") or "")
        if provider:
            values["provider"] = provider
    names = [name for name in extras if "." not in name and name not in _UNDOTTED]
    if names:
        values["metadata"] = {**{name: extras.pop(name) for name in names}, **(values.get("metadata") or {})}


def _openai_agents(found: Findings) -> None:
    """Of a response the model that answered is told as the one asked for, and calls of tools as Python's repr."""
    values: dict[str, Any] = found.values
    if "response_id" in values and values.get("request_model") == values.get("model"):
        found.give_back(("request_model",))
    found.give_back([field for field, default in _AGENT_DEFAULTS.items() if values.get(field) == default])
    if "output" in values:
        values["output"] = with_tool_calls(values["output"])


__all__ = ["apply_rules"]
