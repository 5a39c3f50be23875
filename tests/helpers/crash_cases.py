"""Runs that are killed: a process that imports torch once and forks a child for each of them.

python tests/helpers/crash_cases.py      # reads an order a line from stdin, answers each with a line of JSON

An order is {"run", "photos", "config", and "at_operation" or "at_step" with "delay_s", or neither}. The
child starts the run, or resumes it where config.json says that there is one, and is killed

- before the file operation of this number, counted from its start: opening to write, some of the writes of
  a checkpoint, fsync, rename, chmod, remove, mkdir; by itself, so that it is exactly there;
- or from outside, so many seconds after it has reported the step.

The answer is {"killed", "before" (the operation, or "step N"), "operations", "error"}.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Writes of a checkpoint that count as operations; there are hundreds, all of one kind.
WRITES = {1, 10, 100}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Crashes:
    """The forking process, from the test's side."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            cwd=ROOT,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, run: Path, photos: Path, config: str, **kill: float) -> dict:
        """Have a child run the run, and maybe be killed."""
        order = {"run": str(run), "photos": str(photos), "config": config, **kill}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the forking process died"
        answer = json.loads(line)
        assert answer["error"] is None, answer["error"]
        return answer

    def close(self) -> None:
        """End it; it has no child then."""
        self._process.stdin.close()
        self._process.wait(timeout=30)


class _Counted:
    """File operations below a folder; the process ends itself before one of them."""

    def __init__(self, folder: str, at: int | None, report) -> None:
        self._folder, self._at, self._report = folder, at, report
        self._count = 0
        real_fsync = os.fsync

        def fsync(descriptor):
            self.meet("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
            real_fsync(descriptor)

        os.fsync = fsync
        sys.addaudithook(self._audit)

    def meet(self, kind: str, path: str) -> None:
        if not path.startswith(self._folder):
            return
        self._report({"operation": f"{kind} {os.path.relpath(path, self._folder)}"})
        if self._count == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._count += 1

    def _audit(self, event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and flags & _WRITING:
                self.meet("open", path)
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.chmod"):
            self.meet(event.removeprefix("os."), str(arguments[0]))


class _Halting:
    """A file whose every write is in the file at once, and some of whose writes count."""

    def __init__(self, file, counted: _Counted) -> None:
        self._file, self._counted, self._writes = file, counted, 0

    def write(self, data) -> int:
        self._writes += 1
        if self._writes in WRITES:
            self._counted.meet(f"write {self._writes} of", self._file.name)
        written = self._file.write(data)
        self._file.flush()
        return written

    def __getattr__(self, name):
        return getattr(self._file, name)


def _child(order: dict, pipe: int) -> None:
    """Run the run, in the forked process."""
    import torch

    from dino.training.config import TrainConfig
    from dino.training.loop import fit, resume_run

    def report(values: dict) -> None:
        os.write(pipe, (json.dumps(values) + "\n").encode())

    counted = _Counted(order["run"], order.get("at_operation"), report)
    real_save = torch.save
    torch.save = lambda state, file: real_save(state, _Halting(file, counted))

    def say(line: str) -> None:
        if line.startswith("step "):
            report({"step": int(line[5:].split("/", maxsplit=1)[0])})

    run = Path(order["run"])
    try:
        if (run / "config.json").exists():
            resume_run(run, workers=0, say=say)
        else:
            fit(TrainConfig.from_json(order["config"]), order["photos"], run, workers=0, say=say)
    except BaseException:
        report({"error": traceback.format_exc()})
        os._exit(1)
    os._exit(0)


def _serve(order: dict) -> dict:
    assert len(os.listdir("/proc/self/task")) == 1, "only a process of one thread may be forked"
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(order, writing)
    os.close(writing)
    answer = {"killed": False, "before": None, "operations": [], "error": None}
    for report in _lines(reading):
        if "operation" in report:
            answer["operations"].append(report["operation"])
            answer["before"] = report["operation"]
        answer["error"] = report.get("error")
        if "step" in report and report["step"] >= order.get("at_step", float("inf")):
            time.sleep(order["delay_s"])
            os.kill(pid, signal.SIGKILL)
            answer["before"] = f"step {report['step']}"
            break
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    answer["killed"] = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not answer["killed"] and status and answer["error"] is None:
        answer["error"] = f"ended with status {status}"
    return answer


def _lines(pipe: int):
    """Yield what a child reports, until it ends."""
    rest = b""
    while True:
        select.select([pipe], [], [], 120)
        data = os.read(pipe, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from map(json.loads, lines)


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    for name in (
        "dino.training.loop",
        "dino.training.probes.probing",
        "dino.weights.loading",
        "dino.weights.saving",
        "timm.models.vision_transformer",
        "torch.utils.tensorboard",
    ):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)

    for text in sys.stdin:
        print(json.dumps(_serve(json.loads(text))), flush=True)
