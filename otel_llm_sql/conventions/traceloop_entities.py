"""Traceloop's steps: workflows, tasks, agents and tools, whose input and output are JSON of whatever went in and out.

What LangChain, LangGraph and LlamaIndex put there holds messages: they are read, and what they do not say stays. The
arguments and the result of a tool stand under OpenTelemetry's names, whoever told them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_llm_sql.conventions.bodies import message_list
from otel_llm_sql.conventions.exchanges import answer_of
from otel_llm_sql.conventions.json_coded import opened
from otel_llm_sql.conventions.json_text import dump
from otel_llm_sql.conventions.langchain_messages import openai_shaped
from otel_llm_sql.conventions.table import Findings
from otel_llm_sql.records import ANSWER

INPUT, OUTPUT = "traceloop.entity.input", "traceloop.entity.output"
TOOL_ARGUMENTS, TOOL_RESULT = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"

_OPERATION_TYPES = {
    "workflow": "invoke_workflow",
    "agent": "invoke_agent",
    "task": "execute_task",
    "tool": "execute_tool",
}


def take_entity(found: Findings) -> None:
    """Make the operation type, names, messages and tool content of a step; of a call to a model nothing changes."""
    values = found.values
    kind, name = values.pop("kind", None), values.pop("entity_name", None)
    sent, received = opened(values.pop("entity_input", None)), opened(values.pop("entity_output", None))
    if kind is None and name is None and sent is None and received is None:
        return
    values["operation_type"] = _operation_type(values.get("operation_type"), kind, received)
    if values["operation_type"] == "execute_tool":
        _take_tool(found, name, sent, received)
        return
    if name and kind != "agent":
        values["action_id"] = name
    if kind == "agent" and name:
        values.setdefault("agent_name", name)
    if isinstance(received, Mapping) and (answer := answer_of(received.get("outputs"))):
        found.put(ANSWER, answer)
    _take_messages(found, sent, received)


def _operation_type(told: str | None, kind: str | None, received: Any) -> str:
    if kind == "task" and _is_llama_index_tool(received):
        return "execute_tool"
    if told is None or (kind == "task" and told == "invoke_agent"):  # CrewAI's tasks
        return _OPERATION_TYPES.get(kind or "", "chain")
    return told


def _is_llama_index_tool(received: Any) -> bool:
    return isinstance(received, Mapping) and "tool_name" in received and "raw_output" in received


def _take_tool(found: Findings, name: str | None, sent: Any, received: Any) -> None:
    values = found.values
    if _is_llama_index_tool(received):
        name = received["tool_name"] if isinstance(received["tool_name"], str) else name
        found.put(OUTPUT, _failure(received))
        sent, received = _at(received, "raw_input") or sent, received["raw_output"]
    if name:
        values.setdefault("tool_name", found.cleaner.bounded("tool_name", name))
    call_id = _at(sent, "kwargs", "tool_call_id")
    if isinstance(sent, Mapping) and "input_str" in sent:
        if call_id:
            found.put("gen_ai.tool.call.id", call_id)
        found.put(TOOL_ARGUMENTS, sent.get("inputs") or sent["input_str"])
    elif sent is not None and TOOL_ARGUMENTS not in found.extras:
        found.put(TOOL_ARGUMENTS, _keywords(sent))
    result = _at(received, "output", "kwargs", "content")
    if result is not None:
        found.put(TOOL_RESULT, result)
    elif received is not None and TOOL_RESULT not in found.extras:
        found.put(TOOL_RESULT, received)


def _keywords(sent: Any) -> Any:
    """The arguments by their names where a function was called with names only."""
    keywords = _at(sent, "kwargs")
    return keywords if isinstance(keywords, Mapping) and not sent.get("args") else sent


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _take_messages(found: Findings, sent: Any, received: Any) -> None:
    """Messages out of what went in and came out; an output that begins with its input tells only what was added."""
    before, rest_sent = _messages(sent, "inputs")
    after, rest_received = _messages(received, "outputs")
    history = [_said(message) for message in before]
    if history and [_said(message) for message in after[: len(history)]] == history:
        after = after[len(history) :]
    told, rest_received = _llama_index(found, rest_received)
    values = found.values
    if before or told:
        values.setdefault("input", before or told)
    if after:
        values.setdefault("output", after)
    for name, rest in ((INPUT, rest_sent), (OUTPUT, rest_received)):
        if rest not in (None, {}):
            found.put(name, rest)


def _messages(value: Any, key: str) -> tuple[list[Any], Any]:
    """The messages of a LangChain step, and what else stands there."""
    told = _at(value, key)
    inner = _at(told, "messages") or _at(told, "kwargs", "messages")
    single = openai_shaped(told) if isinstance(told, Mapping) and inner is None else None
    messages = [single] if single else message_list(inner if inner is not None else told)
    if not messages:
        return [], value
    # The metadata stands on the span as association properties.
    return messages, {name: item for name, item in value.items() if name not in (key, "metadata") and item}


def _said(message: dict[str, Any]) -> tuple[str, str]:
    role, content = message.get("role"), message.get("content")
    # As text: comparing deep structures exhausts the stack.
    return str(role), content if isinstance(content, str) else dump(content)


def _llama_index(found: Findings, received: Any) -> tuple[list[Any], Any]:
    """A step of a LlamaIndex agent: what it is about to send, the call of a tool, or the answer it ends with."""
    if isinstance(_at(received, "tool_id"), str):
        return _tool_step(found, received), _failure(received.get("tool_output"))
    agent = _at(received, "current_agent_name") or _at(received, "result", "current_agent_name")
    if not isinstance(agent, str) or not agent:
        return [], received
    found.values.setdefault("agent_name", found.cleaner.bounded("agent_name", agent))
    sent = _blocks(received.get("input"))
    answer = _blocks([_at(received, "result", "response")])
    if answer:
        found.values.setdefault("output", answer)
        return [], {"result": {key: item for key, item in received["result"].items() if key != "response" and item}}
    return sent, ({key: item for key, item in received.items() if key != "input"} if sent else received)


def _failure(output: Any) -> dict[str, Any] | None:
    """What LlamaIndex says of a tool beside its result, where it is worth saying."""
    return {"is_error": True} if _at(output, "is_error") is True else None


def _tool_step(found: Findings, received: Mapping[str, Any]) -> list[Any]:
    call = {"id": received["tool_id"], "name": received.get("tool_name"), "arguments": received.get("tool_kwargs")}
    result = _at(received, "tool_output", "raw_output")
    if result is not None:
        found.values.setdefault("output", [{"role": "tool", "tool_call_id": call["id"], "content": result}])
    return [{"role": "assistant", "tool_calls": [call]}]


def _blocks(messages: Any) -> list[Any]:
    if not isinstance(messages, list) or not all(isinstance(_at(item, "blocks"), list) for item in messages):
        return []
    return [{"role": item.get("role"), "content": item["blocks"]} for item in messages]
