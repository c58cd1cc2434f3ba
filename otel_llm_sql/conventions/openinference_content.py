"""What was said, out of OpenInference's two tellings: whole bodies in `input.value` and `output.value`, and lists.

The body is richer (ids of tool calls, several choices), the list survives more (cut values, dropped attributes): of
each direction the one with more messages is told, and the other leaves `extras`. What a body says beside them stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from otel_llm_sql.conventions.bodies import CONTENT_OF_REQUESTS, Body, read_request, read_response, read_state, text
from otel_llm_sql.conventions.json_coded import opened
from otel_llm_sql.conventions.json_text import parse
from otel_llm_sql.conventions.langchain_messages import openai_shaped
from otel_llm_sql.conventions.openinference_messages import Items, message, tool
from otel_llm_sql.conventions.table import Findings

_TOLD_BY_LISTS = CONTENT_OF_REQUESTS | {"chat_history", "user_msg", "kwargs", "raw"}
"""Keys of frameworks' own bodies that hold their messages and tools as Python prints them."""

_WITHOUT_ROLES = {"llm.input_messages": "llm.prompts", "llm.output_messages": "llm.choices"}
"""The lists of completions, whose items are texts."""

_FIRST_ID = re.compile(r'\{"id": ?"([^"]{1,255})"')
_PRINTED_ID = re.compile(r"\w+\(id='([^']{1,255})'")
_PRINTED_OBJECT = re.compile(r"<[\w. ]+ at 0x[0-9a-f]+>")
"""What Python prints of an object that was not read: no answer."""

_NAMELESS = "llm.invocation_parameters.broken"


class Content:
    """The bodies of one span, and its lists.

    Attributes:
        sent: the request, None where `input.value` is none of a known shape.
        back: the response, likewise.
    """

    def __init__(self, found: Findings, items: Items, *, is_call: bool) -> None:
        self._found = found
        self._items = items
        self._raw: dict[str, Any] = {}
        self._broken: set[str] = set()
        self.sent = self._body("sent", read_request if is_call else read_state)
        self.back = self._body("came_back", read_response if is_call else read_state)

    def _body(self, field: str, read: Callable[[Any], Body | None]) -> Body | None:
        value = self._found.values.pop(field, None)
        if value is None:
            return None
        self._raw[field] = value
        if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
            return None
        try:
            self._raw[field] = parsed = parse(value)
            return read(parsed)
        except (ValueError, RecursionError):
            self._broken.add(field)
            return None

    def response_id(self) -> str | None:
        """The response's id, also out of a body that was cut behind it, or that Python printed."""
        if self.back is not None:
            printed = _PRINTED_ID.match(str(self.back.rest.get("raw", ""))[:300])
            return self.back.response_id or (printed[1] if printed else None)
        if "came_back" in self._broken:
            told = _FIRST_ID.match(self._raw["came_back"])
            return told[1] if told else None
        return None

    def take_messages(self, parameters: Mapping[str, Any]) -> None:
        """Fill `system`, `input` and `output`; bodies whose messages are told leave, but for the rest of them.

        Args:
            parameters: what need not be told again as the rest of a request.
        """
        values = self._found.values
        sent, back = _conversation(self.sent, self.back)
        if told := self._fuller(sent, "llm.input_messages"):
            values["input"] = told
            values.pop("system", None)
            if sent is not None and told is sent.messages and sent.system:
                values["system"] = sent.system
        if told := self._fuller(back, "llm.output_messages"):
            values["output"] = told
        if self.sent:
            rest = self.sent.rest
            self.sent.rest = {key: item for key, item in rest.items() if parameters.get(key, rest) != item}
        self._keep("sent", "input.value", self.sent, is_told="input" in values)
        self._keep("came_back", "output.value", self.back, is_told="output" in values)

    def _fuller(self, body: Body | None, name: str) -> list[Any]:
        """The messages of one direction, as the body tells them or the list."""
        if body and sum(map(_weight, body.messages)) + bool(body.system) >= self._items.count(name):
            return body.messages
        listed = [message(fields) for fields in self._items.of(name)]
        return listed or [message(fields) for fields in self._items.of(_WITHOUT_ROLES[name])]

    def keep_all(self) -> None:
        """Leave the bodies in `extras`, as of a step whose messages nobody tells."""
        for field, name in (("sent", "input.value"), ("came_back", "output.value")):
            if field in self._raw:
                self._found.put(name, self._found.sources[field][1])

    def as_told(self) -> str:
        """Both bodies as text."""
        return " ".join(str(self._found.sources[field][1]) for field in self._raw)

    def take(self, field: str) -> Any:
        """A body as it was told, out of what is kept."""
        return self._found.sources[field][1] if self._raw.pop(field, None) is not None else None

    def _keep(self, field: str, name: str, body: Body | None, *, is_told: bool) -> None:
        """What a body says beside messages."""
        found = self._found
        if field not in self._raw:
            return
        rest = body.rest if body else self._unknown(field, is_told=is_told)
        found.extras.pop(name.replace("value", "mime_type"), None)
        if isinstance(rest, dict):
            rest = {key: value for key, value in rest.items() if key not in _TOLD_BY_LISTS}
        if rest:
            found.put(name, rest)

    def _unknown(self, field: str, *, is_told: bool) -> Any:
        raw = self._raw[field]
        if is_told and isinstance(raw, str):
            return None if field in self._broken or self._is_answer(raw) else raw
        return raw if is_told and isinstance(raw, dict) else self._found.sources[field][1]

    def _is_answer(self, raw: str) -> bool:
        """Whether the plain text of a response is what its message says; LlamaIndex puts the role before it."""
        told = [one.get("content") for one in self._found.values.get("output") or () if isinstance(one, dict)]
        texts = [
            one[0].get("text") if isinstance(one, list) and one and isinstance(one[0], dict) else one for one in told
        ]
        return raw.removeprefix("assistant: ") in [text or "" for text in texts]

    def take_answer(self, response_model: Any) -> None:
        """What came back without a message around it, where no list tells it: plain text, or what a model was made of.

        Args:
            response_model: the name of Instructor's response model, by default the one tool that is called.
        """
        raw, values = self._raw.get("came_back"), self._found.values
        if "output" in values:
            return
        if isinstance(raw, dict) and isinstance(response_model, str):
            call = {"type": "function", "name": response_model, "arguments": raw}
            values["output"] = [{"role": "assistant", "tool_calls": [call]}]
        elif isinstance(raw, str) and "came_back" not in self._broken and not _PRINTED_OBJECT.fullmatch(raw):
            values["output"] = [{"role": "assistant", "content": raw}]
        else:
            return
        self._found.extras.pop("output.value", None)

    def answered(self) -> Mapping[str, Any]:
        """The message that a tool of LangChain's comes back as, empty for all others."""
        return openai_shaped(self._raw.get("came_back")) or {}

    def take_tools(self, offered: Any) -> None:
        """The tools that were offered: as the list tells them, else the request, else the parameters."""
        listed = [tool(fields) for fields in self._items.of("llm.tools")]
        tools = [opened(one) for one in listed]
        told = tools or (self.sent.tools if self.sent else None) or (self.back.tools if self.back else None) or offered
        if told:
            self._found.values["tool_definitions"] = told


def _conversation(sent: Body | None, back: Body | None) -> tuple[Body | None, Body | None]:
    """A step that gives back the whole conversation received only what was said last."""
    if back is not None and sent is not None and len(back.history) > len(sent.messages):
        return replace(sent, messages=back.history), back
    if back is None or back.finish_reasons or len(back.messages) <= 1 or back.messages[-1].get("role") != "assistant":
        return sent, back
    if any(one.get("role") != "assistant" for one in back.messages):
        return Body(back.messages[:-1]), Body(back.messages[-1:])
    return sent, back


def _weight(one: Any) -> int:
    """How many messages one is: the results of tools are messages of their own."""
    parts = one.get("content") or one.get("parts")
    if not isinstance(parts, list):
        return 1
    results = sum(isinstance(part, dict) and bool(part.keys() & _RESULTS) for part in parts)
    return results + (results < len(parts) or not parts)


_RESULTS = frozenset({"tool_use_id", "toolResult", "function_response", "functionResponse"})


def take_parameters(found: Findings) -> Mapping[str, Any]:
    """The invocation parameters; what they say beside content and the model stays in `extras`."""
    value = found.values.pop("parameters", None)
    if value is None:
        return {}
    name = found.sources["parameters"][0]
    parameters = opened(value)
    if not isinstance(parameters, dict):
        found.put(_NAMELESS, value)
        return {}
    kept = {
        key: item
        for key, item in parameters.items()
        if key not in CONTENT_OF_REQUESTS and key not in _MODELS and item is not None and item not in ("", [], {})
    }
    if kept:
        found.put(name, kept)
    return parameters


_MODELS = ("model", "model_name", "model_id", "modelId")


def asked_model(parameters: Mapping[str, Any]) -> str | None:
    """The model a request's parameters name."""
    return next((told for key in _MODELS if (told := text(parameters.get(key)))), None)
