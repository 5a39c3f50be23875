"""Masks by points and boxes, on features whose answer is known."""

import numpy as np
import pytest
from helpers.prompt_cases import prompted_mask

from dino.errors import UserError
from dino.masks.prompts import Prompt, prompted_objects

GRID = (4, 6)
# Three kinds of patches: sky, and two things at 60° of each other, in the lower half.
SKY, LEFT, RIGHT = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, np.sqrt(0.75)]


@pytest.fixture
def features() -> np.ndarray:
    field = np.zeros((*GRID, 3))
    field[:2] = SKY
    field[2:, :3] = LEFT
    field[2:, 3:] = RIGHT
    return field.reshape(-1, 3)


def drawn(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(GRID, dtype=bool)
    mask[rows, columns] = True
    return mask


def test_a_point_takes_what_is_like_it(features):
    mask = prompted_mask(features, GRID, points=[(3, 0, 1)], likeness=0.9)
    np.testing.assert_array_equal(mask, drawn(slice(2, 4), slice(0, 3)))
    # The other thing's cosine is 0.5, half of the way from the sky's 0.
    both = prompted_mask(features, GRID, points=[(3, 0, 1)], likeness=0.5)
    np.testing.assert_array_equal(both, drawn(slice(2, 4), slice(0, 6)))
    assert prompted_mask(features, GRID, points=[(3, 0, 1)], likeness=0.0).all()


def test_a_point_off_the_object_takes_away_what_is_nearer_to_it(features):
    points = [(3, 0, 1), (3, 5, -1)]
    mask = prompted_mask(features, GRID, points=points, likeness=0.4)
    np.testing.assert_array_equal(mask, drawn(slice(2, 4), slice(0, 3)))


def test_points_add_up(features):
    points = [(3, 0, 1), (2, 5, 1)]
    mask = prompted_mask(features, GRID, points=points, likeness=0.95)
    np.testing.assert_array_equal(mask, drawn(slice(2, 4), slice(0, 6)))


def test_painted_patches_are_points(features):
    rng = np.random.default_rng(2)
    for options in ({}, {"box": (1, 0, 4, 5)}):
        signs = rng.choice([-1, 0, 1], p=[0.2, 0.6, 0.2], size=GRID)
        points = [(r, c, int(signs[r, c])) for r, c in np.argwhere(signs).tolist()]
        painted = prompted_mask(features, GRID, painted=signs, **options)
        np.testing.assert_array_equal(
            painted, prompted_mask(features, GRID, points=points, **options)
        )
    scribble = np.zeros(GRID, dtype=np.int8)
    scribble[3, :2], scribble[0, 2:5], scribble[2, 4] = 1, -1, -1
    mask = prompted_mask(features, GRID, painted=scribble, likeness=0.4)
    np.testing.assert_array_equal(mask, drawn(slice(2, 4), slice(0, 3)))


def test_a_patch_painted_off_the_object_is_never_of_it():
    features = np.random.default_rng(3).normal(size=(24, 7)).astype(np.float32)
    painted = np.zeros(GRID, dtype=np.int8)
    painted[1], painted[2] = 1, -1
    mask = prompted_mask(features, GRID, painted=painted, likeness=0.0)
    assert mask[1].all()
    assert not mask[2].any()


def test_a_box_holds_back_a_point(features):
    mask = prompted_mask(features, GRID, points=[(3, 1, 1)], box=(3, 0, 4, 2), likeness=0.9)
    np.testing.assert_array_equal(mask, drawn(slice(3, 4), slice(0, 2)))


def test_a_box_alone_finds_the_thing_in_it(features):
    # The box holds the left thing and some sky around it; the sky outside says what is not meant.
    mask = prompted_mask(features, GRID, box=(1, 0, 4, 3))
    np.testing.assert_array_equal(mask, drawn(slice(2, 4), slice(0, 3)))


def test_a_box_of_everything_is_everything(features):
    assert prompted_mask(features, GRID, box=(0, 0, *GRID)).all()


def test_the_length_of_features_does_not_matter(features):
    lengths = np.random.default_rng(0).uniform(0.1, 10, (len(features), 1))
    for options in ({"points": [(3, 0, 1), (0, 0, -1)]}, {"box": (1, 0, 4, 3)}):
        np.testing.assert_array_equal(
            prompted_mask(features * lengths, GRID, **options),
            prompted_mask(features, GRID, **options),
        )


def test_the_point_itself_belongs_even_to_the_strictest_mask():
    features = np.random.default_rng(1).normal(size=(24, 7)).astype(np.float32)
    mask = prompted_mask(features, GRID, points=[(1, 4, 1)], likeness=1.0)
    np.testing.assert_array_equal(mask, drawn(slice(1, 2), slice(4, 5)))


def test_what_two_objects_would_have_goes_to_the_nearer(features):
    # At half of the way each would take both things.
    prompts = [Prompt([(3, 0, 1)]), Prompt([(3, 5, 1)]), Prompt()]
    masks = prompted_objects(features, GRID, prompts, likeness=0.5)
    np.testing.assert_array_equal(masks[0], drawn(slice(2, 4), slice(0, 3)))
    np.testing.assert_array_equal(masks[1], drawn(slice(2, 4), slice(3, 6)))
    assert not masks[2].any()


def test_objects_by_themselves_are_what_they_are_alone(features):
    prompts = [Prompt([(0, 0, 1)]), Prompt(box=(1, 0, 4, 3))]
    sky, thing = prompted_objects(features, GRID, prompts, likeness=0.9)
    np.testing.assert_array_equal(sky, drawn(slice(0, 2), slice(0, 6)))
    np.testing.assert_array_equal(thing, drawn(slice(2, 4), slice(0, 3)))
    assert prompted_objects(features, GRID, []).shape == (0, *GRID)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": [(4, 0, 1)]}, "expected row, column"),
        ({"points": [(0, 0, 2), (0, 0, 1)]}, "expected row, column"),
        ({"box": (0, 0, 5, 6)}, "within 4×6"),
        ({"box": (2, 0, 2, 6)}, "within 4×6"),
        ({"points": [(0, 0, 1)], "likeness": 1.5}, "likeness"),
        ({"painted": np.ones((3, 3), dtype=int)}, "for each of 4×6 patches"),
        ({"painted": np.full(GRID, 2)}, "for each of 4×6 patches"),
    ],
)
def test_what_cannot_be_meant_is_said(features, options, message):
    with pytest.raises(UserError, match=message):
        prompted_mask(features, GRID, **options)


@pytest.mark.parametrize("options", [{}, {"points": [(0, 0, -1)]}, {"painted": np.full(GRID, -1)}])
def test_an_object_that_is_not_pointed_at_has_no_patch(features, options):
    assert not prompted_mask(features, GRID, **options).any()


def test_features_of_another_grid_are_said(features):
    with pytest.raises(UserError, match="a row a patch"):
        prompted_mask(features, (3, 3), points=[(0, 0, 1)])
