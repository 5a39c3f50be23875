"""Make the files of attention: the same ones from the command line and the app.

Each function yields (name, bytes), so that the command line writes a folder and the app a ZIP of the
very same content.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from dino.attention.mass import mass_mask
from dino.attention.photo import LOGITS, PROBABILITIES, ROLLOUT, PhotoAttention
from dino.media import draw
from dino.media.geometry import Geometry
from dino.model.queries import query_name, query_words
from dino.system.files import File, npz

# Width of a picture on the contact sheet.
_TILE_PX = 360
# A sheet stays within this width and picture count whatever the number of heads.
_SHEET_PX, _MAX_TILE_PX, _MIN_TILE_PX = 1800, 240, 72


@dataclass(frozen=True)
class Style:
    """How a map is drawn: `opacity` 1 shows the map alone, less lays it over the photo;
    `shared_scale` gives all heads one scale instead of each its own."""

    colormap: str = "inferno"
    opacity: float = 1.0
    interpolation: str = "nearest"
    shared_scale: bool = False


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
    return {
        "grid": attention.geometry.grid,
        "original_hw": attention.geometry.original,
        "resized_hw": attention.geometry.resized,
        "weights_sha256": attention.weights_sha256,
        "precision": attention.precision,
    }


def head_maps(
    attention: PhotoAttention, style: Style
) -> tuple[list[str], np.ndarray, list[tuple[float, float]]]:
    """Give names, maps [A+2,h,w] scaled to 0..1, and the range each was scaled from.

    The heads come first, then "mean" and "max" over them. With a shared scale all are scaled from
    the range they have together, otherwise each from its own.
    """
    heads = attention.heads
    maps = np.concatenate([heads, heads.mean(0)[None], heads.max(0)[None]])
    scaled, ranges = draw.normalize(maps, shared=style.shared_scale)
    names = [f"head-{index}" for index in range(attention.num_heads)] + ["mean", "max"]
    return names, scaled, ranges


def head_picture(
    values: np.ndarray,
    geometry: Geometry,
    photo: np.ndarray,
    style: Style,
    *,
    width: int | None = None,
) -> np.ndarray:
    """Draw one scaled map [h,w] over the photo, at the photo's own size or `width` px wide."""
    colours = draw.heat(
        values,
        geometry,
        colormap=style.colormap,
        interpolation=style.interpolation,
        width=width,
    )
    shown = photo if width is None else draw.shrink(photo, width)
    return draw.overlay(shown, colours, style.opacity)


def attention_files(
    attention: PhotoAttention, photo: np.ndarray, mass: float, style: Style, *, random: bool = False
) -> Iterator[File]:
    """Make all that `attend` writes for a photo: maps, masks, a contact sheet and the numbers.

    `random` marks every map as made with random weights.
    """

    def finish(picture: np.ndarray) -> np.ndarray:
        return draw.mark_random(picture) if random else picture

    small = draw.shrink(photo, _TILE_PX)
    tiles = [("photo", small)]
    names, scaled, _ = head_maps(attention, style)
    for name, values in zip(names, scaled, strict=True):
        picture = head_picture(values, attention.geometry, photo, style)
        yield f"{name}.png", draw.encode_png(finish(picture))
        tiles.append((name, finish(draw.shrink(picture, _TILE_PX))))
    masks = mass_mask(torch.from_numpy(attention.heads), mass).numpy()
    for index, mask in enumerate(masks):
        pixels = attention.geometry.to_photo(mask)
        yield f"mask-{index}.png", draw.encode_png(pixels)
        small_mask = draw.scaled(attention.geometry, _TILE_PX).to_photo(mask)
        tiles.append((f"mask-{index}", draw.objects_overlay(small, small_mask[None])))
    scale = "one scale" if style.shared_scale else "each map on its own scale"
    of = "" if attention.queries == ("cls",) else f" of {query_words(attention.queries[0])}"
    title = f"Last-block attention{of}, {scale}; masks hold {mass:.0%} of each head's attention"
    yield "sheet.png", draw.encode_png(finish(draw.sheet(tiles, title=title)))
    yield "attention.npz", attention_npz(attention)


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
        slug = query_name(query).replace(":", "-")
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
        scale = "one scale" if style.shared_scale else "each map on its own scale"
        title = f"{what} of {name}, block.head, {scale}"
    tiles = []
    scaled = scaled_maps(maps, shared=style.shared_scale)
    for block, heads in zip(attention.layers, scaled, strict=True):
        for head, values in enumerate(heads):
            caption = f"up to block {block}" if kind == ROLLOUT else f"{block}.{head}"
            picture = head_picture(values, attention.geometry, photo, style, width=width)
            tiles.append((caption, picture))
    return draw.sheet(tiles, columns=columns, tile_px=width, title=title)


def scaled_maps(maps: np.ndarray, *, shared: bool) -> np.ndarray:
    """Scale maps [L,A,h,w] of several blocks to 0..1: each from its own range, or all from one."""
    scaled, _ = draw.normalize(maps.reshape(-1, *maps.shape[-2:]), shared=shared)
    return scaled.reshape(maps.shape)
