"""Queries as text: what links, file names and commands carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dino.errors import UserError
from dino.model.queries import parse_query, prefix_queries, query_name, token_position

KNOWN = {"num_class": 1, "num_registers": 4, "network": "small"}


@given(st.integers(0, 999), st.integers(0, 999))
def test_a_patch_is_read_as_it_is_written(row, column):
    assert parse_query(query_name((row, column))) == (row, column)


@pytest.mark.parametrize("text", ["cls", "register:3", " CLS ", "12:7"])
def test_what_is_read_is_written_the_same(text):
    assert query_name(parse_query(text)) == text.strip().lower()


@pytest.mark.parametrize(
    "text", ["", "12", "12:", ":7", "-1:2", "register:", "register:x", "²:1", "1:2:3"]
)
def test_anything_else_is_one_sentence(text):
    with pytest.raises(UserError, match="expected cls, register:N, or row:column"):
        parse_query(text)


def test_positions_count_cls_then_registers_then_rows():
    grid = (3, 5)
    assert token_position("cls", grid, **KNOWN) == 0
    assert token_position("register:3", grid, **KNOWN) == 4
    assert token_position((0, 0), grid, **KNOWN) == 5
    assert token_position((2, 4), grid, **KNOWN) == 5 + 14
    assert token_position((1, 2), grid, num_class=0, num_registers=0, network="") == 7


def test_the_queries_that_are_no_patches():
    assert prefix_queries(num_class=1, num_registers=2) == ["cls", "register:0", "register:1"]
    assert prefix_queries(num_class=0, num_registers=0) == []
