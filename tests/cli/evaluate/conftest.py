"""What the tests of `eval` start from."""

from functools import partial

import pytest


@pytest.fixture
def cli(cli):
    """`cli("knn", …)` → (exit code, stdout, stderr) of an evaluation by small weights, in an empty folder."""
    return partial(cli, "eval")
