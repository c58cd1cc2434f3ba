"""The fields of OTLP JSON: what stands there as text, number, list or AnyValue; a wrong type counts as absent."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from otel_llm_sql.intake.signal import EMPTY

_DEEPEST = 64
"""Levels of a value inside of values; protobuf's parser gives up at 50 and with it the whole request."""

_TOO_DEEP = f"(nested deeper than {_DEEPEST} levels)"

_UNSIGNED = range(2**64)
_SIGNED = range(-(2**63), 2**63)


def snake(camel: str) -> str:
    """The name that protobuf gives a field of OTLP JSON: `traceId` is `trace_id`."""
    return re.sub("[A-Z]", lambda letter: f"_{letter.group().lower()}", camel)


def object_of(value: Any) -> Mapping[str, Any]:
    """The value, else an empty object."""
    return value if isinstance(value, dict) else EMPTY


def list_of(value: Any) -> list[Any]:
    """The value, else an empty list."""
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """The value, else an empty text."""
    return value if isinstance(value, str) else ""


def unsigned(value: Any) -> int:
    """A whole number from 0 to 2**64 - 1, else 0."""
    number = integer(value)
    return number if number is not None and number in _UNSIGNED else 0


def integer(value: Any) -> int | None:
    """A whole number, written as number, as text, or with an exponent (all of which proto3's JSON allows)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    try:
        return int(value) if isinstance(value, str) else _whole(value)
    except ValueError:
        return _whole(_float(value))


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, float) and value.is_integer() else None


def _signed(value: Any) -> int | None:
    number = integer(value)
    return number if number is not None and number in _SIGNED else None


def _float(value: Any) -> float | None:
    """A number, or the text of one: `NaN`, `Infinity` and `-Infinity` have no other form."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


_STANDARD_ALPHABET = str.maketrans("-_", "+/")


def _bytes(value: Any) -> bytes | None:
    """Base64, also in the alphabet of URLs and without padding."""
    try:
        plain = value.translate(_STANDARD_ALPHABET).rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (AttributeError, ValueError):
        return None


def attributes_of(pairs: Any, depth: int = 1) -> dict[str, Any]:
    """What a list of KeyValues holds, by key; `depth` is the level at which the values stand."""
    return {
        text_of(pair.get("key")): value_of(pair.get("value"), depth)
        for pair in list_of(pairs)
        if isinstance(pair, dict)
    }


def value_of(value: Any, depth: int = 1) -> Any:
    """What an AnyValue holds; None where it holds nothing, or nothing that can be read."""
    for kind, held in object_of(value).items():
        if held is not None and kind in _SCALARS:
            return _SCALARS[kind](held)
        if held is not None and kind in _CONTAINERS:
            return _TOO_DEEP if depth >= _DEEPEST else _CONTAINERS[kind](object_of(held).get("values"), depth + 1)
    return None


def _array(values: Any, depth: int) -> list[Any]:
    return [value_of(item, depth) for item in list_of(values)]


_Readers = dict[str, Callable[..., Any]]


def _by_both_names(readers: _Readers) -> _Readers:
    return readers | {snake(kind): read for kind, read in readers.items()}


_SCALARS = _by_both_names(
    {
        "stringValue": lambda held: held if isinstance(held, str) else None,
        "boolValue": lambda held: held if isinstance(held, bool) else None,
        "intValue": _signed,
        "doubleValue": _float,
        "bytesValue": _bytes,
    }
)
_CONTAINERS = _by_both_names({"arrayValue": _array, "kvlistValue": attributes_of})
