"""The measure of the corpus: no figure falls, and the measure itself can tell right from wrong."""

from __future__ import annotations

import copy
import fnmatch
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import corpus_measure
import pytest
from corpus_facts import NO_ROW, TARGETS, Verdict
from corpus_judge import UNTOLD_CALLS, Judge
from corpus_rows import Loaded, empty_database, load_case
from recordings import ALL, FOLDER

CASE = "otel-genai-openai.span_only/tools"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """One case, as the measure loads it."""
    folder = tmp_path_factory.mktemp("corpus")
    return load_case(FOLDER / CASE, empty_database(folder / "empty.db"), folder / "case.db")


def expected() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / CASE / "expected.json").read_text())
    return document


def results(loaded: Loaded, truth: dict[str, Any]) -> dict[str, set[str]]:
    """Fact -> what became of it."""
    found: dict[str, set[str]] = {}
    for verdict in Judge(CASE, truth, loaded).verdicts():
        found.setdefault(verdict.fact, set()).add(verdict.result)
    return found


def test_no_figure_falls() -> None:
    """The whole corpus against the recorded figures; `make corpus ARGS=-v` shows what is wrong."""
    program = str(Path(corpus_measure.__file__))
    ran = subprocess.run([sys.executable, program, "--summary"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr
    assert f"{len(ALL)} cases" in ran.stdout


def test_every_setting_has_recorded_figures() -> None:
    """A setting without figures could fall unseen, and figures without a setting would never be compared."""
    assert {name.partition("/")[0] for name in ALL} == set(json.loads(corpus_measure.FIGURES.read_text()))


def test_the_truth_is_right(loaded: Loaded) -> None:
    """A case that is read in full has no wrong fact, and all kinds of facts are looked at."""
    found = results(loaded, expected())
    assert {fact for fact, result in found.items() if result != {"right"}} == set()
    other = ("session", "user", "agent", "metadata", "image", "thinking", "error_message", "cache_write")
    assert found.keys() >= TARGETS.keys() - {*other, "sum cache_write"}


@pytest.mark.parametrize(
    ("fact", "field", "value"),
    [
        ("model", "model_served", "another-model"),
        ("request_model", "model_requested", "another-model"),
        ("provider", "provider", "anthropic"),
        ("operation_type", "operation", "embeddings"),
        ("status", "status", "error"),
        ("finish_reason", "finish_reasons", ["length"]),
        ("response_id", "response_id", "another-id"),
    ],
)
def test_a_name_that_differs_is_not_right(loaded: Loaded, fact: str, field: str, value: Any) -> None:
    """Had the server said something else, what is stored would not be right."""
    truth = expected()
    for call in truth["calls"]:
        call[field] = value
    assert "right" not in results(loaded, truth)[fact]


@pytest.mark.parametrize("kind", ["input", "output", "cached", "reasoning"])
def test_a_token_too_many_is_wrong(loaded: Loaded, kind: str) -> None:
    """Tokens and their sums are compared exactly."""
    truth = expected()
    truth["calls"][0]["usage"][kind] += 1
    found = results(loaded, truth)
    assert found[kind] == {"right", "wrong"}
    assert found[f"sum {kind}"] == {"wrong"}


def test_a_call_on_two_rows_is_wrong(loaded: Loaded) -> None:
    """Twins that are not merged show in the count and in every sum, though each row alone is right."""
    twice = replace(loaded, rows=[*loaded.rows, copy.deepcopy(loaded.rows[0])])
    found = results(twice, expected())
    assert [found[fact] for fact in ("calls", "sum input", "sum output")] == [{"wrong"}] * 3
    assert found["input"] == {"right"}


def test_a_call_without_a_row_is_wrong(loaded: Loaded) -> None:
    """What the recording tells and no row holds is wrong, not untold."""
    found = results(replace(loaded, rows=[]), expected())
    assert "untold" not in set().union(*found.values())
    assert found["model"] == found["user_text"] == found["tool_call.id"] == {"wrong"}


def test_a_text_with_the_wrong_role_or_direction_is_wrong(loaded: Loaded) -> None:
    """The text alone does not do: who said it, and whether it was sent or answered."""
    for change in ({"role": "tool"}, {"direction": "output"}):
        moved = copy.deepcopy(loaded)
        for row in moved.rows:
            for message in row.messages:
                if message["role"] == "user":
                    message.update(change)
        assert results(moved, expected())["user_text"] == {"wrong"}


def test_what_nobody_told_is_untold(loaded: Loaded) -> None:
    """A text that stands nowhere in the recording cannot be asked for."""
    truth = expected()
    truth["calls"][0]["messages_in"][0]["parts"][0]["text"] = "This was never recorded."
    assert "untold" in set().union(*results(loaded, truth).values())


def test_a_fault_is_no_loading(tmp_path: Path) -> None:
    """A file that cannot be read is a wrong `loads`, and does not end the measure."""
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "traces.pb").write_bytes(b"nothing")
    broken = load_case(folder, empty_database(tmp_path / "empty.db"), tmp_path / "case.db")
    assert results(broken, expected())["loads"] == {"wrong"}


def test_fallen_figures_are_named() -> None:
    """Fewer right or more wrong is a fall; more right is none, nor is a setting that was not measured."""
    recorded = {"a": {"model": "3/4", "calls": "2/2"}, "b": {"model": "1/1"}}
    assert corpus_measure.fallen({"a": {"model": "4/4", "calls": "3/3"}}, recorded) == []
    assert corpus_measure.fallen({"a": {"model": "2/4", "calls": "2/3"}}, recorded) == [
        "a: calls was 2/2, is 2/3",
        "a: model was 3/4, is 2/4",
    ]
    assert corpus_measure.fallen({"a": {"calls": "2/2"}}, recorded) == ["a: model was 3/4, is 0/0"]


def test_misses_are_listed_by_case(capsys: pytest.CaptureFixture[str]) -> None:
    """A reader sees the case once, per miss what was expected and found, and a call without a row in one line."""
    misses = [("model", 1, "m-1", None), ("input", 2, 5, NO_ROW), ("output", 2, 7, NO_ROW)]
    corpus_measure.print_misses(Verdict(CASE, call, fact, "wrong", *values) for fact, call, *values in misses)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        [CASE, "(3)"],
        "call 1 model expected m-1 found null".split(),
        f"call 2 {NO_ROW}: input, output".split(),
        [],
    ]


def test_cases_that_tell_no_call_are_in_the_corpus() -> None:
    """Every exception names a case that is there."""
    assert [pattern for pattern in UNTOLD_CALLS if not fnmatch.filter(ALL, pattern)] == []
