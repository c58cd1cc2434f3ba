"""`session()`: every span that is started inside the block carries the application's session, step and user.

It follows threads, thread pools and asyncio tasks, nests, and leaves OpenTelemetry's own context alone. The marks are
span attributes `llm_sql.*`, set when a span starts; the store reads them from GenAI spans and ignores other spans.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from weakref import WeakKeyDictionary

import orjson
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider

PREFIX = "llm_sql."
"""What the names of the attributes begin with; the rest is the name of the argument of `session()`."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class _Marks:
    """What spans started now are to carry: one link of a chain from the inner session to the outer one."""

    owner: session
    outer: _Marks | None
    fields: Mapping[str, str]
    metadata: Mapping[str, Any]
    attributes: Mapping[str, str]


_current: ContextVar[_Marks | None] = ContextVar("otel_llm_sql.session", default=None)


class session:  # noqa: N801 - used as a statement: `with session(...):`
    """Mark every GenAI span started inside the block; `with`, `async with` and decorator (`@session(...)`).

    Blocks nest: the inner one overrides what it is given (key by key in `metadata`) and inherits the rest. Threads and
    `ThreadPoolExecutor` tasks started inside belong to it, as asyncio tasks do.

    Args:
        session_key: the conversation, thread or session as the application calls it; wins over what instrumentations
            report. Operations of one `session_key` and workspace are one row of `llm_sessions`.
        workspace: project or tenant the session belongs to.
        agent_id: the agent that is at work.
        action_id: the application's own name for the step.
        user_id: the end user.
        metadata: anything JSON can hold, stored with the session.

    Raises:
        TypeError: a value is not text, or `metadata` is no mapping or cannot be written as JSON.
        ValueError: a value is empty text.
    """

    def __init__(
        self,
        session_key: str | None = None,
        workspace: str | None = None,
        agent_id: str | None = None,
        action_id: str | None = None,
        user_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        given = {
            "session_key": session_key,
            "workspace": workspace,
            "agent_id": agent_id,
            "action_id": action_id,
            "user_id": user_id,
        }
        self._fields = {name: text(name, value) for name, value in given.items() if value is not None}
        self._metadata = _json_object(metadata)

    def __enter__(self) -> Self:
        _follow()
        outer = _current.get()
        fields = {**(outer.fields if outer else {}), **self._fields}
        metadata = {**(outer.metadata if outer else {}), **self._metadata}
        attributes = {PREFIX + name: value for name, value in fields.items()}
        if metadata:
            attributes[PREFIX + "metadata"] = orjson.dumps(metadata).decode()
        _current.set(_Marks(self, outer, fields, metadata, attributes))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # No token is kept: a generator may be closed in another context than the one it was entered in.
        marks = _current.get()
        if marks is not None and marks.owner is self:
            _current.set(marks.outer)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _Function) -> _Function:
        """Decorate a function or coroutine: each call of it is a block of its own."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"session() cannot decorate the generator {function.__name__}: use `with` inside it")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def marked_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("_Function", marked_coroutine)

        @functools.wraps(function)
        def marked(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast("_Function", marked)


def text(name: str, value: object) -> str:
    """The value, if it is text that says something.

    Raises:
        TypeError: it is not text.
        ValueError: it is empty.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text (str) or None, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} is empty text: give a value, or leave it out")
    return value


def _json_object(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must be a mapping or None, not {type(metadata).__name__}")
    try:
        # A copy: what the application changes later is not part of this session.
        return cast("dict[str, Any]", orjson.loads(orjson.dumps(dict(metadata))))
    except TypeError as error:
        raise TypeError(f"metadata cannot be written as JSON: {error}") from error


class SessionSpanProcessor(SpanProcessor):
    """Sets the marks of the current `session()` on each recording span when it starts.

    On a span with more than 128 attributes the SDK drops the oldest, marks included (SDK-13); such a span belongs to
    the session of its trace then. The SDK offers no moment at which they could be set again.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Mark the span."""
        marks = _current.get()
        if marks is not None and span.is_recording():
            own = span.attributes or {}  # what the span says of itself goes before the session
            span.set_attributes({name: value for name, value in marks.attributes.items() if name not in own})


_marking: WeakKeyDictionary[TracerProvider, SpanProcessor] = WeakKeyDictionary()


def attach(provider: object) -> None:
    """Let a tracer provider mark its spans. Once per provider, however often and from wherever it is called."""
    if not isinstance(provider, TracerProvider) or provider in _marking:
        return
    processor = SessionSpanProcessor()
    # setdefault decides between threads; a lock could be held at a fork.
    if _marking.setdefault(provider, processor) is processor:
        provider.add_span_processor(processor)


def _follow() -> None:
    """See to it that spans are marked wherever they are started."""
    _patch_once()
    attach(trace.get_tracer_provider())


@functools.cache
def _patch_once() -> None:
    """Carry sessions into threads, and notice tracer providers that appear after `session()` was entered."""
    _wrap(threading.Thread, "start", _start_marked)
    _wrap(ThreadPoolExecutor, "submit", _submit_marked)
    _wrap(TracerProvider, "get_tracer", _get_marking_tracer)


def _wrap(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    setattr(owner, name, wrapped)


def _get_marking_tracer(original: Callable[..., Any], provider: TracerProvider, *args: Any, **kwargs: Any) -> Any:
    attach(provider)
    return original(provider, *args, **kwargs)


def _start_marked(original: Callable[..., Any], thread: threading.Thread) -> None:
    marks = _current.get()
    # Workers of multiprocessing.pool.ThreadPool outlive the session: no mark is better than a wrong one.
    if marks is None or type(thread).__module__ == "multiprocessing.dummy":
        return cast("None", original(thread))
    run = thread.run

    def marked_run() -> None:
        vars(thread).pop("run", None)
        _current.set(marks)
        run()

    vars(thread)["run"] = marked_run
    try:
        original(thread)
    except BaseException:
        vars(thread).pop("run", None)
        raise


def _submit_marked(
    original: Callable[..., Any],
    executor: ThreadPoolExecutor,
    function: Callable[..., Any],
    /,
    *args: Any,
    **kwargs: Any,
) -> Future[Any]:
    marks = _current.get()
    if marks is None:
        return cast("Future[Any]", original(executor, function, *args, **kwargs))

    def marked(*args: Any, **kwargs: Any) -> Any:
        token = _current.set(marks)
        try:
            return function(*args, **kwargs)
        finally:
            _current.reset(token)

    # A worker thread that this call starts must not keep the session for later tasks.
    token = _current.set(None)
    try:
        return cast("Future[Any]", original(executor, marked, *args, **kwargs))
    finally:
        _current.reset(token)
