"""OpenLIT: OpenTelemetry's vocabulary with a reading of its own for some of it.

Tokens are as the provider counts them, some values are made up where nothing is known, and a span that failed says
nothing but its name. Its HTTP spans are another instrumentation's, and no operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from otel_llm_sql.conventions import genai, genai_events
from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

PREFIXES = ("gen_ai.",)
EVENT_NAMES: frozenset[str] = frozenset()
MARKS: frozenset[str] = frozenset()
SCOPES = ("openlit.",)

_WITHOUT_CACHED = ("openlit.instrumentation.anthropic", "openlit.instrumentation.bedrock")
"""Scopes whose `input_tokens` are without cached ones, as their providers count."""

_WITHOUT_REASONING = ("openlit.instrumentation.google_ai_studio",)
"""Scopes whose `output_tokens` are without reasoning, as Gemini counts."""

_CALLS = frozenset({"chat", "embeddings", "text_completion", "generate_content"})
_OPERATION_TYPES = {
    "vectordb": "retrieval",
    "model_request": "agent_step",
    "step": "agent_step",
    "tool_coordination": "agent_step",
    "user_prompt_processing": "agent_step",
}
"""Its own words for steps that call no provider, by words that are known to be such."""

_PROVIDERS = {
    "bedrock": "aws.bedrock",
    "google_ai_studio": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertexai": "gcp.vertex_ai",
}


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation that a span or a record of OpenLIT's tells of; None for those of others."""
    if not (signal.scope_name or "").startswith(SCOPES):
        return None
    meant = replace(signal, attributes=_meant(signal))
    read_signal = genai.read if signal.kind == "span" else genai_events.read
    operation = read_signal(meant, capture_media=capture_media)
    if operation is not None:
        _count_all(operation)
        _forget(operation)
    return operation


def _meant(signal: Signal) -> Mapping[str, Any]:
    """The attributes with OpenTelemetry's word for the operation; those of a failed call by its name and scope.

    A span that failed has none: its name is `chat claude-sonnet-4-5`, its scope `openlit.instrumentation.anthropic`.
    """
    attributes = signal.attributes
    told = attributes.get("gen_ai.operation.name")
    if isinstance(told, str) and told in _OPERATION_TYPES:
        return {**attributes, "gen_ai.operation.name": _OPERATION_TYPES[told]}
    word, _, model = signal.name.partition(" ")
    if signal.kind != "span" or word not in _CALLS or any(name.startswith(PREFIXES) for name in attributes):
        return attributes
    scope = (signal.scope_name or "").rpartition(".")[2]
    said = {"gen_ai.operation.name": word, "gen_ai.provider.name": _PROVIDERS.get(scope, scope)}
    return {**attributes, **said, **({"gen_ai.request.model": model} if model else {})}


def _count_all(operation: Operation) -> None:
    """Input with cached tokens, output with reasoning; what was reported stays in `extras`."""
    scope, extras = operation.scope_name or "", operation.extras
    cached = (operation.cache_read_input_tokens or 0) + (operation.cache_write_input_tokens or 0)
    if scope.startswith(_WITHOUT_CACHED) and cached and operation.input_tokens is not None:
        extras["gen_ai.usage.input_tokens"] = operation.input_tokens
        operation.input_tokens = Cleaner().count("input_tokens", operation.input_tokens + cached)
    reasoning = operation.reasoning_output_tokens or 0
    if scope.startswith(_WITHOUT_REASONING) and reasoning and operation.output_tokens is not None:
        extras["gen_ai.usage.output_tokens"] = operation.output_tokens
        operation.output_tokens = Cleaner().count("output_tokens", operation.output_tokens + reasoning)


def _forget(operation: Operation) -> None:
    """What does not apply: a run as an agent, the first token of no stream, the tool that a model asks for."""
    extras = operation.extras
    if (operation.scope_name or "").endswith(".langchain") and operation.agent_id is not None:
        extras["gen_ai.agent.id"], operation.agent_id = operation.agent_id, None  # the id of one run
    if extras.get("gen_ai.request.stream") is False:
        operation.time_to_first_token_ms = None
    if operation.operation_type in _CALLS and operation.tool_name is not None:
        operation.tool_name = None
        if operation.messages:  # the call stands there, with its arguments
            for name in ("gen_ai.tool.args", "gen_ai.tool.call.arguments", "gen_ai.tool.call.id"):
                extras.pop(name, None)
