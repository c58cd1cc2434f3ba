"""Real recordings: what the telemetry holds is read, and what is not read is listed here with its reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from fnmatch import fnmatch

import pytest
from recordings import CASES, Verdict, context_verdicts, load, verdicts
from storable import problems

NO_CALL_SPANS = "the instrumentation makes no span for the call itself, only for agent and tools"

EXPLAINED = {
    ("otel-botocore.true/invoke", "tokens.input"): "cached tokens stand nowhere: there is nothing to add up",
    ("otel-botocore.true/tools", "out_text"): "told only as history of the next call",
    ("otel-genai-llama-index.span_only/agent", "operation"): NO_CALL_SPANS,
    ("otel-genai-llama-index.span_only/agent", "model_requested"): "on the agent's span, whose model stays in extras",
    ("otel-genai-llama-index.span_only/agent", "finish_reason"): NO_CALL_SPANS,
    ("otel-genai-openai-agents.*/*", "operation"): NO_CALL_SPANS,
}
"""(case, fact) -> why it is not right though the recording seems to hold it."""


def explained(case: str, verdict: Verdict) -> bool:
    return any(fnmatch(case, pattern) and verdict.fact == fact for pattern, fact in EXPLAINED)


@pytest.mark.parametrize("name", CASES)
def test_what_a_recording_holds_is_read(name: str) -> None:
    """Model, provider, operation, tokens, status, ids, texts, tool calls and context are right wherever told."""
    case = load(name)
    unexplained = [
        verdict
        for verdict in [*verdicts(case), *context_verdicts(case)]
        if verdict.result in ("wrong", "missed") and not explained(name, verdict)
    ]
    assert unexplained == []


def test_every_explanation_is_needed() -> None:
    """An explained miss that is no miss any more is to be deleted from the list."""
    missed = {
        (pattern, verdict.fact)
        for pattern, _ in EXPLAINED
        for name in CASES
        if fnmatch(name, pattern)
        for verdict in verdicts(load(name))
        if verdict.result in ("wrong", "missed")
    }
    assert set(EXPLAINED) - missed == set()


def test_the_table_of_facts(capsys: pytest.CaptureFixture[str]) -> None:
    """Over all recordings, hardly a fact is only found on another span than that of its call."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for name in CASES:
        case = load(name)
        for verdict in [*verdicts(case), *context_verdicts(case)]:
            table[verdict.fact][verdict.result] += 1
    columns = ("right", "elsewhere", "wrong", "missed", "not told")
    with capsys.disabled():
        print("\n" + f"{'fact':24}" + "".join(f"{column:>10}" for column in columns))
        for fact, counted in table.items():
            print(f"{fact:24}" + "".join(f"{counted[column] or '':>10}" for column in columns))
    total: Counter[str] = sum(table.values(), Counter())
    assert total["elsewhere"] <= 0.01 * total["right"]
    assert total["wrong"] + total["missed"] <= 0.015 * total["right"]


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_can_be_stored_and_lost_nothing(name: str) -> None:
    """Every operation is storable and needed no repair; twice the same signal gives twice the same operation."""
    case = load(name)
    for operation in case.operations:
        assert problems(operation) == []
        assert "otel_llm_sql.repaired" not in operation.extras
    assert load(name).operations == case.operations


@pytest.mark.parametrize("name", CASES)
def test_aggregates_have_no_figures(name: str) -> None:
    """Operations that are no call to a provider have no provider, model, tokens and cost."""
    figures = ("provider", "model", "request_model", "input_tokens", "output_tokens", "cost", "cache_read_input_tokens")
    for operation in load(name).operations:
        if not operation.is_call:
            assert [getattr(operation, figure) for figure in figures] == [None] * len(figures)


def test_no_image_is_copied() -> None:
    """The bytes of inline images stand nowhere in what is stored; their digest does."""
    inline = "iVBORw0KGgoAAAANSUhEUg"
    seen = 0
    for name in CASES:
        if name.endswith("/image"):
            for operation in load(name).operations:
                assert inline not in repr(operation)
                seen += "sha256" in repr(operation)
    assert seen >= 10
