"""JSON text that strangers wrote: read and written without ever running out of stack."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

_NEEDS_PATIENCE = ("\\ud", "\\uD", "NaN", "Infinity")
"""What orjson refuses and Python's own parser takes: lone surrogates, numbers that are none."""


class _Raw(str):
    """Text that stands in the output as it is."""

    __slots__ = ()


def parse(text: str) -> Any:
    """The value of a JSON text; it may still need cleaning. Integers beyond 64 bits come as floats.

    Raises:
        ValueError: it is no JSON, or is JSON about a thousand levels deep.
    """
    try:
        return orjson.loads(text)
    except ValueError:
        if not any(sign in text for sign in _NEEDS_PATIENCE):
            raise
    return parse_exactly(text)


def parse_exactly(text: str) -> Any:
    """The same by Python's own parser: ten times slower, but every digit of an integer is kept.

    Raises:
        ValueError: as above.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def dump(value: Any) -> str:
    """JSON text of any value, at any depth; what JSON has not becomes text."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return "".join(_pieces(value))


def _pieces(value: Any) -> Iterator[str]:
    """The text in pieces, with a stack of our own: Python's would end at a thousand levels (F27)."""
    stack: list[tuple[Iterator[Any], int]] = [(iter((value,)), 0)]
    path: set[int] = set()
    while stack:
        items, identity = stack[-1]
        for item in items:
            if not isinstance(item, (Mapping, list, tuple)):
                yield item if type(item) is _Raw else _scalar(item)
            elif id(item) in path:
                yield '"..."'
            else:
                path.add(id(item))
                stack.append((_spelled(item), id(item)))
                break
        else:
            stack.pop()
            path.discard(identity)


def _spelled(container: Any) -> Iterator[Any]:
    """Brackets, keys and commas as `_Raw`; the values between them as they are."""
    if isinstance(container, Mapping):
        yield _Raw("{")
        for index, (key, item) in enumerate(container.items()):
            name = json.dumps(key if isinstance(key, str) else str(key))
            yield _Raw(f",{name}:" if index else f"{name}:")
            yield item
        yield _Raw("}")
        return
    yield _Raw("[")
    for index, item in enumerate(container):
        if index:
            yield _Raw(",")
        yield item
    yield _Raw("]")


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, (str, bool)):
        return json.dumps(value)
    if isinstance(value, float):
        return float.__repr__(value) if math.isfinite(value) else "null"
    if isinstance(value, int):
        digits = integer_text(value)
        return f'"{digits}"' if "x" in digits else digits
    if isinstance(value, (bytes, bytearray)):
        return f'"{base64.b64encode(value).decode("ascii")}"'
    return json.dumps(str(value))


def integer_text(value: int) -> str:
    """Decimal digits, or hexadecimal ones where Python refuses to write so many decimal ones (4,300)."""
    try:
        return int.__repr__(value)
    except ValueError:
        return hex(value)
