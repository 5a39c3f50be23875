"""This process and others, as the system knows them: its start, idle threads, priority, memory, and who is alive.

Nothing here loads torch: entry points call `let_idle_threads_sleep` before it is imported.
"""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC = Path("/proc")  # Linux alone has it


def let_idle_threads_sleep() -> None:
    """Let idle OpenMP threads sleep instead of spin, unless the user has chosen otherwise.

    Spinning is a little quicker on an idle machine and ruinous on a busy one. A ViT-S/14 forward at
    480 px in bfloat16 on 2 cores: alone 0.23 s spinning and 0.28 s sleeping; beside one busy process
    5.1 to 5.7 s spinning and 0.25 to 0.36 s sleeping. Two people in one app are such a machine.
    Must run before torch is imported, which reads the variable once.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def importing(library: str) -> Iterator[None]:
    """Import a large library with the garbage collector at rest, and keep what it made out of its sight after.

    Torch and timm make 700,000 objects that stay. The collector walks all of them again and again while
    they grow, and once more as the process ends: 1.4 of the 3.5 s of processor time that
    `python -c "import torch, timm"` takes. For entry points: what others have made by then is set apart
    too. Where the library is there already, nothing is done.
    """
    if library in sys.modules:
        yield
        return
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_at_work:
            gc.enable()


def lower_priority(nice: int) -> None:
    """Add to the niceness of this process, so that other work goes first.

    Args:
        nice: 0 to 19; 0 changes nothing, nor does any on a system without niceness (Windows).
    """
    if not nice or not hasattr(os, "nice"):
        return
    niceness = os.nice(nice)
    # Linux counts niceness by thread, and libraries may have started theirs already.
    for thread in _PROC.glob("self/task/[0-9]*"):
        with suppress(OSError):  # it has just ended
            os.setpriority(os.PRIO_PROCESS, int(thread.name), niceness)
    if os.getsid(0) == os.getpid():  # a session of its own: Linux weighs whole sessions first
        with suppress(OSError):
            (_PROC / "self" / "autogroup").write_text(str(nice))


def peak_memory() -> int:
    """Measure the most bytes of memory this process has held; 0 where the system does not say.

    On Linux what `getrusage` says may be its parent's, whose memory it had until it became another
    program.
    """
    with suppress(OSError):
        for line in (_PROC / "self" / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def process_start_time(pid: int) -> str | None:
    """Look up when a process started, in the system's own count.

    None where no process has that number, or where it has ended and its parent has not looked yet (a
    zombie).
    """
    state, start_time = _state_and_start(pid)
    return None if state == "Z" else start_time


def is_alive(pid: int, start_time: str | None) -> bool:
    """Tell whether the process that had this number at that time is still at work."""
    if start_time is None:
        return False
    state, started = _state_and_start(pid)
    if started != start_time:
        return False
    if state == "Z":
        with suppress(OSError):  # ours to take away where the app is process 1, in a container
            os.waitpid(pid, os.WNOHANG)
        return False
    return True


def _state_and_start(pid: int) -> tuple[str, str | None]:
    """Look up a process's state, a letter ("Z": zombie), and its start; None where there is none."""
    if not (_PROC / "self" / "stat").exists():
        return _state_and_start_elsewhere(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return "", None
    words = stat.rsplit(")", 1)[1].split()  # the program's name before may hold spaces and brackets
    return words[0], words[19]


def _state_and_start_elsewhere(pid: int) -> tuple[str, str | None]:
    """Look the same up on macOS and Windows."""
    import psutil

    try:
        process = psutil.Process(pid)
        state = "Z" if process.status() == psutil.STATUS_ZOMBIE else ""
        return state, str(process.create_time())
    except (psutil.Error, ValueError):
        return "", None
