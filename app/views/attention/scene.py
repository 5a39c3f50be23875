"""What the Attention page draws from: which rows were asked for, and how maps are drawn."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from app.cache import attention as cached_attention
from app.cache import pictures
from app.state.asked import LOGITS, PROBABILITIES, ROLLOUT, Asked
from app.state.selection import Choice
from dino.attention import files
from dino.attention.layers import LayerAttention
from dino.attention.photo import Attention
from dino.media import draw
from dino.model.backbone import Backbone


@dataclass(frozen=True)
class Scene:
    """The page's choice, what is asked, its rows, and how they are drawn.

    `attention.weights` [A,h,w] are probabilities or logits; one map of shares for a rollout.
    """

    choice: Choice
    backbone: Backbone
    asked: Asked
    attention: Attention
    style: files.Style

    @property
    def has_heads(self) -> bool:
        """Whether the maps are one a head; a rollout has its mean only."""
        return self.asked.method != ROLLOUT

    @property
    def unit(self) -> tuple[float, str]:
        """Factor and sign of the values shown."""
        return (1.0, "") if self.asked.method == LOGITS else (100.0, "%")

    def maps(self) -> tuple[list[str], np.ndarray, list[tuple[float, float]]]:
        """Names, maps scaled to 0..1 and their ranges: heads, "mean" and "max", or the rollout."""
        names, scaled, ranges = files.head_maps(self.attention, self.style)
        return (names, scaled, ranges) if self.has_heads else (["rollout"], scaled[:1], ranges[:1])

    def probabilities(self) -> np.ndarray:
        """[A,h,w] whatever is drawn, for figures that need shares."""
        if self.asked.method == PROBABILITIES:
            return self.attention.weights
        return looked(self.choice, self.backbone, self.asked).weights[0, 0]

    def draw(self, values: np.ndarray, width: int) -> np.ndarray:
        """One scaled map [h,w] over the photo, `width` px wide."""
        return next(self.draw_each([values], width))

    def draw_each(self, maps: Iterable[np.ndarray], width: int) -> Iterator[np.ndarray]:
        """Scaled maps [h,w], each over the photo, which is asked for once."""
        photo = pictures.shown(self.choice.photo, width)
        for values in maps:
            pixels = files.head_picture(values, self.attention, photo, self.style, width=width)
            yield self.marked(pixels)

    def marked(self, pixels: np.ndarray) -> np.ndarray:
        """The picture, saying so if it was made with random weights."""
        return draw.mark_random(pixels) if self.backbone.is_random else pixels


def looked(choice: Choice, backbone: Backbone, asked: Asked) -> LayerAttention:
    """The rows asked for, as they are saved."""
    return cached_attention.look(
        choice,
        backbone,
        asked=(asked.layer,),
        query=asked.query,
        rolled=asked.method == ROLLOUT,
    )


def looked_everywhere(choice: Choice, backbone: Backbone, asked: Asked) -> LayerAttention:
    """The same query in all blocks."""
    every = tuple(range(backbone.depth))
    rolled = asked.method == ROLLOUT
    return cached_attention.look(choice, backbone, asked=every, query=asked.query, rolled=rolled)


def rows(choice: Choice, backbone: Backbone, asked: Asked) -> Attention:
    """What is drawn; the first view's one forward where nothing else is asked for."""
    if asked.is_default(backbone):
        return pictures.attention(choice, backbone)[0]
    found = looked(choice, backbone, asked)
    if asked.method == ROLLOUT:
        return found.one_rolled(0, 0)
    return found.one(0, 0, logits=asked.method == LOGITS)
