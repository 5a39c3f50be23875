"""`eval ablation`: what is left of DINO when one part of it is taken away."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.cli.evaluate import shared
from dino.cli.train import Preset, parse_settings
from dino.system.words import NATS, bits

if TYPE_CHECKING:
    from collections.abc import Callable

    from dino.training.config import TrainConfig
    from dino.training.runs.folder import Run

# Lines of metrics and looks at k-NN a run leaves, whatever its length: what curves are drawn from.
_LINES, _PROBES = 200, 4
_SAID_EVERY = 20  # of those lines, to the terminal
_COLUMNS = {
    "variant": ("variant", ""),
    "k-NN %": ("knn", ".1f"),
    "at the start": ("knn_start", ".1f"),
    "entropy, bits": ("teacher_entropy", ".2f"),
    "of the batch mean": ("batch_mean_entropy", ".2f"),
    "log₂ K": ("max_entropy", ".2f"),
    "KL, bits": ("kl", ".3f"),
    "steps": ("steps", ""),
}
_NOTE = (
    "k-NN: k = 20 at the end, by the run's own probe (4,000 photos to compare with, 1,000 to tell, at "
    "most); entropies and KL in bits, means over the last tenth of the run; log₂ K is the most an "
    "entropy can be. Short runs on few photos: an idea of the paper's Table 7, no repetition of it."
)


def ablation(
    data: Annotated[Path, typer.Option(help="Folder of photos to train on.")],
    knn: Annotated[
        Path | None,
        typer.Option(
            help="Labelled folder (train/ and val/, or sub-folders of classes) features are measured on."
        ),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Variants between commas. Default: all.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of each run; its schedules end there.", min=1)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Or its length in epochs. Default: the preset's.", min=1)
    ] = None,
    preset: Annotated[
        Preset, typer.Option(help="Settings the variants have in common.")
    ] = Preset.small,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting of all variants, such as seed=1; may be repeated."),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of the runs. Default: runs below --out.")
    ] = None,
    out: run.Out = Path("results"),
    workers: run.Workers = 2,
    threads: run.Threads = None,
    device: run.Device = "auto",
) -> None:
    """Train short runs with one part of DINO taken away each, as the paper's Table 7 and Fig. 7.

    All have the same photos, crops, seed and schedules. Finished runs are kept and interrupted ones
    resumed: the same command goes on. Writes ablation.svg and ablation.html beside the results.
    """
    from dino.errors import UserError
    from dino.training.ablation import VARIANTS, chosen_variants, variant_configs
    from dino.training.data import open_photos

    if steps is not None and epochs is not None:
        raise UserError("--steps and --epochs both say how long runs are; give one of them")
    run.limit_resources(threads)
    started = time.perf_counter()
    names = chosen_variants(run.words(only) if only is not None else list(VARIANTS))
    num_photos = len(open_photos(data))
    base = _base(preset, set_, steps=steps, epochs=epochs, num_photos=num_photos)
    run.make_folder(out)
    configs = variant_configs(base, names)
    found = _run_all(configs, data, runs or out / "runs", knn=knn, device=device, workers=workers)
    if run.is_first():
        # What differs from the paper's recipe in all variants, but for the parts they are about.
        in_common = variant_configs(base, ["full"])["full"].changes()
        settings = {"preset": preset.value, "variants": names, **in_common}
        measured: run.Row = {
            "path": str(data),
            "num_images": num_photos,
            "knn_path": None if knn is None else str(knn),
        }
        seconds = time.perf_counter() - started
        _finish(found, base, measured, settings, device, seconds, out)
    broken = [f"{name}: {r.reason}" for name, r in found.items() if r.state == "failed"]
    if broken:
        run.fail(f"{len(broken)} of the runs broke off: {'; '.join(broken)}")


def _base(
    preset: Preset,
    words: list[str] | None,
    *,
    steps: int | None,
    epochs: int | None,
    num_photos: int,
) -> "TrainConfig":
    """Choose the settings all variants have in common, fitted to the length of the runs.

    A tenth of a run is its warm-up, and features are measured at the size they are trained at: the
    presets' own are for long runs.
    """
    from dino.training.build import build_schedules
    from dino.training.presets import preset_config

    given = parse_settings(words)
    # Presets of long runs have warm-ups that a short one would be shorter than.
    fitted = {"warmup_epochs": 0} | ({} if epochs is None else {"epochs": epochs}) | given
    config = preset_config(preset.value, num_photos=num_photos, **fitted)
    per_epoch = build_schedules(config, num_photos).steps_per_epoch
    if steps is not None:
        fitted |= {"epochs": -(-steps // per_epoch), "max_steps": steps}
        config = preset_config(preset.value, num_photos=num_photos, **fitted)
    total = min(config.epochs * per_epoch, config.max_steps or config.epochs * per_epoch)
    own: run.Row = {
        "warmup_epochs": total / per_epoch / 10,
        "log_every": max(1, total // _LINES),
        "probe_every": max(1, config.epochs // _PROBES),
        "probe_size": config.global_size,
        "keep": 1,
    }
    return replace(config, **{name: value for name, value in own.items() if name not in given})


def _run_all(
    configs: "dict[str, TrainConfig]",
    data: Path,
    runs: Path,
    *,
    knn: Path | None,
    device: str,
    workers: int,
) -> "dict[str, Run]":
    """Train every variant in turn; a signal ends the one at work in order, and the others with it."""
    from dino.system.distributed import joined
    from dino.training.ablation import run_variant

    found = {}
    with joined(device):  # once: every run is then of these processes
        for number, (name, config) in enumerate(configs.items(), start=1):
            run.print_status(f"{name}, {number} of {len(configs)}: {runs / name}")
            found[name] = run_variant(
                config,
                data,
                runs / name,
                knn=knn,
                device=device,
                workers=workers,
                say=_print_some(name),
            )
            if found[name].state == "stopped":
                run.fail(f"stopped in {name}; the same command goes on there")
    return found


def _print_some(name: str) -> "Callable[[str], None]":
    """Make a function that prints what a run says, but of its steps only a few."""
    num_steps = 0

    def show(line: str) -> None:
        nonlocal num_steps
        if line.startswith("step"):
            num_steps += 1
            if num_steps % _SAID_EVERY:
                return
        run.print_status(f"{name}: {line}")

    return show


def _finish(
    found: "dict[str, Run]",
    base: "TrainConfig",
    data: run.Row,
    settings: run.Row,
    device: str,
    seconds: float,
    out: Path,
) -> None:
    from dino.evaluation.report import make_report
    from dino.model.device import choose_device
    from dino.training.ablation import curve_rows, end_row
    from dino.training.ablation_figure import ablation_html, ablation_svg
    from dino.training.runs.folder import read_environment

    first = next(iter(found.values()))
    name = f"{base.arch}/{base.patch_size}"
    start = "its random start" if base.init is None else Path(base.init).name
    rows = [end_row(*variant) for variant in found.items()]
    trained = sum(row["train_s"] for row in rows)
    report = make_report(
        "ablation",
        weights={
            "name": name,
            "sha256": None,
            "description": f"{name} trained from {start}, a run a variant",
            "is_random": False,
            "precision": read_environment(first.folder).get("precision"),
        },
        device=str(choose_device(device)),
        data=data,
        settings=settings,
        rows=rows + [row for variant in found.items() for row in curve_rows(*variant)],
        seconds=max(seconds, trained),  # finished runs that were kept took their time before
    )
    pages = {"ablation.svg": ablation_svg(report), "ablation.html": ablation_html(report)}
    run.write_files(((page, text.encode()) for page, text in pages.items()), out)
    shared.finish_report(report, out, [_line(row) for row in rows], _NOTE)


def _line(row: run.Row) -> dict[str, str]:
    in_bits = {key: bits(row[key]) for key in NATS if row[key] is not None}
    (line,) = shared.as_text([{**row, **in_bits}], _COLUMNS)
    since = f" from step {row['collapse_step']}" if row["collapse"] else ""
    state = f"{row['collapse'] or ''}{since}" if row["state"] == "finished" else row["state"]
    return {**line, "": state}
