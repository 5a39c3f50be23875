"""Show all blocks and heads at once, as small pictures that lead to the large one."""

import cv2
import numpy as np
import streamlit as st

from app.components.map_grid.component import map_grid
from app.state.asked import set_asked
from app.ui import layout
from app.views.attention.scene import Scene
from dino.attention.files import scaled_maps
from dino.attention.photo import ROLLOUT
from dino.media import draw

# Of the one picture all maps are sent as.
_SPRITE_PX, _MAX_TILE_PX, _MIN_TILE_PX = 1200, 120, 40
# So small a picture has no edges to follow.
_RESIZING = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "guided": cv2.INTER_CUBIC,
}


def show(scene: Scene, head: int) -> None:
    """Draw the grid of the asked query; choosing a map makes it the large one."""
    asked, attention = scene.asked, scene.every_block()
    blocks = attention.layers[::-1]  # the last, where most begin, on top
    values = attention.values(asked.method)[0][::-1, 0]
    maps = scaled_maps(values, shared=scene.style.shared_scale, scale=scene.style.scale)
    columns = [str(number) for number in range(maps.shape[1])] if scene.has_heads else [""]
    what = "rollout up to block" if asked.method == ROLLOUT else "block"

    def choose(row: int, column: int) -> None:
        set_asked(layer=str(blocks[row]))
        if scene.has_heads:
            set_asked(head=str(column))

    map_grid(
        "layer_grid",
        sprite=draw.encode_jpeg(layout.marked(_sprite(scene, maps), scene.backbone)),
        rows=list(map(str, blocks)),
        columns=columns,
        titles=[
            [f"{what} {block}" + (f", head {column}" if column else "") for column in columns]
            for block in blocks
        ],
        chosen=(blocks.index(asked.layer), head if head < len(columns) else -1),
        aspect=_aspect(scene),
        label=f"Attention of {asked.token}: blocks from the last to the first, heads across",
        on_choose=choose,
    )
    rows = "rows are the blocks it goes up to" if asked.method == ROLLOUT else "rows are blocks"
    across = ", columns heads" if scene.has_heads else ""
    st.caption(
        f"{asked.token[0].upper()}{asked.token[1:]}; {rows}, the last on top{across}. Choose one to enlarge it."
    )


def _sprite(scene: Scene, maps: np.ndarray) -> np.ndarray:
    """Draw all maps without gaps, each over the photo."""
    width = min(max(_SPRITE_PX // maps.shape[1], _MIN_TILE_PX), _MAX_TILE_PX)
    size = (width, max(1, round(width / _aspect(scene))))
    photo = cv2.resize(scene.photo(_MAX_TILE_PX), size, interpolation=cv2.INTER_AREA)
    if scene.style.under == "grey":
        photo = draw.grey(photo)
    flag = _RESIZING[scene.style.interpolation]

    def tile(values: np.ndarray) -> np.ndarray:
        enlarged = cv2.resize(values.astype(np.float32), size, interpolation=flag)
        colours = draw.colorize(enlarged, scene.style.colormap)
        return draw.overlay(photo, colours, scene.style.opacity)

    return np.vstack([np.hstack([tile(values) for values in heads]) for heads in maps])


def _aspect(scene: Scene) -> float:
    height, width = scene.attention.geometry.original
    return width / height
