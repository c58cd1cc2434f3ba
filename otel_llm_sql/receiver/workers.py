"""Several processes that serve one database on the same ports, and the one that starts them again when they die."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.context import SpawnProcess

from otel_llm_sql import notices
from otel_llm_sql.errors import ReceiverError
from otel_llm_sql.receiver.ports import Ports
from otel_llm_sql.receiver.settings import ReceiverSettings
from otel_llm_sql.settings import Settings

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"

_PAUSE = 1.0
"""Seconds before a worker that died is started again: one that cannot live is not to use up the machine."""

_MARGIN = 10.0
"""Seconds that a worker has for closing, beyond the grace period, before it is killed."""


def supervise(database: Settings, settings: ReceiverSettings, ports: Ports, ready: Callable[[], None]) -> None:
    """Serve with several workers until a signal says stop; call it in the main thread.

    Args:
        database: which database, and what is stored.
        settings: how to receive; `workers` says with how many processes.
        ports: where.
        ready: called when all of them serve.

    Raises:
        ReceiverError: a worker could not start, or had to be killed at the end.
    """
    heard, told = Pipe(duplex=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.send_bytes(b"stop"))
    with tempfile.TemporaryDirectory(prefix="otel-llm-sql-") as figures:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures  # each worker tells the figures of all
        crew = _Crew(database, settings, ports, heard)
        try:
            crew.start()
            ready()
            crew.watch()
        finally:
            ports.close()
            killed = crew.stop(settings.grace + _MARGIN)
    if killed:
        raise ReceiverError(f"{killed} workers did not end within the grace period and were killed")


class _Crew:
    """The workers."""

    def __init__(self, database: Settings, settings: ReceiverSettings, ports: Ports, heard: Connection) -> None:
        self._arguments = (database, settings, ports)
        self._heard = heard
        self._count = settings.workers
        self._workers: list[SpawnProcess] = []

    def start(self) -> None:
        """Start them all, and wait until they serve or a signal is heard."""
        waiting = [self._hire() for _ in range(self._count)]
        while waiting and not self._heard.poll():
            wait([self._heard, *waiting, *(worker.sentinel for worker in self._workers)])
            waiting = [pipe for pipe in waiting if not pipe.poll()]
            if not self._heard.poll() and not all(worker.is_alive() for worker in self._workers):
                raise ReceiverError("a worker ended while it started; it has said why")

    def watch(self) -> None:
        """Replace those that die, until a signal is heard."""
        while not self._heard.poll():
            wait([self._heard, *(worker.sentinel for worker in self._workers)])
            for worker in [worker for worker in self._workers if not worker.is_alive()]:
                self._replace(worker)

    def stop(self, patience: float) -> int:
        """Tell all to end; returns how many had to be killed."""
        for worker in self._workers:
            worker.terminate()
        deadline, killed = time.monotonic() + patience, 0
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()
                killed += 1
        return killed

    def _replace(self, dead: SpawnProcess) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        notices.warn(f"llm_sql receiver: worker {dead.pid} ended", f"exit code {dead.exitcode}; another one starts")
        mark_process_dead(dead.pid)  # type: ignore[no-untyped-call]  # prometheus_client types this one not at all
        self._workers.remove(dead)
        if not self._heard.poll(_PAUSE):
            self._hire()

    def _hire(self) -> Connection:
        served, serving = Pipe(duplex=False)
        worker = multiprocessing.get_context("spawn").Process(target=_work, args=(*self._arguments, serving))
        worker.start()
        serving.close()
        self._workers.append(worker)
        return served


def _work(database: Settings, settings: ReceiverSettings, ports: Ports, serving: Connection) -> None:
    from otel_llm_sql.receiver.server import run

    logging.basicConfig(format=LOG_FORMAT)

    def ready() -> None:
        serving.send_bytes(b"ready")
        serving.close()

    run(database, settings, ports, ready)
