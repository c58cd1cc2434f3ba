"""The vocabulary of the measure: what a verdict is, and which facts there are with the share that is to be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Result = Literal["right", "wrong", "untold"]
Json = dict[str, Any]

TOKENS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cached": "cache_read_input_tokens",
    "cache_write": "cache_write_input_tokens",
    "reasoning": "reasoning_output_tokens",
}
"""Kind of tokens in `expected.json` -> column."""

SUMS = tuple(f"sum {kind}" for kind in TOKENS)
TARGETS = {
    **dict.fromkeys(("loads", "twice"), 1.0),
    **dict.fromkeys(("calls", *SUMS), 0.99),
    **dict.fromkeys(TOKENS, 0.99),
    **dict.fromkeys(("model", "request_model", "provider", "operation_type", "status"), 0.99),
    **dict.fromkeys(("finish_reason", "response_id"), 0.99),
    "error_message": 0.97,
    **dict.fromkeys(("session", "no_session", "user", "agent"), 0.98),
    "metadata": 0.0,
    **dict.fromkeys(("system_text", "user_text", "image", "assistant_text", "thinking"), 0.98),
    **dict.fromkeys(("tool_call.id", "tool_call.name", "tool_call.arguments", "tool_result"), 0.98),
}
"""Fact -> the share of the told ones that is to be right. The order of the table."""

NO_ROW = "no row for this call"
"""What is found of a call that has no row."""


@dataclass(frozen=True)
class Verdict:
    """What became of one fact; `call` is 0 for facts of the whole case."""

    case: str
    call: int
    fact: str
    result: Result
    expected: Any
    found: Any


def verdict_of(right: object, *, told: object = True) -> Result:
    """Right is right whoever told it; what is not right is wrong only where the telemetry tells it."""
    return "right" if right else "wrong" if told else "untold"
