"""What pages that start processes of their own share: threads, and a job drawn anew while it works."""

import os
from collections.abc import Callable

import streamlit as st

from app.text import plain_text
from dino.system.jobs import Job

POLL_S = 1.0


def default_threads() -> int:
    """Count all cores but one, which the app keeps for itself."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(cores - 1, 1)


def watch(read: Callable[[], Job], draw: Callable[[Job], None]) -> None:
    """Draw a job, and again every second while it is at work; the page around it is drawn anew when it
    begins or ends."""
    first = read()

    def follow() -> None:
        job = read()
        if (job.active, job.status == "finished") != (first.active, first.status == "finished"):
            st.rerun()
        draw(job)

    st.fragment(follow, run_every=POLL_S if first.active else None)()


def progress_bar(done: int, total: int, words: str) -> None:
    """Draw how far a job is; nothing yet where the `total` is 0 for unknown."""
    st.progress(min(done / total, 1.0) if total else 0.0, plain_text(words))
