"""Ids of messages, packed."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm_sql.references import HALF, packed, unpacked

pytestmark = pytest.mark.quick

_halves = st.integers(0, 2**64 - 1)


@given(_halves, st.lists(_halves))
def test_what_is_packed_comes_back(prefix: int, keys: list[int]) -> None:
    """Ids of one session come back in order, in half of the bytes and one half more."""
    ids = [str(uuid.UUID(int=prefix << 64 | key)) for key in keys]
    stored = packed(ids)
    assert unpacked(stored) == ids
    assert len(stored) == (HALF * (len(ids) + 1) if ids else 0)
