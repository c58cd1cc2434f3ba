"""The exporters' own metrics, under the names OpenTelemetry gives them (`otel.sdk.exporter.*`).

As the semantic conventions define `exported`: everything whose export has finished, once, also what is no GenAI and
left out; with `error.type` where it failed. What is kept after a failure and stored later stays counted as failed: that
export had ended. Single signals that the database refuses do not fail an export; they are put away and logged.

Off, as the SDK's own are, unless OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED is true.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.metrics import get_meter


@dataclass(slots=True)
class Outcome:
    """How an export ended: without an error, unless one is set."""

    error: Exception | None = None


@contextmanager
def measured(signal: str, count: int) -> Iterator[Outcome]:
    """Count the export that happens inside the block.

    Args:
        signal: `span` or `log`.
        count: how many of them are exported.
    """
    outcome = Outcome()
    if os.environ.get("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "").strip().lower() != "true":
        yield outcome
        return
    inflight, exported, duration = _instruments(signal)
    attributes = {
        "otel.component.type": f"llm_sql_{signal}_exporter",
        "otel.component.name": f"llm_sql_{signal}_exporter/0",
    }
    started = time.perf_counter()
    inflight.add(count, attributes)
    try:
        yield outcome
    finally:
        inflight.add(-count, attributes)
        if outcome.error is not None:
            attributes = attributes | {"error.type": type(outcome.error).__qualname__}
        exported.add(count, attributes)
        duration.record(time.perf_counter() - started, attributes)


@functools.cache
def _instruments(signal: str) -> tuple[Any, Any, Any]:
    meter = get_meter("otel_llm_sql")
    unit = f"{{{signal}}}" if signal == "span" else "{log_record}"
    return (
        meter.create_up_down_counter(f"otel.sdk.exporter.{signal}.inflight", unit, "Handed to the exporter, not done."),
        meter.create_counter(
            f"otel.sdk.exporter.{signal}.exported", unit, "Export finished, with error.type if failed."
        ),
        meter.create_histogram("otel.sdk.exporter.operation.duration", "s", "How long exports took."),
    )
