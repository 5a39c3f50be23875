"""Uploads that are read through files: errors name what was uploaded, and nothing stays."""

from pathlib import Path

import pytest

from app.state.uploads import temporary_file
from dino.errors import WeightsError


def test_an_error_names_the_upload_and_the_file_is_gone():
    seen: list[Path] = []

    def read_damaged() -> None:
        with temporary_file(b"weights", "mine.pth") as path:
            assert path.read_bytes() == b"weights"
            seen.append(path)
            raise WeightsError(f"{path} is damaged")

    with pytest.raises(WeightsError, match=r"^mine\.pth is damaged$"):
        read_damaged()
    assert not seen[0].exists()
