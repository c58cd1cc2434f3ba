"""`session()`: what is started inside is marked, wherever it runs; what is not, is not."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_llm_sql import session
from otel_llm_sql.context import attach

pytestmark = pytest.mark.quick


class Recorder:
    """A provider of its own, and what its spans were marked with: `{span name: {argument: value}}`."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        attach(self.provider)
        self.tracer = self.provider.get_tracer("test")

    def span(self, name: str) -> None:
        with self.tracer.start_as_current_span(name):
            pass

    async def aspan(self, name: str) -> None:
        await asyncio.sleep(0)
        self.span(name)

    def marks(self) -> dict[str, dict[str, object]]:
        return {
            span.name: {key.removeprefix("llm_sql."): value for key, value in (span.attributes or {}).items()}
            for span in self.exporter.get_finished_spans()
        }


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.provider.shutdown()


def test_every_argument_becomes_a_mark(recorder: Recorder) -> None:
    """All six arguments stand on the span, metadata as JSON text; before and after the block nothing does."""
    recorder.span("before")
    with session("s-1", workspace="w", agent_id="a", action_id="step", user_id="ada", metadata={"n": [1, None, "é"]}):
        recorder.span("inside")
    recorder.span("after")
    marks = recorder.marks()
    assert marks["before"] == marks["after"] == {}
    assert json.loads(str(marks["inside"].pop("metadata"))) == {"n": [1, None, "é"]}
    expected = {"session_key": "s-1", "workspace": "w", "agent_id": "a", "action_id": "step", "user_id": "ada"}
    assert marks["inside"] == expected


def test_the_inner_session_overrides_what_it_is_given(recorder: Recorder) -> None:
    """Fields that the inner session is not given come from the outer one, metadata key by key."""
    with session(session_key="outer", user_id="ada", metadata={"a": 1, "b": 1}):
        with session(session_key="inner", action_id="x", metadata={"b": 2}):
            recorder.span("in")
        recorder.span("out")
    marks = recorder.marks()
    assert marks["in"] == {"session_key": "inner", "user_id": "ada", "action_id": "x", "metadata": '{"a":1,"b":2}'}
    assert marks["out"] == {"session_key": "outer", "user_id": "ada", "metadata": '{"a":1,"b":1}'}


def test_what_a_span_says_of_itself_goes_first(recorder: Recorder) -> None:
    """An attribute that the span is started with is kept; the session says the rest."""
    with session("mine", user_id="ada"):
        recorder.tracer.start_span("own", attributes={"llm_sql.session_key": "own"}).end()
    assert recorder.marks()["own"] == {"session_key": "own", "user_id": "ada"}


def test_an_exception_ends_the_session(recorder: Recorder) -> None:
    """The block that raises leaves no mark behind, and lets the exception through."""
    with pytest.raises(KeyError), session("s"):
        raise KeyError("x")
    recorder.span("after")
    assert recorder.marks() == {"after": {}}


def test_a_session_object_can_be_entered_again(recorder: Recorder) -> None:
    """One object serves as decorator of a recursive function and as a block afterwards."""
    mark = session("again")

    @mark
    def descend(depth: int) -> int:
        recorder.span(f"depth {depth}")
        return depth and descend(depth - 1)

    assert descend(2) == 0
    recorder.span("after")
    with mark:
        recorder.span("block")
    keys = {name: values.get("session_key") for name, values in recorder.marks().items()}
    assert keys == {"depth 2": "again", "depth 1": "again", "depth 0": "again", "after": None, "block": "again"}


def test_threads_started_inside_belong_to_the_session(recorder: Recorder) -> None:
    """A `threading.Thread` and one started by it are marked; a thread started outside is not."""

    class Own(threading.Thread):
        def run(self) -> None:
            recorder.span("subclass")

    def outer() -> None:
        recorder.span("thread")
        inner = threading.Thread(target=recorder.span, args=("thread of thread",))
        inner.start()
        inner.join()

    with session("s"):
        threads = [threading.Thread(target=outer), Own()]
        for thread in threads:
            thread.start()
    outside = threading.Thread(target=recorder.span, args=("outside",))
    outside.start()
    for thread in (*threads, outside):
        thread.join()
    keys = {name: values.get("session_key") for name, values in recorder.marks().items()}
    assert keys == {"thread": "s", "thread of thread": "s", "subclass": "s", "outside": None}


def test_pool_threads_do_not_keep_a_session(recorder: Recorder) -> None:
    """One worker, started inside the first session, serves four tasks: each has the session it was submitted in."""
    with ThreadPoolExecutor(1) as pool:
        with session("first"):
            pool.submit(recorder.span, "one").result()
        pool.submit(recorder.span, "two").result()
        with session("third"):
            list(pool.map(recorder.span, ["three"]))
        pool.submit(recorder.span, "four").result()
    keys = {name: values.get("session_key") for name, values in recorder.marks().items()}
    assert keys == {"one": "first", "two": None, "three": "third", "four": None}


def test_workers_of_a_thread_pool_are_not_marked(recorder: Recorder) -> None:
    """`multiprocessing.pool.ThreadPool` workers outlive the session: no mark rather than a wrong one."""
    with session("s"):
        pool = ThreadPool(1)
    pool.apply(recorder.span, ("later",))
    pool.close()
    pool.join()
    assert recorder.marks() == {"later": {}}


def test_a_thread_that_cannot_start_is_left_as_it_was(recorder: Recorder) -> None:
    """Starting a thread twice raises what it raises without us."""
    with session("s"):
        thread = threading.Thread(target=recorder.span, args=("once",))
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="started once"):
            thread.start()
    assert "run" not in vars(thread)


def test_tasks_belong_to_the_session_they_are_created_in(recorder: Recorder) -> None:
    """Two conversations at once in one event loop do not mix, not in tasks and not in `asyncio.to_thread`."""

    async def converse(key: str) -> None:
        async with session(session_key=key):
            await asyncio.gather(recorder.aspan(f"{key} task"), asyncio.to_thread(recorder.span, f"{key} thread"))
        await recorder.aspan(f"{key} after")

    async def main() -> None:
        await asyncio.gather(converse("a"), converse("b"))
        await asyncio.to_thread(recorder.span, "unmarked")

    asyncio.run(main())
    keys = {name: values.get("session_key") for name, values in recorder.marks().items()}
    assert keys == {
        "a task": "a",
        "a thread": "a",
        "a after": None,
        "b task": "b",
        "b thread": "b",
        "b after": None,
        "unmarked": None,
    }


def test_it_decorates_coroutines_and_refuses_generators(recorder: Recorder) -> None:
    """A decorated coroutine runs marked; a generator, which would leak the session between its values, is refused."""

    @session("co")
    async def work() -> None:
        await recorder.aspan("work")

    asyncio.run(work())
    assert recorder.marks() == {"work": {"session_key": "co"}}
    with pytest.raises(TypeError, match="generator"):

        @session("gen")
        def values() -> Iterator[int]:
            yield 1


def test_a_generator_closed_elsewhere_does_not_end_a_session_of_others(recorder: Recorder) -> None:
    """A block inside a generator may be left in another context; it never ends somebody else's session."""

    def generate() -> Iterator[None]:
        with session("generator"):
            yield

    generator = generate()
    thread = threading.Thread(target=next, args=(generator,))
    thread.start()
    thread.join()
    with session("mine"):
        generator.close()
        recorder.span("still mine")
    assert recorder.marks() == {"still mine": {"session_key": "mine"}}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"session_key": 7}, TypeError, "session_key must be text"),
        ({"user_id": ""}, ValueError, "user_id is empty"),
        ({"metadata": [1]}, TypeError, "metadata must be a mapping"),
        ({"metadata": {"a": object()}}, TypeError, "metadata cannot be written as JSON"),
        ({"metadata": {1: "a"}}, TypeError, "metadata cannot be written as JSON"),
        ({"metadata": {"a": 2**70}}, TypeError, "metadata cannot be written as JSON"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(
    arguments: dict[str, object], error: type[Exception], words: str
) -> None:
    """What cannot be a mark raises where it is written, before anything is entered."""
    with pytest.raises(error, match=words):
        session(**arguments)  # type: ignore[arg-type]


def test_metadata_is_taken_as_it_was_at_the_call(recorder: Recorder) -> None:
    """Changing the dictionary afterwards changes no mark."""
    metadata = {"a": [1]}
    block = session(metadata=metadata)
    metadata["a"].append(2)
    with block:
        recorder.span("x")
    assert recorder.marks()["x"] == {"metadata": '{"a":[1]}'}


def test_a_provider_marks_once(recorder: Recorder) -> None:
    """However many threads attach at once, a provider has one processor that marks."""
    barrier = threading.Barrier(8)

    def enter() -> None:
        barrier.wait()
        attach(recorder.provider)

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    processors = recorder.provider._active_span_processor._span_processors
    assert [type(processor).__name__ for processor in processors].count("SessionSpanProcessor") == 1


def test_other_objects_than_sdk_providers_are_left_alone() -> None:
    """A tracer provider that is not the SDK's gets nothing attached, and no error."""
    attach(object())


LATE_PROVIDER = """
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from otel_llm_sql import session

    tracer = trace.get_tracer("an instrumentation that was switched on first")
    exporter = InMemorySpanExporter()
    with session("late"):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        tracer.start_span("global").end()
        own = TracerProvider()
        own.add_span_processor(SimpleSpanProcessor(exporter))
        own.get_tracer("somebody").start_span("not global").end()
    for span in exporter.get_finished_spans():
        print(span.name, dict(span.attributes))
"""


def test_providers_that_are_set_after_the_session_was_entered() -> None:
    """A tracer taken from the proxy, and a provider that is not the global one, mark as well."""
    lines = subprocess.check_output([sys.executable, "-W", "error", "-c", textwrap.dedent(LATE_PROVIDER)], text=True)
    assert lines.splitlines() == [
        "global {'llm_sql.session_key': 'late'}",
        "not global {'llm_sql.session_key': 'late'}",
    ]
