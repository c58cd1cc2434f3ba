"""JSON text in one spelling: compact, keys sorted. PostgreSQL's JSONB spells and orders in its own way. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import orjson

LONG_NUMBER = r"[0-9]{17}"
"""Pattern of numbers that are more than orjson keeps."""
_LONG_NUMBER = re.compile(LONG_NUMBER)


def canonical(text: str) -> str:
    """The same JSON, compact and with sorted keys; text that is no JSON stays as it is.

    Numbers keep all their digits: integers beyond 64 bits go the slow way.
    """
    try:
        if _LONG_NUMBER.search(text):
            return json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS).decode()
    except (ValueError, TypeError, RecursionError):
        return text


def canonical_all(texts: Sequence[str | None], *, long_numbers: bool) -> list[str | None]:
    """`canonical` of each text: the most costly step of a large frame, and so without a call for each.

    Args:
        texts: JSON.
        long_numbers: whether one of them holds a number of more than 16 digits.
    """
    loads, dumps, ordered = orjson.loads, orjson.dumps, orjson.OPT_SORT_KEYS
    if not long_numbers:
        try:
            return [None if text is None else dumps(loads(text), option=ordered).decode() for text in texts]
        except (ValueError, TypeError, RecursionError):
            pass  # one of them is no JSON
    return [None if text is None else canonical(text) for text in texts]
