"""What the stand-in answers: replies, usage and errors in the shape of the OpenAI API; pure.

The same request gets the same text and the same usage. Only response ids differ, as they do at the real service.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

OVERLOADED_MODEL = "gpt-5-pro"
"""Asking for this model is answered with HTTP 429."""

SNAPSHOTS = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-5-mini": "gpt-5-mini-2025-08-07"}
"""The dated model that answers when the alias is asked for."""

REPLIES = {
    "capital of france": "The capital of France is Paris.",
    "weather": "It is 18 °C and sunny in Paris.",
    "haiku": "Rows in still water,\nevery call leaves one ripple:\nSELECT, and it sings.",
    "book": "Booked: Lisbon to Porto, Friday 09:30, window seat. Reference K7PX2M.",
    "cheaper": "Yes: the 06:30 train costs 19 EUR instead of 31 EUR. Shall I change it?",
    "thank": "You are welcome. Have a good trip!",
}
"""Part of the last question (lower case) -> the reply."""

_CHARACTERS_PER_TOKEN = 4
_CACHE_FROM_TOKENS = 1024
_CACHE_STEP = 128
_VECTOR_LENGTH = 8


def reply(messages: list[dict[str, Any]]) -> str:
    """The text that answers an exchange."""
    if messages and messages[-1].get("role") == "tool":
        return REPLIES["weather"]
    question = _text(messages[-1]).lower() if messages else ""
    return next((answer for key, answer in REPLIES.items() if key in question), f"You said: {question[:200]}")


def completion(request: dict[str, Any]) -> dict[str, Any]:
    """The body of a chat completion."""
    message = _message(request)
    called = "tool_calls" in message
    return {
        **_envelope(request, "chat.completion"),
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if called else "stop"}
        ],
        "usage": usage(request, message),
        "service_tier": "default",
        "system_fingerprint": "fp_stand_in",
    }


def chunks(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same completion as the chunks of a stream; usage comes last, and only when it is asked for."""
    message = _message(request)
    envelope = {**_envelope(request, "chat.completion.chunk"), "usage": None}
    for delta in _deltas(message):
        yield {**envelope, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    finish_reason = "tool_calls" if "tool_calls" in message else "stop"
    yield {**envelope, "choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]}
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**envelope, "choices": [], "usage": usage(request, message)}


def embeddings(request: dict[str, Any]) -> dict[str, Any]:
    """The body of an embeddings response: a short vector made from the text's hash."""
    given = request.get("input", "")
    texts = [given] if isinstance(given, str) else list(given)
    data = [{"object": "embedding", "index": i, "embedding": _vector(str(text))} for i, text in enumerate(texts)]
    tokens = sum(_tokens(str(text)) for text in texts)
    return {
        "object": "list",
        "data": data,
        "model": request.get("model"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def rate_limit(model: str) -> dict[str, Any]:
    """The body of a 429, as the real service words it."""
    message = (
        f"Rate limit reached for {model} in organization org-stand-in on tokens per min (TPM): "
        "Limit 30000, Used 29871, Requested 412. Please try again in 566ms."
    )
    return {"error": {"message": message, "type": "tokens", "param": None, "code": "rate_limit_exceeded"}}


def usage(request: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """Token usage: long prompts are partly read from the cache, reasoning models reason before they answer."""
    history = json.dumps([request.get("messages"), request.get("tools")], ensure_ascii=False)
    prompt = _tokens(history)
    cached = (prompt - 1) // _CACHE_STEP * _CACHE_STEP if prompt >= _CACHE_FROM_TOKENS else 0
    reasoning = 64 * (1 + prompt % 3) if str(request.get("model")).startswith(("gpt-5", "o")) else 0
    generated = reasoning + _tokens(json.dumps(message, ensure_ascii=False))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _message(request: dict[str, Any]) -> dict[str, Any]:
    messages = request.get("messages") or []
    tools = request.get("tools")
    if tools and messages and messages[-1].get("role") == "user":
        return {"role": "assistant", "content": None, "tool_calls": [_tool_call(tools[0]["function"])]}
    return {"role": "assistant", "content": reply(messages), "refusal": None}


def _tool_call(function: dict[str, Any]) -> dict[str, Any]:
    parameters = function.get("parameters", {}).get("properties", {})
    arguments = json.dumps(dict.fromkeys(parameters, "Paris"))
    function_call = {"name": function["name"], "arguments": arguments}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function_call}


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if message["content"] is not None else None}
    for word in (message["content"] or "").splitlines(keepends=True):
        yield {"content": word}
    for index, call in enumerate(message.get("tool_calls", ())):
        yield {"tool_calls": [{"index": index, **call}]}


def _envelope(request: dict[str, Any], kind: str) -> dict[str, Any]:
    model = str(request.get("model"))
    identity = f"chatcmpl-{uuid.uuid4().hex[:29]}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": SNAPSHOTS.get(model, model)}


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "")) for part in content)


def _tokens(text: str) -> int:
    return max(1, len(text) // _CHARACTERS_PER_TOKEN)


def _vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return [round(byte / 255 - 0.5, 6) for byte in digest[:_VECTOR_LENGTH]]
