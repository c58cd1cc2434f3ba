"""The demo: a stand-in that the real client believes, a program without telemetry in it, and rows read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import sqlalchemy as sa

from otel_llm_sql.cli import main
from otel_llm_sql.cli.demo import SERVICE, demo_url
from otel_llm_sql.demo import answers, stand_in
from otel_llm_sql.schema.tables import messages, operations, sessions, spans
from otel_llm_sql.store.engines import create_engine

QUESTION: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    """The real client, talking to the stand-in."""
    with stand_in.running() as url, openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


# -- the stand-in


def test_the_same_request_gets_the_same_answer_under_another_id(client: openai.OpenAI) -> None:
    """Texts and tokens are deterministic, response ids are not: two calls stay two calls."""
    first, second = (client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION) for _ in range(2))
    assert first.choices[0].message.content == "The capital of France is Paris."
    assert (first.choices, first.usage) == (second.choices, second.usage)
    assert first.id != second.id
    assert first.model == "gpt-4o-mini-2024-07-18"


def test_a_stream_ends_with_its_usage_when_it_is_asked_for(client: openai.OpenAI) -> None:
    """The pieces are the answer; only `include_usage` brings the tokens, equal to those without a stream."""
    request: Any = {"model": "gpt-5-mini", "messages": QUESTION}
    whole = client.chat.completions.create(**request)
    with_usage = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    without = list(client.chat.completions.create(**request, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in with_usage if chunk.choices)
    assert text == whole.choices[0].message.content
    assert with_usage[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in without)
    assert len({chunk.id for chunk in with_usage}) == 1


def test_a_tool_is_called_and_its_result_is_answered(client: openai.OpenAI) -> None:
    """With tools on offer the first answer is a call, whole or streamed; with the result it is text."""
    request: Any = {"model": "gpt-4o-mini", "tools": [TOOL]}
    asked = client.chat.completions.create(messages=QUESTION, **request).choices[0]
    call: Any = (asked.message.tool_calls or [])[0]
    assert (asked.finish_reason, json.loads(call.function.arguments)) == ("tool_calls", {"city": "Paris"})
    streamed: Any = list(client.chat.completions.create(messages=QUESTION, stream=True, **request))
    assert any(chunk.choices[0].delta.tool_calls for chunk in streamed)
    history = [*QUESTION, asked.message.model_dump(exclude_none=True)]
    history.append({"role": "tool", "tool_call_id": call.id, "content": "18"})
    answered = client.chat.completions.create(messages=history, **request).choices[0]
    assert (answered.finish_reason, answered.message.tool_calls) == ("stop", None)


def test_an_embedding_is_a_vector_per_text(client: openai.OpenAI) -> None:
    """Each text has its own vector, and usage counts prompt tokens only."""
    given = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], encoding_format="float")
    assert [len(item.embedding) for item in given.data] == [8, 8]
    assert given.data[0].embedding != given.data[1].embedding
    assert given.usage.total_tokens == given.usage.prompt_tokens == 2


def test_the_overloaded_model_is_a_rate_limit_error(client: openai.OpenAI) -> None:
    """The client raises what it raises at the real service."""
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model=answers.OVERLOADED_MODEL, messages=QUESTION)
    assert (refused.value.status_code, refused.value.code) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize(("model", "filler"), [("gpt-5-mini", 0), ("gpt-4o-mini", 8000)])
def test_usage_adds_up(client: openai.OpenAI, model: str, filler: int) -> None:
    """Cached tokens are part of the prompt, from 1,024 tokens on; reasoning is part of the completion."""
    history: Any = [{"role": "system", "content": "x" * filler}, *QUESTION]
    usage: Any = client.chat.completions.create(model=model, messages=history).usage
    cached = usage.prompt_tokens_details.cached_tokens
    reasoning = usage.completion_tokens_details.reasoning_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert (cached > 0, cached % 128, cached < usage.prompt_tokens) == (filler > 0, 0, True)
    assert (reasoning > 0, reasoning < usage.completion_tokens) == (model == "gpt-5-mini", True)


# -- the command


def test_the_demo_leaves_the_rows_it_shows(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Nine calls of an unchanged program are nine operations, with tokens, costs, messages and one session."""
    assert main(["demo", "--db-uri", url]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    with create_engine(url).connect() as connection:
        rows = connection.execute(sa.select(operations).order_by(operations.c.timestamp)).mappings().all()
        keys = connection.execute(sa.select(sessions.c.session_key, sessions.c.user_id)).all()
        contents = connection.scalars(sa.select(messages.c.content).where(messages.c.content.is_not(None))).all()
    assert {row["service_name"] for row in rows} == {SERVICE}
    assert [(row["operation_type"], row["status"]) for row in rows] == [
        *[("chat", "ok")] * 4,
        ("embeddings", "ok"),
        ("chat", "error"),
        *[("chat", "ok")] * 3,
    ]
    assert [row["cost"] is not None for row in rows] == [True] * 5 + [False] + [True] * 3
    assert rows[1]["time_to_first_token_ms"] is not None
    assert all(row["cache_read_input_tokens"] and row["reasoning_output_tokens"] for row in rows[6:])
    assert len({row["session_id"] for row in rows[6:]}) == 1
    assert [user for key, user in keys if key] == ["ada"]
    assert sum("travel desk" in content for content in contents) == 1, "the system prompt is stored once"
    spent = sum(row["cost"] for row in rows if row["model"] == "gpt-4o-mini-2024-07-18")
    assert f"  {spent:.12g}\n" in out
    for shown in ("llm_sessions", "llm_operations", "llm_messages", "Cost by model", "shape: (9,", "otel-llm-sql sql"):
        assert shown in out


def test_the_demo_has_a_file_of_its_own_and_runs_twice(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without `--db-uri` rows go to the demo's file; a second run adds its own; what it says to type next works."""
    assert main(["demo"]) == 0
    assert main(["demo"]) == 0
    path = Path(demo_url().removeprefix("sqlite:///"))
    assert path.with_name("llm.db").exists() is False
    with create_engine(demo_url()).connect() as connection:
        counts = [connection.scalar(sa.select(sa.func.count()).select_from(t)) for t in (operations, spans)]
    assert counts == [18, 18]
    _, _, advice = capfd.readouterr().out.rpartition(f"The rows are in {path}\nWhat to type next:\n")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    commands = [line.strip() for line in advice.splitlines() if line.strip()]
    assert len(commands) == 3
    for command in commands:
        ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "gpt" in ran.stdout or "llm_operations" in ran.stdout


def test_the_demo_without_its_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing library is exit code 1 and a pip line."""
    monkeypatch.setitem(sys.modules, "openai", None)
    assert main(["demo"]) == 1
    assert "pip install 'otel-llm-sql[demo]'" in capsys.readouterr().err
