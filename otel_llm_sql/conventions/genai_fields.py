"""OpenTelemetry's GenAI attributes, in all spellings that were ever current, and the rules that belong to them.

Sources: the registry of `opentelemetry-semantic-conventions` up to schema 1.44, its successor
`open-telemetry/semantic-conventions-genai`, and what instrumentations really emit (docs/conventions.md).
"""

from __future__ import annotations

from typing import Any

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.genai_rules import apply_rules
from otel_llm_sql.conventions.json_text import parse
from otel_llm_sql.conventions.providers import provider_name
from otel_llm_sql.conventions.shared import context_fields
from otel_llm_sql.conventions.table import Field, Findings, closed, compiled, count, raw, seconds

PREFIXES = ("gen_ai.",)
"""What the attributes begin with by which a span or log record may be recognised."""


@closed
def provider(cleaner: Cleaner, name: str, value: Any) -> str | None:
    known = provider_name(cleaner.bounded(name, value) or "")
    return known[:255] if known else None


@closed
def operation_word(cleaner: Cleaner, name: str, value: Any) -> str | None:
    """OpenTelemetry's word for what was done, whatever older generations called it."""
    told = (cleaner.bounded(name, value, 64) or "").lower()[:64]
    return _OPERATION_TYPES.get(told, told) or None


def _cost(cleaner: Cleaner, name: str, value: Any) -> float | None:
    cost = cleaner.amount(name, value)
    # An instrumentation without a price list reports 0 here: unknown, not free.
    return None if cost == 0 and name == "gen_ai.usage.cost" else cost


def finish_words(cleaner: Cleaner, name: str, value: Any) -> list[str] | None:
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
    if word and word.startswith("FinishReason."):
        return word.removeprefix("FinishReason.").lower()
    return _KEBAB_CASE.get(word, word) if word else None


_KEBAB_CASE = {"tool-calls": "tool_calls", "content-filter": "content_filter"}
"""What Vercel's AI SDK makes of a finish reason."""


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
    "chat.streaming_completions": "chat",
    "text.completions": "text_completion",
    "text.streaming_completions": "text_completion",
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
    Field("operation_type", operation_word, ("gen_ai.operation.name",)),
    Field("provider", provider, ("gen_ai.provider.name", "gen_ai.system")),
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
        finish_words,
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


def recognised(found: Findings) -> bool:
    """Whether something there is about a GenAI operation, not only about who is at work."""
    if not found.values.keys() <= _CONTEXT:
        return True
    return any(name.startswith(PREFIXES) and not name.startswith(_WEAK) for name in found.extras)


__all__ = ["FIELDS", "PREFIXES", "TABLE", "apply_rules", "recognised"]
