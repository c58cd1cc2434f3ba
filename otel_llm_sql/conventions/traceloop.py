"""Traceloop's OpenLLMetry in all its generations, and the spans of its SDK.

Newer instrumentations speak OpenTelemetry's vocabulary with additions, older ones tell each message in attributes of
its own (`gen_ai.prompt.0.role`); the SDK adds steps (`traceloop.span.kind`) and puts the application's association
properties on every span, also on those of other instrumentations.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from otel_llm_sql.conventions import genai_events
from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.genai import span_messages
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_fields import (
    FIELDS,
    apply_rules,
    finish_words,
    operation_word,
    provider,
    recognised,
)
from otel_llm_sql.conventions.shared import context_fields, key_text, operation
from otel_llm_sql.conventions.table import Field, Findings, compiled, count, raw, text
from otel_llm_sql.conventions.traceloop_entities import take_entity
from otel_llm_sql.conventions.traceloop_messages import PREFIXES as INDEXED
from otel_llm_sql.conventions.traceloop_messages import split, with_call_ids
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation

PREFIXES = (
    "gen_ai.",
    "llm.request.",
    "llm.usage.",
    "llm.is_streaming",
    "traceloop.span.",
    "traceloop.entity.",
    *INDEXED,
)
EVENT_NAMES: frozenset[str] = frozenset()
MARKS = frozenset(
    {
        "traceloop.span.kind",
        "traceloop.entity.name",
        "traceloop.entity.input",
        "traceloop.entity.output",
        "llm.request.type",
        "llm.is_streaming",
        "llm.usage.total_tokens",
        "gen_ai.prompt.0.role",
        "gen_ai.prompt.0.content",
        "gen_ai.completion.0.role",
        "gen_ai.completion.0.content",
        "gen_ai.is_streaming",
        # On spans of other instrumentations too, which then are read with what the SDK put there.
        "traceloop.workflow.name",
        "traceloop.association.properties.session_id",
        "traceloop.association.properties.thread_id",
        "traceloop.association.properties.user_id",
    }
)

_INSTRUMENTATIONS = (
    *("agno", "alephalpha", "anthropic", "bedrock", "cohere", "crewai", "google_generativeai", "groq", "haystack"),
    *("langchain", "litellm", "llamaindex", "mcp", "mistralai", "ollama", "openai.v0", "openai.v1", "openai_agents"),
    *("replicate", "sagemaker", "together", "transformers", "vertexai", "voyageai", "watsonx", "writer"),
)
SCOPES = ("traceloop.", *(f"opentelemetry.instrumentation.{name}" for name in _INSTRUMENTATIONS))

_PROPERTIES = "traceloop.association.properties."


def _property(*names: str) -> tuple[str, ...]:
    return tuple(_PROPERTIES + name for name in names)


_SESSIONS = ("session_id", "sessionId", "session.id", "conversation_id", "conversationId", "thread_id", "threadId")
_FIELDS = (
    # What the application named is before what instrumentations name: LangChain's thread, the `user` of a request.
    Field("session_key", key_text, _property(*_SESSIONS, "chat_id", "chatId")),
    Field("user_id", text, ("llm_sql.user_id", *_property("user_id", "userId", "user.id"))),
    *context_fields(
        agent_name=_property("lc_agent_name"),
        action_id=("traceloop.entity.path", "traceloop.workflow.name"),
        request_model=("gen_ai.request.model", "llm.request.model"),
        model=("gen_ai.response.model", "llm.response.model"),
    ),
    *FIELDS,
    Field("operation_type", operation_word, ("llm.request.type",)),
    Field("provider", provider, ("llm.vendor",)),
    Field("input_tokens", count, ("llm.usage.prompt_tokens",)),
    Field("output_tokens", count, ("llm.usage.completion_tokens",)),
    Field("cache_read_input_tokens", count, ("llm.usage.cache_read_input_tokens",)),
    Field("cache_write_input_tokens", count, ("llm.usage.cache_creation_input_tokens",)),
    Field("reasoning_output_tokens", count, ("llm.usage.reasoning_tokens",)),
    Field(
        "finish_reasons",
        finish_words,
        ("gen_ai.response.stop_reason", "llm.response.finish_reason", "llm.response.stop_reason"),
    ),
    Field("kind", text, ("traceloop.span.kind",)),
    Field("entity_name", text, ("traceloop.entity.name",)),
    # Told twice by LangChain's instrumentation, the same text under both names.
    Field("entity_input", raw, ("traceloop.entity.input", "gen_ai.task.input")),
    Field("entity_output", raw, ("traceloop.entity.output", "gen_ai.task.output")),
)
_TABLE = compiled(*_FIELDS)

_CHUNKS = ("gen_ai.content.completion.chunk", "llm.content.completion.chunk")
"""An event for each chunk of a stream, which says only when it came."""

_OF_FRAMEWORKS = ("ls_", "lc_", "langgraph_", "checkpoint_ns", "__pregel")
"""What the names of association properties begin with that LangChain sets, not the application."""

_COUNTED = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens")
_SEVERAL = 2

_OPERATION_TYPES = {"vector_db_retrieve": "retrieval", "llm_request": "chat"}

_FINISH_REASONS = {
    "anthropic": {"tool_call": "tool_use", "length": "max_tokens"},
    "aws.bedrock": {"tool_call": "tool_use", "length": "max_tokens"},
    "openai": {"tool_call": "tool_calls"},
    "azure.ai.openai": {"tool_call": "tool_calls"},
    "groq": {"tool_call": "tool_calls"},
}
"""Where Traceloop's word can stand for one word of the provider only. `stop` of Anthropic's may be two."""


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation that a span of Traceloop's tells of, or a log record; None for others."""
    if signal.kind == "log":
        return _read_log(signal, capture_media=capture_media)
    found = Findings(Cleaner(capture_media=capture_media))
    attributes, indexed = split(signal.attributes)
    found.collect(attributes, _TABLE)
    for name, told in indexed.items():
        found.values.setdefault(name, told)
    told = span_messages(_without_chunks(signal, found), found) if signal.events else []
    if not told and not recognised(found):
        return None
    take_entity(found)
    _take_properties(found)
    _apply_rules(signal, found)
    take_content(found, told)
    if (signal.scope_name or "").endswith(".langchain"):
        _take_one_usage(found)
    result = operation(signal, found)
    _restore_reasons(result)
    return result


def _without_chunks(signal: Signal, found: Findings) -> Signal:
    """Without the events of chunks; the first one tells the time to the first token."""
    chunks = [event.time_ns for event in signal.events if event.name in _CHUNKS]
    if not chunks:
        return signal
    if min(chunks) >= signal.start_ns:
        waited = found.cleaner.count("time_to_first_token_ms", (min(chunks) - signal.start_ns) // 1_000_000)
        found.values.setdefault("time_to_first_token_ms", waited)
    return replace(signal, events=tuple(event for event in signal.events if event.name not in _CHUNKS))


def _take_one_usage(found: Findings) -> None:
    """Of several choices each has the usage of the whole response in LangChain, and Traceloop adds them up.

    It tells cached tokens only where it did; where the response's own usage was taken, they are missing.
    """
    values = found.values
    choices = [message.direction for message in values.get("messages", ())].count("output")
    if choices < _SEVERAL or "cache_read_input_tokens" not in values:
        return
    counted = {field: values[field] for field in _COUNTED if values.get(field)}
    if any(tokens % choices for tokens in counted.values()):
        return
    for field, tokens in counted.items():
        found.put(*found.sources[field][:2])
        values[field] = tokens // choices


def _take_properties(found: Findings) -> None:
    """Association properties that the application set are its metadata."""
    extras, own = found.extras, {}
    for name in [name for name in extras if name.startswith(_PROPERTIES)]:
        key = name.removeprefix(_PROPERTIES)
        if key and not key.startswith(_OF_FRAMEWORKS):
            own[key] = extras.pop(name)
    if own:
        found.values["metadata"] = {**own, **(found.values.get("metadata") or {})}


def _apply_rules(signal: Signal, found: Findings) -> None:
    values, extras, scope = found.values, found.extras, signal.scope_name or ""
    for name in ("traceloop.workflow.name", "traceloop.entity.path"):
        if extras.get(name) == "":
            del extras[name]
    told = values.get("operation_type")
    if told in _OPERATION_TYPES:
        values["operation_type"] = _OPERATION_TYPES[told]
    if told == "text_completion" and scope.endswith(".anthropic") and signal.name.endswith("anthropic.chat"):
        values["operation_type"] = "chat"  # older versions know one word for both
    if "crewai.crew.id" in extras:
        values["operation_type"] = "invoke_workflow"
    if scope.endswith(".langchain"):
        found.give_back(("agent_id",))  # the id of one run
    if scope.endswith(".openai_agents") and "input" in values:
        values["input"] = with_call_ids(values["input"])
    apply_rules(signal, found)


def _read_log(signal: Signal, *, capture_media: bool) -> Operation | None:
    """A record of OpenTelemetry's older events; Anthropic's tools are told as if the user had said them."""
    if not (signal.scope_name or "").startswith(SCOPES):
        return None
    tools = _told_tools(signal.body)
    result = genai_events.read(replace(signal, body=None) if tools else signal, capture_media=capture_media)
    if result is None:
        return None
    if tools:
        result.messages, result.tool_definitions = [], Cleaner().json("tools", tools)
    _restore_reasons(result)
    return result


def _told_tools(body: Any) -> Any:
    content = body.get("content") if isinstance(body, dict) else None
    return content["tools"] if isinstance(content, dict) and content.keys() == {"tools"} else None


def _restore_reasons(result: Operation) -> None:
    """What the provider sent where Traceloop put OpenTelemetry's word in its place."""
    words = _FINISH_REASONS.get(result.provider or "")
    if words is None or (result.provider == "aws.bedrock" and (result.request_model or "").startswith("command")):
        return
    result.finish_reason = words.get(result.finish_reason or "", result.finish_reason)
    for message in result.messages:
        message.finish_reason = words.get(message.finish_reason or "", message.finish_reason)
