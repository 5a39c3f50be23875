"""Queries as text: what links, file names and commands carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dino.errors import UserError
from dino.model.queries import parse_query, query_name, token_position

REGISTERS = tuple(f"register:{number}" for number in range(4))
KNOWN = {"prefix": ("cls", *REGISTERS), "network": "small"}


@given(st.integers(0, 999), st.integers(0, 999))
def test_a_patch_is_read_as_it_is_written(row, column):
    assert parse_query(query_name((row, column))) == (row, column)


@pytest.mark.parametrize("text", ["cls", "mean", "dist", "register:3", " CLS ", "12:7"])
def test_what_is_read_is_written_the_same(text):
    assert query_name(parse_query(text)) == text.strip().lower()


@pytest.mark.parametrize(
    "text", ["", "12", "12:", ":7", "-1:2", "register:", "register:x", "²:1", "1:2:3"]
)
def test_anything_else_is_one_sentence(text):
    with pytest.raises(UserError, match="expected cls, mean, register:N, or row:column"):
        parse_query(text)


def test_positions_count_cls_then_registers_then_rows():
    grid = (3, 5)
    assert token_position("cls", grid, **KNOWN) == 0
    assert token_position("register:3", grid, **KNOWN) == 4
    assert token_position((0, 0), grid, **KNOWN) == 5
    assert token_position((2, 4), grid, **KNOWN) == 5 + 14
    assert token_position((1, 2), grid, prefix=(), network="") == 7


def test_a_distillation_token_stands_between_cls_and_the_patches():
    prefix = ("cls", "dist")
    assert token_position("dist", (3, 5), prefix=prefix, network="") == 1
    assert token_position((0, 0), (3, 5), prefix=prefix, network="") == 2


def test_cls_of_a_network_without_one_names_the_mean_as_the_remedy():
    with pytest.raises(UserError, match=r"siglip has no CLS token; ask for 'mean'"):
        token_position("cls", (3, 5), prefix=(), network="siglip")


def test_a_token_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(UserError, match=r"small has 'cls', 'register:0', .* 'mean', and patches"):
        token_position("register:4", (3, 5), **KNOWN)
