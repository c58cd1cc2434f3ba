"""Values become storable, in every database we support, and each repair is written down.

Whatever comes in, what leaves is strict JSON at most 30 levels deep, integers within 64 bits, finite floats, and text
without NUL bytes and lone surrogates. Nothing here raises, and values that need no repair cost one look.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

from otel_llm_sql.conventions.json_text import dump, integer_text, parse, parse_exactly
from otel_llm_sql.records import JsonValue

MAX_DEPTH = 30
"""MariaDB calls JSON valid to 31 levels and its drivers and views add one (F27)."""

MAX_INTEGER = 2**63 - 1
MIN_INTEGER = -(2**63)
_FIRST_INEXACT = 2.0**63


class Cleaner:
    """Repairs the values of one signal and lists what it did.

    Attributes:
        capture_media: descriptors of inline media hold its bytes too.
        repaired: attribute or field -> what was done to it.
        inexact: a float was met that may have been an integer beyond 64 bits in its JSON text.
    """

    __slots__ = ("capture_media", "inexact", "repaired")

    def __init__(self, *, capture_media: bool = False) -> None:
        self.capture_media = capture_media
        self.repaired: dict[str, str] = {}
        self.inexact = False

    def note(self, name: str, what: str) -> None:
        """List a repair."""
        known = self.repaired.get(name)
        if known is None:
            self.repaired[name] = what
        elif what not in known:
            self.repaired[name] = f"{known}; {what}"

    def text(self, name: str, value: str) -> str:
        """Text without NUL bytes and lone surrogates: databases and UTF-8 refuse them (F20 to F22)."""
        if value.isascii():  # a flag of the string, not a scan
            return self._without_nul(name, value) if "\0" in value else value
        try:
            value.encode()
        except UnicodeEncodeError:
            self.note(name, "lone surrogates replaced")
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return self._without_nul(name, value) if "\0" in value else value

    def _without_nul(self, name: str, value: str) -> str:
        self.note(name, "NUL replaced")
        return value.replace("\0", "\ufffd")

    def bounded(self, name: str, value: Any, limit: int = 255) -> str | None:
        """Text for a column of `limit` characters; None for nothing or an empty text."""
        if type(value) is str and 0 < len(value) <= limit and value.isascii() and "\0" not in value:
            return value
        if value is None:
            return None
        text = self.text(name, value if type(value) is str else as_text(value))
        if len(text) > limit:
            self.note(name, f"cut from {len(text)} to {limit} characters")
            return text[:limit]
        return text or None

    def json(self, name: str, value: Any, depth: int = 1) -> JsonValue:
        """Strict JSON; `depth` is the level at which the value will stand."""
        kind = type(value)
        if kind is str:
            return value if value.isascii() and "\0" not in value else self.text(name, value)
        if value is None or kind is bool or (kind is int and MIN_INTEGER <= value <= MAX_INTEGER):
            return value
        # Asking whether it is any Mapping takes longer than reading a small one.
        if kind is dict or kind is list or (kind is not float and isinstance(value, (Mapping, list, tuple))):
            return self._container(name, value, depth)
        if isinstance(value, (int, float)):
            return self._number(name, value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            self.note(name, "bytes as base64")
            return base64.b64encode(value).decode("ascii")
        if not isinstance(value, str):
            self.note(name, f"{kind.__name__} as text")
        return self.text(name, as_text(value))

    def _number(self, name: str, value: float) -> JsonValue:
        if isinstance(value, float):
            if type(value) is float and -_FIRST_INEXACT < value < _FIRST_INEXACT:
                return value
            if math.isfinite(value):
                self.inexact = self.inexact or abs(value) >= _FIRST_INEXACT
                return float(value)
            self.note(name, "not a finite number")
            return None
        if MIN_INTEGER <= value <= MAX_INTEGER:
            return int(value)
        self.note(name, "integer beyond 64 bits as text")
        return integer_text(value)

    def _container(self, name: str, value: Any, depth: int) -> JsonValue:
        if depth > MAX_DEPTH:
            self.note(name, f"nested deeper than {MAX_DEPTH} levels, as text")
            return self.text(name, dump(value))
        if type(value) is not dict and not isinstance(value, Mapping):
            return [self.json(name, item, depth + 1) for item in value]
        clean, text = self.json, self.text
        return {
            text(name, key if type(key) is str else as_text(key)): clean(name, item, depth + 1)
            for key, item in value.items()
        }

    def count(self, name: str, value: Any) -> int | None:
        """A count of tokens: whole, not negative, within 64 bits; numbers in text are accepted, masks are None."""
        if type(value) is int and 0 <= value <= MAX_INTEGER:
            return value
        number = as_number(value)
        if number is None or number < 0:
            if value is not None:
                self.note(name, "no count")
            return None
        if number > MAX_INTEGER:
            self.note(name, "beyond 64 bits, clamped")
            return MAX_INTEGER
        return int(number)

    def amount(self, name: str, value: Any) -> float | None:
        """A finite number that is not negative, such as seconds or dollars."""
        number = as_number(value)
        if number is not None and 0 <= number <= MAX_INTEGER:
            return float(number)
        if value is not None:
            self.note(name, "no amount")
        return None

    def structure(self, name: str, value: Any, depth: int = 1) -> JsonValue:
        """JSON from JSON text, or from a structure; text that is no JSON stays text."""
        if not isinstance(value, str):
            return self.json(name, value, depth)
        text = self.text(name, value)
        try:
            self.inexact = False
            result = self.json(name, parse(text), depth)
            return self.json(name, parse_exactly(text), depth) if self.inexact else result
        except ValueError:
            self.note(name, "broken JSON, kept as text")
            return text


def as_number(value: Any) -> float | None:
    """A finite number out of a number or its text; None for anything else, booleans included."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = _parsed_number(value)
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) and math.isfinite(value) else None


def _parsed_number(text: str) -> float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def as_text(value: Any) -> str:
    """A value of any type as text: JSON for what JSON has, `str()` for the rest."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, int) and not isinstance(value, bool):
        return integer_text(value)
    if value is None or isinstance(value, (Mapping, list, tuple, bool)):
        return dump(value)
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - an object of the application's whose own __str__ fails
        return f"<{type(value).__name__}>"
