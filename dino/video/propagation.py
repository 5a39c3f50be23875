"""Labels of a video's first frame carried to the frames after it, by what patches look like.

    for frame in propagate(features, first, size=(480, 832)):     # features: [N, D] a frame
        frame.labels                                              # uint8 [480, 832]

Each patch takes the labels of the patches most like it, among those near its place in the first frame
and the few frames before; nothing is learned or adjusted. Frames come and go one at a time, so memory
does not grow with the length of the video.

Source: the DAVIS protocol of Caron et al. 2021 (Table 5), after Jabri et al. 2020 and UVC.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dino.errors import UserError

# Rows and columns of patches that are looked up together. Larger tiles compare more in vain, smaller
# ones copy more: of those tried, from 1×104 to 8×26, this was quickest at 60×104 patches (1.2 s a
# frame on one core; whole rows 2.7 s) and as quick as any at 30×52.
_TILE = (8, 13)
# A class whose values differ by less than this share of the largest is the same everywhere.
_FLAT = 1e-5
_MAX_CLASSES = 256  # a label is a byte


@dataclass(frozen=True)
class PropagationSettings:
    """How labels are carried; the defaults are the paper's.

    Args:
        top_k: patches whose labels one patch takes, over all context frames together; at least 1.
            Those that tie with the last one count too.
        window: rows and columns of patches that a source may lie away; 0 means anywhere.
        context: frames just before the frame, beside the first; 0 leaves the first alone.
        temperature: a source weighs exp(cosine / temperature); above 0.
    Raises:
        UserError: out of range.
    """

    top_k: int = 5
    window: int = 12
    context: int = 7
    temperature: float = 0.1

    def __post_init__(self) -> None:
        if self.top_k < 1 or min(self.window, self.context) < 0 or not self.temperature > 0:
            raise UserError(
                f"got top-k {self.top_k}, window {self.window}, context {self.context} and "
                f"temperature {self.temperature}; expected at least 1, 0, 0 and above 0"
            )


@dataclass(frozen=True)
class FrameLabels:
    """One frame's result: `soft` [K,h,w] shares of the classes, which add up to 1 in each patch, and
    `labels` uint8 [H,W], the winner at each pixel."""

    soft: Tensor
    labels: Tensor


@torch.no_grad()
def propagate(
    features: Iterable[Tensor],
    first: Tensor,
    *,
    size: tuple[int, int],
    settings: PropagationSettings | None = None,
) -> Iterator[FrameLabels]:
    """Carry the first frame's labels to each frame after it.

    Args:
        features: patch tokens [N,D] of each frame, row by row, the first frame's first; any scale.
            They are taken as they are needed, and results come on their device.
        first: the first frame's labels at the patches, whole numbers [h,w] with N = h·w; class 0 is
            the background, and there are as many classes as the largest label says.
        size: (H, W) px of the label maps, usually the network's input.
    Yields:
        One `FrameLabels` for each frame but the first.
    Raises:
        UserError: no frame, features of another shape, or labels that are not 0 to 255.
    """
    settings = settings or PropagationSettings()
    known = _one_hot(first)
    grid = (first.shape[0], first.shape[1])
    numbered = enumerate(features)
    start = next(numbered, None)
    if start is None:
        raise UserError("there is no frame to carry labels from; pass the first frame's features")
    normalised = _normalised(start[1], grid, 0)
    memory = _Memory(normalised, known.to(normalised), settings.context)
    tiles = _tiles(grid, settings.window, normalised.device)
    for number, tokens in numbered:
        normalised = _normalised(tokens, grid, number, dim=normalised.shape[2])
        soft = _labels_of(normalised, memory, tiles, settings)
        memory.keep(normalised, soft)
        by_class = soft.permute(2, 0, 1)
        yield FrameLabels(by_class, label_map(by_class, size))


def label_map(soft: Tensor, size: tuple[int, int]) -> Tensor:
    """Choose the winning class of each pixel.

    Shares [K,h,w] are enlarged bilinearly to `size` (H, W) px, each class is stretched to 0…1 over
    the frame, and the largest wins, the first of equals. The stretching keeps small objects, whose
    largest share is far from 1, from losing to the background everywhere. A class that is alike all
    over is left as it is.

    Returns:
        uint8 [H,W].
    """
    values = F.interpolate(soft[None], size=size, mode="bilinear", align_corners=False)[0]
    low, high = values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)
    flat = high - low <= _FLAT * high
    stretched = torch.where(flat, values, (values - low) / torch.where(flat, 1, high - low))
    return stretched.argmax(dim=0).to(torch.uint8)


def _one_hot(first: Tensor) -> Tensor:
    """Spread labels [h,w] to float32 [h,w,K]."""
    if first.ndim != 2 or first.is_floating_point() or not first.numel():
        raise UserError(
            f"the first labels are {first.dtype} of shape {tuple(first.shape)}; expected whole "
            "numbers [h, w], one a patch"
        )
    low, high = int(first.min()), int(first.max())
    if low < 0 or high >= _MAX_CLASSES:
        raise UserError(f"the first labels go from {low} to {high}; expected 0 to 255")
    return F.one_hot(first.long(), high + 1).float()


def _normalised(
    tokens: Tensor, grid: tuple[int, int], number: int, *, dim: int | None = None
) -> Tensor:
    """Bring tokens of frame `number` to float32 [h,w,D] of length 1; `dim` says what D must be."""
    fits = tokens.ndim == 2 and len(tokens) == grid[0] * grid[1]
    if not fits or (dim is not None and tokens.shape[1] != dim):
        raise UserError(
            f"frame {number} has features of shape {tuple(tokens.shape)}; expected "
            f"[{grid[0] * grid[1]}, {dim or 'D'}], one a patch of the first labels' {grid[0]}×{grid[1]}"
        )
    return F.normalize(tokens.float(), dim=1).unflatten(0, grid)


class _Memory:
    """Features [h,w,S,D] and labels [h,w,S,K] of the context, S frames, the oldest overwritten."""

    def __init__(self, features: Tensor, labels: Tensor, context: int) -> None:
        self._features, self._labels = (
            torch.empty(*values.shape[:2], 1 + context, values.shape[2]).to(values)
            for values in (features, labels)
        )
        self._features[:, :, 0], self._labels[:, :, 0] = features, labels
        self._kept, self._context = 0, context

    def keep(self, features: Tensor, labels: Tensor) -> None:
        if self._context:
            slot = 1 + self._kept % self._context
            self._features[:, :, slot], self._labels[:, :, slot] = features, labels
            self._kept += 1

    def at(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """Give features [P·S,D] and labels [P·S,K] of a rectangle of P patches."""
        used = 1 + min(self._kept, self._context)
        return (
            self._features[rows, columns, :used].flatten(0, 2),
            self._labels[rows, columns, :used].flatten(0, 2),
        )


@dataclass(frozen=True)
class _Tile:
    """Patches that are looked up together (`rows`, `columns`) and the rectangle that holds all their
    windows; `outside` [M,P,1] is what lies outside a patch's own, None where nothing does."""

    rows: slice
    columns: slice
    source_rows: slice
    source_columns: slice
    outside: Tensor | None


def _tiles(grid: tuple[int, int], window: int, device: torch.device) -> list[_Tile]:
    """Cut the grid into rectangles."""
    reach = window or max(grid)
    spans: list[list[tuple[slice, slice, Tensor]]] = []
    for length, step in zip(grid, _TILE, strict=True):
        spans.append([])
        for start in range(0, length, step):
            stop = min(start + step, length)
            low, high = max(start - reach, 0), min(stop + reach, length)
            apart = torch.arange(start, stop)[:, None] - torch.arange(low, high)
            spans[-1].append((slice(start, stop), slice(low, high), apart.abs() > reach))
    found = []
    for (rows, source_rows, far_rows), (columns, source_columns, far_columns) in itertools.product(
        *spans
    ):
        far = far_rows[:, None, :, None] | far_columns[None, :, None, :]
        outside = far.flatten(2).flatten(0, 1)[..., None].to(device)
        found.append(
            _Tile(rows, columns, source_rows, source_columns, outside if far.any() else None)
        )
    return found


def _labels_of(
    features: Tensor, memory: _Memory, tiles: list[_Tile], settings: PropagationSettings
) -> Tensor:
    """Compute shares [h,w,K] of a frame with normalised features [h,w,D]."""
    found: Tensor | None = None
    for tile in tiles:
        queries = features[tile.rows, tile.columns]
        sources, labels = memory.at(tile.source_rows, tile.source_columns)
        cosines = queries.flatten(0, 1) @ sources.T  # [M,P·S]
        if tile.outside is not None:
            by_slot = cosines.view(*tile.outside.shape[:2], -1)
            by_slot.masked_fill_(tile.outside, -torch.inf)
        soft = _weighted(cosines, labels, settings)
        if found is None:
            found = soft.new_empty(*features.shape[:2], soft.shape[1])
        found[tile.rows, tile.columns] = soft.view(*queries.shape[:2], -1)
    assert found is not None
    return found


def _weighted(cosines: Tensor, labels: Tensor, settings: PropagationSettings) -> Tensor:
    """Weigh labels [M,K] over the `top_k` largest of cosines [M,S] and whatever equals the last."""
    count = min(settings.top_k, cosines.shape[1])
    more = min(count + 1, cosines.shape[1])
    values, places = cosines.topk(more, dim=1)
    shares = (values[:, :count] / settings.temperature).softmax(dim=1)
    soft = torch.einsum("mk,mkc->mc", shares, labels[places[:, :count]])
    if more > count:  # in a still picture a patch finds itself in every frame: more tie than fit
        last = values[:, count - 1]
        tied = (values[:, count] == last) & (last > -torch.inf)
        if tied.any():
            kept = cosines[tied].masked_fill(cosines[tied] < last[tied, None], -torch.inf)
            soft[tied] = (kept / settings.temperature).softmax(dim=1) @ labels
    return soft
