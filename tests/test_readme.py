"""README.md is true: its quickstarts run as they stand, its tables say what the code says, its links lead somewhere."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_llm_sql import environment_variables
from otel_llm_sql.cli import COMMANDS, INTERRUPTED, failures
from otel_llm_sql.demo import stand_in

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _section(title: str) -> str:
    """The text under a heading of the second level."""
    return re.split(r"^## ", README.partition(f"\n## {title}")[2], flags=re.MULTILINE)[0]


def _blocks(title: str) -> list[tuple[str, str]]:
    """Language and text of the code blocks under a heading."""
    return re.findall(r"^```(\w+)\n(.*?)^```", _section(title), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory to work in, a stand-in for the LLM, the installed commands, and a `pip` that only writes down."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pip").write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/pip.log"\n')
    (programs / "pip").chmod(0o755)
    search_path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(search_path))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    work = tmp_path / "work"
    work.mkdir()
    with stand_in.running() as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        yield work


def _run(title: str, directory: Path) -> str:
    """Do what a reader does: save the programs under their names, paste the commands. Returns what was printed."""
    printed = ""
    for language, text in _blocks(title):
        if language == "python":
            (directory / text.split()[1]).write_text(text)
        else:
            ran = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", text], cwd=directory, capture_output=True, text=True, check=False
            )
            assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
            printed += ran.stdout
    return printed


def test_quickstart_1_needs_no_change_in_the_code(shell: Path) -> None:
    """Two environment variables, and the call is a row that `sql` shows."""
    printed = _run("Quickstart 1", shell)
    header = "provider,model,input_tokens,output_tokens,cost,status\n"
    row = printed.partition(header)[2].strip().split(",")
    assert "The capital of France is Paris." in printed
    assert (row[:2], row[-1]) == (["openai", "gpt-4o-mini-2024-07-18"], "ok")
    assert float(row[4]) > 0


def test_quickstart_3_installs_in_code_and_asks(shell: Path) -> None:
    """The transcript says nothing twice, and the session has its key, its user and its cost."""
    printed = _run("Quickstart 3", shell)
    transcript = printed.partition("role,content\n")[2].splitlines()[:4]
    assert [line.partition(",")[0] for line in transcript] == ["user", "assistant"] * 2
    assert transcript[0] == "user,Please book Lisbon to Porto."
    assert re.search(r"gpt-4o-mini-2024-07-18 2 \d", printed)
    assert "shape: (2, 6)" in printed
    assert '"session_key": "chat-42", "user_id": "ada"' in printed


def test_other_ways_in(shell: Path) -> None:
    """The configuration file and the lines for a provider of one's own store the call of the first quickstart."""
    app = _blocks("Quickstart 1")[0][1]
    (_, configuration), (_, by_hand) = _blocks("Other ways in")
    (shell / "app.py").write_text(app)
    (shell / "otel.yaml").write_text(configuration)
    (shell / "by_hand.py").write_text(by_hand)
    instrumentor = "from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as I; I().instrument()"
    commands = f"""
        OTEL_CONFIG_FILE=otel.yaml opentelemetry-instrument python app.py
        python -c "import by_hand; {instrumentor}; import app"
        otel-llm-sql sql --db-uri sqlite:///llm.db "SELECT COUNT(*) AS calls FROM llm_operations"
    """
    ran = subprocess.run(["bash", "-euc", commands], cwd=shell, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("calls\n2\n"), ran.stderr


def test_the_advice_on_sigterm_saves_the_last_batch(shell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the lines of the README a program that SIGTERM ends leaves its last call; without them it does not."""
    advice = textwrap.dedent(re.findall(r"^  ```python\n(.*?)^  ```", _section("Limits"), re.MULTILINE | re.DOTALL)[0])
    app = _blocks("Quickstart 1")[0][1] + "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n"
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "llm_sql")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    statuses = {}
    for name, text in (("without", app), ("with", advice + app)):
        (shell / "app.py").write_text(text)
        monkeypatch.setenv("OTEL_EXPORTER_LLM_SQL_URL", f"sqlite:///{shell}/{name}.db")
        ended = subprocess.run(
            ["opentelemetry-instrument", "python", "app.py"], cwd=shell, capture_output=True, check=False
        )
        statuses[name] = ended.returncode
    assert statuses == {"without": -signal.SIGTERM, "with": 0}
    assert not (shell / "without.db").exists()
    count = ["otel-llm-sql", "sql", "SELECT COUNT(*) AS calls FROM llm_operations"]
    assert subprocess.run(count, capture_output=True, text=True, check=True).stdout == "calls\n1\n"


def test_pip_lines_install_what_the_quickstarts_use() -> None:
    """Extras on a pip line exist, and its other packages are those that our own tests run with."""
    project_file = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = project_file["project"]
    extras = project["optional-dependencies"]
    requirements = [*extras["demo"], *project_file["dependency-groups"]["dev"]]
    tested = {re.split(r"[><=!~\[]", requirement)[0].lower() for requirement in requirements}
    lines = re.findall(r"pip install ([^`\n]+)", README)
    assert len(lines) >= 3
    for word in " ".join(lines).replace("'", "").split():
        name, _, chosen = word.rstrip("]").partition("[")
        name = project["name"] if name == "." else name  # from a checkout
        assert name.lower() in tested | {project["name"]}
        assert set(filter(None, chosen.split(","))) <= set(extras)


def test_every_variable_is_in_the_configuration_table() -> None:
    """The table has each variable once, and no other."""
    listed = re.findall(r"^\| `(OTEL_EXPORTER_LLM_SQL_\w+)`", _section("Configuration"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(name for name in vars(environment_variables) if name.startswith("OTEL_"))


def test_commands_and_exit_codes_are_those_of_the_program() -> None:
    """Each command has its line, and each exit code its row."""
    section = _section("Command line")
    assert sorted(re.findall(r"^otel-llm-sql (\w+)", section, flags=re.MULTILINE)) == sorted(COMMANDS)
    codes = [0, failures.FAILURE, failures.USAGE, failures.UNREACHABLE, failures.OUT_OF_DATE, INTERRUPTED]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", section, flags=re.MULTILINE)] == codes


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_links_lead_somewhere(page: str) -> None:
    """Links to files of the project, and to headings of the page, exist."""
    text = (ROOT / page).read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    for link in links:
        file, _, heading = link.partition("#")
        assert (ROOT / page).parent.joinpath(file).exists(), link
        assert file or heading in headings, link
