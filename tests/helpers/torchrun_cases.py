"""Processes that torchrun starts, for tests of what several do together."""

import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def launch(
    *words: object, processes: int = 2, cwd: Path, env: Mapping[str, object] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python WORDS…` in so many processes (one: without torchrun) and return what they said.

    Processes that end without a word of Python's, by a signal or for want of a connection, are started
    a second time, with a warning that holds what was said: that is the machine's fault, and no test here
    is about it.
    """
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes)]
    command += map(str, words)
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    variables |= {name: str(value) for name, value in (env or {}).items()}
    for attempt in (1, 2):
        done = subprocess.run(
            command,
            cwd=cwd,
            env=variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode == 0 or attempt == 2 or not _fell_over(done.stderr):
            break
        warnings.warn(f"started again after:\n{done.stderr[-6000:]}", stacklevel=2)
    return done


def launch_well(
    *words: object, processes: int = 2, cwd: Path, env: Mapping[str, object] | None = None
) -> subprocess.CompletedProcess[str]:
    """Launch what has to end with 0; the assertion shows what was said."""
    done = launch(*words, processes=processes, cwd=cwd, env=env)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr[-6000:]}"
    return done


def _fell_over(said: str) -> bool:
    """Whether processes were ended by a signal, or lost each other, not by an error of their own."""
    first = said.partition("Root Cause")[2]  # the others are ended by torchrun, with a signal too
    lost = ("Connection closed by peer", "Connection reset by peer", "RendezvousTimeoutError")
    return "Signal " in first or any(sign in said for sign in lost)


def compare(one: list[dict], two: list[dict]) -> None:
    assert len(one) == len(two) > 0
    for first, second in zip(one, two, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert second[name] == (pytest.approx(value, abs=1e-5) if value else value)
