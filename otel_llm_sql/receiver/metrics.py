"""What the receiver counts, as Prometheus reads it.

With several worker processes, and the environment variable PROMETHEUS_MULTIPROC_DIR set before this is imported, each
process tells the figures of all (prometheus_client's multiprocess mode).
"""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from otel_llm_sql.receiver.answers import Kind, Reason
from otel_llm_sql.receiver.storing import Share, Written

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NAMESPACE = "otel_llm_sql_receiver"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Meters:
    """The counters of one receiver."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._received = self._counter("received", "Spans, log records and metrics in requests that could be decoded.")
        self._ignored = self._counter("ignored", "Of these, the ones that are not about GenAI.")
        self._stored = self._counter("stored", "Spans and log records that were committed and said something new.", ())
        self._duplicate = self._counter("duplicate", "Spans and log records that said nothing new.", ())
        self._rejected = self._counter("rejected", "Spans and log records rejected for good.", ("reason",))
        self._dead = self._counter("dead_lettered", "New rows of llm_dead_letters.", ())
        self._requests = self._counter("requests", "Requests answered with success.")
        self._refused = self._counter("refused_requests", "Requests answered with an error.", ("reason",))
        self._queue = Gauge(
            "queue_bytes",
            "Bytes of requests under way: bodies that are read, and what waits for the database.",
            namespace=_NAMESPACE,
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._commit = Histogram(
            "commit_seconds",
            "How long a transaction took, retries included.",
            namespace=_NAMESPACE,
            registry=self._registry,
            buckets=_SECONDS,
        )

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ("signal",)) -> Counter:
        return Counter(name, text, labels, namespace=_NAMESPACE, registry=self._registry)

    def answered(self, kind: Kind, share: Share) -> None:
        """Count a request that is answered with success."""
        self._requests.labels(kind).inc()
        for why, count in share.rejected.items():
            self._rejected.labels(why).inc(count)

    def read(self, kind: Kind, received: int, ignored: int) -> None:
        """Count what a request holds."""
        self._received.labels(kind).inc(received)
        self._ignored.labels(kind).inc(ignored)

    def refused(self, reason: Reason) -> None:
        """Count a request that is answered with an error."""
        self._refused.labels(reason).inc()

    def committed(self, written: Written, seconds: float) -> None:
        """Count a transaction."""
        self._stored.inc(written.stored)
        self._duplicate.inc(written.duplicates)
        self._dead.inc(written.dead_lettered)
        self._commit.observe(seconds)

    def queued(self, size: int) -> None:
        """Tell how many bytes wait."""
        self._queue.set(size)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client types this one not at all
        return generate_latest(registry)
