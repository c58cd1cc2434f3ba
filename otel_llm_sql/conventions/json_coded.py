"""JSON inside of attributes: whole bodies, and scalars that some SDKs quote (`"acme"` with its quotation marks)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from otel_llm_sql.conventions.clean import Cleaner
from otel_llm_sql.conventions.json_text import parse
from otel_llm_sql.conventions.table import Read

_OPENINGS = frozenset('[{"')


def opened(value: Any) -> Any:
    """What JSON text says; anything else as it is: plain text, broken JSON, structures, and bare numbers."""
    if not isinstance(value, str) or (value[:1] not in _OPENINGS and value.lstrip()[:1] not in _OPENINGS):
        return value
    try:
        return parse(value)
    except ValueError:
        return value


def quoted(read: Read) -> Read:
    """Read a value that may be quoted as JSON.

    Args:
        read: reads what it says.
    """

    def unquoted(cleaner: Cleaner, name: str, value: Any) -> Any:
        return read(cleaner, name, opened(value))

    return unquoted


def gathered(extras: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Take the attributes of a flattened object out of `extras`.

    Args:
        extras: cleaned attributes.
        prefix: what their names begin with.

    Returns:
        Name without the prefix -> value, no longer quoted.
    """
    names = [name for name in extras if name.startswith(prefix)]
    return {name[len(prefix) :]: opened(extras.pop(name)) for name in names}


def nanoseconds(moment: Any) -> int | None:
    """A timestamp of ISO 8601 since the epoch."""
    if not isinstance(moment, str):
        return None
    try:
        told = datetime.fromisoformat(moment)
    except ValueError:
        return None
    told = told if told.tzinfo else told.replace(tzinfo=UTC)
    elapsed = told - datetime(1970, 1, 1, tzinfo=UTC)
    return ((elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds) * 1000
