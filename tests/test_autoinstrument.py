"""Real programs with the real OpenAI client, in processes of their own, under `opentelemetry-instrument`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import free_port

from otel_llm_sql.demo import stand_in
from otel_llm_sql.testing import stored

SECRET = "pa55-marker"
QUESTION = "What is the capital of France?"

APP = f"""
from openai import OpenAI

answer = OpenAI(max_retries=0).chat.completions.create(
    model="gpt-4o-mini", messages=[{{"role": "user", "content": "{QUESTION}"}}]
)
print("app:", answer.choices[0].message.content)
"""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The base URL of a local server that speaks OpenAI's API."""
    with stand_in.running() as url:
        yield url


class Directory:
    """Where a program runs, with an environment of its own."""

    def __init__(self, path: Path, service: str) -> None:
        self.path = path
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | {
            "OPENAI_BASE_URL": service,
            "OPENAI_API_KEY": "sk-not-a-key",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
            "OTEL_SERVICE_NAME": "app",
        }

    def run(self, *command: str, program: str = APP, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `app.py` under a command; its exit code is 0."""
        (self.path / "app.py").write_text(textwrap.dedent(program))
        ran = subprocess.run(
            [sys.executable, *command, "app.py"],
            cwd=self.path,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran

    def instrumented(self, *options: str, program: str = APP, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `app.py` under `opentelemetry-instrument`."""
        instrument = "import sys; from opentelemetry.instrumentation.auto_instrumentation import run; sys.exit(run())"
        script = self.path / "instrument.py"
        script.write_text(instrument)
        return self.run(str(script), *options, sys.executable, program=program, **environment)


@pytest.fixture
def directory(tmp_path: Path, service: str) -> Directory:
    return Directory(tmp_path, service)


OURS = {"OTEL_TRACES_EXPORTER": "llm_sql", "OTEL_LOGS_EXPORTER": "llm_sql"}


def operation(url: str) -> dict[str, Any]:
    (row,) = stored(url)["llm_operations"]
    return row


def test_two_environment_variables_and_no_code(url: str, directory: Directory) -> None:
    """OTEL_TRACES_EXPORTER=llm_sql OTEL_LOGS_EXPORTER=llm_sql opentelemetry-instrument python app.py."""
    ran = directory.instrumented(**OURS, OTEL_EXPORTER_LLM_SQL_URL=url)
    assert ran.stdout == "app: The capital of France is Paris.\n"
    assert ran.stderr == ""
    row = operation(url)
    assert (row["provider"], row["operation_type"], row["status"]) == ("openai", "chat", "ok")
    assert (row["request_model"], row["service_name"]) == ("gpt-4o-mini", "app")
    assert row["input_tokens"] > 0 < row["output_tokens"]
    messages = sorted(stored(url)["llm_messages"], key=lambda message: message["sequence_number"])
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", QUESTION),
        ("assistant", "The capital of France is Paris."),
    ]


@pytest.mark.parametrize("content", ["EVENT_ONLY", "SPAN_AND_EVENT"])
def test_messages_that_come_as_events(directory: Directory, content: str) -> None:
    """With content in log records, the same operation and the same two messages."""
    url = f"sqlite:///{directory.path}/llm.db"
    capture = {
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": content,
        "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": "true",
    }
    directory.instrumented(**OURS, **capture, OTEL_EXPORTER_LLM_SQL_URL=url)
    row = operation(url)
    assert (row["provider"], row["status"]) == ("openai", "ok")
    assert sorted(message["role"] for message in stored(url)["llm_messages"]) == ["assistant", "user"]


def test_beside_the_console_exporter_with_options(directory: Directory) -> None:
    """`--traces_exporter console,llm_sql --exporter_llm_sql_url ...` (CFG-03, CFG-07): both get the span."""
    url = f"sqlite:///{directory.path}/llm.db"
    ran = directory.instrumented(
        *("--traces_exporter", "console,llm_sql", "--logs_exporter", "llm_sql", "--exporter_llm_sql_url", url)
    )
    assert '"gen_ai.request.model": "gpt-4o-mini"' in ran.stdout
    assert operation(url)["provider"] == "openai"


def test_f39_beside_an_otlp_exporter_that_reaches_nobody(directory: Directory) -> None:
    """`otlp,llm_sql` with no collector: our rows are stored all the same."""
    url = f"sqlite:///{directory.path}/llm.db"
    directory.instrumented(
        OTEL_TRACES_EXPORTER="otlp,llm_sql",
        OTEL_LOGS_EXPORTER="llm_sql",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
        OTEL_EXPORTER_LLM_SQL_URL=url,
    )
    assert operation(url)["provider"] == "openai"


CONFIGURATION = """
file_format: "1.0"
tracer_provider:
  processors:
    - batch:
        exporter:
          llm_sql:
            url: ${DB}
            workspace: from yaml
            colour: blue
logger_provider:
  processors:
    - batch:
        exporter:
          llm_sql:
            url: ${DB}
"""


def test_cfg_05_through_a_configuration_file(directory: Directory) -> None:
    """OTEL_CONFIG_FILE: the YAML mapping is our settings, with environment substitution; unknown keys warn."""
    url = f"sqlite:///{directory.path}/llm.db"
    (directory.path / "otel.yaml").write_text(CONFIGURATION)
    ran = directory.instrumented(OTEL_CONFIG_FILE=str(directory.path / "otel.yaml"), DB=url)
    assert operation(url)["provider"] == "openai"
    assert [row["workspace"] for row in stored(url)["llm_sessions"]] == ["from yaml"]
    assert "colour" in ran.stderr


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (f"postgresql://me:{SECRET}@127.0.0.1:1/db", ("not stored yet", "kept in files")),
        (f"mssql://me:{SECRET}@127.0.0.1/db", ("mssql",)),
        (f"{SECRET}, which is no URL", ("OTEL_EXPORTER_LLM_SQL_URL",)),
    ],
)
def test_cfg_08_a_bad_url_harms_nobody(directory: Directory, bad: str, says: tuple[str, ...]) -> None:
    """The program runs on, the other exporter works, a line tells what is wrong, without the password or prompts."""
    ran = directory.instrumented(
        OTEL_TRACES_EXPORTER="console,llm_sql",
        OTEL_LOGS_EXPORTER="llm_sql",
        OTEL_EXPORTER_LLM_SQL_URL=bad,
        OTEL_EXPORTER_LLM_SQL_TIMEOUT="2",
    )
    assert "app: The capital of France is Paris." in ran.stdout
    assert '"gen_ai.request.model": "gpt-4o-mini"' in ran.stdout
    assert ran.stderr.count("llm_sql exporter") == len(says), ran.stderr
    assert all(words in ran.stderr for words in says)
    assert SECRET not in ran.stderr + ran.stdout
    assert QUESTION not in ran.stderr


def test_cfg_04_an_unknown_exporter_name(directory: Directory) -> None:
    """A misspelt name: OpenTelemetry says which component it did not find, and the program runs on untraced."""
    ran = directory.instrumented(OTEL_TRACES_EXPORTER="lm_sql", OTEL_LOGS_EXPORTER="none")
    assert ran.stdout == "app: The capital of France is Paris.\n"
    assert "Requested component 'lm_sql' not found in entry point 'opentelemetry_traces_exporter'" in ran.stderr


def test_cfg_10_a_disabled_sdk_stores_nothing(directory: Directory) -> None:
    """OTEL_SDK_DISABLED=true: no file, no message."""
    ran = directory.instrumented(
        **OURS, OTEL_EXPORTER_LLM_SQL_URL=f"sqlite:///{directory.path}/llm.db", OTEL_SDK_DISABLED="true"
    )
    assert ran.stdout == "app: The capital of France is Paris.\n"
    assert not (directory.path / "llm.db").exists()


INSTALLED = f"""
from otel_llm_sql import LlmOperationCollector, session

collector = LlmOperationCollector().install()
with session("conversation", user_id="ada"):
{textwrap.indent(APP.strip(), "    ")}
assert collector.flush()
print(collector.query_db("SELECT provider, user_id FROM llm_operations"))
"""


def test_install_in_code(url: str, directory: Directory) -> None:
    """`LlmOperationCollector().install()` in a plain program: instrumented, stored, queried, in its session."""
    ran = directory.run(program=INSTALLED, OTEL_EXPORTER_LLM_SQL_URL=url)
    assert "app: The capital of France is Paris." in ran.stdout
    assert operation(url)["user_id"] == "ada"
    assert [row["session_key"] for row in stored(url)["llm_sessions"]] == ["conversation"]
    assert len(stored(url)["llm_messages"]) == 2
    assert ran.stderr == ""
