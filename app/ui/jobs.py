"""What the pages that start processes of their own share."""

import os


def default_threads() -> int:
    """All cores but one, which the app keeps for itself."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(cores - 1, 1)
