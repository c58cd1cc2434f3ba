"""OpenInference (Arize Phoenix) on spans, in all versions, also where it speaks OpenTelemetry's words beside its own.

Calls are spans of kind LLM, EMBEDDING and RERANKER; all others are steps around them. Spans that another framework made
and OpenInference only added its words to are read in the words of their makers (`of_host`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from otel_llm_sql.conventions.bodies import text
from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.genai_content import take_content
from otel_llm_sql.conventions.openinference_content import Content, take_parameters
from otel_llm_sql.conventions.openinference_fields import TABLE
from otel_llm_sql.conventions.openinference_messages import INDEXED, Items, document
from otel_llm_sql.conventions.openinference_models import SCOPE, take_models
from otel_llm_sql.conventions.providers import provider_name
from otel_llm_sql.conventions.shared import last_exception, operation
from otel_llm_sql.conventions.table import Findings
from otel_llm_sql.conventions.usage import read_usage
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import AGGREGATES, Operation, bounded_key

PREFIXES = ("openinference.", "llm.", "embedding.")
EVENT_NAMES: frozenset[str] = frozenset()
MARKS = frozenset(
    {
        "openinference.span.kind",
        "llm.token_count.prompt",
        "llm.model_name",
        "llm.input_messages.0.message.role",
        "llm.output_messages.0.message.role",
    }
)
SCOPES = ("openinference.instrumentation.", "@arizeai/openinference")

_KIND = "openinference.span.kind"
_FIRST_CHUNK = "First Token Stream Event"
_TRACEBACK = "Traceback (most recent call last)"

_HOSTS = ("pydantic-ai", "strands.", "agent_framework", "openlit", "opentelemetry.instrumentation.")
_ADDED = (
    *INDEXED,
    *("llm.token_count.", "llm.invocation_parameters", "llm.model_name", "llm.provider", "llm.system"),
    *("llm.finish_reason", "llm.cost.", "input.value", "input.mime_type", "output.value", "output.mime_type"),
    *("openinference.", "tool.", "tool_call.", "message.", "graph.node.", "agent.name"),
)
_ASK_NOBODY = frozenset({"_prepare_chat_with_tools", "get_tool_calls_from_response"})
"""Methods of LlamaIndex's models that get a span of kind LLM, too, but only shape what is sent or came back."""

_LANGCHAIN_OWN = ("ls_", "lc_", "langgraph_", "checkpoint_ns")
_AGENT = re.compile(r"current_agent_name='([^']{1,255})'")


def read(signal: Signal, *, capture_media: bool = False) -> Operation | None:
    """The operation a span tells of; None for logs, and for spans without a word of OpenInference's."""
    if signal.kind != "span" or not _is_ours(signal):
        return None
    found, items = Findings(Cleaner(capture_media=capture_media)), Items()
    others = {
        name: value
        for name, value in signal.attributes.items()
        if not (type(name) is str and name.startswith(INDEXED) and items.take(name, value))
    }
    found.collect(others, TABLE)
    is_call = _take_kind(signal, found, items)
    content = Content(found, items, is_call=is_call)
    parameters = take_parameters(found)
    _take_context(signal, found, content, parameters)
    if is_call:
        take_models(signal, found, content, parameters)
        _take_usage(found, content)
    found.give_back(_LEFT)
    _take_exchange(signal, found, content, items, parameters)
    _take_events(signal, found)
    take_content(found, [])
    return operation(_briefly(signal), found)


def of_host(signal: Signal) -> Signal:
    """A span that OpenInference's span processors only added their words to, without these; other signals as they are.

    The host's words are what theirs are derived from, and say more.
    """
    if (
        _KIND not in signal.attributes
        or "gen_ai.operation.name" not in signal.attributes
        or not (signal.scope_name or "").startswith(_HOSTS)
    ):
        return signal
    own = {name: value for name, value in signal.attributes.items() if not str(name).startswith(_ADDED)}
    return replace(signal, attributes=own)


def _is_ours(signal: Signal) -> bool:
    return (signal.scope_name or "").startswith(SCOPES) or any(
        name in MARKS or (type(name) is str and name.startswith(INDEXED)) for name in signal.attributes
    )


def _take_usage(found: Findings, content: Content) -> None:
    """The response's own usage: older versions tell no cached ones beside it, and Anthropic's input without them."""
    told = read_usage(content.back.rest.get("usage")) if content.back else {}
    cached = [field for field in ("cache_read_input_tokens", "cache_write_input_tokens") if told.get(field)]
    if cached and not any(field in found.values for field in cached):
        found.give_back(("input_tokens",))
    for field, tokens in told.items():
        found.values.setdefault(field, found.cleaner.count(field, tokens))


_LEFT = ("kind", "host", "system_name", "served", "asked", "named", "reason", "node")


def _take_kind(signal: Signal, found: Findings, items: Items) -> bool:
    """What sort of operation this is; whether it is a call to a model."""
    values, scope = found.values, signal.scope_name or ""
    kind = values.pop("kind", None)
    told = values.get("operation_type") or kind or _by_content(found, items)
    if told == "chain" and scope == f"{SCOPE}instructor" and "named" in values:
        told = "chat"  # its span is around the call, and the only one where nobody instruments the client
    if told == "chat" and signal.name.rpartition(".")[2] in _ASK_NOBODY:
        told = "chain"
    if told == "chat" and "embed" in values.get("named", "") and not items.lists and "output_tokens" not in values:
        told = "embeddings"  # Bedrock has one operation for all of its models
    if told == "chat" and "llm.prompts" in items.lists:
        told = "text_completion"
    values["operation_type"] = told
    return told not in AGGREGATES


def _by_content(found: Findings, items: Items) -> str:
    for operation_type, name in (
        ("embeddings", "embedding.embeddings"),
        ("retrieval", "retrieval.documents"),
        ("rerank", "reranker.output_documents"),
        ("chat", "llm.output_messages"),
        ("chat", "llm.input_messages"),
    ):
        if name in items.lists:
            return operation_type
    return "chat" if found.values.keys() & {"input_tokens", "named"} else "chain"


def _take_context(signal: Signal, found: Findings, content: Content, parameters: Any) -> None:
    values, scope = found.values, signal.scope_name or ""
    _take_metadata(found)
    conversations = [body.session_key for body in (content.sent, content.back) if body]
    session = next(filter(None, (*conversations, text(parameters.get("conversation")))), None)
    if user := _user(parameters):
        values.setdefault("user_id", found.cleaner.bounded("user_id", user))
    if session:
        values.setdefault("session_key", bounded_key(found.cleaner.text("session_key", session)))
    if node := values.pop("node", None):
        values.setdefault("agent_name" if values["operation_type"] == "invoke_agent" else "action_id", node)
    if scope == f"{SCOPE}llama_index" and "agent_name" not in values:
        told = _AGENT.search(content.as_told())
        if told:
            values["agent_name"] = found.cleaner.text("agent_name", told[1])


def _user(parameters: Any) -> str | None:
    """Whom a request names: OpenAI's `user`, Anthropic's `metadata.user_id`."""
    metadata = parameters.get("metadata")
    named = metadata.get("user_id") if isinstance(metadata, dict) else None
    return text(parameters.get("user")) or text(named)


def _take_metadata(found: Findings) -> None:
    """The application's metadata, without what LangChain and LangGraph put among it, which changes with every step."""
    values, cleaner = found.values, found.cleaner
    told = values.get("metadata")
    if not told:
        return
    own = {key: value for key, value in told.items() if key.startswith(_LANGCHAIN_OWN)}
    if own:
        values["metadata"] = {key: value for key, value in told.items() if key not in own}
        found.extras["metadata"] = own
    for field, keys in (
        ("session_key", ("session_id", "thread_id", "conversation_id")),
        ("agent_name", ("lc_agent_name",)),
        ("action_id", ("langgraph_node",)),
    ):
        named = next((told[key] for key in keys if isinstance(told.get(key), str) and told[key]), None)
        if named and field not in values:
            values[field] = cleaner.bounded(field, named)
    if "host" not in values and isinstance(told.get("ls_provider"), str):
        values["host"] = provider_name(told["ls_provider"])


def _take_exchange(signal: Signal, found: Findings, content: Content, items: Items, parameters: Any) -> None:
    """What was said, by the kind of the operation."""
    kind = found.values["operation_type"]
    if kind == "execute_tool":
        _take_tool(found, content)
    elif kind in _LISTS:
        _take_lists(found, content, items, kind)
    else:
        for name in items.lists.keys() & _OF_OTHERS:
            found.put(name, [document(fields) for fields in items.of(name)])
        if instructions := parameters.get("instructions"):
            found.values.setdefault("system", instructions)
        content.take_tools(parameters.get("tools"))
        content.take_messages(parameters)
        if kind not in AGGREGATES and signal.status != "error":
            content.take_answer(found.extras.get("instructor.response_model"))


_LISTS = {
    "retrieval": (("retrieval.documents", "gen_ai.retrieval.documents"),),
    "rerank": tuple((f"reranker.{side}_documents",) * 2 for side in ("input", "output")),
    "embeddings": (),
}
"""Operations that exchange documents or texts, not messages: the lists they have, and what these are in `extras`."""

_OF_OTHERS = frozenset(
    {"retrieval.documents", "reranker.input_documents", "reranker.output_documents", "embedding.embeddings"}
)
"""Lists that stay in `extras` where the operation is none that has them."""


def _take_tool(found: Findings, content: Content) -> None:
    """Arguments, result and the call's id by OpenTelemetry's names for them."""
    answered = content.answered()
    for field, name in (("sent", "gen_ai.tool.call.arguments"), ("came_back", "gen_ai.tool.call.result")):
        told = content.take(field)
        if told is not None and name not in found.extras:
            found.put(name, told)
    if answered.get("content") is not None:
        found.put("gen_ai.tool.call.result", answered["content"])
    call_id = found.extras.pop("tool_call.id", None) or answered.get("tool_call_id")
    if call_id and "gen_ai.tool.call.id" not in found.extras:
        found.put("gen_ai.tool.call.id", call_id)
    for name in ("input.mime_type", "output.mime_type"):
        found.extras.pop(name, None)


def _take_lists(found: Findings, content: Content, items: Items, kind: str) -> None:
    for name, kept in _LISTS[kind]:
        if told := items.of(name):
            found.put(kept, [document(fields) for fields in told])
            content.take("came_back")
    if kind == "retrieval" and (query := content.take("sent")) is not None:
        found.put("gen_ai.retrieval.query.text", query)
    if kind == "embeddings" and (told := items.of("embedding.embeddings")):
        # Not the vectors: they are what the provider sold, not what was said about it.
        found.put("embedding.embeddings", [fields.get("embedding.text") for fields in told])
        content.take("came_back")
        content.take("sent")
    content.keep_all()


def _take_events(signal: Signal, found: Findings) -> None:
    """The time to the first token; other events but the exception stay in `extras`."""
    others = []
    exception = last_exception(signal)
    for event in signal.events:
        if event.name == _FIRST_CHUNK:
            nanoseconds = max(event.time_ns - signal.start_ns, 0)
            found.values.setdefault(
                "time_to_first_token_ms", found.cleaner.count("time_to_first_token_ms", nanoseconds // 1_000_000)
            )
        elif event is not exception:
            others.append({"name": event.name, "time_ns": event.time_ns, "attributes": event.attributes})
    if others:
        found.extras["events"] = found.cleaner.json("events", others, 2)


def _briefly(signal: Signal) -> Signal:
    """LangChain's status message goes on with the traceback, which stands in the exception event, too."""
    message = signal.status_message
    if message is None or _TRACEBACK not in message:
        return signal
    return replace(signal, status_message=message.partition(_TRACEBACK)[0].rstrip())
