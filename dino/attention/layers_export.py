"""What `attend` writes of more than one layer or query: the same bytes for the app and the command.

`layers.npz` holds the numbers; `layers-QUERY.png` is a sheet with a row a layer and a column a head,
`rollout-QUERY.png` one with a picture a layer.
"""

from collections.abc import Iterator

import numpy as np

from dino.attention.files import File, Style, head_picture, npz
from dino.attention.layers import LayerAttention
from dino.media import draw
from dino.model.queries import query_name

# A sheet stays within this width and picture count whatever the number of heads.
_SHEET_PX, _MAX_TILE_PX, _MIN_TILE_PX = 1800, 240, 72


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
