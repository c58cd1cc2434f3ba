"""Say what went wrong, in the application's log, without flooding it and without feeding a log exporter for ever.

The same thing is said at most once in 20 s, with a count. A notice shows our own messages, which hold neither passwords
nor prompts, and of foreign errors only the class.
"""

from __future__ import annotations

import logging
import time

from otel_llm_sql.errors import LlmSqlError

PERIOD = 20.0
"""Seconds; the SDK's own duplicate filter uses the same."""

_KINDS = 256
"""How many different things are remembered as said."""

_logger = logging.getLogger("otel_llm_sql")
_said: dict[tuple[str, str], tuple[float, int]] = {}


def warn(event: str, error: BaseException | str, period: float = PERIOD) -> None:
    """Log a warning, unless the same was said less than `period` seconds ago: then count it.

    Args:
        event: what happened; constant text, which tells notices apart together with the class of the error.
        error: why.
        period: seconds; `math.inf` says it once in the life of the process.
    """
    key = (event, error if isinstance(error, str) else type(error).__name__)
    now = time.monotonic()
    # No lock, which could be held at a fork: two threads may both speak, which does no harm.
    quiet_until, unsaid = _said.get(key, (0.0, 0))
    if now < quiet_until:
        _said[key] = (quiet_until, unsaid + 1)
        return
    if len(_said) >= _KINDS:
        _said.clear()
    _said[key] = (now + period, 0)
    again = f" ({unsaid} more times since this was last said)" if unsaid else ""
    _logger.warning("%s: %s%s", event, reason(error), again)


def reason(error: BaseException | str) -> str:
    """Why, in words fit for a log: a driver's own message may hold a prompt or a password (PRIV-06)."""
    return str(error) if isinstance(error, str | LlmSqlError) else type(error).__name__
