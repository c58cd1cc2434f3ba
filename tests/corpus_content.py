"""What the stored messages of a call say, compared with what was sent and answered: texts, tool calls, images.

What stands on the call's own spans is to be found on its own row, with its role and direction. What stands elsewhere in
the recording only (an agent's span, the history of a later call) is right wherever it is found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from corpus_facts import NO_ROW, Json, Result, Verdict, verdict_of
from corpus_rows import Row
from corpus_telemetry import Leaf, Telemetry

MEDIA = {"image", "blob", "uri", "file", "media"}
"""Types of message parts that describe an image."""

_TOOL_NAME_PATH = re.compile(r"definition|tools|functions|invocation_param|schema|offered", re.IGNORECASE)
"""Where a tool's name says that it was offered, not that it was called."""


@dataclass(frozen=True)
class Content:
    """The messages of one call.

    Attributes:
        case: `<setting>/<scenario>`.
        call: the truth.
        row: the operation of the call, None where there is none.
        rows: all operations of the case.
        telemetry: what stands in the recording.
        spans: the spans that tell of the call.
        images_told: whether the recording holds the call's images.
    """

    case: str
    call: Json
    row: Row | None
    rows: list[Row]
    telemetry: Telemetry
    spans: set[str]
    images_told: bool

    def verdicts(self) -> Iterator[Verdict]:
        """Texts, tool calls and tool results."""
        for fact, roles, direction, wanted in self._texts():
            yield self._text(fact, roles, direction, wanted)
        yield from self._images()
        for part in _parts(self.call["messages_out"], {"assistant"}, "tool_call"):
            yield from self._tool_call(part)

    def _texts(self) -> Iterator[tuple[str, set[str], str, str]]:
        sent, received = self.call["messages_in"], self.call["messages_out"]
        for fact, roles in (
            ("system_text", {"system", "developer"}),
            ("user_text", {"user"}),
            ("assistant_text", {"assistant"}),
        ):
            for part in _parts(sent, roles, "text"):
                yield fact, roles, "input", part["text"]
        for part in _parts(sent, {"tool", "user"}, "tool_result"):
            yield "tool_result", {"tool", "user"}, "input", part["text"]
        for part in _parts(received, {"assistant"}, "text"):
            yield "assistant_text", {"assistant"}, "output", part["text"]
        for part in _parts(received, {"assistant"}, "thinking"):
            yield "thinking", {"assistant"}, "output", part["text"]

    def _text(self, fact: str, roles: set[str], direction: str, text: str) -> Verdict:
        def says(message: Json) -> bool:
            return message["role"] in roles and text in f"{message['content']}\n{_texts_of(message['parts'])}"

        here = [m for m in self.row.messages if m["direction"] == direction] if self.row else []
        anywhere = [message for row in self.rows for message in row.messages]
        results = [str(row.operation["extras"].get("gen_ai.tool.call.result")) for row in self.rows]
        if any(map(says, here)):
            result: Result = "right"
        elif self.row and self.telemetry.has_text(text, self.spans):
            result = "wrong"
        elif not self.telemetry.has_text(text):
            result = "untold"
        else:
            result = verdict_of(any(map(says, anywhere)) or (fact == "tool_result" and any(text in r for r in results)))
        return self._verdict(fact, result, f"{direction} {'/'.join(sorted(roles))}: {text}", here)

    def _images(self) -> Iterator[Verdict]:
        sent = len(_parts(self.call["messages_in"], {"user"}, "image"))
        if sent:
            here = self.row.messages if self.row else []
            found = [part for m in here for part in m["parts"] if part.get("type") in MEDIA]
            result = verdict_of(len(found) == sent) if self.images_told or found else "untold"
            yield Verdict(self.case, self.call["n"], "image", result, sent, found if self.row else NO_ROW)

    def _verdict(self, fact: str, result: Result, expected: str, messages: list[Json]) -> Verdict:
        found = [f"{m['role']}: {_shown(m)}" for m in messages] if self.row else NO_ROW
        return Verdict(self.case, self.call["n"], fact, result, expected, found)

    def _tool_call(self, wanted: Json) -> Iterator[Verdict]:
        here = self.row.messages if self.row else []
        own = [part for m in here if m["direction"] == "output" for part in _tool_calls(m)]
        told = self._tool_call_told(wanted, None)
        told_here = self._tool_call_told(wanted, self.spans if self.row else set())
        elsewhere = [part for row in self.rows for m in row.messages for part in _tool_calls(m)]
        elsewhere += [part for row in self.rows if (part := _executed(row))]
        for key in ("id", "name", "arguments"):
            if wanted.get(key) is None:
                continue
            if any(_same_part(part, wanted, key) for part in own):
                result: Result = "right"
            elif told_here[key]:
                result = "wrong"
            else:
                result = verdict_of(any(_same_part(p, wanted, key) for p in elsewhere)) if told[key] else "untold"
            found: Any = own if self.row else NO_ROW
            yield Verdict(self.case, self.call["n"], f"tool_call.{key}", result, wanted[key], found)

    def _tool_call_told(self, wanted: Json, spans: set[str] | None) -> dict[str, bool]:
        arguments = _loaded(wanted.get("arguments"))
        return {
            "id": self.telemetry.has(lambda leaf: leaf.value == wanted.get("id"), spans),
            "name": self.telemetry.has(lambda leaf: _is_tool_name(leaf, wanted["name"]), spans),
            "arguments": self.telemetry.has(
                lambda leaf: isinstance(leaf.value, dict) and leaf.value == arguments, spans
            ),
        }


def _parts(messages: list[Json] | None, roles: set[str], kind: str) -> list[Json]:
    held = [part for message in messages or () if message["role"] in roles for part in message["parts"]]
    return [part for part in held if part["type"] == kind and (kind in ("tool_call", "image") or part.get("text"))]


def _texts_of(parts: list[Json]) -> str:
    return "\n".join(str(part.get(key)) for part in parts for key in ("content", "response", "result") if key in part)


def _tool_calls(message: Json) -> list[Json]:
    return [part for part in message["parts"] if part.get("type") == "tool_call"]


def _executed(row: Row) -> Json | None:
    if row.operation["operation_type"] != "execute_tool":
        return None
    extras = row.operation["extras"]
    call_id, arguments = (extras.get(f"gen_ai.tool.call.{key}") for key in ("id", "arguments"))
    return {"id": call_id, "name": row.operation["tool_name"], "arguments": arguments}


def _same_part(part: Json, wanted: Json, key: str) -> bool:
    return bool(_loaded(part.get(key)) == _loaded(wanted[key]))


def _loaded(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _is_tool_name(leaf: Leaf, name: str) -> bool:
    return leaf.value == name and not _TOOL_NAME_PATH.search(leaf.path)


def _shown(message: Json) -> str:
    kinds = [str(part.get("type")) for part in message["parts"]]
    return f"{str(message['content'])[:60]!r} {kinds or ''}".strip()
