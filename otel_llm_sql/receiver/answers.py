"""What a sender is told: an Answer where its request was taken, a RefusedError where it was not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from otel_llm_sql.errors import LlmSqlError

Kind = Literal["traces", "logs", "metrics"]
Encoding = Literal["protobuf", "json"]
Reason = Literal["invalid", "too_large", "unauthenticated", "unsupported", "too_slow", "unavailable"]
KINDS: tuple[Kind, ...] = ("traces", "logs", "metrics")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request that was taken is answered.

    Attributes:
        rejected: spans or log records that will never be stored; the sender is not to send them again.
        message: why; empty on full success.
    """

    rejected: int = 0
    message: str = ""


class RefusedError(LlmSqlError):
    """A request is not taken, as a whole.

    Attributes:
        reason: `unavailable` and `too_slow` are those for which it is worth sending the same again.
        retry_after: seconds after which to do so; at most 5, or None (OTLP-08).
    """

    def __init__(self, reason: Reason, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.retry_after = retry_after

    def anew(self) -> RefusedError:
        """The same, to be raised by who has this one.

        An error that was raised refers to all that it passed by. Where that refers to the error, too, only Python's
        collector frees both, and it seldom looks.
        """
        return RefusedError(self.reason, str(self), self.retry_after)


def too_slow() -> RefusedError:
    """The refusal of a request that does not go on arriving."""
    return RefusedError("too_slow", "the request was not sent on in time; sending it again is safe", retry_after=1.0)
