"""Servers that take OTLP and store LLM spans, too: installed from PyPI into environments of their own, on SQLite."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from senders import free_port, wait_until_ready

_ENVIRONMENTS = Path(__file__).parent.parent / ".cache" / "rivals"


@dataclass(frozen=True, slots=True)
class Rival:
    """A server to compare with.

    Attributes:
        package: what is installed.
        command: what starts it, given the folder of its program, the folder for its data and a port.
        environment: what it is told by variables, given the folder for its data and a port.
        ready: a path that answers when it is up.
        path: where it takes traces.
        count: a query for the spans that are stored.
        database: its SQLite file in the folder for its data.
    """

    name: str
    package: str
    command: Callable[[Path, Path, int], list[str]]
    environment: Callable[[Path, int], dict[str, str]]
    ready: str
    path: str
    count: str
    database: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def running(self, folder: Path) -> Iterator[int]:
        """The server; gives its port."""
        programs, port = self._installed(), free_port()
        log = (folder / "log").open("wb")
        process = subprocess.Popen(
            self.command(programs, folder, port),
            env=os.environ | self.environment(folder, port),
            stdout=log,
            stderr=log,
            cwd=folder,
        )
        try:
            wait_until_ready(port, self.ready)
            yield port
        finally:
            process.terminate()
            process.wait(60)
            log.close()

    def _installed(self) -> Path:
        home = _ENVIRONMENTS / self.name
        if not (home / ".installed").exists():
            uv = [sys.executable, "-m", "uv"]
            subprocess.run([*uv, "venv", "-q", "--clear", "--python", sys.executable, str(home)], check=True)
            subprocess.run(
                [*uv, "pip", "install", "-q", "--python", str(home / "bin/python"), self.package], check=True
            )
            (home / ".installed").touch()
        return home / "bin"

    def wait_for_rows(self, folder: Path, wanted: int, seconds: float = 60.0) -> int:
        """Wait until so many spans are stored, or no more come; returns how many are."""
        until, known = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            with closing(sqlite3.connect(f"file:{folder / self.database}?mode=ro", uri=True, timeout=30)) as connection:
                known = int(connection.execute(self.count).fetchone()[0])
            if known >= wanted:
                break
            time.sleep(0.02)
        return known


RIVALS = (
    Rival(
        name="Phoenix",
        package="arize-phoenix",
        command=lambda programs, _folder, _port: [str(programs / "phoenix"), "serve"],
        environment=lambda folder, port: {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_PORT": str(port),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        ready="/healthz",
        path="/v1/traces",
        count="SELECT COUNT(*) FROM spans",
        database="phoenix.db",
    ),
    Rival(
        name="MLflow",
        package="mlflow",
        command=lambda programs, folder, port: [
            *(str(programs / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        ],
        environment=lambda _folder, _port: {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        ready="/health",
        path="/v1/traces",
        count="SELECT COUNT(*) FROM spans",
        database="mlflow.db",
        headers={"x-mlflow-experiment-id": "0"},
    ),
)
