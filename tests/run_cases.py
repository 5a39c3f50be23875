"""Runs without an engine: a stand-in for its process, and waiting for what processes do."""

import os
import signal
import time
from pathlib import Path

from dino.training.listing import list_runs, summarize
from dino.training.processes import running_process

# Does what a run does with its folder, and nothing else: no torch, so that it starts at once.
STAND_IN = """
import json, os, signal, sys, time
from pathlib import Path

words = sys.argv[1:]
run = Path(words[1] if words[0] == "resume" else words[words.index("--out") + 1])
if words[0] == "train":
    requested = Path(words[words.index("--config") + 1]).read_text()
    (run / "config.json").write_text(requested)
    if json.loads(requested)["seed"] == 13:
        sys.exit("error: no luck with 13; take another seed")
    if json.loads(requested)["seed"] == 14:
        time.sleep(60)  # never says a word
(run / "words.json").write_text(json.dumps(words))
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))

def say(status, reason=""):
    start = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]
    state = {"pid": os.getpid(), "start_time": start, "status": status, "reason": reason}
    part = run / ".state.part"
    part.write_text(json.dumps(state))
    part.replace(run / "state.json")

say("running")
while not stop:
    time.sleep(0.02)
(run / "checkpoints").mkdir(exist_ok=True)
(run / "checkpoints" / "step-00000001.pt").touch()
say("stopped")
"""


def kill_left_over(root: Path) -> None:
    """End the processes that a failed test left; a run may also say that it is this one."""
    for run in list_runs(root):
        process = running_process(run.folder)
        if process and process["pid"] != os.getpid():
            os.kill(process["pid"], signal.SIGKILL)


def wait_until(holds, what: str = "took too long") -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def wait_for(run: Path, status: str) -> None:
    wait_until(lambda: summarize(run).status == status, f"{summarize(run)}")
