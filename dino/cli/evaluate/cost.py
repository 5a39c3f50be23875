"""`eval cost`: seconds and memory of a training step by crop configuration."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.cli.evaluate import shared

if TYPE_CHECKING:
    from dino.training.cost import StepCost

_GB = 2**30
# Steps of an idle machine differ by a few percent.
_QUIET_SPREAD = 0.25
_COLUMNS = {
    "crops": ("crops", ""),
    "s a step": ("step_s", ".3g"),
    "spread": ("spread", ".0%"),
    "images/s": ("images_per_s", ".3g"),
    "peak GB": ("peak_gb", ".2f"),
}


def cost(
    arch: Annotated[
        str, typer.Option(help="vit_tiny, vit_small, vit_base, or a timm name.")
    ] = "vit_small",
    patch: Annotated[int, typer.Option(help="Side of a patch in px.")] = 16,
    crops: Annotated[
        str, typer.Option(help="Numbers of local crops, a configuration each.")
    ] = "0,2,6,10",
    global_size: Annotated[int, typer.Option(help="Side of the two global crops in px.")] = 224,
    local_size: Annotated[int, typer.Option(help="Side of the local crops in px.")] = 96,
    batch_size: Annotated[int, typer.Option(help="Photos a step.", min=1)] = 4,
    out_dim: Annotated[int, typer.Option(help="Prototypes K of the head.")] = 65_536,
    steps: Annotated[int, typer.Option(help="Steps that are timed, 5 at least.")] = 5,
    warmup: Annotated[int, typer.Option(help="Steps before those.")] = 2,
    out: run.Out = Path("results"),
    threads: run.Threads = None,
    device: run.Device = "auto",
    precision: run.PrecisionOption = run.Precision.auto,
) -> None:
    """Measure time and peak memory of this machine's training step, as the paper's Table 8 compares them.

    The median of the timed steps on crops of noise; each configuration in a process of its own.
    """
    from dino.errors import UserError
    from dino.training.cost import check_steps, crops_config, crops_name, measure_apart

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("eval cost measures one process; start it without torchrun")
    check_steps(steps, warmup)
    started = time.perf_counter()
    settings: run.Row = {
        "arch": arch,
        "patch_size": patch,
        "global_size": global_size,
        "local_size": local_size,
        "batch_size": batch_size,
        "out_dim": out_dim,
        "precision": precision.value,
    }
    configs = [
        crops_config(count, **settings) for count in run.distinct_numbers(crops, int, "--crops")
    ]
    run.make_folder(out)
    measured = []
    for config in configs:
        name = crops_name(config)
        run.print_status(f"{name}: {warmup} steps of warm-up, then {steps} timed ones")
        found = measure_apart(config, steps=steps, warmup=warmup, device=device, threads=threads)
        measured.append(({"crops": name, "num_locals": config.num_locals}, found))
    _finish(measured, settings | {"steps": steps, "warmup": warmup}, out, started)


def _finish(
    measured: "list[tuple[run.Row, StepCost]]", settings: run.Row, out: Path, started: float
) -> None:
    from dino.evaluation.report import make_report

    machine = measured[0][1]
    rows: list[run.Row] = [
        {
            **crops,
            "step_s": found.seconds,
            "spread": found.spread,
            "images_per_s": found.images_per_s,
            "peak_bytes": found.peak_bytes,
            "base_bytes": found.base_bytes,
        }
        for crops, found in measured
    ]
    arch = f"{settings['arch']}/{settings['patch_size']}"
    report = make_report(
        "cost",
        weights={
            "name": arch,
            "sha256": None,
            "description": f"{arch} at its random start; what it has learned changes no time",
            "is_random": True,
            "precision": machine.precision,
        },
        device=machine.device,
        data={"path": "crops of noise", "num_images": settings["batch_size"]},
        settings={
            **settings,
            "precision": machine.precision,
            "device_name": machine.device_name,
            "torch": machine.torch,
        },
        rows=rows,
        seconds=time.perf_counter() - started,
        threads=machine.threads,
    )
    shown = [row | {"peak_gb": row["peak_bytes"] / _GB} for row in rows]
    shared.finish_report(report, out, shared.as_text(shown, _COLUMNS), note(machine, rows))


def note(machine: "StepCost", rows: list[run.Row]) -> str:
    """Say what the figures are of, and whether something else was running meanwhile."""
    on_gpu = machine.device.startswith("cuda")
    held = "what torch allocated on the GPU" if on_gpu else "the whole process, libraries included"
    lines = [
        f"median step; spread: slowest less fastest, over the median; memory: {held}. "
        f"{machine.device_name}, {machine.precision}, {machine.threads} threads, torch {machine.torch}"
    ]
    if max(row["spread"] for row in rows) > _QUIET_SPREAD:
        lines.append(
            f"The spread is above {_QUIET_SPREAD:.0%}: something else was running; measure again "
            "when the machine is idle before comparing these times."
        )
    return "\n".join(lines)
