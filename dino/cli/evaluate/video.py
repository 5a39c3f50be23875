"""`eval video`: objects followed through DAVIS sequences by what their patches look like."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.cli.evaluate import shared

if TYPE_CHECKING:
    import numpy as np

    from dino.evaluation.davis import VideoSequence
    from dino.evaluation.video import SequenceResult, VideoResult, VideoScores
    from dino.model.backbone import Backbone

# DAVIS's own rate; its files do not say.
_FPS = 24
_MEAN = "mean"
_STILL = "first mask kept still"
_COLUMNS = {
    "network": ("network", ""),
    "sequence": ("sequence", ""),
    "object": ("object", ""),
    "J&F": ("j_and_f", ".1f"),
    "J": ("j_mean", ".1f"),
    "J recall": ("j_recall", ".1f"),
    "J decay": ("j_decay", ".1f"),
    "F": ("f_mean", ".1f"),
    "F recall": ("f_recall", ".1f"),
    "F decay": ("f_decay", ".1f"),
    "s a frame": ("seconds_per_frame", ".2f"),
}


@run.with_options
def video(
    data: Annotated[Path, typer.Option(help="DAVIS folder with JPEGImages/ and Annotations/.")],
    loading: run.Loading = run.Loading(),
    size: Annotated[
        int,
        typer.Option(
            help="Shorter side in px of the network's input, down to whole patches.", min=8
        ),
    ] = 480,
    sequences: Annotated[
        str | None,
        typer.Option(help="Names with commas between. Default: those of the set's list, else all."),
    ] = None,
    year: Annotated[
        int | None, typer.Option(help="2016 (one object) or 2017. Default: what masks say.")
    ] = None,
    topk: Annotated[int, typer.Option(help="Patches whose labels one patch takes.", min=1)] = 5,
    window: Annotated[
        int, typer.Option(help="Patches each way that labels come from; 0: anywhere.", min=0)
    ] = 12,
    context: Annotated[
        int, typer.Option(help="Frames just before that labels come from, beside the first.", min=0)
    ] = 7,
    temperature: Annotated[
        float, typer.Option(help="A patch's labels weigh exp(cosine / temperature).")
    ] = 0.1,
    random: Annotated[
        bool, typer.Option("--random", help="The same network with random weights too.")
    ] = False,
    out: run.Out = Path("results"),
    threads: run.Threads = None,
) -> None:
    """Carry first masks through videos: J and F as official DAVIS evaluators count them (Table 5).

    Writes masks/<sequence>/00000.png, which those evaluators read, and <sequence>.mp4 to look at.
    """
    from dino.evaluation.davis import open_davis
    from dino.evaluation.video import video_segmentation
    from dino.video.propagation import PropagationSettings
    from dino.video.tracking import network_size

    settings = PropagationSettings(topk, window, context, temperature)
    found = open_davis(data, year=year, sequences=run.words(sequences or ""))
    with shared.begin(loading, threads=threads, out=out) as evaluation:
        patch = evaluation.backbone.patch_size
        network_size((size, size), short_side=size, patch_size=patch)  # refuses one too small
        networks = evaluation.networks(random=random, vit_only=True)
        keep = partial(_write, out=out, mark=evaluation.backbone.is_random)
        measured = {
            role: video_segmentation(
                network,
                found,
                short_side=size,
                settings=settings,
                keep=keep if role == "weights" else None,
                progress=run.progress(role, "frames"),
                world=evaluation.world,
            )
            for role, network in networks.items()
        }
        rows = [row for role, result in measured.items() for row in _rows(role, result)]
        rows += _rows(_STILL, measured["weights"], still=True)
        evaluation.finish(
            "video",
            data={
                "path": str(data),
                "year": found.year,
                "num_images": found.num_frames,
                "num_sequences": len(found.sequences),
                "num_objects": measured["weights"].num_objects,
            },
            settings={
                "size": size // patch * patch,
                **asdict(settings),
                "networks": shared.identities(networks),
            },
            rows=rows,
            table=_table(rows, networks),
            note=f"masks/ and the videos are of {evaluation.backbone.name}, below {out}",
            unreadable=(),
        )


def _write(sequence: "VideoSequence", maps: "list[np.ndarray]", *, out: Path, mark: bool) -> None:
    """Write masks as official evaluators read them, and a video of them over the frames."""
    from dino.media import draw
    from dino.media.label_maps import indexed_png, label_overlay
    from dino.media.video_writing import write_mp4

    masks = zip(sequence.frames, maps, strict=True)
    files = ((f"{frame.stem}.png", indexed_png(labels)) for frame, labels in masks)
    run.write_files(files, out / "masks" / sequence.name)
    pictures = (label_overlay(sequence.rgb(number), maps[number]) for number in range(len(maps)))
    if mark:
        pictures = (draw.mark_random(picture) for picture in pictures)
    write_mp4(pictures, out / f"{sequence.name}.mp4", fps=_FPS)


def _rows(role: str, result: "VideoResult", *, still: bool = False) -> list[run.Row]:
    """Make a row of each object and of their mean; `still`: of first masks that never move."""
    rows = [
        _row(role, found.name, label, scores, found, None if still else found.seconds_per_frame)
        for found in result.sequences
        for label, scores in enumerate(found.still if still else found.objects, start=1)
    ]
    mean = result.mean_still if still else result.mean
    seconds = None if still else result.seconds_per_frame
    return [*rows, _row(role, _MEAN, None, mean, result, seconds)]


def _row(
    role: str,
    name: str,
    label: int | None,
    scores: "VideoScores",
    of: "SequenceResult | VideoResult",
    seconds: float | None,
) -> run.Row:
    return {
        "network": role,
        "sequence": name,
        "object": label,
        "num_frames": of.num_frames,
        "j_and_f": scores.j_and_f,
        **{f"j_{measure}": value for measure, value in asdict(scores.region).items()},
        **{f"f_{measure}": value for measure, value in asdict(scores.boundary).items()},
        "seconds_per_frame": seconds,
    }


def _table(rows: list[run.Row], networks: "dict[str, Backbone]") -> list[dict[str, str]]:
    """Write the objects of the weights, and every mean, in percent."""
    shown = [row for row in rows if row["network"] == "weights" or row["sequence"] == _MEAN]
    percents = [
        {key: 100 * value if key.startswith(("j_", "f_")) else value for key, value in row.items()}
        for row in shared.name_networks(shown, networks)
    ]
    return shared.as_text(percents, _COLUMNS)
