"""Order, batching, repetition and concurrency leave no trace: every recording, in one database, told in many ways."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import sqlalchemy as sa
from recordings import ALL, load

from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.pipeline import Pipeline
from otel_llm_sql.rows import KEYS, TABLES
from otel_llm_sql.schema.tables import metadata
from otel_llm_sql.settings import Settings
from otel_llm_sql.store.engines import create_engine

Batches = Iterable[list[Signal]]
Rows = dict[str, dict[tuple[object, ...], dict[str, object]]]


@cache
def recorded() -> list[list[Signal]]:
    """The signals of each case."""
    return [load(name).signals for name in ALL]


def everything() -> list[Signal]:
    """The signals of all cases."""
    return list(chain.from_iterable(recorded()))


def sorted_by_kind(first: str) -> list[Signal]:
    """Spans of all cases before their logs, or after them."""
    return sorted(everything(), key=lambda signal: signal.kind != first)


def shuffled() -> list[Signal]:
    """All signals of all cases, mixed, half of them twice."""
    chance = random.Random(7)
    mixed = everything()
    mixed += chance.sample(mixed, len(mixed) // 2)
    chance.shuffle(mixed)
    return mixed


def one_by_one(signals: Iterable[Signal]) -> Batches:
    """One signal in each transaction."""
    return ([signal] for signal in signals)


def by_hundreds(signals: list[Signal]) -> Batches:
    """Batches that know nothing of cases."""
    return (signals[start : start + 100] for start in range(0, len(signals), 100))


WAYS: dict[str, Callable[[], Batches]] = {
    "case by case": recorded,
    "reversed, one by one": lambda: one_by_one(reversed(everything())),
    "logs first": lambda: by_hundreds(sorted_by_kind("log")),
    "logs last": lambda: by_hundreds(sorted_by_kind("span")),
    "shuffled": lambda: by_hundreds(shuffled()),
    "twice": lambda: [everything(), everything()],
}


def deliver(url: str, batches: Batches) -> None:
    """Through the pipeline, as an exporter does."""
    pipeline = Pipeline(Settings(url=url, timeout=60))
    for batch in batches:
        pipeline.deliver(batch)
    assert pipeline.dropped == 0
    pipeline.close()


def rows_of(url: str) -> Rows:
    """All rows of all tables, by key."""
    engine = create_engine(url)
    with engine.connect() as connection:
        reasons = connection.scalars(sa.text("SELECT DISTINCT reason FROM llm_dead_letters")).all()
        assert reasons == ["names no trace and span: it cannot be tied to an operation"]
        rows = {
            name: {
                tuple(row[key] for key in KEYS[name]): row for row in map(dict, connection.execute(select).mappings())
            }
            for name, select in ((name, sa.select(metadata.tables[name])) for name in TABLES)
        }
    engine.dispose()
    return rows


@pytest.fixture
def whole(kind: str, new_database: Callable[[str], str]) -> Rows:
    """What all cases give when they are delivered at once."""
    if kind not in _whole:
        url = new_database(kind)
        deliver(url, [everything()])
        _whole[kind] = rows_of(url)
    return _whole[kind]


_whole: dict[str, Rows] = {}


@pytest.mark.parametrize("way", WAYS)
def test_the_order_leaves_no_trace(url: str, whole: Rows, way: str) -> None:
    """All recordings give the same rows in whichever order and in whatever batches they arrive, also twice."""
    deliver(url, WAYS[way]())
    assert rows_of(url) == whole


def test_four_processes_at_once(url: str, whole: Rows) -> None:
    """All recordings, delivered by four processes at once, all of them by each in an order of its own."""
    command = [sys.executable, str(Path(__file__).with_name("deliver_corpus.py")), url]
    processes = [
        subprocess.Popen([*command, str(seed)], stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
        for seed in range(4)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in processes]
    assert ends == [("", 0)] * 4
    assert rows_of(url) == whole
