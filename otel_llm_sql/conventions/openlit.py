"""OpenLIT: OpenTelemetry's vocabulary with a reading of its own for some of it.

Tokens are as the provider counts them, some values are made up where nothing is known, and a span that failed says
nothing but its name. Its HTTP spans are another instrumentation's, and no operations.
"""

from __future__ import annotations

from dataclasses import replace

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
    named = _named(signal)
    read_signal = genai.read if signal.kind == "span" else genai_events.read
    operation = read_signal(named, capture_media=capture_media)
    if operation is not None:
        _count_all(operation)
        _forget(operation)
    return operation


def _named(signal: Signal) -> Signal:
    """A failed span with what its name (`chat claude-sonnet-4-5`) and its scope (`openlit.instrumentation.x`) say."""
    word, _, model = signal.name.partition(" ")
    if signal.kind != "span" or word not in _CALLS or any(name.startswith(PREFIXES) for name in signal.attributes):
        return signal
    scope = (signal.scope_name or "").rpartition(".")[2].removeprefix("async_")
    said = {
        "gen_ai.operation.name": word,
        "gen_ai.request.model": model or None,
        "gen_ai.provider.name": _PROVIDERS.get(scope, scope),
    }
    told = {name: value for name, value in said.items() if value is not None}
    return replace(signal, attributes={**signal.attributes, **told})


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
    """What does not apply: the time to the first token of a call that was no stream, the tool of a call to a model."""
    extras = operation.extras
    if extras.get("gen_ai.request.stream") is False:
        operation.time_to_first_token_ms = None
    if operation.operation_type in _CALLS and operation.tool_name is not None:
        operation.tool_name = None
        if operation.messages:  # the call stands there, with its arguments
            for name in ("gen_ai.tool.args", "gen_ai.tool.call.arguments", "gen_ai.tool.call.id"):
                extras.pop(name, None)
