"""Measure the memory a forward takes beyond network and image: `python -m bench.memory WAY PATCH SIDE BATCH SIZE`.

WAY is plain-fp32, ours-fp32 or ours-bf16; SIZE is full or tiny. Prints JSON: bytes, and seconds of the
same forward. A process of its own, since one that has computed before holds on to what it took.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from dino.system.processes import let_idle_threads_sleep

let_idle_threads_sleep()

import torch  # noqa: E402

from bench import plain, timing  # noqa: E402
from bench.apart import found_by  # noqa: E402
from bench.flops import Shape  # noqa: E402
from bench.networks import HEAD_DIM, vit, wrapped  # noqa: E402

# What libraries set up at their first use is no cost of a forward.
_WARM_UP_PATCHES = 4


def in_own_process(
    way: str, patch: int, side: int, *, batch: int = 1, tiny: bool
) -> dict[str, Any]:
    """Measure one forward in a new process: {"bytes": …, "seconds": …}.

    Raises:
        RuntimeError: the process failed, as where memory does not suffice.
    """
    words = [way, str(patch), str(side), str(batch), "tiny" if tiny else "full"]
    try:
        return found_by(["bench.memory", *words])
    except RuntimeError as error:
        raise RuntimeError(f"{way} at {side} px, batch {batch}: {error}") from error


def one_forward(way: str, patch: int, side: int, batch: int, *, tiny: bool) -> dict[str, float]:
    """Measure one forward in this process."""
    shape = Shape(dim=2 * HEAD_DIM, depth=2, patch=patch) if tiny else Shape(patch=patch)
    small = patch * _WARM_UP_PATCHES
    _computed(way, shape, small)(torch.randn(1, 3, small, small))
    run = _computed(way, shape, side)
    images = torch.randn(batch, 3, side, side)
    before = timing.forget_peak()
    start = time.perf_counter()
    run(images)
    seconds = time.perf_counter() - start
    return {"bytes": timing.peak() - before, "seconds": seconds}


def _computed(way: str, shape: Shape, side: int) -> Callable[[torch.Tensor], Any]:
    kind, precision = way.split("-")
    model = vit(shape, side)
    if kind == "plain":
        whole = plain.whole_maps(model)
        return lambda images: plain.last_maps(whole, images)
    backbone = wrapped(model, precision)
    return backbone.attention


if __name__ == "__main__":
    _way, _patch, _side, _batch, _size = sys.argv[1:]
    print(json.dumps(one_forward(_way, int(_patch), int(_side), int(_batch), tiny=_size == "tiny")))
