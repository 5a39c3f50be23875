"""Runs outlive the server and the browser that started them, and leave no process behind."""

import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import server_cases
from helpers.chromium import CHROMIUM, FLAGS
from helpers.training_cases import TINY, write_photos

from dino.system.files import read_json
from dino.training.runs import jobs
from dino.training.runs.folder import METRICS, read_lines
from dino.training.runs.listing import list_runs, read_job, summarize

pytestmark = pytest.mark.soak

STARTS = 30
AT_ONCE = 2  # of runs, on two cores
WAIT_S = 300


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "data" / "photos"
    folder.mkdir(parents=True)
    return write_photos(folder, 16)


def wait_until(holds, what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def processes(session: int) -> list[str]:
    """What is left of a run: processes of its session, its data workers and zombies among them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = path.read_text().rsplit(")", 1)
        except OSError:
            continue
        words = rest.split()
        if int(words[3]) == session:
            found.append(f"{path.parent.name} {name.partition('(')[2]} {words[0]}")
    return found


def zombies_of(parent: int) -> list[str]:
    """Children of a process that ended and that it has not taken away."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if words[0] == "Z" and int(words[1]) == parent:
            found.append(path.parent.name)
    return found


def test_starts_stops_and_kills_leave_no_process(photos, tmp_path, small_weights, figure):
    """Real runs with two data workers each; every third is killed outright."""
    config = replace(
        TINY, init=str(small_weights), patch_size=8, epochs=10_000, save_every=10_000, probe_every=0
    )
    root, sessions, with_workers = tmp_path / "runs", [], 0
    for first in range(0, STARTS, AT_ONCE):
        runs = [root / f"run-{number}" for number in range(first, min(first + AT_ONCE, STARTS))]
        for run in runs:
            jobs.start(config, photos, run, threads=1, nice=0)
        for run in runs:
            wait_until(
                lambda run=run: read_lines(run / METRICS).lines, f"{run.name}: {summarize(run)}"
            )
            pid = read_job(run).pid
            sessions.append(pid)
            with_workers += len(processes(pid)) > 1
            if len(sessions) % 3:
                jobs.stop(run)
            else:
                os.kill(pid, signal.SIGKILL)
        for run in runs:
            wait_until(lambda run=run: not summarize(run).active, f"{run.name}: {summarize(run)}")
    statuses = [summarize(root / f"run-{number}").status for number in range(STARTS)]
    left = [one for session in sessions for one in processes(session)]
    wait_until(lambda: not any(processes(session) for session in sessions), f"left: {left}")
    ours = zombies_of(os.getpid())
    assert with_workers == STARTS
    assert statuses == ["failed" if number % 3 == 2 else "stopped" for number in range(STARTS)]
    assert ours == []
    figure(
        12,
        f"{STARTS} starts of runs with data workers, {statuses.count('stopped')} stopped and "
        f"{statuses.count('failed')} killed",
        "0 processes left, 0 zombies",
    )


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_run_outlives_its_browser_and_its_server(photos, tmp_path, small_weights, figure):
    from playwright.sync_api import sync_playwright

    app = server_cases.start(tmp_path, small_weights)
    run = tmp_path / "checkpoints" / "runs" / "outlives"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            start_a_run(page, app.address)
            browser.close()
        before = summarize(run).step
        wait_until(lambda: summarize(run).step > before + 2, "the run ended with the browser")
        app.process.send_signal(signal.SIGKILL)
        app.process.wait()
        before = summarize(run).step
        wait_until(lambda: summarize(run).step > before + 2, "the run ended with the server")
        app = server_cases.start(tmp_path, small_weights, port=app.port, log="again.txt")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{app.address}/training?part=runs&runs=outlives")
            page.get_by_text(re.compile(r"outlives · step \d+ of")).first.wait_for(timeout=60_000)
            page.get_by_role("button", name="Stop").click()
            page.get_by_text(re.compile(r"outlives stopped at step \d+")).first.wait_for(
                timeout=60_000
            )
            browser.close()
        pid = read_json(run / "launch.json")["pid"]
        wait_until(lambda: not processes(pid), "processes of the run are left")
        assert zombies_of(app.process.pid) == []
        assert "Traceback" not in app.said()
        steps = [line["step"] for line in read_lines(run / METRICS).lines]
        assert steps == sorted(set(steps))
    finally:
        server_cases.end(app)
        for one in list_runs(tmp_path / "checkpoints" / "runs"):
            if one.active:
                jobs.stop(one.folder)
    figure(
        12,
        "browser closed, server killed with -9 and started again during a run",
        "the run goes on, is found and stopped there; 0 zombies, 0 processes left",
    )


def start_a_run(page, address: str) -> None:
    """By the form, as small and as long as it gets."""
    page.goto(f"{address}/training?part=new")
    page.get_by_role("textbox", name="Name of the run").wait_for(timeout=90_000)
    page.get_by_text("16 photos in 2 classes").first.wait_for(timeout=60_000)
    sizes = {"Epochs": 200, "Batch size": 4, "Global crops, px": 32, "Local crops, px": 16}
    for label, value in {**sizes, "Name of the run": "outlives"}.items():
        field = page.get_by_label(label, exact=True).first
        field.fill(str(value))
        field.press("Enter")
        page.wait_for_timeout(1000)
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text(re.compile(r"outlives · step \d+ of 800")).wait_for(timeout=300_000)
