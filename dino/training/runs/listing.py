"""List the runs of a folder from a few JSON lines of each: quick, and nothing is loaded.

for run in list_runs("checkpoints/runs"): print(run.name, run.status, run.step, run.loss)
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dino.system import jobs
from dino.system.files import read_json
from dino.system.jobs import ACTIVE, LAUNCH, LOST, Job, JobProgress
from dino.training.runs.folder import METRICS, PROBES, STATE, parse_line

# The end of a file that surely holds a whole line of metrics, in bytes.
_TAIL = 8192


@dataclass(frozen=True)
class RunSummary:
    """A run in one line: `status` is one of `ACTIVE`, finished, stopped or failed; `reason` why.

    `total_steps` is None where the run does not say; `knn_start` and `knn` in percent, the first and the
    latest measurement, None where there is none, `knn` also where the first is the latest; `started` in seconds since 1970.
    """

    name: str
    folder: Path
    status: str
    reason: str
    step: int
    total_steps: int | None
    epoch: int
    epochs: int
    loss: float | None
    images_per_s: float | None
    knn_start: float | None
    knn: float | None
    started: float

    @property
    def active(self) -> bool:
        """Whether its process is at work."""
        return self.status in ACTIVE

    @property
    def progress(self) -> float:
        """Compute how far it is, 0 to 1; all of it where it finished, whatever is known of its length."""
        if self.status == "finished":
            return 1.0
        done, total = (
            (self.step, self.total_steps) if self.total_steps else (self.epoch, self.epochs)
        )
        return min(done / total, 1.0) if total else 0.0


def list_runs(root: str | Path) -> list[RunSummary]:
    """List all runs in a folder, the newest first; what is no run is left out."""
    return _newest_first(_run_folders(root))


def active_runs(root: str | Path) -> list[RunSummary]:
    """List the runs at work, the newest first; quicker than all of them."""
    return _newest_first(f for f in _run_folders(root) if read_job(f).active)


def _run_folders(root: str | Path) -> list[Path]:
    root = Path(root)
    folders = root.iterdir() if root.is_dir() else iter(())
    return [p for p in folders if not p.name.startswith(".") and is_run(p)]


def _newest_first(folders: Iterable[Path]) -> list[RunSummary]:
    runs = []
    for folder in folders:
        with suppress(TypeError):  # words where numbers belong: somebody else's file
            runs.append(summarize(folder))
    return sorted(runs, key=lambda run: (-run.started, run.name))


def summarize(folder: Path) -> RunSummary:
    """Summarize a run from whatever of its files there are yet."""
    config = read_json(folder / "config.json") or read_json(folder / "requested.json") or {}
    last = _last_line(folder / METRICS)
    measured = _measured(folder / PROBES)
    job = read_job(folder)
    return RunSummary(
        name=folder.name,
        folder=folder,
        status=job.status,
        reason=job.reason,
        step=last.get("step", 0),
        total_steps=_total_steps(folder, config),
        epoch=last.get("epoch", 0),
        epochs=_whole(config, "epochs"),
        loss=last.get("loss"),
        images_per_s=last.get("images_per_s"),
        knn_start=measured[0] if measured else None,
        knn=measured[-1] if len(measured) > 1 else None,
        started=_started(folder),
    )


def is_run(folder: Path) -> bool:
    """Tell whether a folder was made by `jobs.start` or by a run."""
    return any((folder / name).is_file() for name in ("config.json", LAUNCH))


def has_checkpoint(run: Path) -> bool:
    """Tell whether there is something to resume."""
    return next((run / "checkpoints").glob("step-*.pt"), None) is not None


def read_job(run: Path) -> Job[JobProgress]:
    """Read the status of a run, the reason, and which process runs it."""
    job = jobs.read_job(run, JobProgress, file=STATE)
    if job.status == "none":
        return replace(job, status="failed", reason="it left no state; start it anew")
    if job.status == "stopped" and not (run / STATE).exists():
        return replace(job, reason="before its first step")
    return replace(job, reason=f"{LOST}; resume it") if job.reason == LOST else job


def _total_steps(folder: Path, config: dict[str, Any]) -> int | None:
    facts = {**(read_json(folder / LAUNCH) or {}), **(read_json(folder / "data.json") or {})}
    photos, batch = _whole(facts, "num_photos"), _whole(config, "batch_size")
    most = _whole(config, "max_steps")
    if not photos or not batch:
        return most or None
    steps = photos // batch * _whole(config, "epochs")
    return min(steps, most or steps)


def _whole(values: dict[str, Any], name: str) -> int:
    """Take a whole number of a JSON file; 0 where it is none."""
    value = values.get(name)
    return value if type(value) is int else 0


def _measured(path: Path) -> list[float]:
    """Read k-NN at the start and in the end; one value, or none, where it was not measured as often."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    first = next(_values(lines), None)
    if first is None:
        return []
    last = next(_values(reversed(lines)))
    return [first[1]] if first[0] == last[0] else [first[1], last[1]]


def _values(lines: Iterable[bytes]) -> Iterator[tuple[int, float]]:
    """Yield step and k-NN of the lines that have it, parsed one by one."""
    for text in lines:
        if (line := parse_line(text)) and line.get("knn") is not None:
            yield line["step"], line["knn"]


def _last_line(path: Path) -> dict[str, Any]:
    """Read the last whole line of a file of JSON lines, and not the rest."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _TAIL, 0))
            lines = file.read().splitlines()
    except OSError:
        return {}
    return next((line for text in reversed(lines) if (line := parse_line(text))), {})


def _started(folder: Path) -> float:
    """Look up when a run was asked for, or else when its folder was made."""
    for name in ("requested.json", "config.json"):
        with suppress(OSError):
            return (folder / name).stat().st_mtime
    return 0.0
