"""Runs without an engine: a stand-in for its process, and waiting for what processes do."""

import json
import os
import signal
import time
from pathlib import Path

from dino.system.processes import process_start_time
from dino.training.config import TrainConfig
from dino.training.runs.listing import list_runs, read_job, summarize

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
        pid = read_job(run.folder).pid
        if pid not in (None, os.getpid()):
            os.kill(pid, signal.SIGKILL)


def wait_until(holds, what: str = "took too long") -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def wait_for(run: Path, status: str) -> None:
    wait_until(lambda: summarize(run).status == status, f"{summarize(run)}")


CONFIG = TrainConfig(
    arch="vit_tiny",
    batch_size=4,
    epochs=10,
    warmup_epochs=0,
    out_dim=32,
    global_size=32,
    local_size=16,
)


def make_run(
    root: Path, name: str, *, status: str = "finished", steps: int = 30, knn=(20.0, 31.4), **more
) -> Path:
    """Write a run's folder as the engine leaves it."""
    run = root / name
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.json").write_text(CONFIG.to_json())
    (run / "data.json").write_text(json.dumps({"data": "/gone", "knn": None, "film": []}))
    alive = status == "running"
    state = {
        "pid": os.getpid() if alive else 1,
        "start_time": process_start_time(os.getpid()) if alive else "0",
        "status": status,
        "reason": more.get("reason", ""),
    }
    (run / "state.json").write_text(json.dumps(state))
    (run / "launch.json").write_text(
        json.dumps(
            {
                "pid": state["pid"],
                "start_time": state["start_time"],
                "stopping": False,
                "num_photos": 12,
            }
        )
    )
    lines = [metrics(step) for step in range(1, steps + 1)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    probes = [
        {"step": 3 * epoch, "epoch": epoch, "knn": value, "film": None}
        for epoch, value in enumerate(knn)
    ]
    (run / "probes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in probes))
    (run / "log.txt").write_text(more.get("log", "2025-01-01 12:00:00 running\n"))
    return run


def metrics(step: int) -> dict:
    return {
        "step": step,
        "epoch": step // 3,
        "images_seen": 4 * step,
        "loss": 3.0 - step / 100,
        "teacher_entropy": 2.0,
        "batch_mean_entropy": 3.0,
        "kl": 0.5,
        "lr": 1e-4,
        "images_per_s": 8.0,
    }
