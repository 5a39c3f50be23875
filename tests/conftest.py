"""Fixtures shared by the tests: the reference material beside the project, and small networks."""

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden arrays, real photos and weights; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the reference material beside the project (../shared) is absent")
    return SHARED


@pytest.fixture(scope="session")
def golden(shared):
    """`golden("vit")` → the arrays of `../shared/golden/vit.npz`."""

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(shared / "golden" / f"{name}.npz") as file:
            return {key: file[key] for key in file.files}

    return read
