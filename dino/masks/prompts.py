"""Masks by pointing: patches like the points on an object, unlike those off it, within a box.

    prompts = [Prompt(points=[(12, 7, 1), (3, 20, -1)]), Prompt(painted=signs)]
    masks = prompted_objects(features.patches, grid, prompts)      # bool [2,h,w]

Encode once, prompt many times: the features are of one forward, and each answer is a product with a
handful of them. Nothing is learned; that features of one object are alike is what DINO's training
brings about by itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dino.errors import UserError
from dino.features.correspondence import nearest_patches
from dino.features.neighbours import normalized

Point = tuple[int, int, int]
# (top, left, bottom, right) in patches, ends excluded.
PatchBox = tuple[int, int, int, int]

DEFAULT_LIKENESS = 0.5
# Rounds of two-means between a box's inside and its outside; it stands after a few.
_ROUNDS = 10


class Prompt(NamedTuple):
    """What says which object is meant: `points` (row, column, +1 on the object or -1 off it), a `box`
    (top, left, bottom, right; ends excluded) and `painted` patches, [h,w] of +1, -1 and 0 for neither."""

    points: Sequence[Point] = ()
    box: PatchBox | None = None
    painted: NDArray[np.integer] | None = None

    @property
    def is_enough(self) -> bool:
        """Whether an object follows from it: it has a box, or a patch on the object."""
        painted = self.painted is not None and bool((self.painted > 0).any())
        return self.box is not None or painted or any(sign > 0 for _, _, sign in self.points)

    def patches(self, sign: int, columns: int) -> list[int]:
        """List the numbers of the patches that are pointed at or painted with a sign."""
        pointed = {row * columns + column for row, column, own in self.points if own == sign}
        if self.painted is not None:
            pointed.update(np.flatnonzero(self.painted == sign).tolist())
        return sorted(pointed)


def prompted_objects(
    features: NDArray[np.floating],
    grid: tuple[int, int],
    prompts: Sequence[Prompt],
    *,
    likeness: float = DEFAULT_LIKENESS,
) -> NDArray[np.bool_]:
    """Choose the patches of several objects, which share none: bool [n,h,w].

    A patch belongs to an object when it is at least `likeness` of the way from the least alike patch to
    the points on the object (cosine to the nearest of them), nearer to one of these than to any off it,
    and in the box. Without points on the object the box alone decides: its patches that are nearer to the
    mean of its inside than to the mean of what lies outside. What two objects would have goes to the one
    it is nearer to.

    Args:
        features: [h·w,D], row by row.
        grid: (h, w) in patches.
        prompts: of each object; the mask of one that is not pointed at yet is empty.
        likeness: 0 takes all patches, 1 the points' own.
    Raises:
        UserError: a point, box or painting outside the grid, or likeness outside 0..1.
    """
    masks = np.zeros((len(prompts), *grid), dtype=bool)
    nearness = np.full((len(prompts), *grid), -np.inf)
    for number, prompt in enumerate(prompts):
        if prompt.is_enough:
            mask, near = _choose_patches(features, grid, prompt, likeness)
            masks[number], nearness[number] = mask, np.where(mask, near, -np.inf)
    if not len(prompts):
        return masks
    return masks & (np.arange(len(prompts))[:, None, None] == nearness.argmax(axis=0))


def _choose_patches(
    features: NDArray[np.floating],
    grid: tuple[int, int],
    prompt: Prompt,
    likeness: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Choose one object's patches: their mask, and each patch's cosine to the nearest point, or to the mean
    of the mask, both [h,w]."""
    _check(features, grid, prompt, likeness)
    vectors = normalized(features)
    on, off = (prompt.patches(sign, grid[1]) for sign in (1, -1))
    top, left, bottom, right = prompt.box or (0, 0, *grid)
    box = np.zeros(grid, dtype=bool)
    box[top:bottom, left:right] = True
    inside = box.ravel()
    if on:
        near = nearest_patches(vectors, vectors[on])[1]
        low = near.min()
        kept = near >= low + likeness * (1 - low) - 1e-6  # rounding must not lose the point itself
    else:
        kept = _inside_of_box(vectors, inside)
        near = (vectors @ normalized(vectors[kept].mean(axis=0)[None]).T)[:, 0]
    if off:
        kept = kept & (near > nearest_patches(vectors, vectors[off])[1])
    return (kept & inside).reshape(grid), near.reshape(grid)


def _inside_of_box(vectors: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Part a box by two-means that start from its inside and outside; what is outside stays there."""
    if inside.all():
        return inside
    kept = inside
    for _ in range(_ROUNDS):
        centres = normalized(np.stack([vectors[kept].mean(axis=0), vectors[~kept].mean(axis=0)]))
        cosines = vectors @ centres.T
        found = inside & (cosines[:, 0] >= cosines[:, 1])
        if not found.any() or (found == kept).all():
            break
        kept = found
    return kept


def _check(
    features: NDArray[np.floating],
    grid: tuple[int, int],
    prompt: Prompt,
    likeness: float,
) -> None:
    height, width = grid
    if features.ndim != 2 or len(features) != height * width:
        raise UserError(
            f"got features of shape {features.shape} for a grid of {height}×{width}; expected a row a "
            "patch"
        )
    if not 0 <= likeness <= 1:
        raise UserError(f"got likeness {likeness}; expected 0 to 1")
    for row, column, sign in prompt.points:
        if not (0 <= row < height and 0 <= column < width) or sign not in (-1, 1):
            raise UserError(
                f"got the point ({row}, {column}, {sign}); expected row, column in {height}×{width} "
                "patches, and +1 or -1"
            )
    painted = prompt.painted
    if painted is not None and (painted.shape != grid or not np.isin(painted, (-1, 0, 1)).all()):
        raise UserError(
            f"got a painting of shape {painted.shape}; expected +1, -1 or 0 for each of "
            f"{height}×{width} patches"
        )
    if prompt.box is not None:
        top, left, bottom, right = prompt.box
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise UserError(
                f"got the box {prompt.box}; expected one within {height}×{width} patches"
            )
