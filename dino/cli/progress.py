"""How far a long command is: a line renewed in place on a terminal, else one now and then."""

import os
import sys
import time
from collections.abc import Callable

from dino.system.words import duration

_RENEW_S = 0.1  # on a terminal
_SPARSE_S = 30.0  # elsewhere, and no sooner than a tenth of the way


def is_first() -> bool:
    """Whether this process is alone, or the first of those torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def progress(label: str, unit: str) -> Callable[[int, int], None]:
    """A function of (done, total) that writes `label`, the share, and the time left to stderr.

    Of several processes that torchrun started only the first writes.

    Args:
        unit: what is counted, such as "photos".
    """
    if not is_first():
        return lambda done, total: None
    terminal = sys.stderr.isatty()
    started = time.monotonic()
    last = {"time": started, "share": 0.0}

    def show(done: int, total: int) -> None:
        now, share = time.monotonic(), done / total
        waited = now - last["time"]
        due = waited > _RENEW_S if terminal else waited > _SPARSE_S and share - last["share"] >= 0.1
        if not due and not (terminal and done == total):
            return
        last.update(time=now, share=share)
        left = (now - started) * (total - done) / max(done, 1)
        line = f"{label}: {done:,} of {total:,} {unit}, {duration(left)} left"
        # On a terminal the line is padded, so that a longer one before it does not show through.
        end = "\n" if not terminal or done == total else "\r"
        print(f"{line:<78}" if terminal else line, end=end, file=sys.stderr, flush=True)

    return show


def show_share(done: float, message: str) -> None:
    """One line on a terminal, renewed in place; nothing where stderr is a file."""
    if sys.stderr.isatty():
        end = "\r" if done < 1 else "\n"
        print(f"  {done:4.0%} {message:40}", end=end, file=sys.stderr, flush=True)
