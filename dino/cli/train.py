"""`train`, `resume` and `export` a run; `runs` lists what is there."""

from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dino.cli import run

if TYPE_CHECKING:
    from dino.training.config import TrainConfig


# Settings that belong together; --set changes single ones.
Preset = StrEnum("Preset", ["small", "finetune", "vanilla", "boosted", "supervised"])

Workers = Annotated[int, typer.Option(help="Processes that read and augment photos.", min=0)]


@run.with_options
def train(
    data: Annotated[
        str,
        typer.Option(
            help="Folder of photos, or WebDataset shards: a folder of .tar, train-{000..099}.tar."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="Settings that belong together; `--dry-run` shows them. Default: finetune with "
            "--init, else small."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings from a file (a run's config.json), not a preset.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="Weights to fine-tune; default: from scratch.")
    ] = None,
    shape: run.Shape = run.Shape(),
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, such as epochs=20; may be repeated."),
    ] = None,
    knn: Annotated[
        Path | None,
        typer.Option(
            help="Labelled folder (train/ and val/, or sub-folders of classes) for k-NN on the way."
        ),
    ] = None,
    film: Annotated[
        list[Path] | None,
        typer.Option(help="Photo whose attention is drawn on the way; may be repeated."),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="Photos with masks, for the Jaccard index of attention on the way."),
    ] = None,
    device: run.Device = "auto",
    workers: Workers = 2,
    threads: run.Threads = None,
    nice: run.Nice = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print settings and an estimate, and stop.")
    ] = False,
) -> None:
    """Train a network on photos, without labels (or with them: --preset supervised)."""
    run.limit_resources(threads, nice=nice)
    from dino.errors import TooLargeError
    from dino.training.data import open_photos
    from dino.training.loop import fit
    from dino.training.runs.preflight import preflight

    photos = open_photos(data)
    chosen = chosen_config(preset, config, init, set_, len(photos), shape=shape)
    if run.is_first():
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
    folder = fit(
        chosen,
        data,
        out,
        knn=knn,
        film=tuple(film or ()),
        masks=masks,
        device=device,
        workers=workers,
        say=_print_line,
    )
    if run.is_first():
        print(folder / "weights" / "teacher.safetensors")


def resume(
    folder: Annotated[Path, typer.Argument(metavar="run", help="Folder of the run.")],
    device: run.Device = "auto",
    workers: Workers = 2,
    threads: run.Threads = None,
    nice: run.Nice = 0,
) -> None:
    """Go on with a run where it stopped, bit for bit."""
    run.limit_resources(threads, nice=nice)
    from dino.training.loop import resume_run

    resume_run(folder, device=device, workers=workers, say=_print_line)


def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder of a run, or one of its checkpoints (step-*.pt).")
    ],
    destination: Annotated[Path, typer.Argument(help="File to write, .safetensors.")],
    key: run.Key = "teacher",
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
            found = read_run(path)
        except UserError:
            continue
        last = found.metrics[-1] if found.metrics else {"step": 0}
        loss = float("nan") if last.get("loss") is None else last["loss"]
        knn = [line["knn"] for line in found.probes if line.get("knn") is not None]
        known = f", k-NN {knn[0]:.1f} → {knn[-1]:.1f} %" if knn else ""
        reason = f": {found.reason}" if found.reason else ""
        damaged = f", {found.damaged} damaged lines left out" if found.damaged else ""
        print(
            f"{path.name:24} {found.state}{reason}, step {last['step']}, loss {loss:.3f}{known}{damaged}"
        )


def chosen_config(
    preset: Preset | None,
    file: Path | None,
    init: str | None,
    words: list[str] | None,
    num_photos: int,
    *,
    shape: run.Shape = run.Shape(),
) -> "TrainConfig":
    """Choose the settings: a file's or a preset's, with single ones changed."""
    from dino.errors import UserError
    from dino.training.config import TrainConfig
    from dino.training.presets import preset_config

    if file is not None and preset is not None:
        raise UserError("--config and --preset both choose the settings; give one of them")
    changes = parse_settings(words)
    if init is not None:
        changes["init"] = init
    given = {
        "init_heads": shape.num_heads,
        "init_arch": shape.arch,
        "init_channels": shape.options()["channels"],
    }
    changes |= {name: value for name, value in given.items() if value is not None}
    if init is None and file is None and shape != run.Shape() and not changes.get("init"):
        raise UserError("--num-heads, --arch and --channels say how --init is read; give it too")
    if file is None:
        chosen = preset.value if preset else ("finetune" if changes.get("init") else "small")
        return preset_config(chosen, num_photos=num_photos, **changes)
    try:
        text = file.read_text()
    except (OSError, ValueError) as error:  # text that is none, too
        raise UserError(f"{file} cannot be read ({error}); give a config.json") from error
    return TrainConfig.from_dict({**asdict(TrainConfig.from_json(text)), **changes})


def parse_settings(items: list[str] | None) -> dict[str, Any]:
    """Read `name=value` words as fields of the config; values are JSON, or else text."""
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


def _print_line(line: str) -> None:
    """Print a line at once, also into a file; from the first process only."""
    if run.is_first():
        print(line, flush=True)
