"""Many photos, a folder of results each: what `attend`, `segment` and `project` share."""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import numpy as np

    from dino.system.files import File


def each_photo(
    found: list[Path],
    out: Path,
    results: Callable[["np.ndarray", str], Iterable["File"]],
    *,
    at_once: int,
    finish: Callable[[list[str]], None] = lambda _: None,
) -> None:
    """Decode each photo and write its results below `out`; failures are named, the rest goes on.

    Args:
        results: what to write of a photo and its name; called in `at_once` threads.
        finish: called with the names of the photos that went well, in order, if any did.
    """
    from dino.errors import UserError
    from dino.media.images import decode
    from dino.model.parallel import map_photos
    from dino.system.files import content_id, results_name, write_atomically

    unique = len({path.name for path in found}) == len(found)
    names = [path.name if unique else path.as_posix() for path in found]

    def write(photo: tuple[Path, str]) -> _Written:
        path, name = photo
        started = time.perf_counter()
        try:
            data = path.read_bytes()
            folder = out / results_name(path.name, content_id(data))
            for file, content in results(decode(data), name):
                write_atomically(content, folder / file)
        except (UserError, OSError) as error:
            return _Written(problem=str(error) or type(error).__name__)
        return _Written(folder, time.perf_counter() - started)

    failed, done = [], []
    photos = list(zip(found, names, strict=True))
    for number, written in enumerate(map_photos(write, photos, at_once=at_once)):
        path, name = photos[number]
        told = f"[{number + 1}/{len(found)}] {path}"
        if written.problem is not None:
            failed.append(path)
            say(f"{told}: failed: {written.problem}")
        else:
            done.append(name)
            say(f"{told} → {written.folder}, {written.seconds:.2f} s")
    if done:
        finish(done)
    if failed:
        say(f"{len(failed)} of {len(found)} failed: {', '.join(map(str, failed))}")
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Written:
    """Where a photo's results are, and how long they took; or the problem with it, in a sentence."""

    folder: Path = Path()
    seconds: float = 0.0
    problem: str | None = None


def say(line: str) -> None:
    """Tell whoever waits, beside what is printed."""
    print(line, file=sys.stderr, flush=True)
