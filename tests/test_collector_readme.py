"""The README's second quickstart is true: four shells, side by side, put a program's calls into the database."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from collectors import FOLDER, answers, program, quiet_port, wait_until

from otel_llm_sql.demo import stand_in

README = (FOLDER.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
APP = re.findall(r"^```python\n(# app.py.*?)^```", README, re.MULTILINE | re.DOTALL)[0]


@contextmanager
def shell(text: str, environment: dict[str, str], directory: Path) -> Iterator[None]:
    """A shell with a program in it that goes on until it is told to end."""
    with (directory / "shells.log").open("ab") as log:
        started = subprocess.Popen(
            ["sh", "-ec", text], env=environment, cwd=directory, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        started.wait(60)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the reader stands: the repository's files, a program, and the Collector in the PATH."""
    (tmp_path / "collector-config").symlink_to(FOLDER)
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pip").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "pip").chmod(0o755)
    # Its own metrics have one port, which may be in use on this machine.
    collector = f'#!/bin/sh\nexec "{program("agent.yaml")}" "$@" --set=service.telemetry.metrics.level=none\n'
    (tmp_path / "bin" / "otelcol-contrib").write_text(collector)
    (tmp_path / "bin" / "otelcol-contrib").chmod(0o755)
    return tmp_path


def test_four_shells(directory: Path) -> None:
    """Receiver, Collector, program and query, word for word; only the ports are other ones."""
    receiver, collector, health = (quiet_port() for _ in range(3))
    ports = {"14318": str(receiver), "4318": str(collector)}
    blocks = [re.sub(r"\b1?4318\b", lambda port: ports[port[0]], block) for block in BLOCKS]
    with stand_in.running() as url:
        environment = os.environ | {
            "PATH": f"{directory}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLLECTOR_OTLP_HTTP": f"127.0.0.1:{collector}",
            "COLLECTOR_OTLP_GRPC": f"127.0.0.1:{quiet_port()}",
            "COLLECTOR_HEALTH": f"127.0.0.1:{health}",
            "OPENAI_BASE_URL": url,
            "OPENAI_API_KEY": "none",
        }

        def asked(block: str) -> subprocess.CompletedProcess[str]:
            command = ["sh", "-ec", block]
            return subprocess.run(
                command, env=environment, cwd=directory, capture_output=True, text=True, timeout=120, check=False
            )

        with shell(blocks[0], environment, directory), shell(blocks[1], environment, directory):
            wait_until(lambda: answers(f"http://127.0.0.1:{receiver}/healthz"), "the receiver is ready")
            wait_until(lambda: answers(f"http://127.0.0.1:{health}/"), "the Collector is ready")
            ran = asked(blocks[2])
            assert (ran.returncode, ran.stderr) == (0, "")
            wait_until(lambda: "gpt-4o-mini-2024-07-18" in asked(blocks[3]).stdout, "the call is in the database")
    assert (directory / "queue").is_dir()
