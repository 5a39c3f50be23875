"""What the tests of the app's pages start from: a page opened, what it says, and what it computed."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

TIMEOUT_S = 60
# Each AppTest would look through all that is installed for components: half of the time these tests take.
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)


def page(name: str) -> None:
    """Run as AppTest's script: the sidebar and one page, as app/main.py does."""
    import importlib

    from app.state import look
    from app.ui import sidebar, start

    look.settle_version()
    view = importlib.import_module(f"app.views.{name}.page")
    start.guarded(view.show, sidebar.choose())


def open_page(name: str, **params: str) -> AppTest:
    """Open a page by a link with these parameters."""
    at = AppTest.from_function(page, args=(name,), default_timeout=TIMEOUT_S)
    for key, value in params.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception, at.exception
    return at


def start_afresh(monkeypatch, tmp_path, small_weights) -> None:
    """Set up empty caches, small weights by default, and an empty checkpoints folder."""
    import streamlit as st

    st.cache_data.clear()
    st.cache_resource.clear()
    monkeypatch.setenv("DINO_WEIGHTS", str(small_weights))
    monkeypatch.setenv("DINO_CHECKPOINTS", str(tmp_path / "checkpoints"))


def count_calls(monkeypatch, *functions: tuple[Any, str]) -> list[str]:
    """Collect the names of these (module, name) as they are called from now on."""
    made: list[str] = []
    for module, name in functions:
        real = getattr(module, name)

        def counted(*args, _real=real, _name=name, **kwargs):
            made.append(_name)
            return _real(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)
    return made


def text(at: AppTest) -> str:
    """Collect everything the page says, as it reads."""
    kinds = ("markdown", "caption", "error", "warning", "info", "success", "html")
    said = [str(element.value) for kind in kinds for element in at.get(kind)]
    said += [bar.proto.text for bar in at.get("progress")]
    return "\n".join(said).replace("\\", "")


def sent_maps(at: AppTest) -> tuple[dict[str, Any], np.ndarray]:
    """Return what the canvas is told of its maps, and their numbers [K,N], as the browser has them."""
    protos = [element.proto for element in at.get("bidi_component")]
    told = [json.loads(one.json) for one in protos if one.WhichOneof("data") == "json"]
    (maps,) = [one["maps"] for one in told if one and one.get("maps")]
    brought = {one.bytes[:64].decode(): one.bytes[64:] for one in protos if one.bytes}
    values = np.frombuffer(brought[maps["id"]], "<f4")
    return maps, values.reshape(len(maps["names"]), -1)


def offered_heads(at: AppTest) -> list[str]:
    """Name the heads that the canvas offers, mean and max among them."""
    return sent_maps(at)[0]["names"]


def command(at: AppTest) -> str:
    """Return the one command that the page offers to copy."""
    (line,) = (code.value for code in at.code)
    return line


def collect_downloads(monkeypatch) -> dict[str, Callable[[], bytes]]:
    """Collect what pages offer for download from now on: file name → what makes its bytes."""
    from app.ui import layout

    files: dict[str, Callable[[], bytes]] = {}
    monkeypatch.setattr(
        layout, "downloads", lambda *given: files.update({name: make for _, name, _, make in given})
    )
    return files
