"""t-SNE by scikit-learn: in this process, or in one of its own that reports and can be stopped.

scikit-learn's t-SNE takes no callback; it only prints its iterations. So `embed_in_child` runs this
very file as a script, reads what it prints, and ends it when the caller's `progress` raises:

    python -P -u dino/features/tsne_worker.py RESULT.npy < settings as one line of JSON, then an .npy

It needs NumPy and scikit-learn only, so that the second process starts without torch.
"""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Called with the share done, 0 to 1, and what is being done.
OnShareDone = Callable[[float, str], None]

ITERATIONS = 1000
# scikit-learn's threads add to one double in the order they come. Two can do so in one way only
# (a + b = b + a); of more the last bits may differ from run to run, and once such a bit reaches a
# float32 coordinate, rarely, t-SNE grows it into another picture.
MAX_THREADS = 2
# Standard deviation of the first axis at the start (scikit-learn's own), and of what the seed adds.
_START_STD, _JITTER_STD = 1e-4, 1e-6
# Threads that sleep at a barrier instead of spinning: with anything else running beside it, t-SNE of
# 646 points on 2 cores took 3 s so and 17 to 23 s spinning.
_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
# Shares of the whole at which the neighbours are searched and the iterations begin and end.
_NEIGHBOURS_AT, _BEGIN_AT, _END_AT = 0.05, 0.1, 0.99
_ITERATION = re.compile(r"\[t-SNE\] Iteration (\d+):")


def num_threads() -> int:
    """Count the OpenMP threads t-SNE may use here: as many as scikit-learn would, `MAX_THREADS` at
    most."""
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

    return min(MAX_THREADS, _openmp_effective_n_threads())


def embed(
    reduced: np.ndarray, *, dims: int, perplexity: float, seed: int, threads: int, verbose: int = 0
) -> np.ndarray:
    """Compute t-SNE of PCA scores, float32 [M, dims]; equal for equal input, seed and number of
    threads.

    It starts at the first `dims` scores, as scikit-learn's init="pca" does, plus a jitter of 1 %:
    without it the seed would change nothing, and equal points or an empty axis would never part.

    Args:
        reduced: float32 [M, K] PCA scores in falling order of variance, the first of variance 1.
        perplexity: below M.
        threads: what `num_threads` says; the last bits depend on it.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    start = np.zeros((len(reduced), dims), dtype=np.float32)
    start[:, : reduced.shape[1]] = reduced[:, :dims] * _START_STD
    start += _JITTER_STD * np.random.default_rng(seed).standard_normal(start.shape, np.float32)
    model = TSNE(
        n_components=dims,
        perplexity=perplexity,
        init=start,
        learning_rate="auto",
        max_iter=ITERATIONS,
        random_state=seed,
        verbose=verbose,
    )
    with threadpool_limits(limits=threads, user_api="openmp"):
        return np.asarray(model.fit_transform(reduced), dtype=np.float32)


def embed_in_child(reduced: np.ndarray, *, progress: OnShareDone, **settings: Any) -> np.ndarray:
    """Run `embed` in a process of its own: the same bits, with `progress` called as it goes on.

    Args:
        progress: called with the share done, never falling and below 1, and what is being done;
            an exception it raises ends the process and goes on to the caller.
        settings: `dims`, `perplexity`, `seed` and `threads` of `embed`.
    Raises:
        RuntimeError: the process failed; the message ends with its last line.
    """
    with tempfile.TemporaryDirectory(prefix="dino-tsne-") as folder:
        result, errors = Path(folder) / "points.npy", Path(folder) / "errors.txt"
        with errors.open("wb") as stderr:
            process = subprocess.Popen(  # noqa: S603 (our own file)
                [sys.executable, "-P", "-u", __file__, str(result)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=os.environ | _PATIENT,
            )
        try:
            progress(_NEIGHBOURS_AT, "t-SNE: looking for neighbours")
            _send(process, reduced, settings)
            _report(process, progress)
            code = process.wait()
        finally:
            _end(process)
        if code:
            lines = errors.read_text(errors="replace").strip().splitlines() or ["no message"]
            raise RuntimeError(f"t-SNE's process ended with code {code}: {lines[-1]}")
        return np.load(result)


def _send(process: subprocess.Popen[bytes], reduced: np.ndarray, settings: dict[str, Any]) -> None:
    assert process.stdin is not None
    array = io.BytesIO()
    np.save(array, reduced)
    try:
        with process.stdin as stdin:
            stdin.write(json.dumps(settings).encode() + b"\n" + array.getvalue())
    except BrokenPipeError:
        pass  # it ended before it read; its exit code and its last line say why


def _report(process: subprocess.Popen[bytes], progress: OnShareDone) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        match = _ITERATION.match(line.decode(errors="replace"))
        if match:
            share = int(match[1]) / ITERATIONS
            done = _BEGIN_AT + (_END_AT - _BEGIN_AT) * share
            progress(done, f"t-SNE: iteration {match[1]} of {ITERATIONS}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # nothing where it has ended by itself
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and not pipe.closed:
            pipe.close()


def main() -> None:
    """Run as the child: settings and scores from standard input, points into the file that is
    named."""
    settings = json.loads(sys.stdin.buffer.readline())
    reduced = np.load(io.BytesIO(sys.stdin.buffer.read()))
    np.save(sys.argv[1], embed(reduced, verbose=2, **settings))


if __name__ == "__main__":
    main()
