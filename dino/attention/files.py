"""Make the files of attention: the same ones from the command line and the app.

Each function yields (name, bytes), so that the command line writes a folder and the app a ZIP of the
very same content.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from dino.attention.mass import mass_mask
from dino.attention.photo import LOGITS, PROBABILITIES, ROLLOUT, PhotoAttention
from dino.errors import UserError
from dino.media import draw
from dino.media.geometry import Geometry
from dino.media.upsampling import Guide, to_pixels
from dino.model.queries import Query, query_name, query_words
from dino.system.files import File, npz

# Width of a picture on the contact sheet.
_TILE_PX = 360
# A sheet stays within this width and picture count whatever the number of heads.
_SHEET_PX, _MAX_TILE_PX, _MIN_TILE_PX = 1800, 240, 72
UNDER = ("photo", "grey")


@dataclass(frozen=True)
class Style:
    """How a map is drawn.

    Args:
        colormap: of `dino.media.draw.COLORMAPS`.
        opacity: 1 shows the map alone, less lays it over the photo.
        interpolation: of `dino.media.draw.INTERPOLATIONS`.
        shared_scale: one scale for all heads instead of each its own.
        scale: of `dino.media.draw.SCALES`: where the last colour lies.
        under: what lies below the map: the "photo", or its "grey", on which colours are the map's alone.
    Raises:
        UserError: something that is none of these.
    """

    colormap: str = "inferno"
    opacity: float = 1.0
    interpolation: str = "nearest"
    shared_scale: bool = False
    scale: str = "full"
    under: str = "photo"

    def __post_init__(self) -> None:
        for name, known in (
            ("colormap", draw.COLORMAPS),
            ("interpolation", draw.INTERPOLATIONS),
            ("scale", draw.SCALES),
            ("under", UNDER),
        ):
            if getattr(self, name) not in known:
                got = getattr(self, name)
                raise UserError(f"{name} is {got!r}; expected one of {', '.join(known)}")
        if not 0 <= self.opacity <= 1:
            raise UserError(f"opacity is {self.opacity}; expected 0 to 1")

    @property
    def scale_words(self) -> str:
        """Say in words what a map's colours run up to."""
        whose = "one scale" if self.shared_scale else "each map on its own scale"
        return whose if self.scale == "full" else f"{whose}, up to the 98.5th percentile"


# How maps are drawn where nothing is said, by the number of the look: what was drawn once is drawn again
# with that number. 1: whole patches from the least to the largest value, as the paper draws them.
LOOKS = {
    1: Style(),
    2: Style(opacity=0.65, interpolation="bicubic", scale="robust", under="grey"),
}
NEWEST_LOOK = max(LOOKS)


def style_settings(style: Style) -> dict[str, Any]:
    """Write a style as the options of `attend` that draw it: the look, and what differs from it."""
    look = LOOKS[NEWEST_LOOK]
    settings: dict[str, Any] = {"look": NEWEST_LOOK}
    for name in ("colormap", "opacity", "under"):
        if getattr(style, name) != getattr(look, name):
            settings[name] = getattr(style, name)
    if style.interpolation == "bilinear":
        settings["smooth"] = True
    elif style.interpolation != look.interpolation:
        settings["upsample"] = style.interpolation
    if style.scale != look.scale:
        settings["scale"] = style.scale
    if style.shared_scale:
        settings["shared_scale"] = True
    return settings


def attention_npz(attention: PhotoAttention) -> bytes:
    """Make `attention.npz`: weights [A,h,w], prefix [A,P], whose attention it is, how they came about."""
    return npz(
        {
            "weights": attention.heads,
            "prefix": attention.prefix[0, 0],
            "query": query_name(attention.queries[0]),
            **_origin(attention),
        }
    )


def _origin(attention: PhotoAttention) -> dict[str, object]:
    """Collect how arrays came about, for the files they are in."""
    shifts, resized = attention.shifts, attention.geometry.resized
    return {
        "grid": attention.geometry.grid,
        "original_hw": attention.geometry.original,
        "resized_hw": (resized[0] // shifts, resized[1] // shifts),
        "weights_sha256": attention.weights_sha256,
        "precision": attention.precision,
        **({"shifts": shifts} if shifts > 1 else {}),
    }


def head_maps(
    attention: PhotoAttention, style: Style
) -> tuple[list[str], np.ndarray, list[tuple[float, float]]]:
    """Give names, maps [A+2,h,w] scaled by `draw.normalize`, and the range each was scaled from.

    The heads come first, then "mean" and "max" over them. With a shared scale all are scaled from
    the range they have together, otherwise each from its own.
    """
    heads = attention.heads
    maps = np.concatenate([heads, heads.mean(0)[None], heads.max(0)[None]])
    scaled, ranges = draw.normalize(maps, shared=style.shared_scale, scale=style.scale)
    names = [f"head-{index}" for index in range(attention.num_heads)] + ["mean", "max"]
    return names, scaled, ranges


def head_picture(
    values: np.ndarray,
    geometry: Geometry,
    photo: np.ndarray,
    style: Style,
    *,
    width: int | None = None,
    guide: Guide | None = None,
) -> np.ndarray:
    """Draw one scaled map [h,w] over the photo, at the photo's own size or `width` px wide.

    Args:
        guide: of the photo in that size, where many maps are drawn over it; made if it is needed.
    """
    shown = photo if width is None else draw.shrink(photo, width)
    if guide is None and style.interpolation == "guided":
        guide = Guide.of(shown)
    colours = draw.heat(
        values,
        geometry,
        colormap=style.colormap,
        interpolation=style.interpolation,
        width=width,
        guide=guide,
    )
    below = draw.grey(shown) if style.under == "grey" else shown
    return draw.overlay(below, colours, style.opacity)


def attention_files(
    attention: PhotoAttention,
    photo: np.ndarray,
    mass: float,
    style: Style,
    *,
    mask_upsample: str | None = None,
    random: bool = False,
) -> Iterator[File]:
    """Make all that `attend` writes for a photo: maps, masks, a contact sheet and the numbers.

    Args:
        mask_upsample: of `dino.media.upsampling.UPSAMPLINGS`: masks are the fewest pixels that hold the
            mass of a map brought to the photo's pixels; None: the fewest patches.
        random: mark every map as made with random weights.
    """

    def finish(picture: np.ndarray) -> np.ndarray:
        return draw.mark_random(picture) if random else picture

    small = draw.shrink(photo, _TILE_PX)
    tiles = [("photo", small)]
    for name, picture in map_pictures(attention, photo, style):
        yield f"{name}.png", draw.encode_png(finish(picture))
        tiles.append((name, finish(draw.shrink(picture, _TILE_PX))))
    for name, mask, small_mask in _masks(attention, photo, mass, mask_upsample):
        yield f"{name}.png", draw.encode_png(mask)
        tiles.append((name, draw.objects_overlay(small, small_mask[None])))
    of = "" if attention.queries == ("cls",) else f" of {query_words(attention.queries[0])}"
    title = f"Last-block attention{of}, {style.scale_words}; masks hold {mass:.0%} of each head's attention"
    yield "sheet.png", draw.encode_png(finish(draw.sheet(tiles, title=title)))
    yield "attention.npz", attention_npz(attention)


def map_pictures(
    attention: PhotoAttention, photo: np.ndarray, style: Style, *, kind: str = PROBABILITIES
) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the maps of one block and query at the photo's size, with their names: each head, "mean" and
    "max"; of a rollout "rollout" alone.

    Args:
        attention: as `PhotoAttention.select` gives it of `kind`.
    """
    names, scaled, _ = head_maps(attention, style)
    if kind == ROLLOUT:
        names, scaled = ["rollout"], scaled[:1]
    guide = Guide.of(photo) if style.interpolation == "guided" else None
    for name, values in zip(names, scaled, strict=True):
        yield name, head_picture(values, attention.geometry, photo, style, guide=guide)


def _masks(
    attention: PhotoAttention, photo: np.ndarray, mass: float, upsample: str | None
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Give each head's mask: its name, bool [H,W], and the same for the contact sheet."""
    geometry = attention.geometry
    small = draw.scaled(geometry, _TILE_PX)
    if upsample is None:
        patches = mass_mask(torch.from_numpy(attention.heads), mass).numpy()
        for index, mask in enumerate(patches):
            yield f"mask-{index}", geometry.to_photo(mask), small.to_photo(mask)
        return
    guide = Guide.of(photo) if upsample == "guided" else photo
    for index, weights in enumerate(attention.heads):
        values = to_pixels(weights, geometry, guide, how=upsample)
        mask = mass_mask(torch.from_numpy(values), mass).numpy()
        size = small.original[::-1]
        reduced = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        yield f"mask-{index}", mask, reduced >= 0.5


def block_files(
    attention: PhotoAttention,
    photo: np.ndarray,
    mass: float,
    style: Style,
    *,
    kinds: tuple[str, ...] = (PROBABILITIES,),
    mask_upsample: str | None = None,
    random: bool = False,
) -> Iterator[File]:
    """Make the pictures of each block and query that `attend --layers … --queries …` writes, in a folder
    each, such as `block-5-12-7`: maps at the photo's size, and masks.

    Args:
        kinds: which maps are drawn, of `dino.attention.photo.VALUES`.
        mask_upsample, random: as in `attention_files`.
    """
    for row, column in np.ndindex(len(attention.layers), len(attention.queries)):
        folder = block_folder(attention.layers[row], attention.queries[column])
        for kind in kinds:
            drawn = attention.select(row, column, kind)
            for name, picture in map_pictures(drawn, photo, style, kind=kind):
                marked = draw.mark_random(picture) if random else picture
                yield f"{folder}/{name}.png", draw.encode_png(marked)
        chosen = attention.select(row, column)
        for name, mask, _ in _masks(chosen, photo, mass, mask_upsample):
            yield f"{folder}/{name}.png", draw.encode_png(mask)


def block_folder(layer: int, query: Query) -> str:
    """Name the folder that the pictures of a block and query lie in."""
    return f"block-{layer}-{query_slug(query)}"


def query_slug(query: Query) -> str:
    """Name a query in a file's name."""
    return query_name(query).replace(":", "-")


def layers_npz(attention: PhotoAttention, *, logits: bool = False) -> bytes:
    """Make `layers.npz`: weights [L,Q,A,h,w], prefix [L,Q,A,P], layers, queries, how they came about.

    `logits` adds logits and prefix_logits of the same shapes. Where they were made: rollout
    [L,Q,h,w] and rollout_prefix [L,Q,P]; q, k, v [L,A,P+N,d].
    """
    arrays: dict[str, object] = {
        "weights": attention.weights,
        "prefix": attention.prefix,
        "layers": attention.layers,
        "queries": [query_name(query) for query in attention.queries],
        **_origin(attention),
    }
    if logits:
        arrays |= {"logits": attention.logits, "prefix_logits": attention.prefix_logits}
    if attention.rollout is not None:
        arrays |= {"rollout": attention.rollout, "rollout_prefix": attention.rollout_prefix}
    if attention.qkv is not None:
        arrays |= dict(zip("qkv", attention.qkv, strict=True))
    return npz(arrays)


def layers_files(
    attention: PhotoAttention,
    photo: np.ndarray,
    style: Style,
    *,
    logits: bool = False,
    random: bool = False,
) -> Iterator[File]:
    """Make a sheet of blocks × heads a query, one of rollouts where they were made, and the numbers.

    `logits` draws and saves q·k/√d in place of its softmax; `random` marks every sheet as made with
    random weights.
    """

    def sheet(query: int, kind: str) -> bytes:
        pixels = _sheet(attention, query, kind, photo, style)
        return draw.encode_png(draw.mark_random(pixels) if random else pixels)

    for number, query in enumerate(attention.queries):
        slug = query_slug(query)
        yield f"layers-{slug}.png", sheet(number, LOGITS if logits else PROBABILITIES)
        if attention.rollout is not None:
            yield f"rollout-{slug}.png", sheet(number, ROLLOUT)
    yield "layers.npz", layers_npz(attention, logits=logits)


def _sheet(
    attention: PhotoAttention, query: int, kind: str, photo: np.ndarray, style: Style
) -> np.ndarray:
    """Draw one query: a row a block and a column a head, or the rollouts one after the other."""
    maps = attention.values(kind)[0][:, query]
    num_heads, name = maps.shape[1], query_name(attention.queries[query])
    if kind == ROLLOUT:
        columns, width = min(len(maps), 6), _MAX_TILE_PX
        title = f"Attention rollout of {name}"
    else:
        width = min(max((_SHEET_PX - 12) // num_heads - 12, _MIN_TILE_PX), _MAX_TILE_PX)
        columns, what = num_heads, "Attention logits" if kind == LOGITS else "Attention"
        title = f"{what} of {name}, block.head, {style.scale_words}"
    tiles = []
    scaled = scaled_maps(maps, shared=style.shared_scale, scale=style.scale)
    shown = draw.shrink(photo, width)
    guide = Guide.of(shown) if style.interpolation == "guided" else None
    for block, heads in zip(attention.layers, scaled, strict=True):
        for head, values in enumerate(heads):
            caption = f"up to block {block}" if kind == ROLLOUT else f"{block}.{head}"
            picture = head_picture(
                values, attention.geometry, shown, style, width=width, guide=guide
            )
            tiles.append((caption, picture))
    return draw.sheet(tiles, columns=columns, tile_px=width, title=title)


def scaled_maps(maps: np.ndarray, *, shared: bool, scale: str = "full") -> np.ndarray:
    """Scale maps [L,A,h,w] of several blocks by `draw.normalize`: each from its own range, or all from one."""
    flat = maps.reshape(-1, *maps.shape[-2:])
    scaled, _ = draw.normalize(flat, shared=shared, scale=scale)
    return scaled.reshape(maps.shape)
