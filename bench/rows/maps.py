"""Rows 1, 2 and 4: attention maps of the last block, of one image, on the CPU."""

import torch

from bench import flops, plain
from bench.machine import has_bf16_units, matmul_rate
from bench.networks import Networks, check_maps, networks
from bench.outcome import Outcome, Settings
from bench.peers import maps_by_peers
from bench.table import BF16, FP32
from bench.timing import Times, in_turns

CPU = torch.device("cpu")
_WHOLE, _OURS = "plain, fp32", "ours, {}"


def exact(settings: Settings) -> Outcome:
    """Row 1: ours in float32 beside the plain way and the peers."""
    found = networks(8, 480, tiny=settings.tiny, precisions=("fp32",))
    peers, missing = maps_by_peers(found)
    outcome = Outcome(notes=[f"{who}." for who in missing])
    outcome.notes.append(
        f"Largest difference of the maps from the plain ones: {check_maps(found):.0e}."
    )
    times = in_turns({**_own(found), **peers}, settings.repeats)
    outcome.timed(times)
    ours = times[_OURS.format("fp32")].median
    outcome.figures = {FP32: times[_WHOLE].median / ours}
    if peers:
        outcome.figures["over the quickest peer"] = min(times[p].median for p in peers) / ours
    _efficiency(outcome, found, "fp32", ours, settings)
    return outcome


def bfloat16(settings: Settings) -> Outcome:
    """Row 2: ours in bfloat16 beside the plain way in float32."""
    if not has_bf16_units(CPU):
        return Outcome({BF16: None, "efficiency bf16": None}, notes=["This CPU has no bf16 units."])
    found = networks(8, 480, tiny=settings.tiny, precisions=("bf16",))
    times = in_turns(_own(found), settings.repeats)
    outcome = Outcome()
    outcome.timed(times)
    ours = times[_OURS.format("bf16")].median
    outcome.figures = {BF16: times[_WHOLE].median / ours}
    _efficiency(outcome, found, "bf16", ours, settings)
    return outcome


def coarse(settings: Settings) -> Outcome:
    """Row 4: the same at patch 16, in both precisions."""
    precisions = ("fp32", "bf16") if has_bf16_units(CPU) else ("fp32",)
    found = networks(16, 480, tiny=settings.tiny, precisions=precisions)
    check_maps(found)
    times = in_turns(_own(found), settings.repeats)
    outcome = Outcome()
    outcome.timed(times)
    outcome.figures = over_plain(times)
    return outcome


def over_plain(times: dict[str, Times]) -> dict[str, float | None]:
    """How many times as fast as the plain way ours is, by precision; None for one that is absent."""
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


def _efficiency(
    outcome: Outcome, found: Networks, precision: str, seconds: float, settings: Settings
) -> None:
    """The arithmetic needed, at the rate the machine multiplies with, over the time taken."""
    rate = matmul_rate(precision, CPU, repeats=settings.repeats, tiny=settings.tiny)
    work = flops.maps(found.shape, found.side)
    outcome.figures[f"efficiency {precision}"] = work / rate / seconds
    outcome.notes.append(
        f"{work:.3g} GFLOP needed; matrix products in {precision}: {rate:.0f} GFLOP/s."
    )
