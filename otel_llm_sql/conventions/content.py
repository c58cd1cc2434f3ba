"""`capture_content`: what of that which people and models said is stored. What is counted always stays.

Error messages are no content but may quote it: wherever content is not stored as it came, they are redacted.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.content_attributes import CONTENT_EXTRAS, CONTENT_PREFIXES, ERROR_EXTRAS, NO_CONTENT
from otel_llm_sql.conventions.media import is_descriptor
from otel_llm_sql.conventions.redaction import Redactor
from otel_llm_sql.records import JsonValue, Message, Operation

_CALLS = frozenset({"tool_call", "tool_call_response"})
_KEPT_OF_CALLS = ("id", "name")
_NOT_REDACTED = frozenset({"type", "id"})
_HASHED = re.compile(r"(?:hmac-)?sha256:[0-9a-f]{64}")


class ContentPolicy(Protocol):
    """What becomes of content before anything is stored, in the database or in files."""

    def apply(self, operation: Operation) -> None:
        """Take out of an operation, in place, what is not to be stored; twice does no more than once."""

    def raw(self, value: Any) -> JsonValue:
        """What a dead letter holds of a value that may be content."""

    def error(self, message: str | None) -> str | None:
        """What is stored of an error message."""


def policy(capture: bool | str, hash_key: str | None = None, patterns: Iterable[str] = ()) -> ContentPolicy:  # noqa: FBT001 - the setting as it is
    """The policy of the settings.

    Args:
        capture: True, False, `hash` or `redacted`.
        hash_key: makes hashes keyed ones, so that nobody else can guess short texts.
        patterns: regular expressions of the user's for what is redacted, too.
    """
    if capture is True:
        return _Everything()
    redactor = Redactor(patterns)
    if capture == "redacted":
        return _Redacted(redactor)
    return _Shape(redactor, _hashing(hash_key) if capture == "hash" else _nothing)


def without_content(operation: Operation, said: Callable[[str], str | None] | None = None) -> None:
    """Take all content out of an operation, in place.

    Messages stay, with role, direction, the kinds of their parts, and the ids and names of tool calls.

    Args:
        operation: what is stored.
        said: what stands in the place of a message's text; nothing by default.
    """
    operation.messages = [_shape(message, said or _nothing) for message in operation.messages]
    operation.tool_definitions = None
    for name in _carrying(operation):
        del operation.extras[name]


class _Everything:
    def apply(self, operation: Operation) -> None:
        """All stays."""

    def raw(self, value: Any) -> JsonValue:
        return value

    def error(self, message: str | None) -> str | None:
        return message


class _Redacted:
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def apply(self, operation: Operation) -> None:
        redact = self._redactor.value
        operation.messages = [self._message(message) for message in operation.messages]
        operation.tool_definitions = redact(operation.tool_definitions)
        for name in _carrying(operation):
            operation.extras[name] = redact(operation.extras[name])
        _redact_errors(operation, self._redactor)

    def _message(self, message: Message) -> Message:
        content = message.content and self._redactor.text(message.content)
        parts = message.parts and [self._part(part) for part in message.parts]
        if content == message.content and parts == message.parts:
            return message
        return replace(message, content=content, parts=parts, digest=None)

    def _part(self, part: Any) -> Any:
        if not isinstance(part, dict) or is_descriptor(part):
            return self._redactor.value(part)
        told = {key: value for key, value in part.items() if key not in _NOT_REDACTED}
        return {key: part[key] for key in part if key in _NOT_REDACTED} | self._redactor.value(told)

    def raw(self, value: Any) -> JsonValue:
        return self._redactor.value(Cleaner().json("payload", value))

    def error(self, message: str | None) -> str | None:
        return message and self._redactor.text(message)


class _Shape:
    """`false` and `hash`: the shape of an exchange, and what stands for its texts."""

    def __init__(self, redactor: Redactor, said: Callable[[str], str | None]) -> None:
        self._redactor = redactor
        self._said = said

    def apply(self, operation: Operation) -> None:
        without_content(operation, self._said)
        _redact_errors(operation, self._redactor)

    def raw(self, value: Any) -> JsonValue:  # noqa: ARG002 - the one thing that is not looked at
        return None

    def error(self, message: str | None) -> str | None:
        return message and self._redactor.text(message)


def _carrying(operation: Operation) -> list[str]:
    return [
        name
        for name in operation.extras
        if name in CONTENT_EXTRAS or (name.startswith(CONTENT_PREFIXES) and name not in NO_CONTENT)
    ]


def _redact_errors(operation: Operation, redactor: Redactor) -> None:
    if operation.error_message:
        operation.error_message = redactor.text(operation.error_message)
    for name in ERROR_EXTRAS:
        if name in operation.extras:
            operation.extras[name] = redactor.value(operation.extras[name])


def _nothing(_text: str) -> None:
    return None


NOTHING = policy(capture=False)
"""The policy of those who are to know nothing."""


def _hashing(key: str | None) -> Callable[[str], str]:
    """Equal texts have equal hashes: a repeated prompt can be counted, and a message is stored once."""
    secret = key.encode("utf-8", "surrogateescape") if key else None

    def hashed(text: str) -> str:
        if _HASHED.fullmatch(text):  # done before, by the process that left it in a file
            return text
        if secret is None:
            return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        return f"hmac-sha256:{hmac.digest(secret, text.encode(), 'sha256').hex()}"

    return hashed


def _shape(message: Message, said: Callable[[str], str | None]) -> Message:
    # A copy: the messages of a history may be shared with other operations.
    parts = None if message.parts is None else [_bare(part) for part in message.parts]
    content = None if message.content is None else said(message.content)
    return replace(message, content=content, parts=parts, digest=None)


def _bare(part: Any) -> Any:
    if not isinstance(part, dict):
        return None
    kept = _KEPT_OF_CALLS if part.get("type") in _CALLS else ()
    return {key: part[key] for key in ("type", *kept) if isinstance(part.get(key), str)}
