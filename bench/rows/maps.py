"""Rows 1, 2 and 4: attention maps of the last block, of one image, on the CPU."""

from collections.abc import Callable

import torch

from bench import flops, plain
from bench.bounds import Multiplying, exponentials
from bench.machine import cpu_precisions
from bench.networks import HEAD_DIM, Networks, check_maps, networks
from bench.outcome import Outcome, Settings
from bench.peers import Ways, maps_by_peers
from bench.table import BF16, FP32
from bench.timing import Times, in_turns
from dino.model.device import dtype_of
from dino.model.kernels import self_attention

_WHOLE, _OURS, _ATTENTION = "plain, fp32", "ours, {}", "attention kernel alone, {}"
_EXPONENTIALS = "exponentials of softmax alone, fp32"


def exact(settings: Settings) -> Outcome:
    """Time row 1: ours in float32 beside the plain way and the peers."""
    found = networks(8, 480, tiny=settings.tiny, precisions=("fp32",))
    peers, missing = maps_by_peers(found)
    outcome = Outcome(notes=[f"{who}." for who in missing])
    outcome.notes.append(
        f"Largest difference of the maps from the plain ones: {check_maps(found):.0e}."
    )
    outcome.figures = _times(outcome, found, "fp32", peers, settings)
    return outcome


def bfloat16(settings: Settings) -> Outcome:
    """Time row 2: ours in bfloat16 beside the plain way in float32."""
    if "bf16" not in cpu_precisions():
        return Outcome({BF16: None, "efficiency bf16": None}, notes=["This CPU has no bf16 units."])
    found = networks(8, 480, tiny=settings.tiny, precisions=("bf16",))
    outcome = Outcome()
    outcome.figures = _times(outcome, found, "bf16", {}, settings)
    return outcome


def coarse(settings: Settings) -> Outcome:
    """Time row 4: the same at patch 16, in both precisions."""
    precisions = cpu_precisions()
    found = networks(16, 480, tiny=settings.tiny, precisions=precisions)
    check_maps(found)
    multiplying = Multiplying(precisions, tiny=settings.tiny)
    times = in_turns({**_own(found), **multiplying.ways}, settings.repeats)
    outcome = Outcome()
    outcome.timed(times)
    outcome.figures = over_plain(times)
    outcome.notes.append(multiplying.most(times, _WHOLE, flops.maps(found.shape, found.side)))
    return outcome


def over_plain(times: dict[str, Times]) -> dict[str, float | None]:
    """Compute how many times as fast as the plain way ours is, by precision; None for one that is absent."""
    ratios: dict[str, float | None] = {}
    for figure, precision in ((FP32, "fp32"), (BF16, "bf16")):
        ours = times.get(_OURS.format(precision))
        ratios[figure] = None if ours is None else times[_WHOLE].median / ours.median
    return ratios


def _own(found: Networks) -> dict:
    ways = {_WHOLE: lambda: plain.last_maps(found.plain, found.images)}
    for precision, backbone in found.ours.items():
        ways[_OURS.format(precision)] = lambda b=backbone: b.attention(found.images)
    return ways


def _attention_alone(found: Networks, precision: str) -> Callable[[], None]:
    """Build the attention of all blocks but the last, on random queries, keys and values, and nothing else."""
    heads, tokens = found.shape.dim // HEAD_DIM, found.shape.tokens(found.side, found.side)
    q, k, v = torch.randn(3, 1, heads, tokens, HEAD_DIM).to(dtype_of(precision))

    def run() -> None:
        for _ in range(found.shape.depth - 1):
            self_attention(q, k, v)

    return run


def _of_the_fastest(
    times: dict[str, Times], multiplying: Multiplying, precision: str, work: float
) -> str:
    """Say the same figures of each way's fastest turn: what they are where nobody else slows the machine."""
    best = {name: min(taken.seconds) for name, taken in times.items()}
    ours = best[_OURS.format(precision)]
    rate = multiplying.rate(precision, times, fastest=True)
    return (
        f"Of the fastest turn of each: {best[_WHOLE] / ours:.2f}× plain, efficiency "
        f"{work / rate / ours:.0%} (products at {rate:.0f} GFLOP/s)."
    )


def _times(
    outcome: Outcome, found: Networks, precision: str, peers: Ways, settings: Settings
) -> dict[str, float | None]:
    """Compute ratios over the plain way and over the peers, and the efficiency: the arithmetic needed, at the
    rate the machine multiplies with, over the time taken; all timed in turns."""
    multiplying = Multiplying([precision], tiny=settings.tiny)
    entries = flops.softmax_entries(found.shape, found.side, found.shape.dim // HEAD_DIM)
    alone = {
        _ATTENTION.format(precision): _attention_alone(found, precision),
        _EXPONENTIALS: exponentials(entries),
    }
    times = in_turns({**_own(found), **peers, **alone, **multiplying.ways}, settings.repeats)
    outcome.timed(times)
    ours = times[_OURS.format(precision)].median
    figures: dict[str, float | None] = dict(over_plain({k: times[k] for k in _own(found)}))
    if peers:
        figures["over the quickest peer"] = min(times[p].median for p in peers) / ours
    rate = multiplying.rate(precision, times)
    work = flops.maps(found.shape, found.side)
    figures[f"efficiency {precision}"] = work / rate / ours
    kernel = times[_ATTENTION.format(precision)].median
    within = flops.attention(found.shape, found.side) / kernel
    outcome.notes.append(
        f"{work:.3g} GFLOP needed; matrix products in {precision}: {rate:.0f} GFLOP/s. The attention "
        f"kernel alone takes {kernel / ours:.0%} of our time, at {within:.0f} GFLOP/s: its exponentials "
        "cost time that is not counted as work. "
        + _of_the_fastest(times, multiplying, precision, work)
    )
    outcome.notes.append(multiplying.most(times, _WHOLE, work))
    softmax = times[_EXPONENTIALS].median
    outcome.notes.append(
        f"The products at that rate and after them softmax's {entries:.3g} exponentials (torch.exp2, in the "
        f"caches: {softmax:.2g} s), and nothing else, would take {(work / rate + softmax) / ours:.0%} of "
        f"our time; at an efficiency of {work / (work + softmax * rate):.0%}."
    )
    usual = flops.forward(found.shape, found.side)
    outcome.notes.append(
        f"Counted as a whole forward, {usual:.3g} GFLOP, of which we leave a part of the last block out, "
        f"efficiency would read {usual / rate / ours:.0%}."
    )
    return {name: value for name, value in figures.items() if value is not None}
