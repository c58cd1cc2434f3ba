"""The files of collector-config/ in a real Collector: what goes in arrives where it belongs, once, whatever dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import trustme
import yaml
from collector_client import Application, is_wanted, key
from collectors import (
    FOLDER,
    TOKEN,
    Backend,
    Broker,
    Collector,
    Receiver,
    configuration,
    post,
    program,
    running,
    wait_until,
)
from databases import KINDS, Missing
from recordings import ALL, load, truth
from recordings import FOLDER as CORPUS

from otel_llm_sql import conventions
from otel_llm_sql.cli import main
from otel_llm_sql.conventions.content_attributes import CONTENT_EXTRAS, CONTENT_PREFIXES, NO_CONTENT
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.pipeline import Pipeline
from otel_llm_sql.rows import TABLES
from otel_llm_sql.schema.tables import metadata
from otel_llm_sql.settings import Settings
from otel_llm_sql.store.engines import create_engine

Rows = dict[str, list[str]]

LEFT: set[str] = set()

FILES = sorted(path.name for path in FOLDER.glob("*.yaml"))
OVERLAYS = {"gateway-tls.yaml": "gateway.yaml"}
FILTERING = sorted(name for name in FILES if "IsMatch(" in (FOLDER / name).read_text())
COPYING = ("fan-out.yaml", "routing.yaml")
"""Files that leave the old backend everything."""


def parsed(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return document


def components(name: str, kind: str) -> dict[str, dict[str, Any]]:
    return {component: told or {} for component, told in parsed(name).get(kind, {}).items()}


@pytest.fixture(autouse=True)
def _content_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_AND_EVENT")


# -- the files as they stand


@pytest.mark.parametrize("name", FILES)
def test_a_collector_takes_the_file(name: str, tmp_path: Path) -> None:
    """`validate` finds nothing wrong, with no variable set but the token that has no default."""
    files = [OVERLAYS[name], name] if name in OVERLAYS else [name]
    checked = subprocess.run(
        [program(name), "validate", *(f"--config={configuration(file, tmp_path)}" for file in files)],
        capture_output=True,
        text=True,
        env={"COLLECTOR_TOKEN": TOKEN, "COLLECTOR_STORAGE": str(tmp_path), "ARCHIVE": str(tmp_path)},
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", FILES)
def test_what_is_sent_to_us_is_kept_until_it_is_committed(name: str) -> None:
    """COL-01, COL-02: retries without end, a queue on disk that is synced, and few senders at a time."""
    ours = components(name, "exporters").get("otlp_http/llm_sql")
    if ours is None:
        assert name in {"gateway-tls.yaml", "archive.yaml", "kafka-producer.yaml"}
        return
    assert ours["retry_on_failure"]["max_elapsed_time"] == "0s"
    if name == "kafka-consumer.yaml":  # its queue is Kafka
        assert ours["sending_queue"] == {"enabled": False}
        return
    assert (ours["sending_queue"]["storage"], ours["sending_queue"]["num_consumers"]) == ("file_storage/queue", 4)
    storage = components(name, "extensions")["file_storage/queue"]
    assert (storage["fsync"], storage["create_directory"]) == (True, True)


@pytest.mark.parametrize("name", FILES)
def test_long_prompts_pass(name: str) -> None:
    """64 MiB on both ports, and the limit of memory before anything else."""
    for receiver in components(name, "receivers").values():
        protocols = receiver.get("protocols", {}) if name != "gateway-tls.yaml" else {}
        if protocols:
            assert protocols["grpc"]["max_recv_msg_size_mib"] == 64
            assert protocols["http"]["max_request_body_size"] == 64 << 20
    for pipeline in parsed(name).get("service", {}).get("pipelines", {}).values():
        assert pipeline.get("processors", ["memory_limiter"])[0] == "memory_limiter"
        assert "batch" not in pipeline.get("processors", [])


@pytest.mark.parametrize("name", FILES)
def test_names_of_components_are_current(name: str) -> None:
    """No deprecated alias: otlp_grpc and otlp_http, file_storage and otlp_json_file."""
    kinds = {component.partition("/")[0] for kind in ("receivers", "exporters") for component in components(name, kind)}
    assert kinds & {"otlphttp", "otlpjsonfile", "filelog", "loadbalancing"} == set()
    assert "otlp" not in {component.partition("/")[0] for component in components(name, "exporters")}


def test_the_table_names_every_file() -> None:
    """collector-config/README.md says of each file when to take it."""
    told = set(re.findall(r"\]\(([a-z-]+\.yaml)\)", (FOLDER / "README.md").read_text()))
    assert told == set(FILES)


# -- what the filters look for


def alternatives(pattern: str) -> set[str]:
    """The texts that a regular expression of our files lists: `^a[.](b|c)` is a.b and a.c, `a|b` is a and b."""
    text = pattern.removeprefix('\\"').removeprefix("^").replace("[.]", ".").removeprefix("(").removesuffix(")")
    head, _, options = text.rpartition("(")
    return {head + option for option in options.removesuffix(")").split("|")}


def matched(name: str, told: str) -> set[str]:
    """What all conditions of a file on one thing list."""
    patterns = re.findall(rf'IsMatch\({re.escape(told)}, "((?:\^|\\.)(?:[^"\\]|\\.)*)"\)', (FOLDER / name).read_text())
    return {option for pattern in patterns for option in alternatives(pattern)}


def shortest(beginnings: set[str]) -> set[str]:
    """Without those that begin as another one does."""
    return {text for text in beginnings if not text.startswith(tuple(beginnings - {text}))}


@pytest.mark.parametrize("name", FILTERING)
def test_filters_look_for_what_we_read(name: str) -> None:
    """The beginnings of attributes and of scopes in the file are those of the vocabularies, no fewer and no more."""
    reader = conventions._reader()
    path = "{}attributes" if name == "routing.yaml" else "{}.attributes"
    contexts = ("",) if name == "routing.yaml" else ("span", "log")
    for context in contexts:
        assert matched(name, f"Keys({path.format(context)})") == shortest(set(reader._prefixes))
    scope = "instrumentation_scope.name" if name == "routing.yaml" else "scope.name"
    assert matched(name, scope) == shortest(set(reader._scopes))
    assert all(event.startswith("gen_ai.") for event in reader.event_names)


# -- a client's telemetry goes in


def rows(url: str) -> Rows:
    """All that is stored; nothing while the database is down or has no tables."""
    engine = create_engine(url, role="read")
    try:
        with engine.connect() as connection:
            return {name: sorted(map(repr, connection.execute(sa.select(metadata.tables[name])))) for name in TABLES}
    except sa.exc.DBAPIError:
        return {}
    finally:
        engine.dispose()


def delivered(url: str, signals: list[Signal]) -> Rows:
    """The rows of signals that no Collector has touched."""
    pipeline = Pipeline(Settings(url=url, timeout=60))
    pipeline.deliver(signals)
    pipeline.close()
    return rows(url)


@dataclass
class Place:
    """A Collector between an application and a receiver, and the backend that was there before."""

    collector: Collector
    receiver: Receiver
    backend: Backend
    application: Application
    database: str
    compared: str

    def stored(self) -> Rows:
        return rows(self.database)

    def require_everything(self) -> None:
        """Our database holds just what it would without a Collector: the GenAI part, each row once."""
        told = self.application.told()
        wanted = delivered(self.compared, [signal for signal in told if is_wanted(signal)])
        try:
            wait_until(lambda: self.stored() == wanted, "all rows are there")
        except AssertionError:
            assert self.stored() == wanted, self.receiver.log() + self.collector.log()

    def lose_both(self, server: Any) -> None:
        """Kill the database, and then the Collector that tries to deliver what it did not take."""
        self.application.visit("before")
        self.require_everything()
        server.kill()
        self.application.visit("while the database is down")
        wait_until(lambda: "retry" in self.collector.log().lower(), "the Collector has tried")
        self.collector.end(signal.SIGKILL)

    def require_backend(self, signals: list[Signal]) -> None:
        """The backend has seen these signals, and no others."""
        wanted = {key(signal) for signal in signals}
        wait_until(lambda: {key(signal) for signal in self.backend.signals()} == wanted, "the backend has everything")


@contextmanager
def placed(file: str, directory: Path, databases: tuple[str, str], **environment: str) -> Iterator[Place]:
    """Start receiver, Collector and application.

    Args:
        file: the Collector's.
        directory: for what they keep.
        databases: an empty one for the receiver, and one for what its rows are compared with.
        **environment: further variables for the Collector.
    """
    receiver = Receiver(directory, databases[0])
    with Backend() as backend:
        addresses = {"LLM_SQL_ENDPOINT": receiver.url, "BACKEND_ENDPOINT": backend.url}
        collector = Collector(file, directory, **addresses, **environment)
        application = Application(collector.url, TOKEN, environment.get("AUTHORITY"))
        with running(receiver, collector), application.instrumented():
            yield Place(collector, receiver, backend, application, *databases)


@pytest.fixture
def databases(new_database: Callable[[str], str]) -> tuple[str, str]:
    return new_database("sqlite"), new_database("sqlite")


@pytest.mark.parametrize("file", COPYING)
def test_the_old_backend_gets_everything_and_we_what_is_genai(
    file: str, tmp_path: Path, databases: tuple[str, str]
) -> None:
    """COL-05: the backend has each span and log record once; our rows are those of the GenAI part, with its session."""
    with placed(file, tmp_path, databases) as place:
        place.application.visit("trip-1")
        place.require_everything()
        told = place.application.told()
        place.require_backend(told)
        assert Counter(map(key, place.backend.signals())) == Counter(map(key, told))
    assert sum(map(is_wanted, told)) < len(told)
    assert any("trip-1" in row for row in rows(databases[0])["llm_sessions"])


@pytest.mark.parametrize("file", ["agent.yaml", "gateway.yaml"])
def test_a_collector_of_ours_alone(file: str, tmp_path: Path, databases: tuple[str, str]) -> None:
    """Agent and gateway bring the same rows as no Collector at all."""
    with placed(file, tmp_path, databases) as place:
        place.application.visit("trip-1")
        place.application.visit("trip-2", "A haiku about databases, please.")
        place.require_everything()
    assert len(rows(databases[0])["llm_operations"]) >= 4


@pytest.fixture
def server() -> Iterator[Any]:
    """A PostgreSQL of this test's own, to be killed and started again."""
    try:
        own = KINDS["postgresql"]()
    except Missing as missing:
        if os.environ.get("LLM_SQL_REQUIRE_DATABASES"):
            raise
        pytest.skip(f"postgresql is not installed here: {missing}")
    yield own
    own.close()


@pytest.mark.parametrize("file", ["agent.yaml", "gateway.yaml", *COPYING])
def test_nothing_is_lost_or_doubled_whatever_dies(file: str, tmp_path: Path, server: Any) -> None:
    """COL-01: the database goes away and comes back, the Collector is killed while it waits and while it sends."""
    with placed(file, tmp_path, (server.new_database(), server.new_database())) as place:
        place.application.visit("before")
        place.require_everything()
        server.kill()
        place.application.visit("while the database is down")
        place.collector.end(signal.SIGKILL)
        place.collector.start()
        place.application.visit("after the Collector was killed")
        server.start()
        place.require_everything()
        for number in range(5):
            place.application.visit(f"at full speed, {number}")
        place.collector.end(signal.SIGKILL)
        place.collector.start()
        place.require_everything()
        if file in COPYING:
            place.require_backend(place.application.told())
        place.collector.end()  # what it still had would come now
        place.require_everything()


def test_the_gateway_speaks_tls(tmp_path: Path, databases: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With certificates laid over it the gateway takes telemetry over TLS, and none that is not encrypted."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they would win over the exporter's own setting
        monkeypatch.delenv(name, raising=False)
    authority = trustme.CA()
    shown = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    shown.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    shown.private_key_pem.write_to_path(tmp_path / "tls.key")
    paths = {"AUTHORITY": "authority.pem", "COLLECTOR_TLS_CERT": "tls.crt", "COLLECTOR_TLS_KEY": "tls.key"}
    variables = {name: str(tmp_path / path) for name, path in paths.items()}
    with placed("gateway.yaml gateway-tls.yaml", tmp_path, databases, **variables) as place:
        place.application.visit("trip-1")
        place.require_everything()
        assert post(f"{place.collector.url.replace('https', 'http')}/v1/traces", b"") == 400


def test_who_shows_no_token_is_refused(tmp_path: Path, databases: tuple[str, str]) -> None:
    """The gateway answers 401 to another token than its own, and starts with none at all."""
    with placed("gateway.yaml", tmp_path, databases) as place:
        assert post(f"{place.collector.url}/v1/traces", b"", token="guessed") == 401
        assert post(f"{place.collector.url}/v1/traces", b"") == 200
    refused = subprocess.run(
        [program("gateway.yaml"), "validate", f"--config={FOLDER / 'gateway.yaml'}"],
        capture_output=True,
        check=False,
        env={},
    )
    assert refused.returncode != 0
    assert b"bearertokenauth" in refused.stderr


def test_sampling_keeps_what_is_genai(tmp_path: Path, databases: tuple[str, str]) -> None:
    """With a share of nothing the backend still gets whole traces with calls, and we get every call."""
    with placed("tail-sampling.yaml", tmp_path, databases, DECISION_WAIT="1s", SAMPLING_PERCENTAGE="0") as place:
        place.application.visit("trip-1")
        place.application.browse()
        told = place.application.told()
        traces = {signal.trace_id for signal in told if signal.kind == "span" and is_wanted(signal)}
        kept = [signal for signal in told if signal.kind == "log" or signal.trace_id in traces]
        assert len(kept) < len(told)
        place.require_backend(kept)
        place.require_everything()


SECRETS = ("ada@example.org", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", f"sk-proj-{'a1B2' * 8}")


def test_secrets_are_masked(tmp_path: Path, databases: tuple[str, str]) -> None:
    """No address, card, account or key is stored, wherever the client put it; the rest is, and the counts."""
    with placed("redaction.yaml", tmp_path, databases) as place:
        place.application.visit("trip-1", f"My data: {', '.join(SECRETS)}; where is my capital of France?")
        wanted = delivered(place.compared, [signal for signal in place.application.told() if is_wanted(signal)])
        wait_until(lambda: counts(place.stored()) == counts(wanted), "all rows are there")
    assert [secret for secret in SECRETS if secret not in str(wanted)] == []
    stored = rows(databases[0])
    assert [secret for secret in SECRETS if secret in str(stored)] == []
    assert "where is my capital of France?" in str(stored)
    assert figures(databases[0]) == figures(databases[1])


def counts(stored: Rows) -> dict[str, int]:
    return {name: len(found) for name, found in stored.items()}


def figures(url: str) -> list[tuple[Any, ...]]:
    """What is counted and named of each operation."""
    columns = "operation_type model input_tokens output_tokens cost status error_type response_id span_id session_id"
    engine = create_engine(url, role="read")
    with engine.connect() as connection:
        found = connection.execute(sa.text(f"SELECT {', '.join(columns.split())} FROM llm_operations")).all()
    engine.dispose()
    return sorted(map(tuple, found), key=repr)


def test_without_content_the_rest_is_stored(tmp_path: Path, databases: tuple[str, str]) -> None:
    """Neither question nor answer is in the database; models, tokens, costs, errors and sessions are as ever."""
    with placed("no-content.yaml", tmp_path, databases) as place:
        place.application.visit("trip-1", "What is the capital of France, by the way?")
        wanted = delivered(place.compared, [signal for signal in place.application.told() if is_wanted(signal)])
        wait_until(lambda: len(place.stored().get("llm_operations", ())) == len(wanted["llm_operations"]), "all rows")
        wait_until(lambda: figures(databases[0]) == figures(databases[1]), "all figures are the same")
    assert all(text in str(wanted) for text in ("by the way", "is Paris"))
    assert not any(text in str(rows(databases[0])) for text in ("by the way", "is Paris"))


# -- every recording goes in


@cache
def recorded() -> list[Signal]:
    """The spans and log records of all recordings."""
    return [signal for name in ALL for signal in load(name).signals]


def sent_through(file: str, directory: Path) -> list[Signal]:
    """What comes out on our side when all recordings go in, each as the request it was."""
    wanted = {key(signal) for signal in recorded() if is_wanted(signal)}
    with Backend() as ours, Backend() as old:
        collector = Collector(file, directory, LLM_SQL_ENDPOINT=ours.url, BACKEND_ENDPOINT=old.url)
        with running(collector):
            for request in sorted(CORPUS.glob("*/*/*.pb")):
                assert post(f"{collector.url}/v1/{request.stem}", request.read_bytes()) == 200
            wait_until(lambda: identities(ours.signals()) >= wanted, f"all that is wanted comes out of {file}")
        return ours.signals()


def identities(signals: Iterable[Signal]) -> set[tuple[str, ...]]:
    return {key(signal) for signal in signals}


@pytest.mark.parametrize("file", COPYING)
def test_every_recording_passes_the_filter(file: str, tmp_path: Path) -> None:
    """Of 119 instrumentations the Collector lets through what the exporter would take, and nothing else."""
    passed = identities(sent_through(file, tmp_path))
    assert passed == {key(signal) for signal in recorded() if is_wanted(signal)}
    assert passed >= {key(signal) for signal in recorded() if conventions.read(signal) is not None}
    assert passed < identities(recorded())


SAID = ("in_system_text", "in_user_text", "in_assistant_text", "in_tool_result", "out_text", "out_thinking")


def said() -> set[str]:
    """A line of every longer text that the recorded clients sent or got."""
    calls = [call for name in ALL for call in load(name).expected["calls"]]
    texts = {text for call in calls for fact in SAID for text in truth(call)[fact] if isinstance(text, str)}
    lines = {max(text.splitlines() or [""], key=len)[:60] for text in texts}
    return {line for line in lines if len(line) >= 16}


def test_no_recording_leaves_its_content(tmp_path: Path) -> None:
    """Whatever instrumentation told it, no question and no answer comes out of no-content.yaml: in no field at all."""
    lines = said()
    assert len(lines) > 100
    before = str(recorded())
    assert sum(line in before for line in lines) > 50
    after = str(sent_through("no-content.yaml", tmp_path))
    assert [line for line in lines if line in after] == []


@pytest.mark.parametrize("context", ["span", "spanevent", "log"])
def test_all_attributes_with_content_are_known(context: str) -> None:
    """What `capture_content=False` takes out is taken out by no-content.yaml; counts, names and ids are not."""
    text = (FOLDER / "no-content.yaml").read_text().replace("$$", "$")
    patterns = re.findall(rf'delete_matching_keys\({context}\.attributes, "(.*)"\)', text)
    carrying = {*CONTENT_EXTRAS, *(f"{prefix}0.content" for prefix in CONTENT_PREFIXES)} - LEFT
    assert [name for name in sorted(carrying) if not any(re.search(pattern, name) for pattern in patterns)] == []
    kept = {*NO_CONTENT, "gen_ai.usage.input_tokens", "llm.token_count.prompt", "gen_ai.tool.name", "session.id"}
    kept |= {"llm.request.type", "llm.usage.total_tokens", "llm.model_name", "traceloop.entity.name", "ai.model.id"}
    assert [name for name in sorted(kept) if any(re.search(pattern, name) for pattern in patterns)] == []


# -- files


def test_an_archive_is_stored_later_once(tmp_path: Path, databases: tuple[str, str]) -> None:
    """What archive.yaml wrote is imported, by name and again: the rows are those of the telemetry itself."""
    collector = Collector("archive.yaml", tmp_path, ARCHIVE=str(tmp_path / "archive"))
    application = Application(collector.url, TOKEN)
    with running(collector), application.instrumented():
        application.visit("trip-1")
        application.visit("trip-2")
        told = application.told()
    wanted = delivered(databases[1], [signal for signal in told if is_wanted(signal)])
    files = [str(tmp_path / "archive" / name) for name in ("traces.jsonl", "logs.jsonl")]
    for _ in range(2):
        assert main(["import", "--db-uri", databases[0], *files]) == 0
        assert rows(databases[0]) == wanted


def spans_received(receiver: Receiver) -> int:
    """What the receiver has counted since it started."""
    with urllib.request.urlopen(f"{receiver.url}/metrics") as answer:  # noqa: S310 - a URL of this test
        text = answer.read().decode()
    found = re.search(r'^otel_llm_sql_receiver_received_total\{signal="traces"\} (\S+)$', text, re.MULTILINE)
    assert found, text
    return int(float(found[1]))


def spans_told(application: Application) -> int:
    """The spans that it has ended."""
    return sum(signal.kind == "span" for signal in application.told())


def test_files_are_replayed_while_they_are_written(tmp_path: Path, server: Any) -> None:
    """What archive.yaml writes replay.yaml stores, each row once: the database goes away, the reader is killed."""
    databases = server.new_database(), server.new_database()
    archive = {"ARCHIVE": str(tmp_path / "archive")}
    receiver = Receiver(tmp_path, databases[0])
    reading = tmp_path / "reader"
    reading.mkdir()
    writer = Collector("archive.yaml", tmp_path, **archive)
    reader = Collector("replay.yaml", reading, LLM_SQL_ENDPOINT=receiver.url, **archive)
    application = Application(writer.url, TOKEN)
    with Backend() as none, running(receiver, writer, reader), application.instrumented():
        place = Place(reader, receiver, none, application, *databases)
        place.lose_both(server)
        application.visit("while nobody reads")
        reader.start()
        server.start()
        application.visit("after")
        place.require_everything()
        reader.end()
        received, told = spans_received(receiver), spans_told(application)
        reader.start()
        application.visit("at last")
        place.require_everything()
        assert spans_received(receiver) - received == spans_told(application) - told, "it goes on where it left off"


# -- Kafka


def test_kafka_keeps_what_is_not_stored_yet(tmp_path: Path, server: Any) -> None:
    """Through two topics: while the database is down and the consumer is killed nothing is lost or doubled."""
    databases = server.new_database(), server.new_database()
    broker = Broker(tmp_path, "llm_sql_spans", "llm_sql_logs")
    receiver = Receiver(tmp_path, databases[0])
    consuming = tmp_path / "consumer"
    consuming.mkdir()
    variables = {"KAFKA_BROKER": f"127.0.0.1:{broker.port}", "LLM_SQL_ENDPOINT": receiver.url}
    producer = Collector("kafka-producer.yaml", tmp_path, **variables)
    consumer = Collector("kafka-consumer.yaml", consuming, **variables)
    application = Application(producer.url, TOKEN)
    with Backend() as none, running(broker, receiver, producer, consumer), application.instrumented():
        place = Place(consumer, receiver, none, application, *databases)
        place.lose_both(server)
        consumer.start()
        server.start()
        application.visit("after")
        place.require_everything()
