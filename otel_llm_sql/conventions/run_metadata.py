"""The metadata of a run, in which an application names its session and LangChain and LangGraph say where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_llm_sql.conventions.clean import as_text
from otel_llm_sql.conventions.table import Findings
from otel_llm_sql.records import bounded_key

_OF_FRAMEWORKS = ("ls_", "lc_", "langgraph_", "checkpoint_ns", "__pregel", "LANGSMITH_", "langfuse_")
"""What the names begin with that frameworks set; they change with every step."""

_SESSION = ("session_id", "thread_id", "conversation_id")
_NAMES = (("user_id", "user_id"), ("agent_name", "lc_agent_name"))


def take_metadata(found: Findings, told: Mapping[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    """Take session, user and agent, where no attribute names them, and the application's own metadata.

    Args:
        found: its values are filled.
        told: the metadata, its values no longer quoted.
        *others: metadata of narrower scope, which may name them, too, but is not the session's.

    Returns:
        What frameworks put among the application's.
    """
    values, cleaner = found.values, found.cleaner
    whole = {key: value for metadata in (told, *others) for key, value in metadata.items()}
    for key in _SESSION:
        if "session_key" not in values and whole.get(key) not in (None, ""):
            values["session_key"] = bounded_key(cleaner.text("session_key", as_text(whole[key])))
    for field, key in _NAMES:
        if field not in values and isinstance(whole.get(key), str) and whole[key]:
            values[field] = cleaner.bounded(field, whole[key])
    own = {key: value for key, value in told.items() if not key.startswith(_OF_FRAMEWORKS)}
    if own:
        values["metadata"] = cleaner.json("metadata", {**(values.get("metadata") or {}), **own})
    return {key: value for key, value in told.items() if key not in own}
