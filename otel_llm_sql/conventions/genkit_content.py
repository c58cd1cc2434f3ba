"""The requests and responses of Genkit's models and tools: its own shapes, and the provider's response inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_llm_sql.conventions.json_text import parse
from otel_llm_sql.conventions.table import Findings
from otel_llm_sql.conventions.usage import read_usage

_COUNTS = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cache_read_input_tokens": "cachedContentTokens",
    "reasoning_output_tokens": "thoughtsTokens",
}
"""Genkit's own usage. Only its Gemini plugins tell of thoughts, which Gemini leaves out of the output."""


def take_exchange(found: Findings, *, asked: bool) -> None:
    """The messages of a model's call or of a step around it, and the tools offered.

    Args:
        found: `request` and `response` are taken out of its values; settings and usage stay in `extras`.
        asked: whether a provider was asked: then usage, finish reasons, model and id are of this call.
    """
    _take_request(found)
    _take_response(found, asked=asked)


def take_embeddings(found: Findings) -> None:
    """Of embeddings their dimensions stay: the numbers are of no use to anybody who reads SQL."""
    found.give_back(("request",))
    response = _parsed(found.values.pop("response", None))
    embeddings = response.get("embeddings") if isinstance(response, Mapping) else None
    first = embeddings[0] if isinstance(embeddings, list) and embeddings else None
    vector = first.get("embedding") if isinstance(first, Mapping) else None
    if isinstance(vector, list):
        found.extras["gen_ai.embeddings.dimension.count"] = len(vector)


def take_tool(found: Findings) -> None:
    """Arguments and result by OpenTelemetry's names; a result that is a text is no JSON text."""
    values = found.values
    if "request" in values:
        found.put("gen_ai.tool.call.arguments", values.pop("request"))
    if "response" in values:
        told = values.pop("response")
        result = _parsed(told)
        found.put("gen_ai.tool.call.result", result if isinstance(result, str) else told)


def _take_request(found: Findings) -> None:
    values = found.values
    request = _parsed(values.get("request"))
    if not isinstance(request, Mapping) or not isinstance(request.get("messages"), list):
        found.give_back(("request",))
        return
    del values["request"]
    values.setdefault("input", [_message(message) for message in request["messages"]])
    if request.get("tools"):
        values.setdefault("tool_definitions", request["tools"])
    _keep(found, "genkit:input", request, "messages", "tools")


def _take_response(found: Findings, *, asked: bool) -> None:
    values = found.values
    response = _parsed(values.get("response"))
    messages = _answers(response)
    if not isinstance(response, Mapping) or not messages:
        found.give_back(("response",))
        return
    del values["response"]
    values.setdefault("output", [_message(message) for message in messages])
    sent: Mapping[str, Any] = next((response[key] for key in _SENT if isinstance(response.get(key), Mapping)), {})
    reasons = _take_sent(found, sent) if asked else []
    if not reasons and isinstance(response.get("finishReason"), str):
        reasons = [response["finishReason"]]
    if reasons:
        values.setdefault("finish_reasons", [found.cleaner.bounded("genkit:output", word, 64) for word in reasons])
    if asked:
        _take_usage(found, response.get("usage"), sent)
    rest = {key: value for key, value in sent.items() if key not in _CONTENT}
    _keep(
        found, "genkit:output", {**response, "raw": rest}, "message", "candidates", "finishReason", "request", "custom"
    )


_SENT = ("raw", "custom")
"""Where the provider's own response stands, in Genkit's newer and older versions."""

_CONTENT = frozenset({"choices", "candidates", "content", "output"})


def _answers(response: Any) -> list[Any]:
    """The message, or in Genkit's first versions one per candidate."""
    if not isinstance(response, Mapping):
        return []
    if isinstance(response.get("message"), Mapping):
        return [response["message"]]
    candidates = response.get("candidates")
    told = (
        [one.get("message") for one in candidates if isinstance(one, Mapping)] if isinstance(candidates, list) else []
    )
    return [message for message in told if isinstance(message, Mapping)]


def _take_sent(found: Findings, sent: Mapping[str, Any]) -> list[str]:
    """What the provider's own response says; its finish reasons, for Genkit knows fewer of them."""
    for field, keys in _OF_RESPONSES.items():
        for key in keys:
            told = sent.get(key)
            if isinstance(told, str) and told:
                found.values.setdefault(field, found.cleaner.bounded("genkit:output", told))
    choices = next((sent[key] for key in ("choices", "candidates") if isinstance(sent.get(key), list)), [sent])
    reasons = [one.get(key) for one in choices if isinstance(one, Mapping) for key in _REASONS]
    return [reason for reason in reasons if isinstance(reason, str) and reason]


_OF_RESPONSES = {"model": ("model", "modelVersion"), "response_id": ("id", "responseId")}
_REASONS = ("finish_reason", "finishReason", "stop_reason")


def _take_usage(found: Findings, usage: Any, sent: Mapping[str, Any]) -> None:
    """The provider's own usage, which tells more than Genkit's."""
    raw = next((sent[key] for key in ("usage", "usageMetadata", "usage_metadata") if sent.get(key)), None)
    counts = read_usage(raw) or _counts(usage)
    for field, tokens in counts.items():
        told = found.cleaner.count("genkit:output", tokens)
        if told is not None:
            found.values.setdefault(field, told)


def _counts(usage: Any) -> dict[str, Any]:
    if not isinstance(usage, Mapping):
        return {}
    counts = {field: usage[key] for field, key in _COUNTS.items() if type(usage.get(key)) is int}
    if "output_tokens" in counts:
        counts["output_tokens"] += counts.get("reasoning_output_tokens", 0)
    return counts


def _message(message: Any) -> Any:
    """With its parts as others shape them."""
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list):
        return message
    return {"role": message.get("role"), "parts": [_part(part) for part in message["content"]]}


def _part(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    for key, shaped in _PARTS.items():
        told = part.get(key)
        if isinstance(told, Mapping):
            return {"type": shaped[0], **{name: told[source] for name, source in shaped[1].items() if source in told}}
    if isinstance(part.get("reasoning"), str):
        return {"type": "reasoning", "content": part["reasoning"]}
    return part


_PARTS: dict[str, tuple[str, dict[str, str]]] = {
    "toolRequest": ("tool_call", {"id": "ref", "name": "name", "arguments": "input"}),
    "toolResponse": ("tool_call_response", {"id": "ref", "response": "output"}),
    "media": ("file", {"url": "url", "mime_type": "contentType"}),
}


def _keep(found: Findings, name: str, body: Mapping[str, Any], *told: str) -> None:
    """What no field holds."""
    rest = {key: value for key, value in body.items() if key not in told and value not in (None, "", [], {})}
    if rest:
        found.put(name, rest)


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except ValueError:
        return None
