"""Start, stop, resume, check and delete runs as processes of their own.

    start(config, "photos/", runs_folder() / "mine")
    stop(runs_folder() / "mine")                 # saves first; resume() goes on there

A run's process outlives whoever started it: what is known of it is read from its folder (see `listing`
and `dino.system.jobs`). RUN/requested.json, the settings, is written here.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dino.errors import UserError
from dino.system import jobs
from dino.system.files import read_json
from dino.system.folders import PROJECT_FOLDER, checkpoints_folder
from dino.system.jobs import DEFAULT_NICE, LAUNCH, MAX_NAME, check_name, one_at_a_time
from dino.training.config import TrainConfig
from dino.training.data import open_photos
from dino.training.runs.listing import has_checkpoint, is_run, read_job

CHECK_S = 120


def runs_folder() -> Path:
    """Return `DINO_RUNS`, else `runs` of the checkpoints folder."""
    named = os.environ.get("DINO_RUNS")
    return Path(named).expanduser() if named else checkpoints_folder() / "runs"


def start(
    config: TrainConfig,
    data: str | Path,
    run: str | Path,
    *,
    knn: str | Path | None = None,
    masks: str | Path | None = None,
    film: Sequence[str | Path] = (),
    threads: int | None = None,
    nice: int = DEFAULT_NICE,
) -> None:
    """Start a run in a process of its own and return at once.

    Args:
        run: its folder, which must not exist; of two that ask for it at once, one gets it.
        knn: labelled folder that features are measured on; masks: photos with masks that attention
            is measured on; film: photos whose attention is drawn.
        threads: of torch; None leaves it to the run.
        nice: 0 to 19; the higher, the more other programs go first.
    Raises:
        UserError: no photos, a name that cannot be, or a run of that name.
    """
    run = Path(run).absolute()
    check_name(run.name)
    num_photos = len(open_photos(data))
    requested = run / "requested.json"
    words = ["train", "--config", str(requested), "--out", str(run)]
    words += _inputs(data=data, knn=knn, masks=masks)
    for photo in film:
        words += _inputs(film=photo)
    with one_at_a_time(run.parent):
        try:
            run.mkdir()
        except FileExistsError:
            raise UserError(
                f"there is a run named {run.name} already; choose another name"
            ) from None
        requested.write_text(config.to_json())
        jobs.launch(run, [*words, *_process_options(threads, nice)], num_photos=num_photos)


def resume(run: str | Path, *, threads: int | None = None, nice: int = DEFAULT_NICE) -> None:
    """Go on with a run that was stopped, failed or interrupted, from its newest checkpoint.

    Raises:
        UserError: it is running, or left no checkpoint.
    """
    run = Path(run).absolute()
    with one_at_a_time(run.parent):
        if read_job(run).active:
            raise UserError(f"{run.name} is running already; stop it first to start it again")
        if not has_checkpoint(run):
            raise UserError(f"{run.name} left no checkpoint to go on from; start it anew")
        before = read_json(run / LAUNCH) or {}
        words = ["resume", str(run), *_process_options(threads, nice)]
        jobs.launch(run, words, num_photos=before.get("num_photos"))


def stop(run: str | Path) -> None:
    """Ask a run to save and end; it does so after its step.

    Raises:
        UserError: it is not running.
    """
    run = Path(run).absolute()
    with one_at_a_time(run.parent):
        job = read_job(run)
        if not job.active:
            raise UserError(f"{run.name} is not running; there is nothing to stop")
        jobs.stop(run, job)


def delete(run: str | Path, *, root: Path | None = None) -> None:
    """Remove a run's folder for good.

    Args:
        root: the folder of runs it must lie in; None: `runs_folder()`.
    Raises:
        UserError: it is running, is no run, is a link, or lies elsewhere.
    """
    run, root = Path(run).absolute(), (root or runs_folder()).absolute()
    if run.parent.resolve() != root.resolve() or run.name in ("", ".", ".."):
        raise UserError(f"{run} is not in {root}; only runs in there are deleted from here")
    if not os.path.lexists(run):  # False also of a name that no file can have
        raise UserError(
            f"{run.name[:MAX_NAME]!r} is no run, or was deleted already; nothing was deleted"
        )
    if run.is_symlink():
        raise UserError(f"{run.name} is a link; remove the link or what it points to by hand")
    with one_at_a_time(root):
        if not is_run(run):
            raise UserError(f"{run.name} is no run, or was deleted already; nothing was deleted")
        if read_job(run).active:
            raise UserError(f"{run.name} is running; stop it before you delete it")
        leaving = run.with_name(f".{run.name}.deleted-{os.getpid()}")
        run.rename(leaving)
    shutil.rmtree(leaving)  # removes links, never what they point to


def check(
    config: TrainConfig,
    data: str | Path,
    *,
    place: Path,
    threads: int | None = None,
    nice: int = DEFAULT_NICE,
) -> list[str]:
    """Measure in a process of its own what a run would take, in lines to print.

    Raises:
        UserError: what cannot work, or no answer within `CHECK_S`.
    """
    with tempfile.TemporaryDirectory() as folder:
        requested = Path(folder) / "config.json"
        requested.write_text(config.to_json())
        words = ["train", "--dry-run", "--config", str(requested), "--out", str(place)]
        command = [*jobs.COMMAND, *words, *_inputs(data=data), *_process_options(threads, nice)]
        try:
            done = subprocess.run(  # noqa: S603 (our own command, no shell)
                command,
                cwd=PROJECT_FOLDER,
                capture_output=True,
                text=True,
                timeout=CHECK_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UserError(
                f"the check took more than {CHECK_S} s; the machine is busy, try it later"
            ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["the check ended without a word"]
        raise UserError(lines[-1].removeprefix("error: "))
    return done.stdout.split("\n{", 1)[0].splitlines()  # the settings themselves follow


def _inputs(**paths: str | Path | None) -> list[str]:
    """Spell what a run reads as options of the command line, by their names."""
    given = {name: str(Path(path).absolute()) for name, path in paths.items() if path}
    return [word for name, path in given.items() for word in (f"--{name}", path)]


def _process_options(threads: int | None, nice: int) -> list[str]:
    """Spell threads and niceness as options of the command line."""
    return [*(["--threads", str(threads)] if threads else []), "--nice", str(nice)]
