"""What a server that others can reach leaves out."""

import re
from pathlib import Path

import pytest
from helpers.app_cases import open_page, start_afresh, text
from streamlit.testing.v1 import AppTest

from app import access
from app.state import data_root
from dino.errors import UserError

APP = str(Path(__file__).parents[2] / "app" / "main.py")


@pytest.mark.parametrize(
    ("address", "beyond"),
    [
        ("127.0.0.1", False),
        ("127.8.0.1", False),
        ("localhost", False),
        ("::1", False),
        ("unix:///run/app.sock", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.168.1.20", True),
        ("classroom.example", True),
        ("", True),
        (None, True),
    ],
)
def test_which_addresses_others_can_reach(address, beyond):
    assert access.listens_beyond(address) is beyond


@pytest.fixture
def open_server(monkeypatch):
    import streamlit as st

    real = st.get_option
    monkeypatch.setattr(
        st, "get_option", lambda name: "0.0.0.0" if name == "server.address" else real(name)
    )
    monkeypatch.delenv("ALLOW_TRAINING", raising=False)


def test_folders_are_out_of_reach_on_an_open_server(open_server, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    assert data_root.find_photo_folders(tmp_path) == []
    with pytest.raises(UserError, match="ALLOW_TRAINING=1"):
        data_root.resolve("photos", tmp_path)
    monkeypatch.setenv("ALLOW_TRAINING", "1")
    assert data_root.find_photo_folders(tmp_path) == ["photos"]
    assert data_root.resolve("photos", tmp_path) == tmp_path / "photos"


def test_an_open_server_shows_attention_and_trains_nothing(open_server, monkeypatch):
    monkeypatch.setenv("WEIGHTS", "none")
    at = AppTest.from_file(APP, default_timeout=60)
    at.run()
    assert not at.exception
    assert "Training" not in [heading.value for heading in at.sidebar.subheader]
    assert not [button for button in at.sidebar.button if button.label == "Start"]


def test_the_training_page_of_an_open_server_says_how_to_turn_it_on(open_server):
    def page():
        from app.ui.sidebar import Selection
        from app.views.training import page as training_page

        training_page.show(Selection(None), lambda name: None)

    at = AppTest.from_function(page, default_timeout=60).run()
    assert not at.exception
    assert "ALLOW_TRAINING=1" in at.info[0].value
    assert not at.button
    assert not at.selectbox


def test_the_address_given_to_others_is_not_a_wildcard():
    assert access.reachable_address("192.168.1.20") == "192.168.1.20"
    assert access.reachable_address("0.0.0.0") not in ("0.0.0.0", "")


def test_a_session_on_an_open_server_takes_less(open_server, monkeypatch, tmp_path, small_weights):
    from app.cache import backbones

    data = small_weights.read_bytes()
    session: dict = {}
    backbones.add_weights(session, "one.safetensors", data)
    backbones.add_weights(session, "two.safetensors", data)
    assert len(session["opened_weights"]) == 1
    with monkeypatch.context() as lower:
        lower.setattr(access, "SHARED", access.SessionLimits(1, 0, 4096))
        with pytest.raises(UserError, match="at most 0 MB are taken"):
            backbones.add_weights(session, "three.safetensors", data)
    start_afresh(monkeypatch, tmp_path, small_weights)
    at = open_page("masks", size="1024")  # 128 × 85 patches of 8 px
    assert re.search(
        r"means [\d,]+ patches, and this server, which others share, takes 4,096", text(at)
    )
    size = int(re.search(r"choose (\d+) px or less", text(at)).group(1))
    assert 224 <= size < 1024
    monkeypatch.setenv("ALLOW_TRAINING", "1")
    assert access.session_limits() == access.ALONE


@pytest.mark.parametrize("name", ["annotate", "gallery", "video"])
def test_pages_that_would_use_the_disk_are_off_on_an_open_server(
    open_server, monkeypatch, tmp_path, small_weights, name
):
    def page(name):
        import importlib

        from app import access
        from app.ui import sidebar, start

        view = importlib.import_module(f"app.views.{name}.page")
        start.guarded(access.for_work(view.show), sidebar.choose())

    start_afresh(monkeypatch, tmp_path, small_weights)
    at = AppTest.from_function(page, args=(name,), default_timeout=60).run()
    assert not at.exception
    assert "ALLOW_TRAINING=1" in at.info[0].value
    assert not at.main.button
    assert not at.main.get("file_uploader")
    assert not (tmp_path / "checkpoints").exists()
