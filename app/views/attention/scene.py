"""Gather what the Attention page draws from: the photo, the rows asked for, and how maps are drawn."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from app.cache import attention as cached_attention
from app.cache import pictures
from app.state.asked import Asked
from app.state.selection import Choice
from app.ui import layout
from dino.attention import files
from dino.attention.mass import DEFAULT_MASS
from dino.attention.photo import LOGITS, ROLLOUT, PhotoAttention
from dino.media import draw
from dino.model.backbone import Backbone


@dataclass(frozen=True)
class Scene:
    """The page's choice, what is asked, its rows, and how they are drawn.

    `attention` has one block and query, with logits and rollout where they are drawn. `mass` is the share of
    a head's attention that masks hold, outlined or in files.
    """

    choice: Choice
    backbone: Backbone
    asked: Asked
    attention: PhotoAttention
    style: files.Style
    mass: float = DEFAULT_MASS

    @property
    def has_heads(self) -> bool:
        """Whether the maps are one a head; a rollout has its mean only."""
        return self.asked.method != ROLLOUT

    @property
    def unit(self) -> tuple[float, str]:
        """Give factor and sign of the values shown."""
        return (1.0, "") if self.asked.method == LOGITS else (100.0, "%")

    @property
    def names(self) -> list[str]:
        """Name the maps as files have them: heads, "mean" and "max", or the rollout."""
        heads = [f"head-{head}" for head in range(self.backbone.num_heads)]
        return [*heads, "mean", "max"] if self.has_heads else ["rollout"]

    def maps(self) -> tuple[list[str], np.ndarray, list[tuple[float, float]]]:
        """Give names, maps scaled to 0..1 and their ranges: heads, "mean" and "max", or the rollout."""
        drawn = self.attention.select(0, 0, self.asked.method)
        names, scaled, ranges = files.head_maps(drawn, self.style)
        return (names, scaled, ranges) if self.has_heads else (["rollout"], scaled[:1], ranges[:1])

    def photo(self, width: int | None = None) -> np.ndarray:
        """Give the photo's pixels at its own size, or at most `width` px wide."""
        photo = self.choice.photo
        return pictures.pixels(photo) if width is None else pictures.shown(photo, width)

    def draw(self, values: np.ndarray, width: int | None = None) -> np.ndarray:
        """Draw one scaled map [h,w] over the photo at its own size, or `width` px wide."""
        return next(self.draw_each([values], width))

    def draw_each(self, maps: Iterable[np.ndarray], width: int | None) -> Iterator[np.ndarray]:
        """Draw scaled maps [h,w], each over the photo, which is fetched once."""
        photo, geometry = self.photo(width), self.attention.geometry
        for values in maps:
            picture = files.head_picture(values, geometry, photo, self.style, width=width)
            yield layout.marked(picture, self.backbone)

    def show_values(self, values: np.ndarray, width: int, *, alt: str) -> None:
        """Show values [h,w] of patches over the photo `width` px wide, with a bar of their range."""
        scaled, _ = draw.normalize(values[None])
        layout.picture(self.draw(scaled[0], width), alt=alt)
        layout.colour_bar(self.style.colormap, float(values.min()), float(values.max()), "")

    def every_block(self) -> PhotoAttention:
        """Read the same query in all blocks."""
        return cached_attention.rows(
            self.choice,
            self.backbone,
            blocks=tuple(range(self.backbone.depth)),
            query=self.asked.query,
            rolled=not self.has_heads,
        )[0]
