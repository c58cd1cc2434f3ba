"""The doors of the SDK: spans and log records in, SUCCESS or FAILURE out. SUCCESS means that the rows are committed.

An exporter connects when it is first given GenAI telemetry, never raises into the SDK, never traces itself, and says
what went wrong in the log, rarely and without secrets. What is still queued when a process is ended by SIGTERM is lost,
as Python runs no exit handlers then: this package installs no signal handlers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_llm_sql import notices
from otel_llm_sql.conventions import is_genai_log, is_genai_span
from otel_llm_sql.errors import SettingsError, StoreError
from otel_llm_sql.exporter_metrics import measured
from otel_llm_sql.intake.sdk import from_log, from_span
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.masking import mask
from otel_llm_sql.settings import Settings, load

if TYPE_CHECKING:
    from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

    from otel_llm_sql.pipeline import Pipeline
else:
    try:
        from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
    except ImportError:  # OpenTelemetry before 1.39 has only the old names
        from opentelemetry.sdk._logs.export import LogExporter as LogRecordExporter
        from opentelemetry.sdk._logs.export import LogExportResult as LogRecordExportResult


class _Door:
    """What the exporters of both signals do alike; it knows neither spans nor logs."""

    def __init__(self, signal: str, arguments: dict[str, Any]) -> None:
        self._signal = signal
        self.shut = False
        self._settings: Settings | None = None
        self._wrong = ""
        self.session_names: frozenset[str] = frozenset()
        try:
            self._settings = load(**arguments)
            self.session_names = self._settings.session_names
            _open.setdefault(self._settings, WeakSet()).add(self)
        except Exception as error:  # noqa: BLE001 - an exception here would switch off everybody's telemetry (fact 7)
            self._wrong = notices.reason(error)
            _complain(SettingsError(self._wrong))

    def deliver(self, signals: Callable[[], Iterable[Signal]], count: int) -> bool:
        """Have the signals stored; False, with a notice, when they are not."""
        if self.shut:
            _say(f"llm_sql {self._signal} exporter", "it is shut down, what is exported now is not stored")
            return False
        with measured(self._signal, count) as outcome:
            try:
                self._deliver(signals)
            except Exception as error:  # noqa: BLE001 - a door: telemetry never breaks the application
                outcome.error = error
                _complain(error, self._settings.url if self._settings else "")
        return outcome.error is None

    def _deliver(self, signals: Callable[[], Iterable[Signal]]) -> None:
        wanted = list(signals())
        if not wanted:
            return
        if self._settings is None:
            raise SettingsError(self._wrong)
        _pipeline(self._settings).deliver(wanted)

    def flush(self, timeout_millis: float) -> bool:
        """Whether everything that was given is stored; tries again what was kept."""
        if self.shut:
            return False
        with suppress(Exception):
            return all(pipeline.flush(timeout_millis / 1000) for pipeline in self._used_pipeline())
        return False

    def shutdown(self, timeout_millis: float) -> None:
        """Flush; the last exporter of a database closes its connections. Later calls do nothing."""
        if self.shut:
            return
        self.shut = True
        if self._settings is None:
            return
        # A database that is down holds up the end of the application no longer than an export.
        timeout = min(timeout_millis / 1000, self._settings.timeout)
        with suppress(Exception):
            for pipeline in self._used_pipeline():
                others = any(not door.shut for door in _open.get(self._settings, ()))
                if others:
                    pipeline.flush(timeout)
                else:
                    pipeline.close(timeout)
                    _say_what_is_left(pipeline)

    def _used_pipeline(self) -> Iterator[Pipeline]:
        """The pipeline, if some exporter has used it: a process that stored nothing has nothing to import or close."""
        if self._settings is not None and self._settings in _delivering:
            yield _pipeline(self._settings)


_open: dict[Settings, WeakSet[_Door]] = {}
_delivering: set[Settings] = set()


def _pipeline(settings: Settings) -> Pipeline:
    # Imported when the first GenAI telemetry arrives: under opentelemetry-instrument an exporter starts in every Python
    # process of the application, resource trackers included (CFG-12).
    from otel_llm_sql.pipeline import shared

    _delivering.add(settings)
    return shared(settings)


def _complain(error: Exception, database: str = "") -> None:
    if isinstance(error, SettingsError):
        # Nothing will change in the life of the process; two exporters with the same mistake say it once.
        _say("llm_sql exporter: nothing is stored", str(error), math.inf)
    elif isinstance(error, StoreError):
        _say(f"llm_sql exporter: not stored yet in {mask(database)}, kept to be tried again", error)
    else:
        _say("llm_sql exporter: not stored", error)


def _say_what_is_left(pipeline: Pipeline) -> None:
    """At the end of a program: what became of telemetry that the database has not taken."""
    if pipeline.dropped:
        _say("llm_sql exporter: lost", f"{pipeline.dropped} operations, which the database did not take in time")
    if pipeline.spooled:
        _say("llm_sql exporter: kept in files for the next program", f"{pipeline.spooled} operations")


def _say(event: str, error: Exception | str, period: float = notices.PERIOD) -> None:
    # A log handler of the application that raises is not the SDK's concern.
    with suppress(Exception):
        notices.warn(event, error, period)


class LlmSqlSpanExporter(SpanExporter):
    """Writes GenAI spans to a SQL database as sessions, operations and messages; other spans are ignored.

    Args:
        **settings: fields of `otel_llm_sql.settings.Settings` (`url`, `capture_content`, `workspace`, ...). All are
            optional: what is not given comes from the environment. Unknown ones are logged and ignored. A wrong one is
            logged, and every export fails.
    """

    def __init__(self, **settings: Any) -> None:
        self._door = _Door("span", settings)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Store the GenAI spans among these.

        Returns:
            SUCCESS when they are committed. FAILURE when they are not, within `Settings.timeout` seconds; they are
            then kept, within `Settings.backlog_bytes`, and tried again before the next export.
        """
        names = self._door.session_names
        wanted = (span for span in spans if is_genai_span(span, names))
        stored = self._door.deliver(lambda: map(from_span, wanted), len(spans))
        return SpanExportResult.SUCCESS if stored else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Try again what is still kept.

        Returns:
            Whether all of it is stored; False after `shutdown()`.
        """
        return self._door.flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30000) -> None:
        """Flush and close connections, in at most `timeout_millis`. Exports fail afterwards."""
        self._door.shutdown(timeout_millis)


class LlmSqlLogExporter(LogRecordExporter):
    """Writes GenAI content events (prompts and completions as log records) to a SQL database; other logs are ignored.

    Args:
        **settings: as for `LlmSqlSpanExporter`.
    """

    def __init__(self, **settings: Any) -> None:
        self._door = _Door("log", settings)

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        """Store the GenAI events among these; results as for `LlmSqlSpanExporter.export`."""
        stored = self._door.deliver(lambda: [from_log(record) for record in batch if is_genai_log(record)], len(batch))
        return LogRecordExportResult.SUCCESS if stored else LogRecordExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Try again what is still kept; False after `shutdown()`."""
        return self._door.flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30000) -> None:
        """Flush and close connections, in at most `timeout_millis`. Exports fail afterwards."""
        self._door.shutdown(timeout_millis)
