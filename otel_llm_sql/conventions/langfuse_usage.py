"""Langfuse's own usage: buckets of which none includes another, so that the whole is their sum.

Its LangChain callback and its JavaScript SDK take the details out of `input` and `output` and put each beside it; what
a provider calls details in other words (`prompt_tokens`, ...) is left as the provider sent it, see `usage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NOT_DISJOINT = ("input_priority", "output_priority")
"""Tokens of OpenAI's priority tier, which are counted in their buckets, too."""

_INPUT = ("cached_modality_", "cache_read_input_tokens", "cache_creation_input_tokens")
_OUTPUT = ("thoughts_token_count",)
"""Keys that providers have beside their input and output, and that are not part of these."""

_CACHE_READ = ("input_cache_read", "input_cached", "cached_modality_", "cache_read_input_tokens")
_CACHE_WRITE = ("input_cache_creation", "input_cache_write", "input_ephemeral_", "cache_creation_input_tokens")
_REASONING = ("output_reasoning", "thoughts_token_count")


def buckets(usage: Any) -> dict[str, int]:
    """What the buckets add up to.

    Args:
        usage: parsed JSON.

    Returns:
        Fields of `Operation` -> tokens; empty where it is not Langfuse's usage.
    """
    if not isinstance(usage, Mapping) or not usage.keys() & {"input", "output"}:
        return {}
    counts = {
        key: value
        for key, value in usage.items()
        if isinstance(key, str) and type(value) is int and value >= 0 and not key.startswith(_NOT_DISJOINT)
    }
    told = {
        "input_tokens": _sum(counts, ("input_", *_INPUT), "input"),
        "output_tokens": _sum(counts, ("output_", *_OUTPUT), "output"),
        "cache_read_input_tokens": _sum(counts, _CACHE_READ),
        "cache_write_input_tokens": _sum(counts, _CACHE_WRITE),
        "reasoning_output_tokens": _sum(counts, _REASONING),
    }
    return {field: tokens for field, tokens in told.items() if tokens is not None}


def _sum(counts: Mapping[str, int], prefixes: tuple[str, ...], whole: str | None = None) -> int | None:
    if whole is not None and whole not in counts:
        return None
    said = [tokens for key, tokens in counts.items() if key == whole or key.startswith(prefixes)]
    return sum(said) if said else None
