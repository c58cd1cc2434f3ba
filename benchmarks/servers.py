"""The databases that a benchmark asks for, one after the other; the servers are those of the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from databases import KINDS, Missing

NAMES = tuple(KINDS)
"""The databases there are."""


def started(names: Sequence[str] = ()) -> Iterator[tuple[str, Callable[[], str]]]:
    """Start one server after the other; what is not installed is said and left out.

    Args:
        names: of NAMES; all of them where none is given.

    Yields:
        Its name, and what makes the URL of an empty database. The server ends when the next one is asked for.
    """
    for name in names or NAMES:
        try:
            server = KINDS[name]()
        except Missing as missing:
            print(f"{name:12} left out: {missing}")
            continue
        try:
            yield name, server.new_database
        finally:
            server.close()
