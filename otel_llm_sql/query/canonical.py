"""JSON text in one spelling: compact, keys sorted. PostgreSQL's JSONB spells and orders in its own way. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import orjson

_LONG_NUMBER = re.compile(r"\d{17}")


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


def canonical_all(texts: Iterable[str | None]) -> list[str | None]:
    """`canonical` of each text, each different text once: it is the most costly step of a large frame."""
    known: dict[str | None, str | None] = {None: None}
    spelled = []
    for text in texts:
        if text not in known:
            known[text] = canonical(text)  # type: ignore[arg-type]
        spelled.append(known[text])
    return spelled
