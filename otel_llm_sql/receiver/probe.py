"""Whether the database would take rows now. The answer is remembered for a second: probes come from everywhere."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from otel_llm_sql.errors import StoreError
from otel_llm_sql.notices import reason
from otel_llm_sql.schema import versions
from otel_llm_sql.store.engines import uninstrumented
from otel_llm_sql.store.faults import translated

_FRESH = 1.0
"""Seconds for which an answer is good."""

_PATIENCE = 3.0
"""Seconds after which a database that does not answer is not reachable."""


class Probe:
    """Asks one database; a database that hangs holds up one thread, not the event loop.

    Args:
        engine: of the writer.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llm-sql-probe")
        self._asking: asyncio.Future[str] | None = None
        self._known: tuple[float, str] = (0.0, "")

    async def obstacle(self) -> str:
        """Why it would not take rows; empty where it would. Tables that do not exist yet are made."""
        asked, found = self._known
        if time.monotonic() < asked + _FRESH:
            return found
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().run_in_executor(self._thread, self._ask)
        try:
            found = await asyncio.wait_for(asyncio.shield(self._asking), _PATIENCE)
        except TimeoutError:
            found = "the database does not answer"
        self._known = (time.monotonic(), found)
        return found

    def _ask(self) -> str:
        try:
            with uninstrumented():
                versions.ensure(self._engine)
        except StoreError as error:
            return str(error)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            return f"the database is not reachable: {reason(translated(error))}"
        return ""

    def close(self) -> None:
        """Ask no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
