"""Keys of a photo's patches in the last block, and the objects that `methods` finds in them.

    found = dino.discover(backbone, image, method="maskcut")         # image as for `attention`
    kept = photo_keys(backbone, rgb, size=480)                       # one forward
    kept.last.joined((0, 2))                                         # [N, heads·d], for `methods.discover`

The papers compare keys as DINO's first networks make them. A constant added to all keys of a photo
changes no attention, so training does not hold it in place: in some networks, DINOv2's among them, it
outweighs all else, every key is like every other, and there is nothing to cut. `KEYS` says what is
taken out before keys are compared.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dino.attention import photo
from dino.attention.mass import check_heads
from dino.errors import UserError
from dino.masks.discovery import methods
from dino.masks.discovery.methods import Discovery
from dino.media.geometry import Geometry
from dino.model import forward
from dino.model.backbone import AttentionMaps, Backbone

# "plain": nothing, as the papers; "unbiased": the bias of the block's keys (DINOv3 masks it);
# "centered": the mean key of the photo's patches; "auto": the bias, and the mean where it still
# outweighs what sets the patches apart.
KEYS = ("auto", "plain", "unbiased", "centered")


@dataclass(frozen=True)
class LastKeys:
    """Keys of the last block's patch tokens, `keys` [A,N,d], and the `bias` [A,d] that is part of
    each; float32."""

    keys: NDArray[np.float32]
    bias: NDArray[np.float32]

    def joined(
        self, heads: Sequence[int] | None = None, *, kind: str = "auto"
    ) -> NDArray[np.float32]:
        """Join keys of some heads (None: all) side by side, [N, heads·d], without what `kind` takes out.

        Raises:
            UserError: a head or a kind that does not exist.
        """
        check_keys(kind)
        chosen = list(range(len(self.keys)) if heads is None else heads)
        check_heads(chosen, len(self.keys))
        keys = self.keys[chosen]
        if kind in ("auto", "unbiased"):
            keys = keys - self.bias[chosen][:, None]
        joined = keys.transpose(1, 0, 2).reshape(keys.shape[1], -1)
        mean = joined.mean(axis=0)
        apart = joined - mean
        if kind == "auto" and (mean**2).sum() <= (apart**2).sum(axis=1).mean():
            return joined
        return apart if kind in ("auto", "centered") else joined


@dataclass(frozen=True)
class PatchKeys:
    """The last block's keys of one photo, and how its patches lie in it."""

    last: LastKeys
    geometry: Geometry
    weights_sha256: str
    precision: str

    @property
    def num_heads(self) -> int:
        return len(self.last.keys)


def check_keys(kind: str) -> None:
    """Raise a `UserError` unless `kind` is one of `KEYS`."""
    if kind not in KEYS:
        raise UserError(f"keys is {kind!r}; expected one of {', '.join(KEYS)}")


def discover(
    backbone: Backbone,
    image: Tensor,
    *,
    method: str = "tokencut",
    keys: str = "auto",
    **options: Any,
) -> Discovery:
    """Find the objects of one photo without labels.

    Args:
        image: [1,3,H,W] as `dino.preprocess` gives it.
        method: "lost", "tokencut" or "maskcut"; options as those take them.
        keys: one of `KEYS`; "plain" is the papers' protocol.
    Raises:
        UserError: a network without self-attention, an unknown method, or too many patches.
    """
    found, grid = last_keys(backbone, image)
    return methods.discover(found.joined(kind=keys), grid, method=method, **options)


def photo_keys(
    backbone: Backbone, rgb: NDArray[np.uint8], *, size: int, fit: str = "floor"
) -> PatchKeys:
    """Compute the keys of a photo, uint8 [H,W,3]; arguments and errors as in `photo.attend`."""
    backbone.check_attention()
    image, geometry = photo.prepare(backbone, rgb, size, fit)
    keys, _ = last_keys(backbone, image)
    return PatchKeys(keys, geometry, backbone.weights_sha256, backbone.precision)


def last_keys(backbone: Backbone, image: Tensor) -> tuple[LastKeys, tuple[int, int]]:
    """Compute the last block's keys and the grid (h, w), of one forward on [1,3,H,W]."""
    entering, grid = _entering_last(backbone, image)
    return _keys(backbone, entering, grid), grid


def attention_and_keys(backbone: Backbone, image: Tensor) -> tuple[AttentionMaps, LastKeys]:
    """Compute the attention of the default query and what `last_keys` gives, of one forward."""
    entering, grid = _entering_last(backbone, image)
    last, query = backbone.depth - 1, backbone.default_query
    maps = backbone.attention_from([(last, entering)], grid, queries=(query,))
    return maps, _keys(backbone, entering, grid)


def _entering_last(backbone: Backbone, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Compute the tokens that enter the last block."""
    backbone.check_attention()
    grid = backbone.check_images(image)
    with torch.no_grad():
        states = backbone.states(image, grid, until=backbone.depth - 1)
        return deque(states, maxlen=1).pop(), grid


def _keys(backbone: Backbone, entering: Tensor, grid: tuple[int, int]) -> LastKeys:
    """Take the last block's keys before they are turned by position: what a patch holds, not where it is."""
    last = backbone.depth - 1
    with torch.no_grad():
        _, keys, _ = forward.queries_keys_values(
            backbone.module, last, entering, backbone.places(grid), turned=False
        )
    patches = keys[0, :, backbone.num_prefix :].cpu().numpy()
    return LastKeys(patches, forward.key_bias(backbone.module, last).cpu().numpy())
