"""What stands in a recording, whoever reads it: every value of every attribute, event and body, JSON text opened."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from otel_llm_sql.intake.signal import Signal


@dataclass(frozen=True)
class Leaf:
    """One value and where it stands: `gen_ai.input.messages[].parts[].content`."""

    path: str
    value: Any


class Telemetry:
    """The values of a recording, by span.

    Log records that name no span are left out: nobody can tell to which call they belong.
    """

    def __init__(self, signals: Collection[Signal]) -> None:
        self._leaves: dict[str, list[Leaf]] = {}
        for signal in signals:
            if signal.span_id:
                self._leaves.setdefault(signal.span_id, []).extend(_of_signal(signal))

    def leaves(self, spans: Collection[str] | None = None) -> Iterator[Leaf]:
        """All values, or those of some spans and their events."""
        for span, leaves in self._leaves.items():
            if spans is None or span in spans:
                yield from leaves

    def has(self, fits: Callable[[Leaf], bool], spans: Collection[str] | None = None) -> bool:
        """Whether some value fits."""
        return any(fits(leaf) for leaf in self.leaves(spans))

    def has_text(self, text: str, spans: Collection[str] | None = None) -> bool:
        """Whether a text stands somewhere, alone or inside another."""
        return self.has(lambda leaf: isinstance(leaf.value, str) and text in leaf.value, spans)


def _of_signal(signal: Signal) -> Iterator[Leaf]:
    yield from _walk(signal.attributes, "")
    yield from _walk(signal.body, "body")
    yield Leaf("status.message", signal.status_message)
    for event in signal.events:
        yield from _walk(event.attributes, f"event {event.name}: ")


def _walk(value: Any, path: str) -> Iterator[Leaf]:
    if isinstance(value, Mapping):
        yield Leaf(path, value)
        for key, item in value.items():
            yield from _walk(item, f"{path}.{key}" if path and not path.endswith(" ") else f"{path}{key}")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _walk(item, f"{path}[]")
    elif value is not None:
        yield Leaf(path, value)
        yield from _opened(value, path)


def _opened(value: Any, path: str) -> Iterator[Leaf]:
    if isinstance(value, str) and re.match(r'\s*[\[{"]', value):
        try:
            inside = json.loads(value)
        except (ValueError, RecursionError):
            return
        yield from _walk(inside, path)
