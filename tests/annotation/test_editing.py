"""Painting on a smaller copy changes what was painted over, and nothing else."""

import numpy as np
import pytest
from helpers.annotation_cases import disc, state_of

from dino.annotation.editing import (
    Painted,
    apply_painting,
    apply_paintings,
    edit_size,
    reduce,
)
from dino.errors import UserError
from dino.media import regions


def test_painting_on_a_smaller_copy_changes_what_was_painted_only():
    rng = np.random.default_rng(1)
    mask = rng.random((300, 400)) < 0.5  # finer than any copy can show
    size = (75, 100)
    copy = reduce(mask, size)
    assert apply_painting(mask, copy) is mask
    painted = copy.copy()
    painted[10:20, 30:50] = True
    after = apply_painting(mask, painted)
    changed = np.zeros(size, bool)
    changed[10:20, 30:50] = ~copy[10:20, 30:50]
    wide = np.repeat(np.repeat(changed, 4, 0), 4, 1)
    assert after[wide].all()
    np.testing.assert_array_equal(after[~wide], mask[~wide])


def test_a_photo_up_to_the_limit_is_painted_on_as_it_is():
    assert edit_size((1200, 1600)) == (1200, 1600)
    assert edit_size((3000, 4000)) == (1200, 1600)
    assert edit_size((1, 40_000)) == (1, 1600)


def test_paintings_keep_what_was_not_touched_and_mark_what_was():
    left, right = disc((60, 40), 20), disc((60, 120), 20)
    before = state_of(left, right, status="todo")
    grown = left | disc((60, 60), 10)
    after = apply_paintings(
        before,
        [Painted(2, 0, right), Painted(1, 1, grown), Painted(7, 1, ~right)],
        size=left.shape,
        num_classes=2,
    )
    assert [(o.id, o.class_index, o.made) for o in after.objects] == [
        (2, 0, "proposed"),
        (1, 1, "edited"),
        (7, 1, "edited"),
    ]
    assert after.objects[0].counts == before.objects[1].counts
    np.testing.assert_array_equal(regions.decode(after.objects[1].counts, left.shape), grown)
    with pytest.raises(UserError, match="class 3 does not exist"):
        apply_paintings(before, [Painted(1, 2, left)], size=left.shape, num_classes=2)
    with pytest.raises(UserError, match="expected up to 9"):
        apply_paintings(before, [Painted(1, 0, left)] * 2, size=left.shape, num_classes=2)
