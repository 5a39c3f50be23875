"""`eval cost`: seconds and memory of a training step by crop configuration."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.cli.evaluate.evaluation import Row, finish_report

if TYPE_CHECKING:
    from dino.training.cost import StepCost

_GB = 2**30
# Steps of an idle machine differ by a few percent.
_QUIET_SPREAD = 0.25


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
    """Time and peak memory of this machine's training step, as the paper's Table 8 compares them.

    The median of the timed steps on crops of noise; each configuration in a process of its own.
    """
    from dino.errors import UserError
    from dino.training.cost import check_steps, crops_config, crops_name, measure_apart

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("eval cost measures one process; start it without torchrun")
    check_steps(steps, warmup)
    started = time.perf_counter()
    settings: Row = {
        "arch": arch,
        "patch_size": patch,
        "global_size": global_size,
        "local_size": local_size,
        "batch_size": batch_size,
        "out_dim": out_dim,
        "precision": precision.value,
    }
    configs = [crops_config(count, **settings) for count in run.numbers(crops, int, "--crops")]
    run.make_folder(out)
    measured = []
    for config in configs:
        run.print_status(
            f"{crops_name(config)}: {warmup} steps of warm-up, then {steps} timed ones"
        )
        found = measure_apart(config, steps=steps, warmup=warmup, device=device, threads=threads)
        measured.append((config.num_locals, crops_name(config), found))
    _finish(measured, settings | {"steps": steps, "warmup": warmup}, out, started)


def _finish(
    measured: "list[tuple[int, str, StepCost]]", settings: Row, out: Path, started: float
) -> None:
    from dino.evaluation.report import report_without_weights

    first = measured[0][2]
    arch = f"{settings['arch']}/{settings['patch_size']}"
    report = report_without_weights(
        "cost",
        weights={
            "name": arch,
            "sha256": None,
            "description": f"{arch} at its random start; what it has learned changes no time",
            "is_random": True,
            "precision": first.precision,
        },
        device=first.device,
        data={"path": "crops of noise", "num_images": settings["batch_size"]},
        settings={
            **settings,
            "precision": first.precision,
            "device_name": first.device_name,
            "torch": first.torch,
        },
        rows=[_row(num_locals, name, found) for num_locals, name, found in measured],
        seconds=time.perf_counter() - started,
        threads=first.threads,
    )
    finish_report(report, out, [_line(row) for row in report.rows], note(first, report.rows))


def note(machine: "StepCost", rows: list[Row]) -> str:
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


def _row(num_locals: int, name: str, found: "StepCost") -> Row:
    return {
        "crops": name,
        "num_locals": num_locals,
        "step_s": found.seconds,
        "spread": found.spread,
        "images_per_s": found.images_per_s,
        "peak_bytes": found.peak_bytes,
        "base_bytes": found.base_bytes,
    }


def _line(row: Row) -> dict[str, str]:
    return {
        "crops": row["crops"],
        "s a step": f"{row['step_s']:.3g}",
        "spread": f"{row['spread']:.0%}",
        "images/s": f"{row['images_per_s']:.3g}",
        "peak GB": f"{row['peak_bytes'] / _GB:.2f}",
    }
