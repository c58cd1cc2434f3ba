"""Ids of conversations that an instrumentation made up for one run: nobody named a session by them."""

from __future__ import annotations

import re
from typing import Any

RUN = "gen_ai.agent.call.id"
"""The id of an agent's run, which Pydantic AI draws right before that of a conversation nobody named."""

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_MILLISECONDS = 12
"""Hexadecimal digits that are the time."""

_LONGEST_MS = 1000
"""A process may be held up between drawing the two; and clocks of two machines differ."""


def is_made_up(conversation: Any, run: Any) -> bool:
    """Whether a conversation's id was drawn for this run.

    Both are UUIDs of version 7, which grow with time. What the application names, or what comes with the messages of an
    earlier run, is older than the run; what is drawn for it is younger, if only by its counter.

    Args:
        conversation: the conversation's id.
        run: the run's.
    """
    if not (isinstance(conversation, str) and isinstance(run, str)):
        return False
    if not (_UUID7.fullmatch(conversation) and _UUID7.fullmatch(run)):
        return False
    return 0 <= _time(conversation) - _time(run) <= _LONGEST_MS and conversation > run


def _time(uuid: str) -> int:
    return int(uuid.replace("-", "")[:_MILLISECONDS], 16)
