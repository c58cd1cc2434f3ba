"""What Vercel's AI SDK says of prompts, answers, tools and their calls becomes what `genai_content` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_llm_sql.conventions.json_coded import opened
from otel_llm_sql.conventions.table import Findings

_TOOL_CALL = {
    "ai.toolCall.id": "gen_ai.tool.call.id",
    "ai.toolCall.args": "gen_ai.tool.call.arguments",
    "ai.toolCall.result": "gen_ai.tool.call.result",
}


def with_messages(found: Findings) -> None:
    """Make `input`, `system` and `output` where OpenTelemetry's attributes do not hold them."""
    values = found.values
    prompt = values.pop("prompt", None)
    if prompt is not None and "input" not in values:
        _take_prompt(found, prompt)
    if "output" not in values:
        answer = _answer(found)
        if answer:
            values["output"] = [{"role": "assistant", "parts": answer}]


def _take_prompt(found: Findings, prompt: Any) -> None:
    """A list of messages, or what a run was called with: `{"system", "prompt", "messages"}`."""
    told = opened(prompt) if isinstance(prompt, str) and prompt[:1] == "{" else prompt
    if not isinstance(told, Mapping):
        found.values["input"] = prompt
        return
    system, text, messages = told.get("system"), told.get("prompt"), told.get("messages")
    if system:
        found.values.setdefault("system", system if isinstance(system, str) else _texts(system))
    sent = text if isinstance(text, list) else [{"role": "user", "content": text}] if text else []
    found.values["input"] = sent + (messages if isinstance(messages, list) else [])


def _texts(system: Any) -> list[Any]:
    """A message or messages of role system, as parts."""
    told = system if isinstance(system, list) else [system]
    return [{"type": "text", "text": one.get("content")} if isinstance(one, Mapping) else one for one in told]


def _answer(found: Findings) -> list[Any]:
    """Reasoning, text, calls of tools and files, in this order; what cannot be read stays in `extras`."""
    take = found.extras.pop
    parts: list[Any] = []
    reasoning = take("ai.response.reasoning", None)
    if reasoning:
        parts.append({"type": "reasoning", "content": reasoning})
    for name in ("ai.response.text", "ai.response.object", "ai.result.text", "ai.result.object"):
        text = take(name, None)
        if text:
            parts.append({"type": "text", "content": text})
            break
    for name, kind in _LISTS.items():
        told = opened(found.extras.get(name))
        if isinstance(told, list):
            del found.extras[name]
            parts += [{**one, "type": kind} for one in told if isinstance(one, Mapping)]
    return parts


_LISTS = {"ai.response.toolCalls": "tool_call", "ai.result.toolCalls": "tool_call", "ai.response.files": "file"}


def without_vectors(found: Findings) -> None:
    """Of embeddings their dimensions stay: the numbers are of no use to anybody who reads SQL."""
    for name in ("ai.embeddings", "ai.embedding"):
        told = found.extras.pop(name, None)
        vector = opened(told[0] if isinstance(told, list) and told else told)
        if isinstance(vector, list):
            found.extras["gen_ai.embeddings.dimension.count"] = len(vector)


def tools(told: Any) -> Any:
    """The tools offered: each is JSON text of its own."""
    return [opened(one) for one in told] if isinstance(told, (list, tuple)) else opened(told)


def take_tool_call(found: Findings) -> None:
    """Id, arguments and result of a tool's call by OpenTelemetry's names; a result that is a text is no JSON text."""
    extras = found.extras
    for name, known in _TOOL_CALL.items():
        if name in extras:
            extras[known] = extras.pop(name)
    result = extras.get("gen_ai.tool.call.result")
    if isinstance(result, str) and result[:1] == '"':
        text = opened(result)
        extras["gen_ai.tool.call.result"] = found.cleaner.text("gen_ai.tool.call.result", text)
