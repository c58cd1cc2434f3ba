"""The core that both doors use: the bytes of a request in, its answer out, once its rows are committed.

It knows neither HTTP nor gRPC. It keeps nothing: what is not committed in time is refused, and the sender sends again.
"""

from __future__ import annotations

import asyncio
import time

from otel_llm_sql.receiver.answers import KINDS, Answer, Encoding, Kind, Reason, RefusedError
from otel_llm_sql.receiver.groups import Groups, Outcome, Request
from otel_llm_sql.receiver.metrics import Meters
from otel_llm_sql.receiver.probe import Probe
from otel_llm_sql.receiver.settings import ReceiverSettings
from otel_llm_sql.receiver.storing import ReceivingPipeline
from otel_llm_sql.settings import Settings

__all__ = ["KINDS", "Answer", "Encoding", "Kind", "Reason", "Reception", "RefusedError"]


class Reception:
    """Takes requests for one database; used by any number of doors of one process. It connects when it is first used.

    Args:
        database: which database, and what is stored of the telemetry.
        settings: how to receive.

    Attributes:
        settings: how to receive.
        groups: what waits for the database; doors account in it for what they hold themselves.
        meters: what is counted.
    """

    def __init__(self, database: Settings, settings: ReceiverSettings) -> None:
        self.settings = settings
        self.meters = Meters()
        self._pipeline = ReceivingPipeline(database)
        self.groups = Groups(self._pipeline, self.meters, settings)
        self._probe = Probe(self._pipeline.engine)

    async def take(self, kind: Kind, body: bytes, encoding: Encoding) -> Answer:
        """Store what a request holds.

        Args:
            kind: what the request exports. Metrics are counted and dropped.
            body: an Export...ServiceRequest, not compressed.
            encoding: of the body.

        Returns:
            What is rejected for good, after all else is committed.

        Raises:
            RefusedError: nothing of it is known to be stored: `invalid` where the body is no such request, `too_large`
                over `inflated_bytes` or `queue_bytes`, `unavailable` where it is worth sending again.
        """
        try:
            return await self._take(kind, body, encoding)
        except RefusedError as error:
            self.meters.refused(error.reason)
            raise

    async def _take(self, kind: Kind, body: bytes, encoding: Encoding) -> Answer:
        if len(body) > self.settings.largest_inflated:
            raise RefusedError("too_large", f"the request is larger than {self.settings.largest_inflated} bytes")
        patience = self.settings.answer_seconds
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        size = max(len(body), self.settings.least_counted)
        self.groups.add(Request(kind, body, encoding, future, loop, time.monotonic() + patience, size))
        try:
            async with asyncio.timeout(patience):
                outcome = await future
        except TimeoutError:
            message = "the database has not stored the request in time; it may do so yet, and sending again is safe"
            raise RefusedError("unavailable", message, retry_after=2.0) from None
        if isinstance(outcome, RefusedError):
            raise outcome.anew()
        return outcome

    async def obstacle(self) -> str:
        """Why requests would be refused now, in words; empty when the receiver is ready (`/readyz`)."""
        return self.groups.obstacle() or await self._probe.obstacle()

    def metrics_text(self) -> bytes:
        """What was counted, in Prometheus' text format; of all worker processes where there are several."""
        return self.meters.text()

    async def close(self, grace: float | None = None) -> None:
        """Refuse what arrives from now on, let what was taken be committed, and close the connections.

        Args:
            grace: seconds that may take; `ReceiverSettings.grace` if None.
        """
        await asyncio.to_thread(self._close, self.settings.grace if grace is None else grace)

    def _close(self, grace: float) -> None:
        self.groups.close(grace)
        self._probe.close()
        self._pipeline.close(0.0)
