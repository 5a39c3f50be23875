"""What the server writes down holds no photo, and no name of one."""

import base64
import io
import logging
from pathlib import Path

import numpy as np
import pytest
from helpers.app_cases import open_page, start_afresh
from PIL import Image

pytestmark = pytest.mark.reliability

NAME = "my-secret-holiday"


@pytest.fixture
def secret() -> bytes:
    """A photo of noise, so that no piece of it is anywhere by chance."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pieces(data: bytes) -> list[str]:
    """Ways in which a part of a file could stand in a log."""
    part = data[200:212]
    return [part.hex(), repr(part)[2:-1], base64.b64encode(data[201:213]).decode()]


def assert_silent(said: str, data: bytes) -> None:
    assert NAME not in said
    assert "holiday" not in said
    assert not any(piece in said for piece in pieces(data))


@pytest.mark.parametrize("page", ["attention", "masks", "features", "learn"])
def test_a_session_with_photos_leaves_no_trace_of_them_in_logs(
    page, secret, monkeypatch, tmp_path, small_weights, capfd, caplog, figure
):
    caplog.set_level(logging.DEBUG)
    start_afresh(monkeypatch, tmp_path, small_weights)
    at = open_page(page, size="224")
    for name, data in (
        (f"{NAME}.png", secret),
        (f"{NAME}-broken.png", secret[:300]),
        (f"{NAME}.svg.png", b"<svg/>"),
    ):
        at.file_uploader(key="upload").upload(name, data).run()
        assert not at.exception
    at.file_uploader(key="weights_file").upload(f"{NAME}.pth", b"\x80\x02" + secret).run()
    assert not at.exception
    said = "".join(capfd.readouterr()) + caplog.text
    assert_silent(said, secret)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [
        path for path in written if NAME in path.name or secret[200:212] in path.read_bytes()
    ]
    if page == "attention":
        figure(
            4,
            "logs of sessions with photos and weights, whole and broken",
            "hold neither names nor content; nothing of them on the disk",
        )


def test_a_fault_in_our_code_does_not_log_the_photo(
    secret, monkeypatch, tmp_path, small_weights, capfd, caplog
):
    """A traceback tells where, not what."""
    from dino.attention import photo

    caplog.set_level(logging.DEBUG)
    start_afresh(monkeypatch, tmp_path, small_weights)
    at = open_page("masks", size="224")

    def broken(*_, **__):
        raise RuntimeError("an unforeseen fault")

    monkeypatch.setattr(photo, "attention_and_features", broken)
    at.file_uploader(key="upload").upload(f"{NAME}.png", secret).run()
    said = "".join(capfd.readouterr()) + caplog.text
    assert at.exception
    assert "an unforeseen fault" in said  # the log is there, and told
    assert_silent(said, secret)


def test_the_browser_is_told_no_details_of_a_fault():
    text = (Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text()
    assert 'showErrorDetails = "none"' in text
