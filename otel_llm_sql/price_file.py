"""The user's own prices: a JSON or TOML file read once, strictly. `docs/prices.md` describes the format."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from otel_llm_sql.errors import SettingsError

_WORDS = frozenset({"provider", "model", "service_tier"})
_DATES = frozenset({"from", "to"})
_KEYS = ("provider", "model", "service_tier", "from", "to", "input", "output", "cache_read", "cache_write")
_REQUIRED = ("model", "input")


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """One price of the user's own: US dollars per million tokens.

    Attributes:
        provider: a value of `gen_ai.provider.name`, None for any.
        model: what the model's name must match as a whole.
        service_tier: `batch`, `flex`, ...; None for any.
        since: first day (UTC) it holds, None for always.
        until: last day (UTC) it holds, None for open end.
        output: None where generated tokens are not charged.
        cache_read: None where cached tokens cost what other input costs.
        cache_write: as `cache_read`.
    """

    provider: str | None
    model: re.Pattern[str]
    service_tier: str | None
    since: date | None
    until: date | None
    input: float
    output: float | None
    cache_read: float | None
    cache_write: float | None

    def applies(self, provider: str | None, model: str, service_tier: str | None, day: date) -> bool:
        """Whether this is a price for such a call on that day."""
        return (
            (self.provider is None or (provider is not None and self.provider == provider.lower()))
            and (self.service_tier is None or self.service_tier == service_tier)
            and (self.since is None or self.since <= day)
            and (self.until is None or day <= self.until)
            and self.model.fullmatch(model) is not None
        )


def read_price_file(path: str) -> tuple[PriceEntry, ...]:
    """Read a price file.

    Args:
        path: a file whose name ends in `.json` or `.toml`.

    Returns:
        The entries in their order: the first that applies wins.

    Raises:
        SettingsError: the file cannot be read or an entry is wrong; it names file, entry and what is allowed.
    """
    document = _parse(path)
    entries = document.get("prices") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not isinstance(document, dict) or len(document) != 1:
        raise SettingsError(f"price file {path}: expected one list named 'prices' and nothing else; see docs/prices.md")
    return tuple(_Entry(path, number, entry).read() for number, entry in enumerate(entries, start=1))


def _parse(path: str) -> Any:
    readers = {".json": json.loads, ".toml": tomllib.loads}
    read = readers.get(Path(path).suffix.lower())
    if read is None:
        raise SettingsError(f"price file {path}: the name must end in .json or .toml")
    try:
        return read(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"price file {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # JSON, TOML and UTF-8 errors are ValueErrors
        raise SettingsError(f"price file {path} is not valid {Path(path).suffix[1:].upper()}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry as it stands in the file, on its way to a PriceEntry."""

    path: str
    number: int
    given: Any

    def read(self) -> PriceEntry:
        if not isinstance(self.given, dict):
            raise self._wrong(f"expected a table with {', '.join(_KEYS)}, not {_shown(self.given)}")
        for key in self.given:
            if key not in _KEYS:
                raise self._wrong(f"unknown key {_shown(key)}; allowed are {', '.join(_KEYS)}")
        for key in _REQUIRED:
            if key not in self.given:
                raise self._wrong(f"{key!r} is missing")
        values = {key: self._value(key) for key in _KEYS}
        if values["from"] and values["to"] and values["from"] > values["to"]:
            raise self._wrong(f"'from' {values['from']} is after 'to' {values['to']}")
        return _price_entry(values)

    def _value(self, key: str) -> Any:
        value = self.given.get(key)
        if value is None and key not in _REQUIRED:
            return None
        if key in _WORDS:
            return self._word(key, value)
        return self._day(key, value) if key in _DATES else self._dollars(key, value)

    def _word(self, key: str, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(f"{key!r} must be a text that is not empty, not {_shown(value)}")
        return value.strip()

    def _day(self, key: str, value: Any) -> date:
        if isinstance(value, date) and not isinstance(value, datetime):  # TOML has dates of its own
            return value
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            try:
                return date.fromisoformat(value)
            except ValueError:  # 2026-02-30
                pass
        raise self._wrong(f"{key!r} must be a day like 2026-01-31, not {_shown(value)}")

    def _dollars(self, key: str, value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _DEAREST:
            return float(value)
        raise self._wrong(f"{key!r} must be US dollars per million tokens, from 0 to {_DEAREST}, not {_shown(value)}")

    def _wrong(self, what: str) -> SettingsError:
        return SettingsError(f"price file {self.path}, entry {self.number}: {what}")


_DEAREST = 1_000_000
"""A dollar per token: above that somebody has mistaken the unit."""


def _price_entry(values: dict[str, Any]) -> PriceEntry:
    provider = values["provider"]
    return PriceEntry(
        provider=provider.lower() if provider else None,
        model=_pattern(values["model"]),
        service_tier=values["service_tier"],
        since=values["from"],
        until=values["to"],
        input=values["input"],
        output=values["output"],
        cache_read=values["cache_read"],
        cache_write=values["cache_write"],
    )


def _pattern(model: str) -> re.Pattern[str]:
    """`*` stands for anything, everything else for itself, whatever the case."""
    return re.compile(".*".join(re.escape(part) for part in model.split("*")), re.IGNORECASE | re.DOTALL)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - an error message is one line
