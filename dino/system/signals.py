"""SIGTERM and Ctrl-C as a request: the run ends in order after its step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_on_signal() -> Iterator[list[bool]]:
    """Yield a flag that SIGTERM or Ctrl-C sets; the run then saves after its step and ends in order.

    A second Ctrl-C ends it at once. Outside the main thread, where Python takes no signals, nothing.
    """
    flag = [False]

    def request(signum: int, frame: Any) -> None:
        if flag[0] and signum == signal.SIGINT:
            raise KeyboardInterrupt
        flag[0] = True

    watched = [signal.SIGTERM, signal.SIGINT]
    if threading.current_thread() is not threading.main_thread():
        watched = []
    previous = {number: signal.signal(number, request) for number in watched}
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
