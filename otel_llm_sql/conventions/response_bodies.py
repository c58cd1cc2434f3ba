"""Whole responses of model APIs become their facts (see `bodies`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from otel_llm_sql.conventions import response_items
from otel_llm_sql.conventions.body import (
    CONTENT,
    Body,
    Object,
    Read,
    by_key,
    gemini_content,
    message_list,
    read_state,
    says_nothing,
    text,
)
from otel_llm_sql.conventions.langchain_messages import fields_of, openai_shaped


def read_response(value: Any) -> Body | None:
    """What a response says; None where nothing of a known shape came back.

    Args:
        value: parsed JSON.
    """
    if isinstance(value, dict):
        return by_key(value, _RESPONSES)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return Body([{"role": "assistant", "content": item} for item in value])
    messages = message_list(value, "assistant")
    return Body(messages) if messages else None


def _chat_response(body: Object) -> Body | None:
    choices = body["choices"]
    if not isinstance(choices, list):
        return None
    messages: list[Any] = []
    reasons = []
    for choice in choices:
        if not isinstance(choice, dict):
            return None
        reason = choice.get("finish_reason")
        reasons.append(reason)
        told = choice.get("message") or choice.get("delta")
        if not isinstance(told, dict):
            told = {"content": choice.get("text")}
        messages.append({"role": "assistant", **told, "finish_reason": reason})
    return _response(body, messages, reasons, "choices")


def _responses_response(body: Object) -> Body | None:
    if not response_items.are_items(body["output"]):
        return None
    messages = response_items.messages(body["output"], "assistant")
    found = _response(body, messages, [response_items.finish_reason(body)], "output", "instructions", "tools")
    found.system, found.tools = body.get("instructions") or None, body.get("tools") or None
    conversation = body.get("conversation")
    found.session_key = text(conversation.get("id")) if isinstance(conversation, dict) else None
    return found


def _content_response(body: Object) -> Body | None:
    """A message that is the whole response: Anthropic's, Bedrock's, and those of frameworks."""
    if not isinstance(body.get("role"), str):
        return None
    reason = body.get("stop_reason")
    message = {key: body[key] for key in ("role", *CONTENT) if key in body}
    return _response(body, [message | {"finish_reason": reason}], [reason], "role", *CONTENT)


def _gemini_response(body: Object) -> Body | None:
    candidates = body["candidates"]
    if not isinstance(candidates, list) or not all(isinstance(one, dict) for one in candidates):
        return None
    reasons = [one.get("finish_reason") or one.get("finishReason") for one in candidates]
    told = [gemini_content(one.get("content"), "model") for one in candidates]
    messages = [one | {"finish_reason": reason} for one, reason in zip(told, reasons, strict=True) if one]
    keys = ("candidates", "sdk_http_response", "automatic_function_calling_history", "model_version", "response_id")
    found = _response(body, messages, reasons, *keys)
    found.history = _contents(body.get("automatic_function_calling_history"))
    found.model = text(body.get("model_version") or body.get("modelVersion"))
    found.response_id = text(body.get("response_id") or body.get("responseId"))
    return found


def _contents(history: Any) -> list[Any]:
    """The calls of tools that Gemini's client made by itself: between what it was asked and the answer."""
    told = [gemini_content(content, "user") for content in history] if isinstance(history, list) else []
    return [one for one in told if one]


def _langchain_response(body: Object) -> Body | None:
    generations = body["generations"]
    if isinstance(generations, list) and generations and isinstance(generations[0], list):
        generations = generations[0]
    if not isinstance(generations, list) or not generations or not all(isinstance(one, dict) for one in generations):
        return None
    said = body.get("llm_output")
    found = Body()
    for generation in generations:
        _take_generation(found, generation, said if isinstance(said, dict) else {})
    return found


def _take_generation(found: Body, generation: Object, said: Object) -> None:
    wrapped = generation.get("message")
    wrapped = wrapped if isinstance(wrapped, dict) else {}
    fields = fields_of(wrapped) or {}
    nested = (generation.get("generation_info"), fields.get("response_metadata"), said)
    sources = [source for source in nested if isinstance(source, dict)]
    reason = _first(sources, "finish_reason", "stop_reason", "stopReason", "done_reason")
    message = openai_shaped(wrapped) or {"role": "assistant", "content": generation.get("text")}
    found.messages.append(message | {"finish_reason": reason})
    found.finish_reasons += [reason] if reason else []
    found.model = found.model or _first(sources, "model_name", "model", "model_id")
    told = text(fields.get("id"))
    found.response_id = (
        found.response_id or _first(sources, "id") or (told if told and told.startswith(_RESPONSE_IDS) else None)
    )


_RESPONSE_IDS = ("chatcmpl-", "msg_", "resp_")
"""What the ids of responses begin with that LangChain gives to its messages; others it invents (`lc_run--...`)."""


def _wrapped_response(body: Object) -> Body | None:
    inner = body["data"]  # Mistral's streams, as events
    return read_response(inner) if isinstance(inner, dict) and "choices" in inner else None


def _response(body: Object, messages: list[Any], reasons: list[Any], *told: str) -> Body:
    known = frozenset((*told, "model", "id"))
    return Body(
        messages,
        model=text(body.get("model")),
        response_id=text(body.get("id")),
        finish_reasons=[reason for reason in reasons if isinstance(reason, str) and reason],
        rest={key: value for key, value in body.items() if key not in known and not says_nothing(value)},
    )


def _first(sources: Sequence[Object], *keys: str) -> str | None:
    return next((told for source in sources for key in keys if (told := text(source.get(key)))), None)


_RESPONSES: tuple[tuple[str, Read], ...] = (
    ("choices", _chat_response),
    ("output", _responses_response),
    ("candidates", _gemini_response),
    ("generations", _langchain_response),
    ("messages", read_state),
    ("content", _content_response),
    ("tool_calls", _content_response),
    ("data", _wrapped_response),
)
"""The key by which a body is known, the surest first."""
