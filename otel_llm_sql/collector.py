"""LlmOperationCollector: one object that knows the database, installs exporters, records calls and answers queries."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Tracer

from otel_llm_sql import instrumentations, recording
from otel_llm_sql.errors import DatabaseUnavailableError, RejectedRowsError, StoreError
from otel_llm_sql.exporter import LlmSqlSpanExporter
from otel_llm_sql.installation import Installation
from otel_llm_sql.masking import mask
from otel_llm_sql.query import AsyncQuery, Query, apolars_from_db, aquery_db, polars_from_db, query_db
from otel_llm_sql.recording import Recorded
from otel_llm_sql.settings import Settings, load

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["LlmOperationCollector", "Recorded", "apolars_from_db", "aquery_db", "polars_from_db", "query_db"]

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


class _Question(Generic[_Arguments, _Answer]):
    """A query function that asks the collector's database on an instance, and the configured default on the class."""

    def __init__(
        self,
        function: Callable[_Arguments, _Answer],
        bound: Callable[[LlmOperationCollector], Callable[..., Any]],
    ) -> None:
        self._function = function
        self._bound = bound

    def __get__(
        self, collector: LlmOperationCollector | None, owner: type[LlmOperationCollector]
    ) -> Callable[_Arguments, _Answer]:
        return self._function if collector is None else self._bound(collector)


class LlmOperationCollector:
    """All for one database: `install()` to fill it, `record_completion()` by hand, `polars_from_db()` to read it.

    `polars_from_db`, `query_db`, `apolars_from_db` and `aquery_db` are those of `otel_llm_sql.query`; on an instance
    they ask its database, on the class the one that the environment names.

    Args:
        db_uri: database URL for writing and for sync queries; default: from the environment.
        async_db_uri: database URL for async queries; default: the same database through an async driver.
        **settings: further fields of `otel_llm_sql.Settings` (`workspace`, `schema`, `capture_content`, ...); `db_url`
            is taken for `db_uri`.

    Raises:
        SettingsError: a setting is wrong.
        TypeError: there is no such setting.
    """

    polars_from_db = _Question(polars_from_db, lambda collector: collector.query.polars_from_db)
    query_db = _Question(query_db, lambda collector: collector.query.query_db)
    apolars_from_db = _Question(apolars_from_db, lambda collector: collector.async_query.polars_from_db)
    aquery_db = _Question(aquery_db, lambda collector: collector.async_query.query_db)

    def __init__(self, db_uri: str | None = None, async_db_uri: str | None = None, **settings: Any) -> None:
        db_uri = settings.pop("db_url", None) or db_uri
        names = [field.name for field in dataclasses.fields(Settings)]
        if unknown := sorted(settings.keys() - set(names)):
            known = ", ".join(("db_uri", "async_db_uri", *names))
            raise TypeError(f"there is no setting {', '.join(unknown)}; there are: {known}")
        given = {"url": db_uri, "async_url": async_db_uri} | settings
        self.settings = load(**given)
        self._lock = threading.Lock()
        self._installation: Installation | None = None
        self._own_provider: TracerProvider | None = None

    def install(self, *, instrument: bool = True) -> Self:
        """Store every GenAI call of this process from now on. Doing it again does nothing.

        The exporters join OpenTelemetry's current providers; where the application has set none, new global ones are
        set. Rows are there about half a second after a call ends.

        Args:
            instrument: switch on the installed instrumentations of GenAI libraries (see
                `otel_llm_sql.instrumentations`); False leaves them as they are. Most instrumentations report what was
                said only when `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` asks for it.
        """
        with self._lock:
            if self._installation is None:
                self._installation = Installation(self._arguments)
            installation = self._installation
        if instrument:
            instrumentations.switch_on(
                tracer_provider=installation.tracer_provider, logger_provider=installation.logger_provider
            )
        return self

    def flush(self, timeout: float = 30.0) -> bool:
        """Store what is waiting.

        Args:
            timeout: seconds.

        Returns:
            Whether all of it is committed.
        """
        installation = self._installation
        return installation.flush(timeout) if installation else True

    def shutdown(self) -> None:
        """Store what is waiting, and nothing afterwards. Instrumentations and providers stay as they are."""
        with self._lock:
            installation, self._installation = self._installation, None
            provider, self._own_provider = self._own_provider, None
        for part in (installation, provider):
            if part is not None:
                part.shutdown()
        if "query" in vars(self):
            self.query.close()

    def record_completion(  # noqa: PLR0913, PLR0917 - AiCore's programs pass them, also by position
        self,
        completion_args: Mapping[str, Any],
        operation_type: str,
        provider: str,
        response: Any = None,
        session_id: str | None = None,
        workspace: str | None = None,
        agent_id: str | None = None,
        action_id: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        cost: float | None = None,
        latency_ms: float | None = None,
        error_message: str | None = None,
        extras: Mapping[str, Any] | str | None = None,
        user_id: str | None = None,
    ) -> Recorded:
        """Record a call that no instrumentation sees; it is stored when this returns, or kept and tried again.

        What goes wrong in the database is said in the log, as for an exporter: it never breaks the caller.

        Args:
            completion_args: what the provider was asked: `model`, `messages` (or `prompt`, `input`), `temperature`,
                `tools`, ... `api_key` and headers are dropped.
            operation_type: `completion` or `acompletion` (stored as `chat`), `embedding`, or a value of OpenTelemetry's
                `gen_ai.operation.name`.
            provider: `openai`, `anthropic`, ...
            response: text, or what the API answered, as a mapping or as the client library's object. It gives content,
                usage, model, id and finish reason, as far as it can be read.
            session_id: the conversation as the application calls it (column `session_key`); default: from `session()`.
            workspace: as for `session()`.
            agent_id: as for `session()`.
            action_id: as for `session()`.
            input_tokens: all tokens of the prompt; goes before the response's count, as the next two do.
            output_tokens: all tokens generated.
            cached_tokens: the part of `input_tokens` that was read from the provider's cache.
            cost: US dollars; default: from the catalogue.
            latency_ms: milliseconds the call took, which has just ended.
            error_message: makes it an operation with status `error`.
            extras: anything else, for the column `extras`.
            user_id: as for `session()`.

        Returns:
            The ids by which the operation is found.

        Raises:
            TypeError, ValueError: an argument is not what it must be; nothing was recorded.
        """
        session = {"session_id": session_id, "workspace": workspace, "agent_id": agent_id, "action_id": action_id}
        usage = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cached_tokens": cached_tokens}
        outcome = {"cost": cost, "latency_ms": latency_ms, "error_message": error_message, "user_id": user_id}
        told = session | usage | outcome
        call = recording.call(completion_args, operation_type, provider, response, extras=extras, **told)
        recorded = call.emit(self._tracer())
        self.flush()
        return recorded

    @functools.wraps(record_completion)
    async def arecord_completion(self, *args: Any, **kwargs: Any) -> Recorded:
        """`record_completion` for async code: the event loop goes on while the call is stored."""
        return await asyncio.to_thread(self.record_completion, *args, **kwargs)

    def create_tables(self) -> None:
        """Create the tables, if the database has none; the first write does so as well.

        Raises:
            SchemaError: the tables are of another version.
            StoreError: the database refused, or was not reached.
        """
        from otel_llm_sql.schema.versions import ensure

        with self._writer() as engine:
            ensure(engine)

    def get_schema_version(self) -> str | None:
        """The version of the tables; None where there are none. A SQLite file is not made by asking.

        Raises:
            StoreError: the database refused, or was not reached.
        """
        from otel_llm_sql.query.engines import reader, require_database
        from otel_llm_sql.schema.versions import current_version

        settings = self.settings
        try:
            require_database(settings.url)
        except DatabaseUnavailableError:
            return None
        engine = reader(settings.url, settings.schema, settings.timeout)
        with self._reached(engine), engine.connect() as connection:
            return current_version(connection)

    def migrate_schema(self) -> list[str]:
        """Upgrade the tables to the version this package writes, as `otel-llm-sql migrate` does.

        Returns:
            The revisions that were applied, in order.

        Raises:
            SchemaError: the tables are newer than this package, or are not ours.
            StoreError: the database refused, or was not reached.
        """
        from otel_llm_sql.schema.versions import migrate

        with self._writer() as engine:
            return migrate(engine)

    @property
    def _arguments(self) -> dict[str, Any]:
        return {field.name: getattr(self.settings, field.name) for field in dataclasses.fields(Settings)}

    @functools.cached_property
    def query(self) -> Query:
        """Queries of this database."""
        return Query(self.settings.url, schema=self.settings.schema, timeout=self.settings.query_timeout)

    @functools.cached_property
    def async_query(self) -> AsyncQuery:
        """Async queries of this database."""
        settings = self.settings
        url = settings.async_url or settings.url
        return AsyncQuery(url, schema=settings.schema, timeout=settings.query_timeout)

    def _tracer(self) -> Tracer:
        """The installed provider's tracer, else one whose spans go to this database alone."""
        with self._lock:
            if self._installation is not None:
                provider = self._installation.tracer_provider
            elif self._own_provider is not None:
                provider = self._own_provider
            else:
                provider = self._own_provider = self._new_provider()
        return provider.get_tracer("otel_llm_sql.collector")

    def _new_provider(self) -> TracerProvider:
        from otel_llm_sql import context

        provider = TracerProvider(sampler=ALWAYS_ON)
        context.attach(provider)
        provider.add_span_processor(SimpleSpanProcessor(LlmSqlSpanExporter(**self._arguments)))
        return provider

    def _writer(self) -> AbstractContextManager[Engine]:
        from otel_llm_sql.store.engines import create_engine

        settings = self.settings
        return self._reached(create_engine(settings.url, schema=settings.schema, timeout=settings.timeout))

    @contextmanager
    def _reached(self, engine: Engine) -> Iterator[Engine]:
        """Lend an engine; what drivers raise meanwhile is an error of ours that names the database."""
        from sqlalchemy.exc import SQLAlchemyError

        from otel_llm_sql.store.faults import translated

        try:
            yield engine
        except (SQLAlchemyError, OSError) as error:
            fault, reason = translated(error), type(getattr(error, "orig", None) or error).__name__
            kind, said = type(fault), str(fault)
            if isinstance(fault, RejectedRowsError):
                kind, said = StoreError, f"the database refused ({reason})"
            elif isinstance(fault, DatabaseUnavailableError):
                said = f"not reachable, or not able to do it now ({reason})"
            # Without the cause: drivers quote addresses, statements and rows.
            raise kind(f"{mask(self.settings.url)}: {said}") from None
        finally:
            engine.dispose()
