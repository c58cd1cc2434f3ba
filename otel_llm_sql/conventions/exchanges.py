"""What went to a model, a step or a tool and what came back, where each is one attribute with a whole JSON body.

A vocabulary's table collects the two bodies as the fields `sent` and `came_back`. A body whose messages are read leaves
`extras`, but for what it says beside them; one of no known shape stays there as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from otel_llm_sql.conventions.bodies import Body, read_request, read_state, text
from otel_llm_sql.conventions.json_coded import opened
from otel_llm_sql.conventions.langchain_messages import fields_of, openai_shaped
from otel_llm_sql.conventions.response_bodies import read_response
from otel_llm_sql.conventions.table import Findings
from otel_llm_sql.conventions.usage import read_usage
from otel_llm_sql.records import ANSWER

ARGUMENTS, RESULT, CALL_ID = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.tool.call.id"

_USAGES = ("usage", "usage_metadata", "usageMetadata", "token_usage")


def take_call(found: Findings) -> None:
    """Messages, tools, models, response id, finish reasons and tokens of a call; what attributes say themselves stands.

    Args:
        found: `sent` and `came_back` are taken out of its values.
    """
    sent = _read(found, "sent", read_request, "input")
    back = _read(found, "came_back", read_response, "output")
    if sent is not None:
        told = {"input": sent.messages, "system": sent.system, "tool_definitions": sent.tools}
        _fill(found, told | {"request_model": sent.model, "session_key": sent.session_key})
    if back is not None:
        _fill(found, {"output": back.messages, "model": back.model, "response_id": back.response_id})
        _fill(found, {"finish_reasons": back.finish_reasons})
        fill_usage(found, next((back.rest[name] for name in _USAGES if name in back.rest), None))


def fill_usage(found: Findings, usage: Any) -> None:
    """Take what a provider's own usage says, where nothing else said it."""
    for field, tokens in read_usage(usage).items():
        found.values.setdefault(field, found.cleaner.count(field, tokens))


def take_step(found: Findings) -> None:
    """Messages that a framework's step took and gave; one that gives back the whole conversation said only its end.

    Args:
        found: `sent` and `came_back` are taken out of its values.
    """
    answer = answer_of(opened(found.values.get("came_back")))
    sent, back = _read(found, "sent", read_state), _read(found, "came_back", read_state)
    if answer:
        found.put(ANSWER, answer)
    if sent is not None and back is not None and _begins(back, sent):
        _fill(found, {"conversation": back.messages})
        return
    _fill(found, {"input": sent.messages if sent else None, "output": back.messages if back else None})


def answer_of(told: Any) -> dict[str, Any]:
    """What LangChain says of the one answer of a model that a step gives; empty where it gives none or several."""
    answers = [message for message in _given(told) if isinstance(message.get("response_metadata"), Mapping)]
    answers = [message for message in answers if message["response_metadata"]]
    if len(answers) != 1:
        return {}
    body = known(read_response, {"generations": [{"message": answers[0]}]}) or Body()
    said = {
        "response_id": body.response_id,
        "model": body.model,
        "finish_reason": next(iter(body.finish_reasons), None),
    }
    usage = answers[0].get("usage_metadata") or answers[0]["response_metadata"].get("token_usage")
    return {key: value for key, value in said.items() if value} | read_usage(usage)


def _given(told: Any) -> Iterator[Mapping[str, Any]]:
    """Messages of a state, or of LangGraph's commands that change it."""
    for item in told if isinstance(told, list) else [told]:
        if isinstance(item, Mapping):
            update = item.get("update")
            state = update if isinstance(update, Mapping) else item
            messages = state.get("messages")
            for message in messages if isinstance(messages, list) else ():
                if isinstance(message, Mapping):
                    yield fields_of(message) or message


def _begins(conversation: Body, sent: Body) -> bool:
    first, same = (body.messages[0].get("content") for body in (sent, conversation))
    return isinstance(first, str) and isinstance(same, str) and first == same


def take_embeddings(found: Findings) -> None:
    """Models and tokens of embeddings; the vectors are dropped: they are what was sold, not what was said about it.

    Args:
        found: `sent` and `came_back` are taken out of its values.
    """
    for field, model in (("sent", "request_model"), ("came_back", "model")):
        told = opened(found.values.pop(field, None))
        if isinstance(told, Mapping):
            _fill(found, {model: text(told.get("model"))})
            fill_usage(found, told.get("usage"))
            told = {key: value for key, value in told.items() if key not in _VECTORS}
        if told:
            found.put(found.sources[field][0], told)


_VECTORS = frozenset({"data", "embedding", "embeddings"})


def take_tool(found: Findings) -> None:
    """Arguments, result and id of a tool's call, into `extras` by OpenTelemetry's names for them.

    Args:
        found: `sent` and `came_back` are taken out of its values.
    """
    values, extras = found.values, found.extras
    for field, name in (("sent", ARGUMENTS), ("came_back", RESULT)):
        if field in values and name not in extras:
            told = _content(found, opened(values.pop(field)))
            found.put(name, told)


def _content(found: Findings, told: Any) -> Any:
    """The content of LangChain's message about a result; anything else as it is."""
    message = openai_shaped(told) if isinstance(told, Mapping) else None
    if message is None or message["role"] != "tool":
        return told
    if message.get("tool_call_id") and CALL_ID not in found.extras:
        found.put(CALL_ID, message["tool_call_id"])
    return message["content"]


def keep(found: Findings) -> None:
    """Leave both bodies in `extras`, as of operations that exchange no messages."""
    found.give_back(("sent", "came_back"))


def _read(found: Findings, field: str, read: Callable[[Any], Body | None], plain: str | None = None) -> Body | None:
    """The body, None where it is of no known shape: then it stays in `extras`, but plain text is a message."""
    value = found.values.pop(field, None)
    if value is None:
        return None
    name, told = found.sources[field][0], opened(value)
    body = None if isinstance(told, str) else known(read, told)
    if body is not None:
        rest = {key: item for key, item in body.rest.items() if not _is_empty(item)}
        if rest:
            found.put(name, rest)
        return body
    if _is_empty(told):
        return None
    if plain and isinstance(told, str) and told[:1] != "{":
        found.values.setdefault(plain, told)
    else:
        found.put(name, told)
    return None


def known(read: Callable[[Any], Body | None], told: Any) -> Body | None:
    """What a reader of bodies makes of parsed JSON, also of such that is about a thousand levels deep."""
    try:
        return read(told)
    except RecursionError:
        return None


def _is_empty(told: Any) -> bool:
    return isinstance(told, Mapping) and all(value is None for value in told.values())


def _fill(found: Findings, told: dict[str, Any]) -> None:
    for field, value in told.items():
        if value and field not in found.values:
            found.values[field] = _BOUNDED[field](found, value) if field in _BOUNDED else value


def _name(found: Findings, value: Any) -> str | None:
    return found.cleaner.bounded("body", value)


def _reasons(found: Findings, value: Any) -> list[str | None]:
    return [found.cleaner.bounded("finish_reasons", reason, 64) for reason in value]


_BOUNDED: dict[str, Callable[[Findings, Any], Any]] = {
    **dict.fromkeys(("request_model", "model", "response_id", "session_key"), _name),
    "finish_reasons": _reasons,
}
