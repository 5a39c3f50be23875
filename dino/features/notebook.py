"""Show a photo's attention in a notebook, with the canvas of the app: `dino.show(backbone, rgb)`.

Pointing compares patches, a click asks what a patch looks at, and heads, scale, colours and masks change while a
hand moves. It works in Jupyter, VS Code and Colab, by anywidget.
"""

from functools import cache
from typing import Any

import numpy as np

from dino.attention.photo import photo_attention, prepare
from dino.canvas import scripts
from dino.canvas.content import Blob, MapSet, Panel, Picked, content, map_values, read_pick
from dino.canvas.look import Look, read_look
from dino.errors import UserError
from dino.features.neighbours import normalized
from dino.media.draw import RANDOM_MARK, encode_jpeg, shrink
from dino.media.geometry import Geometry
from dino.model.backbone import Backbone
from dino.model.queries import Query, query_words

_PHOTO_PX = 1200
_HINT = "Point at a patch to see which are like it; click it to see what it looks at."
_HELP = "Arrow keys move over the patches, Enter asks what one looks at, Escape returns, digits choose a head."


def show(
    backbone: Backbone,
    rgb: np.ndarray,
    *,
    size: int = 480,
    layer: int = -1,
    query: Query | None = None,
    **look: Any,
) -> Any:
    """Show the attention of a photo as a widget that answers to pointer, keys and fingers.

    Args:
        rgb: uint8 [H,W,3].
        size: longer side in px of what the network sees.
        layer: block number; negative counts from the end.
        query: as in `Backbone.attention`; None: `Backbone.default_query`.
        look: fields of `dino.canvas.look.Look`, such as `head="3"`, `smooth="sharp"`, `outline=60`.
    Returns:
        An anywidget. Its `weights` are the maps [A,h,w] shown, its `query` what they are asked for, its
        `look` what is chosen, and `mask(mass=0.6)` is that of the large map, at the photo's pixels.
    Raises:
        UserError: anywidget is missing, a network without attention, a photo too large, an unknown look.
    """
    backbone.check_attention()
    made = _widget_class()()
    made.begin(backbone, rgb, size=size, layer=layer, query=query, look=look)
    return made


def head_names(num_heads: int) -> tuple[str, ...]:
    """Name a block's heads as a look has them, and their mean and maximum."""
    return (*map(str, range(num_heads)), "mean", "max")


def with_mean_and_max(heads: np.ndarray) -> np.ndarray:
    """Put mean and maximum behind heads, [A,h,w] → [A+2,h,w]."""
    return np.concatenate([heads, heads.mean(0)[None], heads.max(0)[None]])


@cache
def _widget_class() -> Any:
    """Make the class on first use: the core has no anywidget."""
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise UserError(
            "the canvas of a notebook needs anywidget, which is not installed; `pip install anywidget` and "
            "run this again"
        ) from error

    class AttentionCanvas(anywidget.AnyWidget):
        """The canvas of one photo: what a browser sees of it in traits, and its answers to clicks."""

        _esm = scripts.NOTEBOOK
        markup = traitlets.Unicode(scripts.MARKUP).tag(sync=True)
        style = traitlets.Unicode(scripts.NOTEBOOK_STYLE).tag(sync=True)
        # Bytes by the hash of their content: photo and features, and the maps, which a click changes.
        still = traitlets.Dict().tag(sync=True)
        maps = traitlets.Dict().tag(sync=True)
        data = traitlets.Dict().tag(sync=True)

        def begin(
            self,
            backbone: Backbone,
            rgb: np.ndarray,
            *,
            size: int,
            layer: int,
            query: Query | None,
            look: dict[str, Any],
        ) -> None:
            """Look at the photo, and show it."""
            self._backbone, self._layer, self._heard = backbone, backbone.layer_index(layer), 0
            self._names = head_names(backbone.num_heads)
            self.look: Look = read_look(look, self._names)
            self._image, self.geometry = prepare(backbone, rgb, size, "floor")
            features = normalized(backbone.tokens(self._image).patches[0].cpu().numpy())
            photo = Blob.of(encode_jpeg(shrink(rgb, _PHOTO_PX)))
            half = Blob.of(features.astype("<f2").tobytes())
            self._panel = _panel(self.geometry, photo, half)
            self.still = {blob.id: blob.data for blob in (photo, half)}
            self.ask(query)
            self.on_msg(lambda _, message, buffers: self.hear(message))

        def ask(self, query: Query | None = None) -> None:
            """Show the attention of another query; None: that of the network's default."""
            self.query: Query = self._backbone.default_query if query is None else query
            rows = self._backbone.attention(
                self._image, layers=(self._layer,), queries=(self.query,)
            )
            self.weights = photo_attention(self._backbone, rows, self.geometry).heads
            self._told = _maps_of(
                self._backbone, self.weights, self._names, self._layer, self.query
            )
            self._show()

        def hear(self, message: Any) -> None:
            """Take what the browser says: a patch that was picked, or how the maps look."""
            if not isinstance(message, dict):
                return
            if message.get("picked") is not None:
                picked = read_pick(message["picked"], [self._panel])
                self.ask((picked.row, picked.column) if picked else None)
            if message.get("look") is not None:
                self.look = read_look(message["look"], self._names)
                number = message["look"].get("number")
                self._heard = number if type(number) is int else 0

        def mask(self, mass: float = 0.6) -> np.ndarray:
            """Make the mask that holds a share of the large map, bool [H,W] at the photo's pixels."""
            import torch

            from dino.attention.mass import mass_mask

            shown = with_mean_and_max(self.weights)[self._names.index(self.look.head)]
            kept = mass_mask(torch.from_numpy(shown), mass).numpy()
            return self.geometry.to_photo(kept)

        def _show(self) -> None:
            chosen = Picked(0, *self.query) if isinstance(self.query, tuple) else None
            with self.hold_sync():
                self.maps = {self._told.values.id: self._told.values.data}
                self.data = content(
                    [self._panel],
                    hint=_HINT,
                    help_text=_HELP,
                    maps=self._told.message(self.look, self._heard),
                    chosen=vars(chosen) if chosen else None,
                    picks=True,
                    follow_picks=False,
                )

    return AttentionCanvas


def _panel(geometry: Geometry, photo: Blob, features: Blob) -> Panel:
    height, width = geometry.crop[2:]
    return Panel(
        photo=photo,
        alt="the photo",
        rows=geometry.grid[0],
        columns=geometry.grid[1],
        width=width,
        height=height,
        features=features,
    )


def _maps_of(
    backbone: Backbone, heads: np.ndarray, names: tuple[str, ...], layer: int, query: Query
) -> MapSet:
    asked = query_words(query)
    block = "the last block" if layer == backbone.depth - 1 else f"block {layer}"
    return MapSet(
        values=map_values(with_mean_and_max(heads)),
        names=names,
        titles=tuple(f"Head {name}" if name.isdecimal() else name.capitalize() for name in names),
        of=f"of {block}, query {asked}",
        what=f"attention of {asked}",
        factor=100.0,
        unit="%",
        mark=RANDOM_MARK if backbone.is_random else "",
    )
