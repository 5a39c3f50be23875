"""What is written to disk or offered for download: the same files from the command line and the app.

Each function yields (name, bytes), so that the command line writes a folder and the app a ZIP of the
very same content.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from dino.attention.layers import LayerAttention
from dino.attention.mass import mass_mask
from dino.attention.photo import Attention
from dino.media import draw
from dino.model.queries import query_name
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


def attention_npz(attention: Attention) -> bytes:
    """`attention.npz`: weights [A,h,w], prefix [A,1+R] and how they came about."""
    return npz(
        {
            "weights": attention.weights,
            "prefix": attention.prefix,
            "grid": attention.geometry.grid,
            "original_hw": attention.geometry.original,
            "resized_hw": attention.geometry.resized,
            "weights_sha256": attention.weights_sha256,
            "precision": attention.precision,
        }
    )


def head_maps(
    attention: Attention, style: Style
) -> tuple[list[str], np.ndarray, list[tuple[float, float]]]:
    """Names, maps [A+2,h,w] scaled to 0..1, and the range each was scaled from.

    The heads come first, then "mean" and "max" over them. With a shared scale all are scaled from
    the range they have together, otherwise each from its own.
    """
    heads = attention.weights
    maps = np.concatenate([heads, heads.mean(0)[None], heads.max(0)[None]])
    scaled, ranges = draw.normalize(maps, shared=style.shared_scale)
    names = [f"head-{index}" for index in range(attention.num_heads)] + ["mean", "max"]
    return names, scaled, ranges


def head_picture(
    values: np.ndarray,
    attention: Attention,
    photo: np.ndarray,
    style: Style,
    *,
    width: int | None = None,
) -> np.ndarray:
    """One scaled map [h,w] drawn over the photo, at the photo's own size or `width` px wide."""
    colours = draw.heat(
        values,
        attention.geometry,
        colormap=style.colormap,
        interpolation=style.interpolation,
        width=width,
    )
    shown = photo if width is None else draw.shrink(photo, width)
    return draw.overlay(shown, colours, style.opacity)


def attention_files(
    attention: Attention, photo: np.ndarray, mass: float, style: Style, *, random: bool = False
) -> Iterator[File]:
    """Everything `attend` writes for a photo: maps, masks, a contact sheet and the numbers.

    `random` marks every map as made with random weights.
    """

    def finish(picture: np.ndarray) -> np.ndarray:
        return draw.mark_random(picture) if random else picture

    tiles = [("photo", draw.shrink(photo, _TILE_PX))]
    names, scaled, _ = head_maps(attention, style)
    for name, values in zip(names, scaled, strict=True):
        picture = head_picture(values, attention, photo, style)
        yield f"{name}.png", draw.encode_png(finish(picture))
        tiles.append((name, finish(draw.shrink(picture, _TILE_PX))))
    masks = mass_mask(torch.from_numpy(attention.weights), mass).numpy()
    for index, mask in enumerate(masks):
        pixels = attention.geometry.to_photo(mask)
        yield f"mask-{index}.png", draw.encode_png(pixels)
        small = draw.scaled(attention.geometry, _TILE_PX).to_photo(mask)
        tiles.append(
            (f"mask-{index}", draw.objects_overlay(draw.shrink(photo, _TILE_PX), small[None]))
        )
    scale = "one scale" if style.shared_scale else "each map on its own scale"
    title = f"Last-block attention, {scale}; masks hold {mass:.0%} of each head's attention"
    yield "sheet.png", draw.encode_png(finish(draw.sheet(tiles, title=title)))
    yield "attention.npz", attention_npz(attention)


def layers_npz(looked: LayerAttention, *, logits: bool = False) -> bytes:
    """`layers.npz`: weights [L,Q,A,h,w], prefix [L,Q,A,1+R], layers, queries and how they came about.

    `logits` adds logits and prefix_logits of the same shapes. Where they were made: rollout
    [L,Q,h,w] and rollout_prefix [L,Q,1+R]; q, k, v [L,A,1+R+N,d].
    """
    arrays: dict[str, object] = {
        "weights": looked.weights,
        "prefix": looked.prefix,
        "layers": looked.layers,
        "queries": [query_name(query) for query in looked.queries],
        "grid": looked.geometry.grid,
        "original_hw": looked.geometry.original,
        "resized_hw": looked.geometry.resized,
        "weights_sha256": looked.weights_sha256,
        "precision": looked.precision,
    }
    if logits:
        arrays |= {"logits": looked.logits, "prefix_logits": looked.prefix_logits}
    if looked.rolled is not None:
        arrays |= {
            "rollout": looked.rolled.weights,
            "rollout_prefix": looked.rolled.prefix,
        }
    if looked.projected is not None:
        arrays |= {name: getattr(looked.projected, name) for name in "qkv"}
    return npz(arrays)


def layers_files(
    looked: LayerAttention,
    photo: np.ndarray,
    style: Style,
    *,
    logits: bool = False,
    random: bool = False,
) -> Iterator[File]:
    """A sheet of layers × heads a query, one of rollouts a query where they were made, the numbers.

    `logits` draws and saves q·k/√d in place of its softmax; `random` marks every sheet as made with
    random weights.
    """

    def finish(pixels: np.ndarray) -> bytes:
        return draw.encode_png(draw.mark_random(pixels) if random else pixels)

    for number, query in enumerate(looked.queries):
        name = query_name(query)
        slug = name.replace(":", "-")
        yield f"layers-{slug}.png", finish(_layer_sheet(looked, number, photo, style, logits))
        if looked.rolled is not None:
            yield f"rollout-{slug}.png", finish(_rollout_sheet(looked, number, photo, style))
    yield "layers.npz", layers_npz(looked, logits=logits)


def _layer_sheet(
    looked: LayerAttention, query: int, photo: np.ndarray, style: Style, logits: bool
) -> np.ndarray:
    tiles, heads = [], looked.weights.shape[2]
    width = min(max((_SHEET_PX - 12) // heads - 12, _MIN_TILE_PX), _MAX_TILE_PX)
    every = [looked.one(row, query, logits=logits) for row in range(len(looked.layers))]
    scaled = scaled_maps([one.weights for one in every], shared=style.shared_scale)
    for layer, one, maps in zip(looked.layers, every, scaled, strict=True):
        for head, values in enumerate(maps):
            picture = head_picture(values, one, photo, style, width=width)
            tiles.append((f"{layer}.{head}", picture))
    what = "Attention logits" if logits else "Attention"
    scale = "one scale" if style.shared_scale else "each map on its own scale"
    title = f"{what} of {query_name(looked.queries[query])}, block.head, {scale}"
    return draw.sheet(tiles, columns=heads, tile_px=width, title=title)


def _rollout_sheet(
    looked: LayerAttention, query: int, photo: np.ndarray, style: Style
) -> np.ndarray:
    tiles = []
    every = [looked.one_rolled(row, query) for row in range(len(looked.layers))]
    scaled = scaled_maps([one.weights for one in every], shared=style.shared_scale)
    for layer, one, maps in zip(looked.layers, every, scaled, strict=True):
        picture = head_picture(maps[0], one, photo, style, width=_MAX_TILE_PX)
        tiles.append((f"up to block {layer}", picture))
    title = f"Attention rollout of {query_name(looked.queries[query])}"
    return draw.sheet(tiles, columns=min(len(tiles), 6), tile_px=_MAX_TILE_PX, title=title)


def scaled_maps(maps: list[np.ndarray], *, shared: bool) -> list[np.ndarray]:
    """Maps [A,h,w] of several layers scaled to 0..1: each from its own range, or all from one."""
    stacked = np.stack(maps)
    scaled, _ = draw.normalize(stacked.reshape(-1, *stacked.shape[-2:]), shared=shared)
    return list(scaled.reshape(stacked.shape))
