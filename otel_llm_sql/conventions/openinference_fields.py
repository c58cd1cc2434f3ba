"""OpenInference's attributes beside its indexed ones, and which value wins where a span speaks OpenTelemetry's too.

OpenInference's own words come first, as the others are derived from them; but the model that is asked for is told by
`gen_ai.request.model` only where nothing else tells it, since that is the model that answered. Tokens are as
OpenTelemetry counts them: prompts with cached tokens, completions with reasoning.
"""

from __future__ import annotations

from typing import Any

from otel_llm_sql.conventions import genai_fields
from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.openinference_messages import HIDDEN
from otel_llm_sql.conventions.providers import provider_name
from otel_llm_sql.conventions.table import Field, closed, compiled, count, raw, text

_KINDS = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "RERANKER": "rerank",
    "RETRIEVER": "retrieval",
    "TOOL": "execute_tool",
    "AGENT": "invoke_agent",
    "CHAIN": "chain",
    "PROMPT": "chain",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "evaluate",
}
"""Span kind -> operation type. PROMPT fills a template: a step that asks nobody."""


@closed
def _operation_type(cleaner: Cleaner, name: str, value: Any) -> str | None:
    return _KINDS.get((cleaner.bounded(name, value) or "").upper())


@closed
def _provider(cleaner: Cleaner, name: str, value: Any) -> str | None:
    known = provider_name(cleaner.bounded(name, value) or "")
    return known[:255] if known else None


def _told(_cleaner: Cleaner, _name: str, value: Any) -> Any:
    return None if value in (HIDDEN, "") else value


def _cost(cleaner: Cleaner, name: str, value: Any) -> float | None:
    # 0 is told where no price is known: that is unknown, not free.
    return cleaner.amount(name, value) or None


_TOKENS = "llm.token_count."

TABLE = compiled(
    Field("kind", _operation_type, ("openinference.span.kind",)),
    Field("host", _provider, ("llm.provider",)),
    Field("system_name", _provider, ("llm.system",)),
    Field("served", text, ("llm.response.model_name",)),
    Field("asked", text, ("llm.request.model_name",)),
    Field("named", text, ("llm.model_name", "embedding.model_name", "reranker.model_name")),
    Field("input_tokens", count, (_TOKENS + "prompt",)),
    Field("output_tokens", count, (_TOKENS + "completion",)),
    Field(
        "cache_read_input_tokens",
        count,
        (_TOKENS + "prompt_details.cache_read", _TOKENS + "prompt_details.cache_input"),
    ),
    Field("cache_write_input_tokens", count, (_TOKENS + "prompt_details.cache_write",)),
    Field("reasoning_output_tokens", count, (_TOKENS + "completion_details.reasoning",)),
    Field("cost", _cost, ("llm.cost.total",)),
    Field("reason", text, ("llm.finish_reason",)),
    Field("agent_name", text, ("agent.name",)),
    Field("node", text, ("graph.node.name", "graph.node.id")),
    Field("tool_name", text, ("tool.name",)),
    Field("parameters", raw, ("llm.invocation_parameters", "embedding.invocation_parameters")),
    Field("sent", _told, ("input.value",)),
    Field("came_back", _told, ("output.value",)),
    *genai_fields.FIELDS,
)
