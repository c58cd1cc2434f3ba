"""What every vocabulary has in common: session context, times, status and errors, and the rule for aggregates."""

from __future__ import annotations

from typing import Any

from otel_llm_sql.conventions.clean import Cleaner, as_text
from otel_llm_sql.conventions.run_ids import RUN, is_made_up
from otel_llm_sql.conventions.table import Field, Findings, compiled, text
from otel_llm_sql.intake.signal import Signal, SpanEvent
from otel_llm_sql.records import AGGREGATES, NAME_LENGTH, ONLY_OF_CALLS, REPAIRED, Operation, bounded_key

PREFIX = "llm_sql."
"""Attributes that `otel_llm_sql.session()` sets; what they say wins over everything an instrumentation says."""

_FIRST_MICROSECOND = -62_135_596_800_000_000
_LAST_MICROSECOND = 253_402_300_799_999_999


def _object(cleaner: Cleaner, name: str, value: Any) -> dict[str, Any] | None:
    read = cleaner.structure(name, value) if value else None
    return read if isinstance(read, dict) and read else None


def _long(cleaner: Cleaner, name: str, value: Any) -> str | None:
    return cleaner.text(name, as_text(value)) if value else None


def key_text(cleaner: Cleaner, name: str, value: Any) -> str | None:
    """A key, whole as far as its column goes: two long ones that begin alike are two sessions."""
    if type(value) is str and 0 < len(value) <= NAME_LENGTH and value.isascii() and "\0" not in value:
        return value
    whole = cleaner.text(name, as_text(value)) if value is not None else ""
    if len(whole) > NAME_LENGTH:
        cleaner.note(name, f"cut from {len(whole)} characters, a hash at its end")
    return bounded_key(whole) or None


def context_fields(**more: tuple[str, ...]) -> tuple[Field, ...]:
    """The fields every vocabulary has, with a vocabulary's own spellings after the shared ones.

    Args:
        **more: field -> further attributes that say it, the most trustworthy first.
    """
    shared: dict[str, tuple[str, ...]] = {
        "pinned_key": ("llm_sql.session_key",),
        "session_key": ("gen_ai.conversation.id", "session.id"),
        "workspace": ("llm_sql.workspace",),
        "agent_id": ("llm_sql.agent_id", "gen_ai.agent.id"),
        "action_id": ("llm_sql.action_id", "gen_ai.task.name", "gen_ai.workflow.name"),
        "user_id": (
            *("llm_sql.user_id", "user.id", "enduser.id", "gen_ai.user.id"),
            # The parameter `user` of a request, as Traceloop and OpenLIT call it.
            *("gen_ai.user", "gen_ai.request.user", "llm.user"),
        ),
        "agent_name": ("gen_ai.agent.name",),
        "error_type": ("error.type",),
    }
    fields = [Field(name, _READ.get(name, text), spellings + more.pop(name, ())) for name, spellings in shared.items()]
    fields.append(Field("session_metadata", _object, ("llm_sql.metadata",)))
    fields.append(Field("metadata", _object, ("metadata", *more.pop("metadata", ()))))
    fields.append(Field("error_message", _long, ("error.message", *more.pop("error_message", ()))))
    fields += [Field(name, text, spellings) for name, spellings in more.items()]
    return tuple(fields)


def _error_type(cleaner: Cleaner, name: str, value: Any) -> str | None:
    """A class by its name; Semantic Kernel writes `<class 'package.Name'>`."""
    kind = text(cleaner, name, value)
    return kind[len("<class '") : -len("'>")] if kind and kind.startswith("<class '") and kind[-2:] == "'>" else kind


_COUNTED = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens")

_READ = {"pinned_key": key_text, "session_key": key_text, "workspace": key_text, "error_type": _error_type}

_EXCEPTION = compiled(
    Field("exception_type", text, ("exception.type",)), Field("exception_message", _long, ("exception.message",))
)
_OF_ERRORS = ("exception_type", "exception_message", "error_message")


def operation(signal: Signal, found: Findings) -> Operation:
    """The Operation a signal tells of, storable as it stands.

    Args:
        signal: where it was told.
        found: the fields and extras a vocabulary has read; names of fields are those of `Operation`.
    """
    values, cleaner = found.values, found.cleaner
    if signal.kind == "span":
        _outcome(signal, found)
        _latency(signal, found)
    else:
        values["event_time_ns"], values["status"] = signal.start_ns, "pending"
    _context(signal, found)
    if values.get("operation_type") in AGGREGATES:
        found.give_back(ONLY_OF_CALLS)
    else:
        if "model" not in values and "request_model" in values:
            values["model"] = values["request_model"]
        if values.get("input_tokens") == 0:
            # Nobody asks with no tokens: 0 stands where they were not counted, of streams mostly.
            found.give_back([name for name in _COUNTED if values.get(name) == 0])
    if "cost" in values:
        values["cost_source"] = "reported"
    _provenance(signal, found)
    # Among the values, as naming it beside them would copy them (0.3 us).
    values["extras"] = found.extras
    result = Operation(
        "span" if signal.kind == "span" else "event",
        signal.trace_id,
        signal.span_id,
        signal.parent_span_id,
        cleaner.bounded("span_name", signal.name),
        cleaner.bounded("scope_name", signal.scope_name),
        _timestamp(signal, cleaner),
        **values,
    )
    if cleaner.repaired:
        found.extras[REPAIRED] = dict(cleaner.repaired)
    return result


def _timestamp(signal: Signal, cleaner: Cleaner) -> int:
    timestamp = signal.start_ns // 1000
    if _FIRST_MICROSECOND <= timestamp <= _LAST_MICROSECOND:
        return timestamp
    cleaner.note("timestamp", f"{signal.start_ns} ns is outside of the years 1 to 9999, clamped")
    return min(max(timestamp, _FIRST_MICROSECOND), _LAST_MICROSECOND)


def _latency(signal: Signal, found: Findings) -> None:
    if not signal.end_ns:
        return
    nanoseconds = signal.end_ns - signal.start_ns
    if nanoseconds < 0:
        found.cleaner.note("latency_ms", f"the span ends {-nanoseconds} ns before it starts")
        nanoseconds = 0
    found.values["latency_ms"] = found.cleaner.count("latency_ms", nanoseconds // 1_000_000)


def _outcome(signal: Signal, found: Findings) -> None:
    exception = last_exception(signal) if signal.events else None
    if exception is not None:
        found.collect(exception.attributes, _EXCEPTION)
    if signal.status == "error" or "error_type" in found.values:
        _error(signal, found)
    elif exception is not None or "error_message" in found.values:
        found.give_back(_OF_ERRORS)


def _error(signal: Signal, found: Findings) -> None:
    """What failed and how: the status message, else the exception's, else `error.message`."""
    values, extras = found.values, found.extras
    kind, message = values.pop("exception_type", None), values.pop("exception_message", None)
    values["status"] = "error"
    told = _long(found.cleaner, "status_message", signal.status_message)
    reported = values.get("error_message")
    values["error_message"] = told or message or reported
    if kind and values.setdefault("error_type", kind) != kind:
        extras["exception.type"] = kind
    if message and message not in values["error_message"]:
        extras["exception.message"] = message
    if reported and reported not in values["error_message"]:
        extras["error.message"] = reported
    if "error_type" not in values:
        code = extras.get("http.response.status_code", extras.get("http.status_code"))
        if isinstance(code, int) and code >= 400:  # noqa: PLR2004 - where HTTP errors begin
            values["error_type"] = str(code)


def last_exception(signal: Signal) -> SpanEvent | None:
    """The exception that ended the span: the last one recorded."""
    return next((event for event in reversed(signal.events) if event.name == "exception"), None)


def _context(signal: Signal, found: Findings) -> None:
    values, resource = found.values, signal.resource
    pinned = values.pop("pinned_key", None)
    if pinned is not None:
        found.give_back(("session_key",))
        values["session_key"] = pinned
    elif RUN in signal.attributes and is_made_up(values.get("session_key"), signal.attributes[RUN]):
        found.give_back(("session_key",))
    own = values.pop("session_metadata", None)
    if own is not None:
        values["metadata"] = {**(values.get("metadata") or {}), **own}
    metadata = values.get("metadata")
    if metadata and "user_id" not in values and isinstance(metadata.get("user_id"), str):
        values["user_id"] = text(found.cleaner, "metadata.user_id", metadata["user_id"])
    if "workspace" not in values:
        values["workspace"] = key_text(found.cleaner, "service.namespace", resource.get("service.namespace"))
    service = text(found.cleaner, "service.name", resource.get("service.name"))
    if service is not None and not service.startswith("unknown_service"):  # what the SDK says when nobody said anything
        values["service_name"] = service


def _provenance(signal: Signal, found: Findings) -> None:
    extras = found.extras
    if signal.scope_version:
        extras["scope_version"] = found.cleaner.text("scope_version", signal.scope_version)
    if signal.dropped_attributes:
        extras["dropped_attributes"] = found.cleaner.json("dropped_attributes", signal.dropped_attributes)
    if signal.dropped_events:
        extras["dropped_events"] = found.cleaner.json("dropped_events", signal.dropped_events)
