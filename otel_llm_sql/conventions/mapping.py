"""The application's own attributes under our names: what they say wins over what instrumentations say.

They are added as what `otel_llm_sql.session()` sets, before a vocabulary reads the signal; where a session() has said
the same thing, that stands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from otel_llm_sql.conventions.json_text import parse
from otel_llm_sql.conventions.shared import PREFIX
from otel_llm_sql.intake.signal import Signal

_METADATA = f"{PREFIX}metadata"
_KEY = "metadata."


class AttributeMapping:
    """Adds to signals what the application says in names of its own.

    Args:
        pairs: field and attribute, of `Settings.attributes`. Of several attributes for a field the first one that is
            there counts; on the span before on the resource.
        of_interest: whether a signal with attributes and events of these names may be about GenAI; others get nothing
            of their resource, which would make a row of each.
    """

    def __init__(
        self, pairs: Iterable[tuple[str, str]], of_interest: Callable[[Collection[str], Iterable[str]], bool]
    ) -> None:
        self._of_interest = of_interest
        self._names: dict[str, list[str]] = {}
        for field, name in pairs:
            self._names.setdefault(field, []).append(name)

    def applied(self, signal: Signal) -> Signal:
        """The signal with the attributes that are mapped under our own names, too."""
        if not self._names:
            return signal
        told = self._told(signal.attributes)
        events = (signal.name, *(event.name for event in signal.events))
        if signal.resource and self._of_interest(signal.attributes, events):
            told = self._told(signal.resource) | told
        return replace(signal, attributes=_joined(told, signal.attributes)) if told else signal

    def _told(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        found = {field: _first(attributes, names) for field, names in self._names.items()}
        return {field: value for field, value in found.items() if value is not None}


def _first(attributes: Mapping[str, Any], names: list[str]) -> Any:
    values = (attributes.get(name) for name in names)
    return next((value for value in values if value is not None and value != ""), None)


def _joined(told: dict[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What is mapped, then the attributes, among them those of session(); metadata is joined key by key."""
    joined: dict[str, Any] = {f"{PREFIX}{field}": value for field, value in told.items() if not _is_metadata(field)}
    joined.update(attributes)
    if any(map(_is_metadata, told)):
        keys = {field.removeprefix(_KEY): value for field, value in told.items() if field.startswith(_KEY)}
        joined[_METADATA] = _object(told.get("metadata")) | keys | _object(attributes.get(_METADATA))
    return joined


def _is_metadata(field: str) -> bool:
    return field == "metadata" or field.startswith(_KEY)


def _object(value: Any) -> dict[str, Any]:
    """A JSON object, as text or as a structure; anything else is kept where it came from."""
    if isinstance(value, str):
        try:
            value = parse(value)
        except ValueError:
            return {}
    return dict(value) if isinstance(value, Mapping) else {}


__all__ = ["AttributeMapping"]
