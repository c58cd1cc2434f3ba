"""Langfuse's SDKs: observations with whole bodies as JSON, their wrapper of OpenAI's client and LangChain's callback.

Values of metadata are quoted as JSON since version 5. No attribute names the provider: LangChain's metadata does, and
the wrapper of OpenAI's client shows itself by what it alone writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.exchanges import fill_usage, keep, take_call, take_step, take_tool
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_fields import FIELDS, finish_words
from otel_llm_sql.conventions.json_coded import gathered, nanoseconds, opened, quoted
from otel_llm_sql.conventions.langfuse_usage import buckets
from otel_llm_sql.conventions.providers import provider_name
from otel_llm_sql.conventions.run_metadata import take_metadata
from otel_llm_sql.conventions.shared import context_fields, operation
from otel_llm_sql.conventions.table import Field, Findings, compiled, raw, text
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import AGGREGATES, Operation

PREFIXES = ("langfuse.observation.",)
EVENT_NAMES: frozenset[str] = frozenset()
MARKS = frozenset({"langfuse.observation.type", "langfuse.observation.input", "langfuse.observation.usage_details"})
SCOPES = ("langfuse-sdk",)

_OBSERVATION = "langfuse.observation."
_OF_OBSERVATION = "langfuse.observation.metadata."
_OF_TRACE = "langfuse.trace.metadata."

_TABLE = compiled(
    *context_fields(),
    Field("finish_reasons", quoted(finish_words), (_OF_OBSERVATION + "finish_reason",)),
    Field("kind", text, (_OBSERVATION + "type",)),
    Field("named", text, (_OBSERVATION + "model.name",)),
    Field("sent", raw, (_OBSERVATION + "input",)),
    Field("came_back", raw, (_OBSERVATION + "output",)),
    Field("usage", raw, (_OBSERVATION + "usage_details",), keep=True),
    Field("costs", raw, (_OBSERVATION + "cost_details",), keep=True),
    Field("first_chunk", raw, (_OBSERVATION + "completion_start_time",)),
    Field("error_message", quoted(text), (_OBSERVATION + "status_message",)),
    *FIELDS,
)

_KINDS = {
    "generation": "chat",
    "embedding": "embeddings",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "retriever": "retrieval",
    "evaluator": "evaluate",
    "guardrail": "guardrail",
}
"""Types of observations that are more than a step of the application's."""

_WRAPPER_NAMES = ("OpenAI-generation", "OpenAI-embedding")
_WRAPPER_PARAMETERS = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty"})
"""What Langfuse's wrapper of OpenAI's client writes on each of its chats, whatever was asked for."""


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation an observation tells of; None for logs, and for spans that are no observation."""
    if signal.kind != "span" or not any(str(name).startswith(_OBSERVATION) for name in signal.attributes):
        return None
    found = Findings(Cleaner(capture_media=capture_media))
    found.collect(signal.attributes, _TABLE)
    kind = found.values.pop("kind", None) or ("generation" if "usage" in found.values else "span")
    found.values["operation_type"] = _KINDS.get(kind, "chain")
    metadata = _take_context(signal, found)
    if found.values["operation_type"] not in AGGREGATES:
        _take_model(signal, found, metadata)
        _take_usage(signal, found)
    found.give_back(("named", "usage", "costs", "first_chunk"))
    _take_exchange(found)
    take_content(found, [])
    if found.extras.get(_OBSERVATION + "level") == "ERROR" and signal.status != "error":
        signal = replace(signal, status="error")
    return operation(signal, found)


def _take_context(signal: Signal, found: Findings) -> dict[str, Any]:
    """Who is at work, for whom; returns the observation's own metadata."""
    of_trace, of_observation = (gathered(found.extras, prefix) for prefix in (_OF_TRACE, _OF_OBSERVATION))
    kept = take_metadata(found, of_trace, of_observation)
    for name, told in ((_OF_TRACE[:-1], kept), (_OF_OBSERVATION[:-1], of_observation)):
        if told:
            found.put(name, told)
    if found.values["operation_type"] == "invoke_agent":
        found.values.setdefault("agent_name", found.cleaner.bounded("agent_name", signal.name))
    if found.values["operation_type"] == "execute_tool":
        found.values.setdefault("tool_name", found.cleaner.bounded("tool_name", signal.name))
    return of_observation


def _take_model(signal: Signal, found: Findings, metadata: dict[str, Any]) -> None:
    """Who was asked, and which model: the one that answered, or the one asked for where none did."""
    values = found.values
    named, asked = values.pop("named", None), metadata.get("ls_model_name")
    if isinstance(asked, str) and asked:
        values.setdefault("request_model", found.cleaner.bounded("request_model", asked))
    if named:
        values.setdefault("model", named)
        if signal.status == "error" or values["operation_type"] == "embeddings":
            values.setdefault("request_model", named)
    provider = _provider(signal, found, metadata.get("ls_provider"))
    if provider:
        values.setdefault("provider", provider)


def _provider(signal: Signal, found: Findings, told: Any) -> str | None:
    if isinstance(told, str) and told:
        return found.cleaner.bounded("provider", provider_name(told))
    parameters = opened(found.extras.get(_OBSERVATION + "model.parameters"))
    wraps = isinstance(parameters, Mapping) and parameters.keys() >= _WRAPPER_PARAMETERS
    return "openai" if wraps or signal.name in _WRAPPER_NAMES else None


def _take_exchange(found: Findings) -> None:
    kind = found.values["operation_type"]
    if kind == "execute_tool":
        take_tool(found)
    elif kind == "chat":
        found.values["sent"] = _without_tools(found, opened(found.values.get("sent")))
        found.values["came_back"] = _as_list(opened(found.values.get("came_back")))
        take_call(found)
    elif kind in ("chain", "invoke_agent"):
        take_step(found)
    else:
        keep(found)


def _as_list(back: Any) -> Any:
    """The one item that OpenAI's Responses API gave back comes without the list around it; its id is no response's."""
    is_item = isinstance(back, Mapping) and isinstance(back.get("type"), str) and "id" in back
    return [back] if is_item and "usage" not in back else back  # Anthropic's whole response has a type, too


def _without_tools(found: Findings, sent: Any) -> Any:
    """LangChain's callback appends the tools that are offered to the messages, each as a message of role tool."""
    if not isinstance(sent, list):
        return sent
    tools = [item["content"] for item in sent if _is_tool(item)]
    if tools:
        found.values.setdefault("tool_definitions", tools)
    return [item for item in sent if not _is_tool(item)]


def _is_tool(item: Any) -> bool:
    return (
        isinstance(item, Mapping)
        and item.get("role") == "tool"
        and isinstance(item.get("content"), Mapping)
        and item["content"].get("type") == "function"
    )


def _take_usage(signal: Signal, found: Findings) -> None:
    values, cleaner = found.values, found.cleaner
    usage, costs = opened(values.pop("usage", None)), opened(values.pop("costs", None))
    for field, tokens in buckets(usage).items():
        values.setdefault(field, cleaner.count(field, tokens))
    fill_usage(found, usage)
    total = costs.get("total") if isinstance(costs, Mapping) else None
    if total:  # on errors it is 0, for what was never told
        values.setdefault("cost", cleaner.amount("cost", total))
    started = nanoseconds(opened(values.pop("first_chunk", None)))
    if started is not None:
        waited = max(started - signal.start_ns, 0) // 1_000_000
        values.setdefault("time_to_first_token_ms", cleaner.count("time_to_first_token_ms", waited))
