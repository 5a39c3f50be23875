"""What a server does before it answers; who it answers is in test_reliability_doors.py."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import streamlit as st

from app import server

ROOT = Path(__file__).resolve().parents[2]
READY = """
import gc, sys
from app import server
server._load()
gc.collect(2)
print(gc.get_freeze_count(), len(gc.get_objects()), "app.views.training.page" in sys.modules, "timm" in sys.modules)
"""


def test_what_is_loaded_is_not_looked_at_after_every_run_of_a_page():
    """Streamlit collects garbage after each: with all of torch in it, that was 0.25 s for everyone."""
    printed = subprocess.run(
        [sys.executable, "-c", READY], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    frozen, left = int(printed[0]), int(printed[1])
    assert frozen > 200_000
    assert left < 20_000
    assert printed[2:] == ["True", "True"]


@pytest.mark.parametrize(("headless", "opened"), [(True, []), (False, ["http://192.0.2.7:8600"])])
def test_the_browser_is_opened_where_there_is_one(monkeypatch, headless, opened):
    options = {
        "server.headless": headless,
        "browser.serverAddress": "192.0.2.7",
        "server.port": 8600,
    }
    calls: list[str] = []
    monkeypatch.setattr(server, "_load", lambda: None)
    monkeypatch.setattr(st, "get_option", options.__getitem__)
    monkeypatch.setattr(server.webbrowser, "open", calls.append)

    async def start_and_end() -> None:
        async with server._ready(server.app):
            assert calls == opened

    asyncio.run(start_and_end())
