"""Vercel's AI SDK: `ai.*` attributes (SDK 3 to 6, and 7's `LegacyOpenTelemetry`), and its own ways with `gen_ai.*` (7).

What `generateText`, `streamText` and `generateObject` do around their calls is an agent's run, as SDK 7 names it: its
usage is the sum of its calls'.
"""

from __future__ import annotations

from typing import Any

from otel_llm_sql.conventions import genai_fields
from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.genai import span_messages
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_fields import apply_rules, finish_words
from otel_llm_sql.conventions.shared import context_fields, operation
from otel_llm_sql.conventions.table import Field, Findings, closed, compiled, count, milliseconds, raw
from otel_llm_sql.conventions.vercel_content import take_tool_call, tools, with_messages, without_vectors
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

PREFIXES = ("ai.",)
EVENT_NAMES: frozenset[str] = frozenset()
SCOPES = ("gen_ai",)
"""SDK 7's tracer, whose spans nothing else tells from others that speak OpenTelemetry's convention."""

_METADATA = ("ai.telemetry.metadata.", "ai.settings.context.")
"""What the application said, in SDK 6 and in SDK 7."""

_SESSION = (
    "sessionId",
    "session_id",
    "conversationId",
    "conversation_id",
    "threadId",
    "thread_id",
    "chatId",
    "chat_id",
)
_USER = ("userId", "user_id")


def _named(*keys: str) -> tuple[str, ...]:
    return tuple(prefix + key for key in keys for prefix in _METADATA)


MARKS = frozenset({"ai.operationId", "ai.model.id", "ai.toolCall.id", *_named(*_SESSION, *_USER)})


@closed
def _operation_type(cleaner: Cleaner, name: str, value: Any) -> str | None:
    """`ai.streamText.doStream` is a call; `ai.streamText` is what goes on around it."""
    told = (cleaner.bounded(name, value) or "").partition(" ")[0]
    if told == "ai.toolCall":
        return "execute_tool"
    outer, _, inner = told.removeprefix("ai.").partition(".")
    if inner:
        return _CALLS.get(inner)
    return ("invoke_agent" if outer in _RUNS else "chain") if told.startswith("ai.") and outer else None


_CALLS = {"doGenerate": "chat", "doStream": "chat", "doEmbed": "embeddings", "doRerank": "rerank"}
_RUNS = frozenset({"generateText", "streamText", "generateObject", "streamObject"})

_USAGE = "ai.usage."

TABLE = compiled(
    Field("operation_type", _operation_type, ("ai.operationId",)),
    *genai_fields.FIELDS,
    *context_fields(
        session_key=_named(*_SESSION),
        user_id=_named(*_USER),
        agent_name=("ai.telemetry.functionId",),
        request_model=("ai.model.id",),
        model=("ai.response.model",),
        response_id=("ai.response.id",),
        tool_name=("ai.toolCall.name",),
    ),
    Field("provider", genai_fields.provider, ("ai.model.provider",)),
    Field("input_tokens", count, tuple(_USAGE + name for name in ("inputTokens", "promptTokens", "tokens"))),
    Field("output_tokens", count, tuple(_USAGE + name for name in ("outputTokens", "completionTokens"))),
    Field(
        "cache_read_input_tokens",
        count,
        tuple(_USAGE + name for name in ("inputTokenDetails.cacheReadTokens", "cachedInputTokens")),
    ),
    Field("cache_write_input_tokens", count, (_USAGE + "inputTokenDetails.cacheWriteTokens",)),
    Field(
        "reasoning_output_tokens",
        count,
        tuple(_USAGE + name for name in ("outputTokenDetails.reasoningTokens", "reasoningTokens")),
    ),
    Field("time_to_first_token_ms", milliseconds, ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk")),
    Field("finish_reasons", finish_words, ("ai.response.finishReason",)),
    Field("prompt", raw, ("ai.prompt.messages", "ai.prompt")),
    Field("tools", raw, ("ai.prompt.tools",)),
)


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation a span tells of; None for logs and for spans of others."""
    if signal.kind != "span" or not (signal.scope_name == "gen_ai" or MARKS & signal.attributes.keys()):
        return None
    found = Findings(Cleaner(capture_media=capture_media))
    found.collect(signal.attributes, TABLE)
    told = span_messages(signal, found) if signal.events else []
    _take_context(found)
    values = found.values
    values.setdefault("operation_type", _operation_type(found.cleaner, "span_name", signal.name))
    apply_rules(signal, found)
    _take_usage(signal, found)
    _take_response(found)
    with_messages(found)
    if "tools" in values:
        values.setdefault("tool_definitions", tools(values.pop("tools")))
    if values.get("operation_type") == "execute_tool":
        take_tool_call(found)
    elif values.get("operation_type") != "chat":
        without_vectors(found)
    take_content(found, told)
    return operation(signal, found)


def _take_context(found: Findings) -> None:
    """What the application said of itself, but for the session and the user, which have columns of their own."""
    extras = found.extras
    names = [name for name in extras if name.startswith(_METADATA)]
    if names:
        said = {name.split(".", 3)[3]: extras.pop(name) for name in names}
        found.values["metadata"] = {**(found.values.get("metadata") or {}), **said}


def _take_response(found: Findings) -> None:
    values = found.values
    if values.get("response_id", "").startswith(_INVENTED_IDS):
        found.give_back(("response_id",))
    reasons = values.get("finish_reasons")
    found.extras.pop("ai.response.finishReason", None)
    if reasons and values.get("provider") in _USES_TOOLS:
        values["finish_reasons"] = ["tool_use" if reason == "tool_calls" else reason for reason in reasons]


_INVENTED_IDS = ("aitxt-", "aiobj-")
"""The SDK makes up an id where the provider sends none: it tells no twin."""

_USES_TOOLS = frozenset({"anthropic", "aws.bedrock"})
"""Providers whose `tool_use` the SDK calls `tool-calls`."""


def _take_usage(signal: Signal, found: Findings) -> None:
    """Tokens written to the cache may stand in the provider's own words only; SDK 5 left cached tokens out."""
    values = found.values
    if values.get("operation_type") != "chat":
        return
    told = found.extras.get("ai.response.providerMetadata")
    if "cache_write_input_tokens" not in values and isinstance(told, str) and "cache" in told:
        written = _cache_write(found.cleaner.structure("ai.response.providerMetadata", told))
        if written is not None:
            values["cache_write_input_tokens"] = written
    agent = signal.attributes.get("ai.request.headers.user-agent")
    if isinstance(agent, str) and "ai/5." in agent and values.get("provider") in _USES_TOOLS:
        cached = (values.get("cache_read_input_tokens") or 0) + (values.get("cache_write_input_tokens") or 0)
        if cached and "input_tokens" in values:
            found.put(*found.sources["input_tokens"][:2])
            values["input_tokens"] = found.cleaner.count("input_tokens", values["input_tokens"] + cached)


def _cache_write(metadata: Any) -> int | None:
    """What Anthropic or Bedrock said of it."""
    for path in (("anthropic", "cacheCreationInputTokens"), ("bedrock", "usage", "cacheWriteInputTokens")):
        value = metadata
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if type(value) is int and value >= 0:
            return value
    return None


__all__ = ["EVENT_NAMES", "MARKS", "PREFIXES", "SCOPES", "read"]
