"""A database that does not let the user in, or not do what is needed: said once, nothing lost, and no row is blamed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from databases import KINDS, MySQL
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_llm_sql import LlmSqlSpanExporter, notices
from otel_llm_sql.store.engines import create_engine
from otel_llm_sql.testing import chat_spans, stored

OK, FAILED = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
PASSWORD = "pa55-marker"
SPANS = 40


@dataclass
class Newcomer:
    """A user of a database's own who may connect and nothing else."""

    admin: str
    name: str

    @property
    def url(self) -> str:
        parsed = sa.make_url(self.admin).set(username=self.name, password=PASSWORD)
        return parsed.render_as_string(hide_password=False)

    @property
    def is_postgresql(self) -> bool:
        return self.admin.startswith("postgresql")

    @property
    def database(self) -> str:
        return str(sa.make_url(self.admin).database)

    def execute(self, statement: str) -> list[sa.Row[tuple[object, ...]]]:
        """Rows of a statement of the administrator's."""
        engine = create_engine(self.admin, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            result = connection.exec_driver_sql(statement)
            return list(result) if result.returns_rows else []

    def create(self) -> None:
        if self.is_postgresql:
            self.execute(f"CREATE ROLE {self.name} LOGIN PASSWORD '{PASSWORD}'")
        else:
            self.execute(f"CREATE USER '{self.name}'@'%%' IDENTIFIED BY '{PASSWORD}'")
            self.execute(f"GRANT SELECT ON {self.database}.* TO '{self.name}'@'%%'")

    def may_make_tables(self) -> None:
        self.execute(
            f"GRANT ALL ON SCHEMA public TO {self.name}"
            if self.is_postgresql
            else f"GRANT ALL ON {self.database}.* TO '{self.name}'@'%%'"
        )

    def refused(self) -> int:
        """How often the server has let somebody not in."""
        return int(str(self.execute("SHOW GLOBAL STATUS LIKE 'Aborted_connects'")[0][1]))


@pytest.fixture(params=["postgresql", "mariadb"])
def newcomer(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> Iterator[Newcomer]:
    admin = new_database(request.param)
    notices._said.clear()
    user = Newcomer(admin, f"u{sa.make_url(admin).database}")
    yield user
    if user.is_postgresql:
        user.execute(f"DROP OWNED BY {user.name}")
        user.execute(f"DROP ROLE {user.name}")
    else:
        user.execute(f"DROP USER '{user.name}'@'%%'")


def test_a_wrong_password(newcomer: Newcomer, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what to look at, without the password; what was exported is stored once the user exists."""
    exporter = LlmSqlSpanExporter(url=newcomer.url)
    with caplog.at_level(logging.WARNING, "otel_llm_sql"):
        assert exporter.export(chat_spans(SPANS)) is FAILED
    assert "check user, password and database of the URL" in caplog.text
    assert PASSWORD not in caplog.text
    newcomer.create()
    newcomer.may_make_tables()
    assert exporter.force_flush()
    assert len(stored(newcomer.admin)["llm_operations"]) == SPANS
    exporter.shutdown()


def test_a_wrong_password_is_tried_once(new_database: Callable[[str], str]) -> None:
    """Not once per row, and not again and again for ten seconds: a server may lock out who does that."""
    newcomer = Newcomer(new_database("mariadb"), "nobody")
    before = newcomer.refused()
    exporter = LlmSqlSpanExporter(url=newcomer.url)
    assert exporter.export(chat_spans(SPANS)) is FAILED
    assert newcomer.refused() - before <= 2  # a second one by whoever tries again what is kept
    exporter.shutdown()


def test_no_right_to_make_tables(newcomer: Newcomer, caplog: pytest.LogCaptureFixture) -> None:
    """PostgreSQL's default since 15: said as it is, no dead letters, and stored after a GRANT."""
    newcomer.create()
    exporter = LlmSqlSpanExporter(url=newcomer.url)
    with caplog.at_level(logging.WARNING, "otel_llm_sql"):
        assert exporter.export(chat_spans(SPANS)) is FAILED
    assert "CREATE, SELECT, INSERT, UPDATE and DELETE are granted" in caplog.text
    newcomer.may_make_tables()
    assert exporter.force_flush()
    exporter.shutdown()
    tables = stored(newcomer.admin)
    assert (len(tables["llm_operations"]), tables["llm_dead_letters"]) == (SPANS, [])


def test_no_right_to_insert(newcomer: Newcomer, caplog: pytest.LogCaptureFixture) -> None:
    """Tables that others made and that this user may only read: no row is at fault, so none becomes a dead letter."""
    newcomer.create()
    owner = LlmSqlSpanExporter(url=newcomer.admin)
    assert owner.export(chat_spans(1)) is OK
    owner.shutdown()
    if newcomer.is_postgresql:
        newcomer.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {newcomer.name}")
    exporter = LlmSqlSpanExporter(url=newcomer.url)
    with caplog.at_level(logging.WARNING, "otel_llm_sql"):
        assert exporter.export(chat_spans(SPANS)) is FAILED
    assert "are granted" in caplog.text
    if newcomer.is_postgresql:
        newcomer.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {newcomer.name}")
    newcomer.may_make_tables()
    assert exporter.force_flush()
    exporter.shutdown()
    tables = stored(newcomer.admin)
    assert (len(tables["llm_operations"]), tables["llm_dead_letters"]) == (SPANS + 1, [])


def test_tables_that_are_refused(new_database: Callable[[str], str], caplog: pytest.LogCaptureFixture) -> None:
    """What is in the way of a table is not a row's fault: told once, and stored when it is out of the way."""
    newcomer = Newcomer(new_database("postgresql"), "nobody")
    newcomer.execute("CREATE TYPE llm_sessions AS (name text)")
    notices._said.clear()
    exporter = LlmSqlSpanExporter(url=newcomer.admin)
    with caplog.at_level(logging.WARNING, "otel_llm_sql"):
        assert exporter.export(chat_spans(SPANS)) is FAILED
    assert "the database refuses our tables" in caplog.text
    newcomer.execute("DROP TYPE llm_sessions")
    assert exporter.force_flush()
    exporter.shutdown()
    tables = stored(newcomer.admin)
    assert (len(tables["llm_operations"]), tables["llm_dead_letters"]) == (SPANS, [])


if KINDS["mariadb"] is MySQL:

    @pytest.mark.parametrize("newcomer", ["mariadb"], indirect=True)
    def test_a_login_that_needs_a_package(
        newcomer: Newcomer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Without TLS a first login needs `cryptography`: if it is missing that is said, and nothing is lost."""
        newcomer.create()
        newcomer.may_make_tables()
        exporter = LlmSqlSpanExporter(url=f"{newcomer.url}?ssl_disabled=true")
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "otel_llm_sql"):
            patch.setattr("pymysql._auth._have_cryptography", False)
            assert exporter.export(chat_spans(SPANS)) is FAILED
        assert "pip install 'otel-llm-sql[mysql]'" in caplog.text
        assert exporter.force_flush()
        exporter.shutdown()
        assert len(stored(newcomer.admin)["llm_operations"]) == SPANS
