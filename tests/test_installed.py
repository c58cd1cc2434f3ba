"""Vocabularies that other distributions bring along: really installed ones, on telemetry of the SDK."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from otel_llm_sql import conventions
from otel_llm_sql.conventions.installed import GROUP, Guarded, installed
from otel_llm_sql.conventions.vocabulary import Reader
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.records import Operation
from otel_llm_sql.testing import stored

DOCS = (Path(__file__).parent.parent / "docs" / "conventions.md").read_text(encoding="utf-8")
SECTION = DOCS.partition("## A vocabulary of your own\n")[2].partition("\n## ")[0]
EXAMPLE, TOML = (
    re.findall(rf"^```{kind}\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)[0] for kind in ("python", "toml")
)

NAMES = 'PREFIXES = ("gen_ai.",)\nEVENT_NAMES = frozenset()\nMARKS = frozenset()\nSCOPES = ()\n'
BROKEN = {
    "absent": "",
    "no_read": NAMES,
    "no_texts": NAMES.replace('("gen_ai.",)', '"gen_ai."') + "def read(signal, *, capture_media=False): ...\n",
    "raises": NAMES + "def read(signal, *, capture_media=False): raise ValueError(signal.attributes['secret'])\n",
    "no_import": "import a_module_that_is_not_there\n",
    "no_operation": NAMES + "def read(signal, *, capture_media=False): return {'secret': signal.attributes}\n",
}

PROGRAM = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from otel_llm_sql.exporter import LlmSqlSpanExporter

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(LlmSqlSpanExporter(url=sys.argv[1], spool="off")))
print(*[name for name in sys.modules if name.startswith(("acme", "broken"))])
tracer = provider.get_tracer("acme.client")
acme = {
    "acme.llm.model": "a-1", "acme.llm.vendor": "OpenAI", "acme.llm.tokens_in": 7, "acme.llm.tokens_out": 3,
    "acme.chat": "c-1", "acme.llm.prompt": "hello", "acme.llm.answer": "hi", "acme.llm.answer_id": "r-1",
    "gen_ai.request.model": "not ours", "secret": "a prompt",
}
tracer.start_span("ask", attributes=acme).end()
chat = {"gen_ai.request.model": "m", "gen_ai.operation.name": "chat", "secret": "a prompt"}
tracer.start_span("chat m", attributes=chat).end()
tracer.start_span("acme.other", attributes={"acme.other": 1, "secret": "a prompt"}).end()
"""


def install(folder: Path, name: str, module: str, source: str) -> None:
    """A distribution with one module and one entry point, as an installer leaves it in a directory of sys.path."""
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}\n")
    if source:
        (folder / f"{module}.py").write_text(source)


def run(folder: Path, url: str) -> tuple[str, str]:
    """Let a program of its own call the exporter, with the folder on sys.path; what it printed, and what it logged."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OTEL_TRACES_EXPORTER": "none"}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, url], env=environment, capture_output=True, text=True, check=True
    )
    return ran.stdout, ran.stderr


def test_the_example_of_the_documentation(url: str, tmp_path: Path) -> None:
    """It reads its spans before ours do, is not loaded with us, and leaves other spans to us."""
    points = tomllib.loads(TOML)["project"]["entry-points"][GROUP]
    ((name, module),) = points.items()
    assert EXAMPLE.startswith(f"# {module}.py\n")
    install(tmp_path, name, module, EXAMPLE)
    printed, logged = run(tmp_path, url)
    assert (printed.strip(), logged) == ("", "")
    rows = stored(url)
    columns = ("model", "provider", "input_tokens", "output_tokens", "response_id", "operation_type", "status")
    read = {row["span_name"]: row for row in rows["llm_spans"]}
    assert set(read) == {"ask", "chat m"}
    by_id = {row["operation_id"]: row for row in rows["llm_operations"]}
    acme = by_id[read["ask"]["operation_id"]]
    assert [acme[column] for column in columns] == ["a-1", "openai", 7, 3, "r-1", "chat", "ok"]
    assert acme["extras"]["gen_ai.request.model"] == "not ours"
    assert by_id[read["chat m"]["operation_id"]]["model"] == "m"
    assert sorted(row["content"] for row in rows["llm_messages"]) == ["hello", "hi"]
    assert {row["session_key"] for row in rows["llm_sessions"]} == {"c-1", None}


def test_broken_ones_cost_nothing(tmp_path: Path) -> None:
    """Each is named once in the log, no content with it; all spans are read all the same, by the others and by us."""
    for name, source in BROKEN.items():
        install(tmp_path, f"broken_{name}", f"broken_{name}_module", source)
    install(tmp_path, "zacme", "acme_telemetry", EXAMPLE)
    url = f"sqlite:///{tmp_path}/llm.db"
    _, logged = run(tmp_path, url)
    assert {name: logged.count(f"'broken_{name}'") for name in BROKEN} == dict.fromkeys(BROKEN, 1)
    assert "a prompt" not in logged
    assert sorted(row["model"] for row in stored(url)["llm_operations"]) == ["a-1", "m"]
    assert stored(url)["llm_dead_letters"] == []


def span(attributes: dict[str, Any], scope: str = "s") -> Signal:
    return Signal("span", "a" * 32, "b" * 16, None, "span", 1, 2, attributes, scope_name=scope)


def vocabulary(name: str, **names: Any) -> Guarded:
    """An object that reads every signal, and says that it did so."""

    def read(signal: Signal, *, capture_media: bool = False) -> Operation:
        return Operation("span", signal.trace_id, signal.span_id, None, name, None, 0)

    given = {"PREFIXES": (), "EVENT_NAMES": frozenset(), "MARKS": frozenset(), "SCOPES": ()}
    return Guarded(name, SimpleNamespace(read=read, **(given | names)))


@pytest.mark.quick
@pytest.mark.parametrize(
    ("attributes", "scope", "wanted"),
    [
        ({"x.mark": 1, "y.mark": 1, "o.mark": 1}, "s", "x"),
        ({"y.mark": 1, "o.mark": 1}, "s", "y"),
        ({}, "y.client", "y"),
        ({"o.mark": 1}, "s", "ours"),
        ({}, "s", "standard"),
    ],
)
def test_who_is_asked_first(attributes: dict[str, Any], scope: str, wanted: str) -> None:
    """Who is known to be spoken, by a mark or a scope, in their order; then OpenTelemetry's own."""
    x, y = vocabulary("x", MARKS=["x.mark"]), vocabulary("y", MARKS={"y.mark"}, SCOPES=("y.",))
    ours, standard = vocabulary("ours", MARKS=("o.mark",)), vocabulary("standard", MARKS=("never",))
    read = Reader((x, y, ours, standard), (standard,)).read(span(attributes, scope))
    assert read is not None
    assert read.span_name == wanted


@pytest.mark.quick
def test_without_marks_and_scopes_one_is_asked_about_every_signal() -> None:
    """Who says nothing of how to know the vocabulary looks for itself, before ours."""
    reader = Reader((vocabulary("any"), vocabulary("ours", MARKS=("o.mark",))))
    read = reader.read(span({"o.mark": 1}))
    assert read is not None
    assert read.span_name == "any"


@pytest.mark.quick
def test_prefixes_and_events_are_those_of_all() -> None:
    """The filter of the exporter knows what installed vocabularies look for."""
    reader = Reader(
        (vocabulary("x", PREFIXES=["x."], EVENT_NAMES=["x.said"]), vocabulary("y", PREFIXES=("y.",))), (), ("z",)
    )
    for _ in range(2):  # the second time from memory
        assert all(reader.may_read({name: 1}) for name in ("x.1", "y.1", "z", "z1"))
        assert not any(reader.may_read({name: 1}) for name in ("http.x", "x", ""))
    assert reader.may_read({"http.x": 1, "x.1": 1})
    assert reader.event_names == {"x.said"}


@pytest.mark.quick
@pytest.mark.parametrize("names", [{"MARKS": "x.mark"}, {"PREFIXES": ("",)}, {"SCOPES": None}, {"EVENT_NAMES": (7,)}])
def test_what_is_no_vocabulary(names: dict[str, Any]) -> None:
    """The message names the attribute that is wrong."""
    with pytest.raises(TypeError, match=f"^{next(iter(names))} is no collection of texts$"):
        vocabulary("x", **names)


@pytest.mark.quick
def test_nothing_is_installed_here() -> None:
    """Our own vocabularies are no entry points, and a fresh installation has no others."""
    assert list(entry_points(group=GROUP)) == []
    assert installed() == ()


@pytest.mark.quick
def test_what_authors_use_is_exported() -> None:
    """Every name that the documentation promises is there, and the example uses no other."""
    promised = re.findall(r"[`(]([A-Za-z_]+)(?=[`(])", SECTION.partition("stays as it is:")[2])
    named = {"collect", "name", "read", "spellings", "values", "extras", "system", "input", "output"}
    named |= {"tool_definitions", "finish_reasons"}
    assert set(promised) - named - set(conventions.__all__) == set()
    used = [
        name
        for line in re.findall(r"^from otel_llm_sql.conventions import (.*)$", EXAMPLE, re.MULTILINE)
        for name in line.split(", ")
    ]
    assert len(used) > 5
    assert set(used) <= set(promised)
