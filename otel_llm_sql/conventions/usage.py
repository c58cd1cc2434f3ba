"""The usage that a provider sent, as it stands in its response, becomes our counts of tokens.

Whose it is tell the names of its keys, and what they include is each provider's own rule: Anthropic and Bedrock leave
cached tokens out of the input, Gemini leaves its thoughts out of the output, OpenAI counts everything in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

_Paths: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where a provider's usage says what; a dot leads into an object.

    Attributes:
        marks: keys of which one is enough to know it.
        input: summed up, so that all tokens of the prompt are in.
        output: summed up, so that reasoning is in.
    """

    marks: frozenset[str]
    input: _Paths
    output: _Paths
    cache_read: _Paths = ()
    cache_write: _Paths = ()
    reasoning: _Paths = ()


_SHAPES = (
    _Shape(
        frozenset({"prompt_tokens", "completion_tokens"}),
        ("prompt_tokens",),
        ("completion_tokens",),
        ("prompt_tokens_details.cached_tokens",),
        ("prompt_tokens_details.cache_write_tokens",),
        ("completion_tokens_details.reasoning_tokens",),
    ),
    _Shape(
        # Before OpenAI's Responses, as it has `output_tokens_details` by now, too.
        frozenset({"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"}),
        ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
        ("output_tokens",),
        ("cache_read_input_tokens",),
        ("cache_creation_input_tokens",),
    ),
    _Shape(
        frozenset({"input_tokens_details", "output_tokens_details"}),
        ("input_tokens",),
        ("output_tokens",),
        ("input_tokens_details.cached_tokens",),
        (),
        ("output_tokens_details.reasoning_tokens",),
    ),
    _Shape(
        frozenset({"input_token_details", "output_token_details"}),
        ("input_tokens",),
        ("output_tokens",),
        ("input_token_details.cache_read",),
        (
            "input_token_details.cache_creation",
            "input_token_details.ephemeral_5m_input_tokens",
            "input_token_details.ephemeral_1h_input_tokens",
        ),
        ("output_token_details.reasoning",),
    ),
    _Shape(frozenset({"input_tokens", "output_tokens"}), ("input_tokens",), ("output_tokens",)),
    _Shape(
        frozenset({"inputTokens", "outputTokens"}),
        ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"),
        ("outputTokens",),
        ("cacheReadInputTokens",),
        ("cacheWriteInputTokens",),
    ),
    _Shape(
        frozenset({"promptTokenCount", "candidatesTokenCount"}),
        ("promptTokenCount", "toolUsePromptTokenCount"),
        ("candidatesTokenCount", "thoughtsTokenCount"),
        ("cachedContentTokenCount",),
        (),
        ("thoughtsTokenCount",),
    ),
    _Shape(
        frozenset({"prompt_token_count", "candidates_token_count"}),
        ("prompt_token_count", "tool_use_prompt_token_count"),
        ("candidates_token_count", "thoughts_token_count"),
        ("cached_content_token_count",),
        (),
        ("thoughts_token_count",),
    ),
)
"""OpenAI's Chat, Anthropic's, OpenAI's Responses, LangChain's, Bedrock's, Gemini's in both of its spellings."""


def read_usage(usage: Any) -> dict[str, int]:
    """What a provider's usage says.

    Args:
        usage: parsed JSON.

    Returns:
        Fields of `Operation` -> tokens; empty where it is no usage of a provider we know.
    """
    if not isinstance(usage, Mapping):
        return {}
    shape = next((shape for shape in _SHAPES if any(usage.get(mark) is not None for mark in shape.marks)), None)
    if shape is None:
        return {}
    told = {
        "input_tokens": _sum(usage, shape.input),
        "output_tokens": _sum(usage, shape.output),
        "cache_read_input_tokens": _sum(usage, shape.cache_read),
        "cache_write_input_tokens": _sum(usage, shape.cache_write),
        "reasoning_output_tokens": _sum(usage, shape.reasoning),
    }
    return {field: tokens for field, tokens in told.items() if tokens is not None}


def _sum(usage: Mapping[str, Any], paths: _Paths) -> int | None:
    """None without the first: parts of a sum that is not known are no sum."""
    counts = [_count(usage, path) for path in paths]
    if not counts or counts[0] is None:
        return None
    return sum(count for count in counts if count is not None)


def _count(usage: Any, path: str) -> int | None:
    for key in path.split("."):
        usage = usage.get(key) if isinstance(usage, Mapping) else None
    return usage if type(usage) is int and usage >= 0 else None
