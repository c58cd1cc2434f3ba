"""Whole requests and responses of model APIs, as instrumentations copy them into one attribute, become their facts.

The bodies of OpenAI (Chat, Responses, Completions), Anthropic, Bedrock and Gemini are known, and what LangChain and
LangGraph make of them. A body of another shape is None: whoever asked keeps it as it is.
"""

from __future__ import annotations

from typing import Any

from otel_llm_sql.conventions.body import (
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
from otel_llm_sql.conventions.response_bodies import read_response


def read_request(value: Any) -> Body | None:
    """What a request says; None where nothing of a known shape was sent.

    Args:
        value: parsed JSON.
    """
    if isinstance(value, dict):
        return by_key(value, _REQUESTS)
    messages = message_list(value)
    return Body(messages) if messages else None


def _chat_request(body: Object) -> Body | None:
    messages = message_list(body["messages"])
    if not messages:
        return None
    return _request(body, messages, body.get("system"))


def _responses_request(body: Object) -> Body | None:
    sent = body["input"]
    if isinstance(sent, str):
        messages: list[Any] = [{"role": "user", "content": sent}]
    else:
        messages = message_list(sent)
    if not messages:
        return None
    found = _request(body, messages, body.get("instructions"))
    conversation = body.get("conversation")
    found.session_key = text(conversation.get("id") if isinstance(conversation, dict) else conversation)
    return found


def _gemini_request(body: Object) -> Body | None:
    contents = body["contents"]
    contents = contents if isinstance(contents, list) else [contents]
    messages = [gemini_content(content, "user") for content in contents]
    if not messages or None in messages:
        return None
    system = body.get("system_instruction") or body.get("systemInstruction")
    if isinstance(system, dict):
        system = system.get("parts")
    return _request(body, messages, system)


def _prompt_request(body: Object) -> Body | None:
    prompt = body["prompt"]
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, list) or not prompts or not all(isinstance(one, str) for one in prompts):
        return None
    return _request(body, [{"role": "user", "content": one} for one in prompts], None)


def _request(body: Object, messages: list[Any], system: Any) -> Body:
    rest = {key: value for key, value in body.items() if key not in CONTENT_OF_REQUESTS and not says_nothing(value)}
    rest.pop("model", None)
    return Body(messages, system or None, body.get("tools") or None, text(body.get("model")), rest=rest)


CONTENT_OF_REQUESTS = frozenset(
    {
        *("messages", "system", "tools", "input", "instructions", "contents", "system_instruction"),
        *("systemInstruction", "prompt", "functions", "requests", "inputText", "texts", "conversation"),
    }
)
"""Keys of requests that hold what was said, and the tools."""

_REQUESTS: tuple[tuple[str, Read], ...] = (
    ("messages", _chat_request),
    ("contents", _gemini_request),
    ("input", _responses_request),
    ("prompt", _prompt_request),
)

__all__ = ["CONTENT_OF_REQUESTS", "Body", "message_list", "read_request", "read_response", "read_state", "text"]
