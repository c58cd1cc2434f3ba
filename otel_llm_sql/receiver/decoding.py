"""The bytes of a request become a Share; a Share whose fate is known becomes an Answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from otel_llm_sql import notices
from otel_llm_sql.errors import LlmSqlError
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.receiver.answers import Answer, Encoding, Kind, RefusedError
from otel_llm_sql.receiver.storing import Share, Why

_NOUNS: dict[Kind, str] = {"traces": "spans", "logs": "log records", "metrics": "metrics"}
_WHY: dict[Why, str] = {
    "no_ids": "no valid trace id and span id",
    "unreadable": "they could not be read and were put away as dead letters",
    "refused": "the database refuses them and they were put away as dead letters",
}


def share_of(kind: Kind, body: bytes, encoding: Encoding, read: Callable[[Sequence[Signal]], Share]) -> Share:
    """What a request holds.

    Args:
        kind: what it exports.
        body: the request, not compressed.
        encoding: of the body.
        read: makes the share of signals.

    Raises:
        RefusedError: the body is no such request.
    """
    try:
        if kind == "metrics":
            count = _count_metrics(body, encoding)
            return Share(received=count, ignored=count)
        return read(_signals(kind, body, encoding))
    except LlmSqlError as error:
        raise RefusedError("invalid", str(error)) from error
    except Exception as error:
        notices.warn("llm_sql receiver: a request could not be decoded", error)
        raise RefusedError("invalid", f"the request could not be decoded ({type(error).__name__})") from error


def answer_of(kind: Kind, share: Share) -> Answer:
    """What a request is answered whose rows are committed."""
    if not share.rejected:
        return Answer()
    reasons = "; ".join(f"{count}: {_WHY[why]}" for why, count in sorted(share.rejected.items()))
    count = share.rejected.total()
    return Answer(count, f"{count} {_NOUNS[kind]} not stored ({reasons})")


def _signals(kind: Kind, body: bytes, encoding: Encoding) -> list[Signal]:
    if encoding == "json":
        from otel_llm_sql.intake.otlp_json import signals_from_logs_json, signals_from_traces_json

        return signals_from_traces_json(body) if kind == "traces" else signals_from_logs_json(body)
    from otel_llm_sql.intake.otlp import signals_from_logs, signals_from_traces

    return signals_from_traces(body) if kind == "traces" else signals_from_logs(body)


def _count_metrics(body: bytes, encoding: Encoding) -> int:
    from otel_llm_sql.intake import otlp, otlp_json

    return otlp_json.count_metrics(otlp_json.document(body)) if encoding == "json" else otlp.count_metrics(body)
