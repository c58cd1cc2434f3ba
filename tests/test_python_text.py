"""Python's repr as data: what is read, what is refused, and that broken text costs no more than its length."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm_sql.conventions.python_text import CLASS, read_repr

pytestmark = pytest.mark.quick

DATA = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=20,
)


@given(DATA)
def test_the_repr_of_data_is_that_data(data: Any) -> None:
    """Dicts, lists and scalars, with whatever texts hold: quotation marks, escapes, brackets."""
    assert read_repr(repr(data)) == data


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("(1, 'a')", [1, "a"]),
        ("()", []),
        ("{'x': nan}", {"x": None}),
        ("A()", {CLASS: "A"}),
        ("a.B(c=[C(d=1), C()], e='f(g=1)')", {CLASS: "a.B", "c": [{CLASS: "C", "d": 1}, {CLASS: "C"}], "e": "f(g=1)"}),
        ("[<Role.USER: 'user'>, <Level.ONE: 1>]", ["user", 1]),
        ("{'f': <function g.<locals>.h at 0x7f19ead779c0>}", {"f": None}),
    ],
)
def test_tuples_and_objects(text: str, data: Any) -> None:
    """Objects are dicts with their class, members of enumerations their values, addresses nothing."""
    assert read_repr(text) == data


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "[1, 2", "{1, 2}", "A(1)", ")", "'open", "[1 2]", "__import__('os')", "datetime.date(2026, 1, 1)"),
        *("[" * 5000, "(" * 5000, "A(" * 5000 + ")" * 5000, "'" + "\\'" * 100_000, "<" * 100_000),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Cut, nested too deep, or no data: a ValueError, and soon (a search at each quotation mark would take minutes)."""
    with pytest.raises(ValueError, match=r"repr|JSON|unexpected|depth|end of data|nested|line 1"):
        read_repr(text)
