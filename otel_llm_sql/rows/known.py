"""What the database already knows: the questions a resolution asks, and the answers as plain values.

Timestamps are microseconds since the epoch, JSON is Python values, ids are text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol


class Carrier(NamedTuple):
    """An operation of a session, as far as its session and its messages depend on it."""

    operation_id: str
    session_id: str
    timestamp: int
    operation_type: str
    message_ids: list[str]
    input_messages: int
    finish_reason: str | None
    agent_name: str | None
    user_id: str | None
    extras: Mapping[str, Any]


class Owner(NamedTuple):
    """The operation that owns a message; and the name of the tool as far as it is known."""

    operation_id: str
    timestamp: int
    operation_type: str
    tool_name: str | None


Row = dict[str, Any]


class Known(Protocol):
    """Reads within the writer's transaction, after its locks are held."""

    def spans(self, trace_ids: Collection[str]) -> list[Row]:
        """Rows of `llm_spans` without `facts`."""

    def calls(self, response_ids: Collection[str], since: int, until: int) -> set[str]:
        """Ids of operations with these response ids that were under way in this stretch of time (microseconds)."""

    def unlinked(self, library: str, since: int, until: int) -> set[str]:
        """Ids of operations without a parent, of instrumentations of a library, under way in this stretch of time."""

    def without_parent(self, since: int, until: int) -> set[str]:
        """Ids of operations that generate something, began in this stretch of time and have a span without a parent."""

    def told_by_callbacks(self, since: int, until: int) -> set[str]:
        """The same of operations, wherever they stand, of which a span of `twins.CALLBACKS` tells."""

    def failed(self, since: int, until: int) -> set[str]:
        """The same of those that failed, where that span is of `failures.LIBRARY`."""

    def operations(self, operation_ids: Collection[str]) -> tuple[list[Row], list[Row]]:
        """Whole rows of `llm_operations`, and of the `llm_spans` that tell about them."""

    def sessions(self, session_ids: Collection[str]) -> dict[str, Row]:
        """Whole rows of `llm_sessions` by id."""

    def owners(self, message_ids: Collection[str]) -> dict[str, Owner]:
        """Message id -> the operation that owns it."""

    def messages(self, message_ids: Collection[str]) -> list[Row]:
        """Whole rows of `llm_messages`."""

    def kept(self, operation_ids: Collection[str]) -> list[tuple[str, Mapping[str, Any]]]:
        """Operation id and `facts` of the `llm_spans` that tell about these operations and have any."""

    def carriers(self, session_ids: Collection[str]) -> list[Carrier]:
        """All operations of these sessions."""

    def surroundings(self, session_ids: Collection[str]) -> list[Row]:
        """Rows of `llm_spans` without `facts`: all of the traces in which operations of these sessions stand."""

    def extents(self, session_ids: Collection[str], without: Collection[str]) -> dict[str, tuple[int, int]]:
        """Session id -> earliest and latest timestamp of its operations, but for some of them."""

    def definitions(self, ids: Collection[str]) -> dict[str, Any]:
        """Ids of tool definitions that are stored already -> the definitions."""
