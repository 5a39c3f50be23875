"""This process and others: priority, memory, who is alive, and what works without Linux."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dino.system import processes
from dino.system.processes import is_alive, peak_memory, process_start_time

ROOT = Path(__file__).resolve().parents[2]


def output_of(script: str, **options) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_training_loop_is_imported_where_resource_and_fcntl_are_missing():
    script = (
        "import sys; sys.modules['resource'] = sys.modules['fcntl'] = None\n"
        "from dino.training.loop import fit\n"
        "from dino.training.runs import jobs, listing\n"
        "from dino.features.folder import jobs\n"
        "from dino.video.film import jobs\n"
        "print(fit.__name__)"
    )
    assert output_of(script) == "fit"


def test_a_lower_priority_holds_for_threads_that_run_already():
    script = (
        "import os, threading\n"
        "from dino.system.processes import lower_priority\n"
        "go, found = threading.Event(), []\n"
        "def work():\n"
        "    go.wait(); found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))\n"
        "thread = threading.Thread(target=work); thread.start()\n"
        "before = os.nice(0)\n"
        "lower_priority(3); go.set(); thread.join()\n"
        "print(found[0] - before, os.nice(0) - before)"
    )
    if os.nice(0) > 16:
        pytest.skip("the niceness of the tests leaves no room")
    assert output_of(script) == "3 3"


def test_without_proc_and_resource_memory_is_not_known(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() == 0


def test_without_proc_a_process_is_known_by_what_psutil_says(monkeypatch, tmp_path):
    class Process:
        def __init__(self, pid):
            if pid != 5:
                raise psutil.Error

        def status(self):
            return "running"

        def create_time(self):
            return 17.25

    psutil = SimpleNamespace(Process=Process, Error=LookupError, STATUS_ZOMBIE="zombie")
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    assert process_start_time(5) == "17.25"
    assert process_start_time(6) is None
    assert is_alive(5, "17.25")
    assert not is_alive(5, "17.0")
    assert not is_alive(6, "17.25")


@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="sessions are not weighed here"
)
def test_a_run_in_a_session_of_its_own_stands_back_as_a_session():
    script = (
        "from dino.system.processes import lower_priority; lower_priority(7); "
        "print(open('/proc/self/autogroup').read())"
    )
    assert output_of(script, start_new_session=True).endswith("nice 7")


STARTED = """
import gc, sys, types
from dino.system.processes import importing
counts = []
{before}
try:
    with importing("a_library"):
        counts.append(gc.isenabled())
        made = [[] for _ in range(50_000)]
        sys.modules["a_library"] = types.ModuleType("a_library")
        {within}
except ValueError:
    pass
counts.append(gc.isenabled())
print(counts, gc.get_freeze_count() > 50_000, len(gc.get_objects()) < 1_000)
with importing("a_library"):
    print(gc.isenabled())
"""


@pytest.mark.parametrize(
    ("before", "within", "afterwards"),
    [("", "", True), ("", "raise ValueError", True), ("gc.disable()", "", False)],
    ids=["as usual", "the import fails", "no collector before"],
)
def test_what_a_library_makes_is_neither_looked_at_while_it_loads_nor_after(
    before, within, afterwards
):
    printed = output_of(STARTED.format(before=before, within=within)).splitlines()
    assert printed == [f"[False, {afterwards}] True True", str(afterwards)]


def test_an_import_that_was_made_before_sets_nothing_apart():
    script = (
        "import gc, json\n"
        "from dino.system.processes import importing\n"
        "with importing('json'):\n"
        "    print(gc.isenabled(), gc.get_freeze_count())\n"
        "print(gc.isenabled(), gc.get_freeze_count())\n"
    )
    assert output_of(script).splitlines() == ["True 0", "True 0"]
