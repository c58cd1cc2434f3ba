"""Haystack's spans (`haystack.*`): components of a pipeline and steps of an agent, with JSON of what went in and out.

Nothing names the provider but the type of a component. What cannot be JSON, such as the tools that an agent offers,
makes the whole input Python's repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.exchanges import RESULT, keep, take_tool
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.genai_fields import FIELDS
from otel_llm_sql.conventions.haystack_messages import message, messages, opened_body, tools, usage_of
from otel_llm_sql.conventions.json_coded import nanoseconds
from otel_llm_sql.conventions.shared import context_fields, operation
from otel_llm_sql.conventions.table import Field, Findings, compiled, raw, text
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import AGGREGATES, Operation

PREFIXES = ("haystack.",)
EVENT_NAMES: frozenset[str] = frozenset()
MARKS = frozenset(
    {
        *("haystack.component.name", "haystack.pipeline.input_data", "haystack.pipeline.execution_mode"),
        *("haystack.agent.max_steps", "haystack.agent.step", "haystack.agent.step.llm.input", "haystack.tool.name"),
    }
)
SCOPES = ()

_BODIES = ("haystack.component.", "haystack.agent.step.llm.", "haystack.agent.step.tool.", "haystack.agent.")
_TABLE = compiled(
    *context_fields(tool_name=("haystack.tool.name",), action_id=("haystack.component.name",)),
    *FIELDS,
    Field("component", text, ("haystack.component.type",), keep=True),
    Field("sent", raw, (*(f"{name}input" for name in _BODIES), "haystack.pipeline.input_data")),
    Field("came_back", raw, (*(f"{name}output" for name in _BODIES), "haystack.pipeline.output_data")),
)

_SPANS = {
    "haystack.pipeline.run": "invoke_workflow",
    "haystack.async_pipeline.run": "invoke_workflow",
    "haystack.agent.run": "invoke_agent",
    "haystack.agent.step.llm": "chat",
    "haystack.agent.step.tool": "execute_tool",
}
_COMPONENTS = (
    ("ChatGenerator", "chat"),
    ("ResponsesGenerator", "chat"),
    ("Generator", "text_completion"),
    ("Embedder", "embeddings"),
    ("Retriever", "retrieval"),
    ("Ranker", "rerank"),
    ("Agent", "invoke_agent"),
)
"""What the names of components' types end with, or begin behind a provider's: which kind of operation they are."""

_PROVIDERS = (
    ("AzureOpenAI", "azure.ai.openai"),
    ("OpenAI", "openai"),
    ("Anthropic", "anthropic"),
    ("AmazonBedrock", "aws.bedrock"),
    ("Cohere", "cohere"),
    ("GoogleGenAI", "gcp.gemini"),
    ("GoogleAIGemini", "gcp.gemini"),
    ("VertexAI", "gcp.vertex_ai"),
    ("Mistral", "mistral_ai"),
    ("Ollama", "ollama"),
    ("HuggingFaceAPI", "huggingface"),
    ("Watsonx", "ibm.watsonx.ai"),
    ("Jina", "jina"),
    ("Nvidia", "nvidia"),
    ("OpenRouter", "openrouter"),
    ("TogetherAI", "together_ai"),
)
"""What the types of components begin with that ask a provider."""

_TOOLS, _FAILED = "haystack.agent.tools", "haystack.tool.error"


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation a span of Haystack's tells of; None for logs, and for other spans."""
    if signal.kind != "span" or not (signal.name in _SPANS or not MARKS.isdisjoint(signal.attributes)):
        return None
    found = Findings(Cleaner(capture_media=capture_media))
    found.collect(signal.attributes, _TABLE)
    component = found.values.pop("component", "")
    found.values["operation_type"] = kind = _SPANS.get(signal.name) or _of_component(component)
    if kind not in AGGREGATES:
        provider = next((name for prefix, name in _PROVIDERS if component.startswith(prefix)), None)
        if provider:
            found.values.setdefault("provider", provider)
    _take_exchange(signal, found, component)
    take_content(found, [])
    if found.extras.get(_FAILED) is True and signal.status != "error":
        signal = replace(signal, status="error", status_message=_failure(found.extras.get(RESULT)))
    return operation(signal, found)


def _failure(result: Any) -> str | None:
    """A failed tool's message to the model, which its span tells as the result."""
    told = result.get("error") if isinstance(result, Mapping) else None
    return told if isinstance(told, str) else None


def _of_component(component: str) -> str:
    return next((kind for ending, kind in _COMPONENTS if component.endswith(ending)), "chain")


def _take_exchange(signal: Signal, found: Findings, component: str) -> None:
    kind = found.values["operation_type"]
    if kind == "execute_tool":
        take_tool(found)
    elif kind in ("chat", "text_completion"):
        _take_request(found)
        _take_replies(signal, found, component)
    elif kind == "embeddings":
        _take_embeddings(found)
    elif kind == "invoke_agent":
        _take_run(found)
    else:
        keep(found)


def _take_request(found: Findings) -> None:
    sent = opened_body(found.values.pop("sent", None))
    if not isinstance(sent, Mapping):
        _keep(found, "sent", sent)
        return
    told = sent.get("messages", sent.get("prompt"))
    read = [told] if isinstance(told, str) else messages(told)
    if read:
        found.values["input"] = read
    if offered := tools(sent.get("tools")):
        found.values["tool_definitions"] = offered
    left = {key for key, known in (("messages", read), ("prompt", read), ("tools", offered)) if known}
    _keep(found, "sent", {key: value for key, value in sent.items() if value is not None and key not in left})


def _take_replies(signal: Signal, found: Findings, component: str) -> None:
    values = found.values
    back = opened_body(values.pop("came_back", None))
    replies = back.get("replies") if isinstance(back, Mapping) else None
    if not isinstance(replies, list):
        _keep(found, "came_back", back)
        return
    read = [reply if isinstance(reply, str) else message(reply) for reply in replies]
    values["output"] = [{"role": "assistant", "content": one} if isinstance(one, str) else one for one in read if one]
    metas = _metas(replies, back.get("meta"))
    for meta in metas[:1]:
        _take_meta(signal, found, meta, component)
    reasons = [found.cleaner.bounded("finish_reason", meta.get("finish_reason"), 64) for meta in metas]
    if any(reasons):
        values["finish_reasons"] = [reason for reason in reasons if reason]
    rest = {key: value for key, value in back.items() if key not in ("replies", "meta")}
    _keep(found, "came_back", rest | ({"meta": metas} if metas else {}))


def _metas(replies: list[Any], beside: Any) -> list[Mapping[str, Any]]:
    """What is told of each answer: on it, or beside those of a generator of plain text."""
    told = [reply.get("meta") for reply in replies if isinstance(reply, Mapping)] or beside
    return [meta for meta in told if isinstance(meta, Mapping)] if isinstance(told, list) else []


def _take_meta(signal: Signal, found: Findings, meta: Mapping[str, Any], component: str) -> None:
    """What a generator says of an answer: the usage is that of the whole call, and the same on all of its choices."""
    values, cleaner = found.values, found.cleaner
    for field, key in (("model", "model"), ("response_id", "id")):
        if isinstance(meta.get(key), str) and meta[key]:
            values.setdefault(field, cleaner.bounded(field, meta[key]))
    for field, tokens in usage_of(meta.get("usage"), component).items():
        values.setdefault(field, cleaner.count(field, tokens))
    started = nanoseconds(meta.get("completion_start_time"))
    if started is not None:
        values["time_to_first_token_ms"] = cleaner.count(
            "time_to_first_token_ms", max(started - signal.start_ns, 0) // 1_000_000
        )


def _take_embeddings(found: Findings) -> None:
    back = opened_body(found.values.pop("came_back", None))
    if isinstance(back, Mapping):
        meta = back.get("meta")
        if isinstance(meta, Mapping):
            for field, tokens in usage_of(meta.get("usage"), "").items():
                found.values.setdefault(field, found.cleaner.count(field, tokens))
            if isinstance(meta.get("model"), str):
                found.values.setdefault("model", found.cleaner.bounded("model", meta["model"]))
        # The vectors are what was sold, not what was said about it.
        back = {key: value for key, value in back.items() if key not in ("embedding", "documents")}
    _keep(found, "came_back", back)
    found.give_back(("sent",))


def _take_run(found: Findings) -> None:
    """An agent's run gives back the whole conversation."""
    values = found.values
    if offered := tools(opened_body(found.extras.get(_TOOLS))):
        values["tool_definitions"] = offered
        del found.extras[_TOOLS]
    sent, back = opened_body(values.pop("sent", None)), opened_body(values.pop("came_back", None))
    told = messages(back.get("messages")) if isinstance(back, Mapping) else []
    asked = messages(sent.get("messages")) if isinstance(sent, Mapping) else []
    if told:
        values["conversation"] = told
        back = {key: value for key, value in back.items() if key not in ("messages", "last_message")}
    elif asked:
        values["input"] = asked
    if asked:
        sent = {key: value for key, value in sent.items() if key != "messages" and value is not None}
    _keep(found, "sent", sent)
    _keep(found, "came_back", back)


def _keep(found: Findings, field: str, body: Any) -> None:
    if body not in (None, "", {}):
        found.put(found.sources[field][0], body)


__all__ = ["EVENT_NAMES", "MARKS", "PREFIXES", "SCOPES", "read"]
