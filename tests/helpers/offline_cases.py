"""Everything but downloads, in a process that has no network: `python tests/helpers/offline_cases.py FOLDER WEIGHTS PHOTO`.

Prints a line of JSON: {"pages": {path: problem or null}, "commands": {words: [code, last line]}, "asked": requests of
the browser that left this machine, "noted": connections of Python that did}; exits with 77 where the network cannot
be cut. FOLDER holds data/, photos in folders of classes.
"""

import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from helpers.server_cases import App, running, watched

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
PAGES = {
    "/attention": "weights sha256",
    "/learn": "weights sha256",
    "/masks": "weights sha256",
    "/annotate": "Annotate",
    "/features": "weights sha256",
    "/correspondence": "weights sha256",
    "/video": "Video",
    "/compare": "Compare",
    "/gallery?folder=photos": "Gallery",
    "/evolution": "Evolution",
    "/evaluation": "Evaluation",
    "/training?part=new": "Name of the run",
}


def cut_network() -> None:
    """Leave this process, and those it starts, with its own machine alone to talk to."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if libc.unshare(flags):
        sys.exit(77)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    with socket.socket() as out:
        assert out.connect_ex(("192.0.2.1", 80)) == errno.ENETUNREACH, "there is a network still"


def visit(app: App, photo: Path, asked: list[str]) -> dict[str, str | None]:
    """Open every page, add a photo to one; what was wrong with each."""
    from playwright.sync_api import Error, sync_playwright

    from helpers.chromium import CHROMIUM, FLAGS

    problems: dict[str, str | None] = {}
    own = (app.address, app.address.replace("http", "ws"), "data:", "blob:")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.on("request", lambda r: None if r.url.startswith(own) else asked.append(r.url))
        for path, ready in PAGES.items():
            problems[path] = None
            try:
                page.goto(app.address + path)
                page.get_by_text(ready).first.wait_for(timeout=90_000)
                page.wait_for_selector(
                    '[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=90_000
                )
                if path == "/attention":
                    page.locator(".st-key-upload input[type=file]").set_input_files(str(photo))
                    page.get_by_text("160×120 px").first.wait_for(timeout=90_000)
                if page.get_by_test_id("stException").count():
                    problems[path] = "an exception"
            except Error as error:
                problems[path] = str(error).splitlines()[0]
        browser.close()
    return problems


def commands(folder: Path, weights: str, photo: Path) -> dict[str, tuple[int, str]]:
    """Run the command line; exit code and last line of each."""
    photos, out = folder / "data" / "photos", folder / "out"
    tiny = ["global_size=32", "local_size=16", "num_locals=2", "out_dim=32", "hidden_dim=16"]
    tiny += ["batch_size=4", "epochs=1", "warmup_epochs=0", "max_steps=2", "precision=fp32"]
    look = ["--weights", weights, "--size", "96", "--out", str(out)]
    answers = {}
    for words in (
        ["weights", "list"],
        ["attend", str(photo), *look],
        ["segment", str(photo), *look],
        ["embed", str(photos), *look, "--size", "32", "--out", str(folder / "features")],
        ["train", "--data", str(photos), "--out", str(folder / "run"), *_set(tiny)],
        ["weights", "fetch", "dino_vits16"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "dino", *words],
            check=False,
            capture_output=True,
            text=True,
            env={
                **os.environ,
                **watched(folder / "commands.txt"),
                "DINO_CHECKPOINTS": str(folder / "checkpoints"),
            },
            timeout=300,
        )
        said = (done.stderr or done.stdout).strip().splitlines() or [""]
        answers[" ".join(words[:2])] = (done.returncode, said[-1])
    return answers


def _set(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def main(folder: Path, weights: str, photo: Path) -> None:
    cut_network()
    asked: list[str] = []
    with running(folder, weights) as app:
        pages = visit(app, photo, asked)
        said, noted = app.said(), app.noted("connect")
    answers = commands(folder, weights, photo)
    by_commands = (folder / "commands.txt").read_text().splitlines()
    answer = {"pages": pages, "commands": answers, "asked": asked, "noted": noted}
    print(json.dumps({**answer, "by_commands": by_commands, "traceback": "Traceback" in said}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
