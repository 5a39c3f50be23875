"""What a server that others can reach leaves out."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import access, data_root
from dino.errors import UserError

APP = str(Path(__file__).parents[1] / "app" / "main.py")


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
        from app.sidebar import Selection
        from app.views import training

        training.show(Selection(None), lambda name: None)

    at = AppTest.from_function(page, default_timeout=60).run()
    assert not at.exception
    assert "ALLOW_TRAINING=1" in at.info[0].value
    assert not at.button
    assert not at.selectbox


def test_the_address_told_to_others_is_not_a_wildcard():
    assert access.reachable_address("192.168.1.20") == "192.168.1.20"
    assert access.reachable_address("0.0.0.0") not in ("0.0.0.0", "")
