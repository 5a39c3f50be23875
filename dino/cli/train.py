"""`train`, `resume` and `export` a run; `runs` lists what is there."""

from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dino.cli.options import Device, Key

if TYPE_CHECKING:
    from collections.abc import Callable

    from dino.training.config import TrainConfig


class Preset(StrEnum):
    """Settings that belong together; --set changes single ones."""

    small = "small"
    finetune = "finetune"
    vanilla = "vanilla"
    boosted = "boosted"
    supervised = "supervised"


Data = Annotated[
    str,
    typer.Option(
        help="Folder of photos, or WebDataset shards: a folder of .tar, train-{000..099}.tar."
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
Knn = Annotated[
    Path | None,
    typer.Option(
        "--knn",
        help="Labelled folder (train/ and val/, or sub-folders of classes) for k-NN on the way.",
    ),
]
Film = Annotated[
    list[Path] | None,
    typer.Option("--film", help="Photo whose attention is drawn on the way; may be repeated."),
]
Masks = Annotated[
    Path | None,
    typer.Option(
        "--masks", help="Photos with masks, for the Jaccard index of attention on the way."
    ),
]
Workers = Annotated[int, typer.Option(help="Processes that read and augment photos.", min=0)]
Threads = Annotated[
    int | None, typer.Option(help="Threads of torch. Default: as many as cores.", min=1)
]
Nice = Annotated[
    int, typer.Option(help="Niceness added, so that other work goes first.", min=0, max=19)
]


def train(
    data: Data,
    out: Out,
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="Settings that belong together; `--dry-run` shows them. Default: finetune with "
            "--init, else small.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings from a file (a run's config.json), not a preset.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="Weights to fine-tune; default: from scratch.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, such as epochs=20; may be repeated."),
    ] = None,
    knn: Knn = None,
    film: Film = None,
    masks: Masks = None,
    device: Device = "auto",
    workers: Workers = 2,
    threads: Threads = None,
    nice: Nice = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print settings and an estimate, and stop.")
    ] = False,
) -> None:
    """Train a network on photos, without labels (or with them: --preset supervised)."""
    _be_modest(threads, nice)
    from dino.errors import TooLargeError
    from dino.training.data import open_photos
    from dino.training.loop import fit
    from dino.training.runs.preflight import preflight

    photos = open_photos(data)
    chosen = _config(preset, config, init, set_, len(photos))
    if _leads():
        estimate = preflight(
            chosen, photos, place=out, device=device, workers=workers, measure=dry_run
        )
        print("\n".join(estimate.lines()))
        changes = ", ".join(f"{name} {value}" for name, value in chosen.changes().items())
        print(f"settings {changes or 'the paper’s'}", flush=True)
        if estimate.too_large and not dry_run:
            raise TooLargeError(estimate.too_large)
    if dry_run:
        print(chosen.to_json())
        return
    run = fit(
        chosen,
        data,
        out,
        knn=knn,
        film=tuple(film or ()),
        masks=masks,
        device=device,
        workers=workers,
        say=_say(),
    )
    if _leads():
        print(f"{run / 'weights' / 'teacher.safetensors'}")


def resume(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    device: Device = "auto",
    workers: Workers = 2,
    threads: Threads = None,
    nice: Nice = 0,
) -> None:
    """Go on with a run where it stopped, bit for bit."""
    _be_modest(threads, nice)
    from dino.training.loop import resume_run

    resume_run(run, device=device, workers=workers, say=_say())


def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder of a run, or one of its checkpoints (step-*.pt).")
    ],
    destination: Annotated[Path, typer.Argument(help="File to write, .safetensors.")],
    key: Key = "teacher",
) -> None:
    """Write the backbone of a run's newest or a chosen checkpoint as weights."""
    from dino.errors import UserError
    from dino.training.runs.checkpoint import list_checkpoints
    from dino.weights import convert

    if checkpoint.is_dir():
        found = list_checkpoints(checkpoint / "checkpoints")
        if not found:
            raise UserError(f"{checkpoint} holds no checkpoints; expected the folder of a run")
        checkpoint = found[0]
    print(convert(checkpoint, destination, key=key))


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder that holds runs.")] = Path(
        "checkpoints/runs"
    ),
) -> None:
    """List the runs in a folder: state, step, loss."""
    from dino.errors import UserError
    from dino.training.runs.folder import read_run

    for path in sorted(p for p in folder.glob("*") if p.is_dir()):
        try:
            run = read_run(path)
        except UserError:
            continue
        last = run.metrics[-1] if run.metrics else {"step": 0}
        loss = float("nan") if last.get("loss") is None else last["loss"]
        knn = [line["knn"] for line in run.probes if line.get("knn") is not None]
        known = f", k-NN {knn[0]:.1f} → {knn[-1]:.1f} %" if knn else ""
        reason = f": {run.reason}" if run.reason else ""
        damaged = f", {run.damaged} damaged lines left out" if run.damaged else ""
        print(
            f"{path.name:24} {run.state}{reason}, step {last['step']}, loss {loss:.3f}{known}{damaged}"
        )


def register(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    for command in (train, resume, export, runs):
        app.command()(command)


def _config(
    preset: Preset | None,
    file: Path | None,
    init: str | None,
    words: list[str] | None,
    num_photos: int,
) -> "TrainConfig":
    """The settings: a file's or a preset's, with single ones changed."""
    from dino.errors import UserError
    from dino.training.config import TrainConfig
    from dino.training.presets import preset_config

    if file is not None and preset is not None:
        raise UserError("--config and --preset both choose the settings; give one of them")
    changes = parse_settings(words)
    if init is not None:
        changes["init"] = init
    if file is None:
        chosen = preset.value if preset else ("finetune" if changes.get("init") else "small")
        return preset_config(chosen, num_photos=num_photos, **changes)
    try:
        text = file.read_text()
    except (OSError, ValueError) as error:  # text that is none, too
        raise UserError(f"{file} cannot be read ({error}); give a config.json") from error
    return TrainConfig.from_dict({**asdict(TrainConfig.from_json(text)), **changes})


def parse_settings(items: list[str] | None) -> dict[str, Any]:
    """`name=value` words as fields of the config; values are JSON, or else text."""
    from dino.errors import UserError
    from dino.system.files import parse_json
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
            settings[name] = parse_json(text)
        except ValueError:
            settings[name] = text
    return settings


def _be_modest(threads: int | None, nice: int) -> None:
    """Take fewer threads and a lower priority, where asked."""
    import torch

    from dino.system.processes import lower_priority

    lower_priority(nice)
    if threads is not None:
        torch.set_num_threads(threads)


def _leads() -> bool:
    """Whether this is the first of torchrun's processes, or the only one."""
    import os

    return os.environ.get("RANK", "0") == "0"


def _say() -> "Callable[[str], None]":
    """Lines to the terminal as they come, also into a file; from the first process only."""
    return (lambda line: print(line, flush=True)) if _leads() else (lambda line: None)
