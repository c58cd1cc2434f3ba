"""`make corpus`: load every case of `tests/corpus` and say, per setting and fact, what is right.

Right, wrong, or not in the telemetry. With `-v` each miss by case: what was expected, what was found. The figures are
compared with `tests/corpus/figures.json`: the exit code is 1 when one is lower. The package that is measured is the one
on sys.path, so in another checkout: `PYTHONPATH=. python tests/corpus_measure.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from corpus_facts import NO_ROW, TARGETS, Verdict
from corpus_judge import Judge
from corpus_rows import empty_database, load_case

import otel_llm_sql

FOLDER = Path(__file__).parent / "corpus"
FIGURES = FOLDER / "figures.json"

_ONE_LINE, _LONGEST = 70, 240
"""Characters of values that are printed on one line, and at all."""

Figures = dict[str, dict[str, str]]


def cases(setting: str = "*", case: str = "*") -> list[str]:
    """Names of the cases, `<setting>/<scenario>`, that fit: patterns with commas between, and a part of the name."""
    names = sorted(path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*/expected.json"))
    return [name for name in names if _fits(name.partition("/")[0], setting) and fnmatch(name, f"*{case}*")]


def _fits(name: str, patterns: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns.split(","))


def judge(name: str, directory: Path) -> list[Verdict]:
    """Load one case and compare it."""
    file = directory / f"{name.replace('/', '.')}.db"
    loaded = load_case(FOLDER / name, directory / "empty.db", file)
    for left in directory.glob(f"{file.name}*"):
        left.unlink()
    return list(Judge(name, json.loads((FOLDER / name / "expected.json").read_text()), loaded).verdicts())


def measure(names: Sequence[str]) -> list[Verdict]:
    """Load and compare cases, on all cores."""
    with tempfile.TemporaryDirectory(prefix="corpus-") as directory:
        empty_database(Path(directory) / "empty.db")
        work = partial(judge, directory=Path(directory))
        if len(names) <= 2:
            return [verdict for name in names for verdict in work(name)]
        with ProcessPoolExecutor() as pool:
            return [verdict for found in pool.map(work, names, chunksize=4) for verdict in found]


def counted(verdicts: Iterable[Verdict]) -> dict[str, dict[str, Counter[str]]]:
    """Setting -> fact -> how often right, wrong and untold."""
    table: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for verdict in verdicts:
        table[verdict.case.partition("/")[0]][verdict.fact][verdict.result] += 1
    return table


def figures(table: Mapping[str, Mapping[str, Counter[str]]]) -> Figures:
    """Setting -> fact -> `right/told`."""
    return {
        setting: {fact: f"{facts[fact]['right']}/{_told(facts[fact])}" for fact in TARGETS if fact in facts}
        for setting, facts in sorted(table.items())
    }


def fallen(found: Figures, recorded: Figures) -> list[str]:
    """Where fewer are right, or more wrong, than is recorded; only of the settings that were measured."""
    lines = []
    for setting in found.keys() & recorded.keys():
        for fact, figure in recorded[setting].items():
            right, told = map(int, found[setting].get(fact, "0/0").split("/"))
            right_before, told_before = map(int, figure.split("/"))
            if right < right_before or told - right > told_before - right_before:
                lines.append(f"{setting}: {fact} was {figure}, is {right}/{told}")
    return sorted(lines)


def _told(counts: Counter[str]) -> int:
    return counts["right"] + counts["wrong"]


def print_settings(table: Mapping[str, Mapping[str, Counter[str]]]) -> None:
    """One line per setting: how many are right, `right/told` where that is not all, `.` where nothing is told."""
    facts = [fact for fact in TARGETS if any(fact in row for row in table.values())]
    cells = {"": [_head(fact) for fact in facts]} | {
        setting: [_cell(row.get(fact, Counter())) for fact in facts] for setting, row in sorted(table.items())
    }
    widths = [max(len(row[column]) for row in cells.values()) for column in range(len(facts))]
    margin = max(map(len, cells))
    for setting, row in cells.items():
        print(setting.ljust(margin), *(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    print()


def _head(fact: str) -> str:
    """A column's name: the first letters of each word."""
    return ".".join(word[:4] for word in fact.replace("_", ".").replace(" ", ".").split("."))


def _cell(counts: Counter[str]) -> str:
    if not counts:
        return ""
    if not _told(counts):
        return "."
    return str(counts["right"]) if not counts["wrong"] else f"{counts['right']}/{_told(counts)}"


def print_summary(table: Mapping[str, Mapping[str, Counter[str]]]) -> None:
    """One line per fact, over all settings."""
    print(f"{'fact':22}{'right':>7}{'wrong':>7}{'untold':>8}{'share':>8}{'target':>8}")
    for fact, target in TARGETS.items():
        counts: Counter[str] = sum((row[fact] for row in table.values() if fact in row), Counter())
        share = counts["right"] / _told(counts) if _told(counts) else 1.0
        mark = "" if share >= target else "  below"
        wanted = f"{target:>8.0%}" if target else f"{'':8}"
        print(f"{fact:22}{counts['right']:>7}{counts['wrong']:>7}{counts['untold']:>8}{share:>8.1%}{wanted}{mark}")


def print_misses(verdicts: Iterable[Verdict]) -> None:
    """What is wrong, by case: what was expected and what was found; all facts of a call without a row in one line."""
    by_case: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_case[verdict.case].append(verdict)
    for case, misses in by_case.items():
        print(f"{case}  ({len(misses)})")
        unseen: dict[int, list[str]] = defaultdict(list)
        for miss in misses:
            if miss.found == NO_ROW:
                unseen[miss.call].append(miss.fact)
            else:
                print(f"  {_place(miss.call):7} {miss.fact:20} expected {_short(miss.expected)}{_found(miss)}")
        for call, facts in unseen.items():
            print(f"  {_place(call):7} {NO_ROW}: {', '.join(facts)}")
        print()


def _place(call: int) -> str:
    return f"call {call}" if call else "case"


def _found(miss: Verdict) -> str:
    found, expected = _short(miss.found), _short(miss.expected)
    gap = "   " if len(found) + len(expected) <= _ONE_LINE else f"\n{'':34}"
    told = "   (not in the telemetry)" if miss.result == "untold" else ""
    return f"{gap}found {found}{told}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="corpus_measure.py", description=__doc__)
    parser.add_argument("--setting", default="*", help="patterns of settings: 'openinference-langchain*,langsmith*'")
    parser.add_argument("--case", default="*", help="part or pattern of `<setting>/<scenario>`")
    parser.add_argument("--fact", default="*", help="patterns of facts: 'calls,tool_call*'")
    parser.add_argument("-v", "--misses", action="store_true", help="list what is wrong")
    parser.add_argument("--untold", action="store_true", help="list what counts as not in the telemetry, too")
    parser.add_argument("--summary", action="store_true", help="no line per setting")
    parser.add_argument("--accept", action="store_true", help="record the figures of the settings that were measured")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and compare with what is recorded."""
    arguments = _arguments(argv)
    names = cases(arguments.setting, arguments.case)
    begun = time.monotonic()
    verdicts = measure(names)
    print(f"{len(names)} cases in {time.monotonic() - begun:.0f} s, with {Path(otel_llm_sql.__file__).parent}\n")
    shown = [verdict for verdict in verdicts if _fits(verdict.fact, arguments.fact)]
    if shown and not arguments.summary:
        print_settings(counted(shown))
    if arguments.misses or arguments.untold:
        print_misses(v for v in shown if v.result == "wrong" or (arguments.untold and v.result == "untold"))
    print_summary(counted(shown))
    return _compared(figures(counted(verdicts)), arguments) if arguments.case == "*" else 0


def _compared(found: Figures, arguments: argparse.Namespace) -> int:
    recorded: Figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if arguments.accept:
        write_figures(recorded | found)
        return 0
    lower, higher = fallen(found, recorded), fallen(recorded, found)
    print("", *(f"fallen: {line}" for line in lower), sep="\n")
    if higher:
        print(f"{len(higher)} figures are higher than recorded: --accept records them")
    return 1 if lower else 0


def write_figures(found: Figures) -> None:
    """Record figures: one line per setting, so that two people who accept theirs do not meet."""
    lines = (f"  {json.dumps(setting)}: {json.dumps(facts)}" for setting, facts in sorted(found.items()))
    FIGURES.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    os.environ.update({name: "" for name in os.environ if name.startswith(("OTEL_", "CONNECTION_STRING"))})
    sys.exit(main())
