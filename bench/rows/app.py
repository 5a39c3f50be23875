"""Rows 14 to 16 and 18: what someone at the app waits for, beyond the network itself."""

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.flops import Shape
from bench.networks import vit
from bench.outcome import Outcome, Settings
from bench.served import chromium, installed_chromium, served
from bench.timing import Times, in_turns
from dino.canvas.look import Look
from dino.media.draw import COLORMAPS

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 120


def page(name: str) -> None:
    """Run the sidebar and one page, as app/main.py does."""
    import importlib

    from app.ui import sidebar, start

    view = importlib.import_module(f"app.views.{name}.page")
    start.guarded(view.show, sidebar.choose())


@contextmanager
def _weights(tiny: bool) -> Iterator[None]:
    """Have the app open with random ViT-S/16 weights (or tiny ones)."""
    from dino.weights.saving import save

    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as place:
        shape = Shape(dim=128, depth=2, patch=16) if tiny else Shape(patch=16)
        description = {
            "name": "bench",
            "description": "random weights",
            "num_heads": shape.dim // 64,
        }
        path = save(vit(shape, 224).state_dict(), Path(place) / "bench.safetensors",
                    dtype="fp32", metadata=description)  # fmt: skip
        os.environ["DINO_WEIGHTS"] = str(path)
        os.environ["DINO_CHECKPOINTS"] = place
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _opened(name: str, **params: str) -> Any:
    from streamlit.testing.v1 import AppTest

    at = AppTest.from_function(page, args=(name,), default_timeout=_TIMEOUT_S)
    at.query_params.update(params)
    return _ran(at)


def _ran(at: Any) -> Any:
    at.run()
    if at.exception:
        raise RuntimeError(f"the page failed: {at.exception[0].value}")
    return at


def new_photo(settings: Settings) -> Outcome:
    """Time row 14: a warm page is shown another photo; the script's run to its end, less the forward."""
    from app.state.selection import bundled_photos
    from dino.attention import photo

    forwards: list[float] = []
    real = photo.last_block

    def timed(*arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return real(*arguments)
        finally:
            forwards.append(time.perf_counter() - start)

    size = "224" if settings.tiny else "480"
    shown, *others = bundled_photos()
    beyond, whole = [], []
    photo.last_block = timed
    try:
        with _weights(settings.tiny):
            at = _opened("attention", photo=shown, size=size)
            for repeat in range(settings.repeats):
                if repeat % len(others) == 0:
                    _forget_photos()
                at.selectbox(key="photo").set_value(others[repeat % len(others)])
                forwards.clear()
                start = time.perf_counter()
                _ran(at)
                whole.append(time.perf_counter() - start)
                if not forwards:
                    raise RuntimeError("the page made no forward for a new photo")
                beyond.append(whole[-1] - sum(forwards))
    finally:
        photo.last_block = real
    outcome = Outcome({"beyond the forward": 1e3 * statistics.median(beyond)})
    outcome.timed({"whole run": Times(tuple(whole)), "beyond the forward": Times(tuple(beyond))})
    outcome.notes.append(
        "Attention page run by Streamlit's AppTest: decoding, resizing, maps, colours and encoding "
        "count, the way to the browser does not."
    )
    return outcome


def _forget_photos() -> None:
    """Forget photos and what was made of them, pixels included; the network stays."""
    import streamlit as st

    from app.cache import pictures

    st.cache_data.clear()
    pictures.pixels.clear()


# Of the Attention page it is what the server hears of once the canvas has drawn it, and a hand rests.
_SESSION = "session"
_CONTROLS = (
    ("attention", _SESSION, "look", tuple(Look(colours=name) for name in COLORMAPS)),
    ("attention", _SESSION, "head", ("1", "0", "mean", "max")),
    ("masks", "slider", "mass", (30, 50, 70, 90, 40, 65, 80)),
)


def control(settings: Settings) -> Outcome:
    """Time row 15: a control of a warm page is changed to a value it has not had; the run to its end."""
    outcome, medians = Outcome(), {}
    size = "224" if settings.tiny else "480"
    with _weights(settings.tiny):
        for name, kind, key, values in _CONTROLS:
            at = _opened(name, size=size)
            taken = []
            for repeat in range(settings.repeats + 1):
                value = values[repeat % len(values)]
                if kind == _SESSION:
                    at.session_state[key] = value
                else:
                    getattr(at, kind)(key=key).set_value(value)
                start = time.perf_counter()
                _ran(at)
                taken.append(time.perf_counter() - start)
            times = Times(tuple(taken[1:]))
            outcome.timed({f"{name}: {key}": times})
            medians[f"{name}: {key}"] = 1e3 * times.median
    outcome.figures = {"slowest control": max(medians.values())}
    outcome.notes.append(
        f"Slowest: {max(medians, key=medians.__getitem__)}. Whole runs of the page by AppTest; in a "
        "browser only the fragment around the control runs."
    )
    return outcome


def start(settings: Settings) -> Outcome:
    """Time row 16: `--help` as a process; a fresh server's first page in Chromium until its maps are drawn."""

    ask_help = partial(_run_python, ["-m", "dino", "--help"])
    times = in_turns({"python -m dino --help": ask_help}, settings.repeats)
    outcome = Outcome({"--help": times["python -m dino --help"].median})
    if installed_chromium() is None or importlib.util.find_spec("playwright") is None:
        outcome.timed(times)
        outcome.notes.append(
            "Chromium or Playwright is not installed: the first page was not opened."
        )
        return outcome
    with chromium() as browser:
        opened = [_first_page(browser) for _ in range(1 if settings.tiny else settings.repeats)]
    starts, first = zip(*opened, strict=True)
    times["first page, fresh server"] = Times(tuple(first))
    outcome.timed(times)
    outcome.figures["first page"] = times["first page, fresh server"].median
    outcome.timed({"server, until it answers": Times(tuple(starts))})
    outcome.notes.append(
        "The bundled ViT-Ti/16, whose loading and forward are in the first page. A server answers once "
        "torch and the pages are loaded, which is not in it but listed below."
    )
    return outcome


def attend(settings: Settings) -> Outcome:
    """Time row 18: whole processes, from start to exit: a photo's maps, and the imports that they need."""
    command, imports = "python -m dino attend", 'python -c "import torch, timm"'
    with _weights(settings.tiny), tempfile.TemporaryDirectory() as out:
        size = "96" if settings.tiny else "480"
        words = ["attend", "app/photos/crab.jpg", "--size", size, "--device", "cpu", "--out", out]
        ways = {
            command: ["-m", "dino", *words, "--precision", "fp32"],
            f"{command}, --precision auto": ["-m", "dino", *words],
            imports: ["-c", "import torch, timm"],
        }
        times = in_turns(
            {name: partial(_run_python, way) for name, way in ways.items()}, settings.repeats
        )
    outcome = Outcome({"over the imports": times[command].median / times[imports].median})
    outcome.timed(times)
    fastest = min(times[command].seconds) / min(times[imports].seconds)
    outcome.notes.append(f"In fp32. Of the fastest turn of each: {fastest:.2f}×.")
    return outcome


def _run_python(words: list[str]) -> None:
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)  # noqa: S603


def _first_page(browser: Any) -> tuple[float, float]:
    """Time how long a server takes to answer; and from going to its address until the map is drawn and the
    script has ended."""
    begun = time.perf_counter()
    with served() as address:
        started = time.perf_counter() - begun
        tab = browser.new_page()
        begun = time.perf_counter()
        tab.goto(address)
        drawn = tab.locator(".over[data-painted]").first
        drawn.wait_for(state="attached", timeout=60_000)
        tab.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        seconds = time.perf_counter() - begun
        tab.close()
    return started, seconds
