"""OpenTelemetry's GenAI attributes, in all spellings that were ever current, and the rules that belong to them.

Sources: the registry of `opentelemetry-semantic-conventions` up to schema 1.44, its successor
`open-telemetry/semantic-conventions-genai`, and what instrumentations really emit (docs/conventions.md).
"""

from __future__ import annotations

from typing import Any

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.json_text import parse
from otel_llm_sql.conventions.providers import provider_name
from otel_llm_sql.conventions.shared import context_fields
from otel_llm_sql.conventions.table import Field, Findings, closed, compiled, count, raw, seconds
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import AGGREGATES

PREFIXES = ("gen_ai.",)
"""What the attributes begin with by which a span or log record may be recognised."""


@closed
def _provider(cleaner: Cleaner, name: str, value: Any) -> str | None:
    known = provider_name(cleaner.bounded(name, value) or "")
    return known[:255] if known else None


@closed
def _operation_type(cleaner: Cleaner, name: str, value: Any) -> str | None:
    told = (cleaner.bounded(name, value, 64) or "").lower()[:64]
    return _OPERATION_TYPES.get(told, told) or None


def _cost(cleaner: Cleaner, name: str, value: Any) -> float | None:
    cost = cleaner.amount(name, value)
    # An instrumentation without a price list reports 0 here: unknown, not free.
    return None if cost == 0 and name == "gen_ai.usage.cost" else cost


def _reasons(cleaner: Cleaner, name: str, value: Any) -> list[str] | None:
    """Finish reasons, one per choice: a list, its JSON text, or one bare word (`FinishReason.STOP` too)."""
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = parse(value)
        except ValueError:
            cleaner.note(name, "broken JSON")
    if not isinstance(value, (list, tuple)):
        value = (value,)
    return [reason for item in value if (reason := _reason(cleaner, name, item))] or None


@closed
def _reason(cleaner: Cleaner, name: str, value: Any) -> str | None:
    word = cleaner.bounded(name, value, 64)
    return word.removeprefix("FinishReason.").lower() if word and word.startswith("FinishReason.") else word


def _tier(cleaner: Cleaner, name: str, value: Any) -> str | None:
    tier = (cleaner.bounded(name, value) or "").lower()
    return None if tier in _NORMAL_TIERS else tier


_NORMAL_TIERS = frozenset({"", "default", "standard", "auto"})

_OPERATION_TYPES = {
    "embedding": "embeddings",
    "completion": "text_completion",
    "completions": "text_completion",
    "text-completion": "text_completion",
    "chat_completion": "chat",
    "chat.completions": "chat",
    "responses": "chat",
    "response": "chat",
    "message": "chat",
    "messages": "chat",
    "reranking": "rerank",
    "retrieve": "retrieval",
    "tool": "execute_tool",
    "agent": "invoke_agent",
    "workflow": "invoke_workflow",
}

_USAGE = "gen_ai.usage."
_DETAILS = "gen_ai.usage.details."

FIELDS = (
    *context_fields(
        request_model=("gen_ai.request.model",),
        model=("gen_ai.response.model",),
        response_id=("gen_ai.response.id",),
        tool_name=("gen_ai.tool.name",),
    ),
    Field("operation_type", _operation_type, ("gen_ai.operation.name",)),
    Field("provider", _provider, ("gen_ai.provider.name", "gen_ai.system")),
    Field("input_tokens", count, (_USAGE + "input_tokens", _USAGE + "prompt_tokens")),
    Field("output_tokens", count, (_USAGE + "output_tokens", _USAGE + "completion_tokens")),
    Field(
        "cache_read_input_tokens",
        count,
        (
            _USAGE + "cache_read.input_tokens",
            _USAGE + "cache_read_input_tokens",
            _USAGE + "cached_input_tokens",
            _DETAILS + "cache_read_input_tokens",
            _DETAILS + "cache_read_tokens",
            _DETAILS + "cached_tokens",
        ),
    ),
    Field(
        "cache_write_input_tokens",
        count,
        (
            _USAGE + "cache_write.input_tokens",
            _USAGE + "cache_creation.input_tokens",
            _USAGE + "cache_write_input_tokens",
            _USAGE + "cache_creation_input_tokens",
            _DETAILS + "cache_creation_input_tokens",
            _DETAILS + "cache_write_tokens",
        ),
    ),
    Field(
        "reasoning_output_tokens",
        count,
        (
            _USAGE + "reasoning.output_tokens",
            _USAGE + "reasoning_tokens",
            _USAGE + "reasoning_output_tokens",
            _DETAILS + "reasoning_tokens",
        ),
    ),
    Field(
        "time_to_first_token_ms",
        seconds,
        (
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.client.operation.time_to_first_chunk",
            "gen_ai.server.time_to_first_token",
            "gen_ai.response.time_to_first_token",
        ),
        keep=True,
    ),
    Field("cost", _cost, ("operation.cost", "gen_ai.usage.cost", "gen_ai.cost.total", "gen_ai.cost.total_cost")),
    Field(
        "finish_reasons",
        _reasons,
        ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "anthropic.message.stop_reason"),
    ),
    Field(
        "service_tier",
        _tier,
        (
            "openai.response.service_tier",
            "gen_ai.openai.response.service_tier",
            "anthropic.response.service_tier",
            "openai.request.service_tier",
            "gen_ai.openai.request.service_tier",
        ),
        keep=True,
    ),
    Field("tool_definitions", raw, ("gen_ai.tool.definitions",)),
    Field("system", raw, ("gen_ai.system_instructions",)),
    Field("input", raw, ("gen_ai.input.messages",)),
    Field("output", raw, ("gen_ai.output.messages",)),
    # pydantic-ai tells the whole conversation on each run of an agent: in `extras` it would be stored once per turn.
    Field("conversation", raw, ("pydantic_ai.all_messages", "all_messages_events")),
)
"""OpenTelemetry's fields; a vocabulary whose spans speak this one too puts its own before or after them."""

TABLE = compiled(*FIELDS)

_WEAK = ("gen_ai.agent.", "gen_ai.conversation.", "gen_ai.workflow.", "gen_ai.task.", "gen_ai.prompt.")
_CONTEXT = frozenset({field.name for field in context_fields()} | {"cost"})
"""Frameworks put these on any span they pass through, on HTTP spans too: alone they do not make an operation."""

_DECIDING = (
    ("execute_tool", ("gen_ai.tool.call.id", "gen_ai.tool.call.arguments", "gen_ai.tool.name")),
    ("embeddings", ("gen_ai.embeddings.dimension.count", "gen_ai.request.encoding_formats")),
    ("retrieval", ("gen_ai.retrieval.query.text", "gen_ai.retrieval.documents")),
    ("chat", ("gen_ai.request.model", "gen_ai.response.model", "gen_ai.response.id", "gen_ai.usage.input_tokens")),
    ("invoke_workflow", ("gen_ai.workflow.name",)),
    ("invoke_agent", ("gen_ai.agent.name", "gen_ai.agent.id")),
    ("chat", ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system", "gen_ai.provider.name")),
)
"""What an operation without a name is, by what stands on it: the first row of which something is there."""

_EXCLUSIVE = (
    "opentelemetry.instrumentation.genai.bedrock",
    "opentelemetry.instrumentation.botocore.bedrock-runtime",
    "opentelemetry.instrumentation.bedrock",
)
"""Scopes whose `input_tokens` are without cached ones, as Bedrock counts, against the convention."""

_MILLISECONDS = ("strands.",)
"""Scopes that give the time to the first token in milliseconds."""


def recognised(found: Findings) -> bool:
    """Whether something there is about a GenAI operation, not only about who is at work."""
    if not found.values.keys() <= _CONTEXT:
        return True
    return any(name.startswith(PREFIXES) and not name.startswith(_WEAK) for name in found.extras)


def apply_rules(signal: Signal, found: Findings) -> None:
    """The rules of single instrumentations, and the kind of an operation that does not say it."""
    values = found.values
    scope = signal.scope_name or ""
    if values.get("operation_type") in (None, "unknown") and signal.kind == "span":
        values["operation_type"] = _decided(signal)
    if scope.startswith(_EXCLUSIVE):
        _add_cached(found)
    if "time_to_first_token_ms" in values and scope.startswith(_MILLISECONDS):
        name, value, _ = found.sources["time_to_first_token_ms"]
        values["time_to_first_token_ms"] = found.cleaner.count(name, value)
    if values.get("operation_type") not in _CALLS and not values.keys() & _OF_CALLS:
        # A step some framework invented (`agent_handoff`) asked nobody.
        found.give_back(("provider",))


_CALLS = frozenset({None, "chat", "text_completion", "generate_content", "embeddings", "rerank"})
_OF_CALLS = frozenset({"model", "request_model", "input_tokens", "output_tokens", "response_id"})


def _decided(signal: Signal) -> str:
    for operation_type, names in _DECIDING:
        if any(name in signal.attributes for name in names):
            return operation_type
    first = signal.name.partition(" ")[0]
    return first if first in AGGREGATES or first in _CALLS else "unknown"


def _add_cached(found: Findings) -> None:
    values = found.values
    cached = (values.get("cache_read_input_tokens") or 0) + (values.get("cache_write_input_tokens") or 0)
    if cached and values.get("input_tokens") is not None:
        name, value, _ = found.sources["input_tokens"]
        found.put(name, value)
        values["input_tokens"] = found.cleaner.count(name, values["input_tokens"] + cached)


__all__ = ["FIELDS", "PREFIXES", "TABLE", "apply_rules", "recognised"]
