"""`train` and `resume`: DINO on a folder of photos; `runs` lists what is there."""

import json
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dino.cli.options import Device


class Preset(StrEnum):
    """Settings that belong together; --set changes single ones."""

    vanilla = "vanilla"
    boosted = "boosted"
    small = "small"


Data = Annotated[Path, typer.Option(help="Folder of photos, searched for them.")]
Run = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
Workers = Annotated[int, typer.Option(help="Processes that read and augment photos.", min=0)]
Threads = Annotated[
    int | None, typer.Option(help="Threads of torch. Default: as many as cores.", min=1)
]


def train(
    data: Data,
    out: Run,
    preset: Annotated[
        Preset, typer.Option(help="See `--dry-run` for what it means.")
    ] = Preset.small,
    init: Annotated[
        str | None, typer.Option(help="Weights to fine-tune; default: from scratch.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, such as epochs=20; may be repeated."),
    ] = None,
    device: Device = "auto",
    workers: Workers = 2,
    threads: Threads = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the settings and stop.")
    ] = False,
) -> None:
    """Train a network without labels on a folder of photos."""
    from dino.folders import open_folder
    from dino.training.loop import fit
    from dino.training.presets import preset_config

    photos = open_folder(data)
    config = preset_config(preset.value, num_photos=len(photos.paths), init=init, **_settings(set_))
    print(f"{len(photos.paths)} photos, {len(photos.paths) // config.batch_size} steps an epoch")
    print(config.to_json())
    if dry_run:
        return
    _limit_threads(threads)
    run = fit(config, data, out, device=device, workers=workers)
    print(f"{run / 'weights' / 'teacher.safetensors'}")


def resume(
    data: Data, out: Run, device: Device = "auto", workers: Workers = 2, threads: Threads = None
) -> None:
    """Go on with a run where it stopped, bit for bit."""
    from dino.training.loop import fit
    from dino.training.runs import read_run

    _limit_threads(threads)
    fit(read_run(out).config, data, out, resume=True, device=device, workers=workers)


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder that holds runs.")] = Path(
        "checkpoints/runs"
    ),
) -> None:
    """List the runs in a folder: state, step, loss."""
    from dino.errors import UserError
    from dino.training.runs import read_run

    for path in sorted(p for p in folder.glob("*") if p.is_dir()):
        try:
            run = read_run(path)
        except UserError:
            continue
        last: dict[str, Any] = run.metrics[-1] if run.metrics else {"step": 0, "loss": float("nan")}
        reason = f": {run.reason}" if run.reason else ""
        print(f"{path.name:24} {run.state}{reason}, step {last['step']}, loss {last['loss']:.3f}")


def register(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    for command in (train, resume, runs):
        app.command()(command)


def _settings(items: list[str] | None) -> dict[str, Any]:
    """`name=value` words as fields of the config; values are JSON, or else text."""
    from dino.errors import UserError
    from dino.training.config import TrainConfig

    known = {field.name for field in fields(TrainConfig)}
    settings: dict[str, Any] = {}
    for item in items or []:
        name, equals, text = item.partition("=")
        if not equals or name not in known:
            raise UserError(
                f"--set {item}: expected name=value, with a name of {', '.join(sorted(known))}"
            )
        try:
            settings[name] = json.loads(text)
        except ValueError:
            settings[name] = text
    return settings


def _limit_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
