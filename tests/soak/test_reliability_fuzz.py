"""Row 2: files damaged at random end in a result or in one sentence, at every door they come in by.

The doors, and what is done to the files, are in fuzz_doors.py and fuzz_edits.py. They are tried in a
process that is watched here: it must neither die, nor hang, nor grow beyond 2 GB.
"""

import json
import select
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "helpers"
HANG_S, MOST_BYTES = 5, 2 * 2**30
BUSY_S = 60  # where many tests run side by side, a case may well wait for its turn
START_S = 120  # imports, and one valid file a door, on a busy machine
QUICK, THOROUGH = 208, 2080


@dataclass
class Found:
    """What came of the cases: outcomes counted, faults in words, and the largest the process was."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    num_doors: int = 0
    slowest_s: float = 0.0
    peak_bytes: int = 0


def resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith("VmHWM")), 0)


def watch(folder: Path, seed: int, first: int, last: int, found: Found) -> int:
    """Run cases until all are done or one went wrong; the number to go on with."""
    words = [sys.executable, str(HERE / "fuzz_doors.py"), str(folder), seed, first, last]
    folder.parent.mkdir(exist_ok=True)
    errors = (folder.parent / "stderr.txt").open("w+")
    child = subprocess.Popen(
        list(map(str, words)), stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder.parent
    )
    assert child.stdout is not None
    begun: dict = {}
    since, allowed = time.monotonic(), START_S
    try:
        while True:
            ready, _, _ = select.select([child.stdout], [], [], 0.05)
            found.peak_bytes = max(found.peak_bytes, resident(child.pid))
            if found.peak_bytes > MOST_BYTES:
                found.faults.append(f"{begun}: {found.peak_bytes / 2**30:.1f} GB")
                return begun.get("case", first) + 1
            if not ready:
                if time.monotonic() - since > allowed:
                    found.faults.append(f"{begun}: no answer in {allowed} s")
                    return begun.get("case", first) + 1
                continue
            text = child.stdout.readline()
            if not text:
                if child.wait() == 0:
                    return last
                errors.seek(0)
                found.faults.append(
                    f"{begun}: died with {child.returncode}: {errors.read()[-800:]}"
                )
                assert begun, found.faults  # a whole file was not even read
                return begun["case"] + 1
            line = json.loads(text)
            if "doors" in line:
                found.num_doors = len(line["doors"])
            elif "outcome" in line:
                found.slowest_s = max(found.slowest_s, time.monotonic() - since)
                found.outcomes[line["outcome"]] += 1
                if line["outcome"] == "fault":
                    found.faults.append(f"{begun}: {line['message']}")
            else:
                begun = line
            since, allowed = time.monotonic(), HANG_S if begun else START_S
    finally:
        child.kill()
        child.wait()
        errors.close()


def tried(tmp_path: Path, seed: int, count: int) -> Found:
    found, first = Found(), 0
    for attempt in range(1 + count):
        if first >= count:
            break
        first = watch(tmp_path / str(attempt) / "doors", seed, first, count, found)
    return found


def check(tmp_path: Path, figure, count: int) -> None:
    found = tried(tmp_path, seed=0, count=count)
    assert not found.faults, "\n\n".join(found.faults[:10])
    assert sum(found.outcomes.values()) == count
    # Edits that change nothing, or that nothing could survive, would prove nothing.
    assert min(found.outcomes["read"], found.outcomes["refused"]) > count / 10
    figure(
        2,
        f"{count:,} files damaged at random, in turns at {found.num_doors} doors (photos, masks, "
        "videos, weights, checkpoints, features, archives, JSON of runs, sessions and jobs), in a "
        "process watched at 2 GB",
        f"0 crashes, 0 hangs, 0 tracebacks: {found.outcomes['refused']:,} refused by one sentence, "
        f"{found.outcomes['read']:,} read; slowest {found.slowest_s:.1f} s, peak "
        f"{found.peak_bytes / 2**20:.0f} MB",
    )


@pytest.mark.reliability
def test_a_few_damaged_files_at_every_door_are_read_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "HANG_S", BUSY_S)
    check(tmp_path, lambda *_: None, QUICK)


@pytest.mark.soak
def test_damaged_files_at_every_door_are_read_or_refused(tmp_path, figure):
    check(tmp_path, figure, THOROUGH)


@pytest.mark.reliability
@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("import os; os.kill(os.getpid(), 11)", "died with -11"),
        ("import time; time.sleep(60)", "no answer in"),
        ("x = bytearray(300 * 2**20); import time; time.sleep(60)", "GB"),
    ],
)
def test_a_crash_a_hang_and_a_bulge_would_be_noticed(tmp_path, monkeypatch, does, says):
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "HERE", tmp_path)
    monkeypatch.setattr(here, "HANG_S", 2 if says == "no answer in" else BUSY_S)
    monkeypatch.setattr(here, "MOST_BYTES", 200 * 2**20)
    (tmp_path / "doors").mkdir()
    begin = 'import sys; print(\'{"case": 7, "door": "x"}\', flush=True)'
    (tmp_path / "fuzz_doors.py").write_text(f"{begin}\n{does}\n")
    found = Found()
    assert watch(tmp_path / "doors", 0, 7, 9, found) == 8
    assert len(found.faults) == 1
    assert says in found.faults[0]
