"""Figures to print and films of maps: the photo and its heads in a row, one map, a walk through heads or blocks."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from dino.attention.files import Style, head_maps, head_picture, scaled_maps
from dino.attention.mass import check_heads
from dino.attention.photo import PROBABILITIES, ROLLOUT, PhotoAttention
from dino.errors import UserError
from dino.media import draw, printing
from dino.media.printing import Bar, Panel
from dino.media.upsampling import Guide
from dino.media.video_writing import write_gif, write_mp4
from dino.model.queries import query_words

WALKS = ("heads", "blocks")
WALK_KINDS = ("gif", "mp4")
_WALK_FPS = 2.0
_WALK_PX = 640  # of a film's width at most
_MEAN, _MAX = "mean", "max"


@dataclass(frozen=True)
class Figure:
    """What is printed of a block and query.

    Args:
        kind: of `dino.media.printing.KINDS`.
        scale: 1 to 4; `dino.media.printing.print_figure` says of what.
        head: None: the photo and all heads in a row; else one map alone beside the photo: a head's
            number, "mean" or "max".
        alone: the map of `head` (None: the mean) without photo and text, transparent where it is low.
        caption: stands below.
        network: its name, written below with the settings.
        random: say that the weights are random.
    """

    kind: str
    scale: int = 2
    head: str | None = None
    alone: bool = False
    caption: str = ""
    network: str = ""
    random: bool = False


def attention_figure(
    attention: PhotoAttention,
    photo: np.ndarray,
    style: Style,
    figure: Figure,
    *,
    kind: str = PROBABILITIES,
) -> bytes:
    """Print the maps of one block and query.

    Args:
        attention: as `PhotoAttention.select` gives it of `kind`, one of `dino.attention.photo.VALUES`.
        photo: uint8 [H,W,3].
    Raises:
        UserError: a head that does not exist, or a scale out of range.
    """
    names, maps, ranges = head_maps(attention, style)
    if kind == ROLLOUT:
        names, maps, ranges = ["rollout"], maps[:1], ranges[:1]
    if figure.alone:
        values = maps[_index(figure.head or _MEAN, names)]
        rgba = transparent_map(values, attention, photo, style, scale=figure.scale)
        return printing.print_alone(rgba, kind=figure.kind, width_px=photo.shape[1])
    shown = [name.startswith("head-") for name in names] if kind != ROLLOUT else [True]
    chosen = [number for number, is_shown in enumerate(shown) if is_shown]
    if figure.head is not None:
        chosen = [_index(figure.head, names)]
    guide = Guide.of(photo) if style.interpolation == "guided" else None
    panels = [Panel(photo, "photo", mark=_query_place(attention))]
    for number in chosen:
        picture = head_picture(maps[number], attention.geometry, photo, style, guide=guide)
        bar = _bar(ranges[number], style, kind)
        panels.append(Panel(picture, names[number].replace("-", " "), bar))
    return printing.print_figure(
        panels,
        kind=figure.kind,
        scale=figure.scale,
        caption=figure.caption,
        made_by=_settings(attention, style, figure, kind),
    )


def transparent_map(
    values: np.ndarray, attention: PhotoAttention, photo: np.ndarray, style: Style, *, scale: int
) -> np.ndarray:
    """Draw one scaled map [h,w] without the photo, `scale` times its size: RGBA, as opaque as it is strong."""
    height, width = photo.shape[:2]
    frame = replace(attention.geometry, original=(height * scale, width * scale))
    guide = None
    if style.interpolation == "guided":
        size = (width * scale, height * scale)
        large = photo if scale == 1 else cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC)
        guide = Guide.of(np.asarray(large, np.uint8))
    pixels = draw.pixel_values(values, frame, style.interpolation, guide=guide)
    alpha = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    return np.dstack([draw.colorize(pixels, style.colormap), alpha])


def walk_file(
    attention: PhotoAttention,
    photo: np.ndarray,
    style: Style,
    *,
    through: str,
    kind: str,
    head: str = _MEAN,
    random: bool = False,
) -> bytes:
    """Make a film through the heads of the last block read, or through all blocks read: GIF or MP4.

    Args:
        attention: its first query is drawn; `layers` in the order of the film.
        through: of `WALKS`.
        kind: of `WALK_KINDS`.
        head: through blocks, whose map: a head's number, "mean" or "max".
    Raises:
        UserError: a head that does not exist.
    """
    frames = _walk_frames(attention, photo, style, through=through, head=head, random=random)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"walk.{kind}"
        (write_gif if kind == "gif" else write_mp4)(frames, path, fps=_WALK_FPS)
        return path.read_bytes()


def walk_name(text: str) -> tuple[str, str]:
    """Read "heads.gif" as ("heads", "gif").

    Raises:
        UserError: another name.
    """
    through, _, kind = text.partition(".")
    if through not in WALKS or kind not in WALK_KINDS:
        raise UserError(
            f"got {text!r} to animate; expected heads or blocks as .gif or .mp4, such as heads.gif"
        )
    return through, kind


def _walk_frames(
    attention: PhotoAttention,
    photo: np.ndarray,
    style: Style,
    *,
    through: str,
    head: str,
    random: bool,
) -> Iterator[np.ndarray]:
    shown = draw.shrink(photo, _WALK_PX)
    guide = Guide.of(shown) if style.interpolation == "guided" else None
    for caption, values in _walk_maps(attention, style, through, head):
        picture = head_picture(
            values, attention.geometry, shown, style, width=_WALK_PX, guide=guide
        )
        titled = draw.sheet([(caption, picture)], columns=1, tile_px=picture.shape[1])
        yield draw.mark_random(titled) if random else titled


def _walk_maps(
    attention: PhotoAttention, style: Style, through: str, head: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Give each map of a film with its caption."""
    query = query_words(attention.queries[0])
    if through == "heads":
        last = attention.select(len(attention.layers) - 1, 0)
        names, maps, _ = head_maps(last, style)
        for number in range(attention.num_heads):
            yield (
                f"block {last.layers[0]}, {names[number].replace('-', ' ')}, {query}",
                maps[number],
            )
        return
    blocks = [_one_map(weights, head) for weights in attention.weights[:, 0]]
    scaled = scaled_maps(np.stack(blocks)[:, None], shared=style.shared_scale, scale=style.scale)
    which = head if head in (_MEAN, _MAX) else f"head {head}"
    for block, maps in zip(attention.layers, scaled, strict=True):
        yield f"block {block}, {which}, {query}", maps[0]


def _one_map(weights: np.ndarray, head: str) -> np.ndarray:
    """Take one map [h,w] of the heads [A,h,w]."""
    names = [f"head-{number}" for number in range(len(weights))] + [_MEAN, _MAX]
    number = _index(head, names)
    if number < len(weights):
        return np.asarray(weights[number])
    return np.asarray(weights.mean(axis=0) if names[number] == _MEAN else weights.max(axis=0))


def _index(head: str, names: Sequence[str]) -> int:
    """Find the map that a head's number, "mean" or "max" names."""
    if names == ["rollout"]:
        return 0
    if head in (_MEAN, _MAX):
        return names.index(head)
    if not head.isdecimal():
        raise UserError(f"the head is {head!r}; expected a number from 0, mean or max")
    check_heads([int(head)], len(names) - 2)
    return int(head)


def _bar(limits: tuple[float, float], style: Style, kind: str) -> Bar:
    low, high = limits
    factor, unit = (1, "") if kind not in (PROBABILITIES, ROLLOUT) else (100, "%")
    clipped = style.scale == "robust"
    return Bar(style.colormap, factor * low, factor * high, unit, clipped=clipped)


def _query_place(attention: PhotoAttention) -> tuple[float, float] | None:
    """Find the middle (y, x) of the query's patch in px of the photo; None where it is no patch."""
    query = attention.queries[0]
    if isinstance(query, str):
        return None
    rows, columns = attention.geometry.grid
    parts = attention.shifts
    # The whole patch of a fine grid, whose cells are `parts` times as many.
    first = attention.geometry.photo_box(query[0] * parts, query[1] * parts)
    last = attention.geometry.photo_box(
        min((query[0] + 1) * parts, rows) - 1, min((query[1] + 1) * parts, columns) - 1
    )
    return (first[0] + last[2]) / 2, (first[1] + last[3]) / 2


def _settings(attention: PhotoAttention, style: Style, figure: Figure, kind: str) -> list[str]:
    """List what the figure depends on, for the small print."""
    shifts, (rows, columns) = attention.shifts, attention.geometry.grid
    height, width = (side // shifts for side in attention.geometry.resized)
    what = {PROBABILITIES: "attention", ROLLOUT: "rollout"}.get(kind, "logits q·k/√d")
    block = f"{'up to ' if kind == ROLLOUT else ''}block {attention.layers[0]}"
    grids = f", {shifts}×{shifts} grids" if shifts > 1 else ""
    words = [
        figure.network,
        f"weights {attention.weights_sha256[:8]}",
        f"{what} of {query_words(attention.queries[0])}, {block}",
        f"{width}×{height} px, {columns // shifts}×{rows // shifts} patches{grids}",
        style.scale_words,
        style.interpolation,
        attention.precision,
        draw.RANDOM_MARK if figure.random else "",
    ]
    return [word for word in words if word]
