"""Mass thresholding against the original's arrays and by hand; Jaccard by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dino.attention.mass import attention_mask, entropy, mass_mask
from dino.errors import UserError
from dino.media.regions import jaccard


@pytest.mark.parametrize("mass", [0.1, 0.3, 0.6, 0.9])
def test_mass_masks_equal_the_original(golden, mass):
    arrays = golden("threshold")
    weights = torch.from_numpy(arrays["attention"]).unflatten(-1, tuple(arrays["grid"].tolist()))
    np.testing.assert_array_equal(mass_mask(weights, mass), arrays[f"mask/{mass}"])


def test_mass_by_hand():
    weights = torch.tensor([[4.0, 3.0], [2.0, 1.0]])
    for mass, kept in ((0.3, 1), (0.4, 1), (0.41, 2), (0.7, 2), (0.71, 3), (0.9, 3), (0.91, 4)):
        expected = (weights.flatten() > 4 - kept).unflatten(0, (2, 2))
        assert torch.equal(mass_mask(weights, mass), expected), mass


def test_equal_patches_keep_exactly_the_share():
    weights = torch.full((10, 10), 0.01)
    for percent in range(1, 101):
        assert mass_mask(weights, percent / 100).sum() == percent


def test_all_of_the_mass_leaves_out_only_patches_without_any():
    weights = torch.tensor([[0.0, 0.5], [0.25, 0.25]])
    assert mass_mask(weights, 1.0).tolist() == [[False, True], [True, True]]
    assert not mass_mask(torch.zeros(3, 3), 0.6).any()


@given(
    st.lists(st.floats(0, 1, width=32), min_size=6, max_size=6).filter(lambda v: sum(v) > 1e-3),
    st.floats(0.01, 1.0),
)
def test_a_mask_holds_the_mass_and_one_patch_less_does_not(values, mass):
    weights = torch.tensor(values, dtype=torch.float64).reshape(2, 3)
    kept = weights[mass_mask(weights, mass)]
    total = weights.sum()
    assert kept.sum() >= mass * total - 1e-9
    assert kept.sum() - kept.min() < mass * total + 1e-9


@pytest.mark.parametrize("mass", [0, -0.1, 1.01, math.nan])
def test_a_mass_outside_its_range_is_refused(mass):
    with pytest.raises(UserError, match="above 0 and up to 1"):
        mass_mask(torch.ones(2, 2), mass)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_weights_must_be_shares(bad):
    with pytest.raises(UserError, match="finite and non-negative"):
        mass_mask(torch.tensor([[1.0, bad]]), 0.5)


def test_union_keeps_what_any_head_keeps_and_mean_thresholds_the_mean():
    weights = torch.tensor([[[0.9, 0.1, 0.0]], [[0.0, 0.2, 0.8]]])
    assert attention_mask(weights, 0.6, combine="union").tolist() == [[True, False, True]]
    assert attention_mask(weights, 0.4, combine="mean").tolist() == [[True, False, False]]
    assert attention_mask(weights, 0.6, heads=[1]).tolist() == [[False, False, True]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": []}, "no head was chosen"),
        ({"heads": [0, 2]}, "head 2 does not exist; there are 2"),
        ({"combine": "all"}, "combine"),
    ],
)
def test_bad_combinations_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        attention_mask(torch.ones(2, 3, 3), 0.6, **options)


def test_entropy_of_even_and_of_single_attention():
    even, single = torch.ones(4, 4), torch.zeros(4, 4)
    single[1, 2] = 0.3
    assert entropy(torch.stack([even, single])).tolist() == pytest.approx([4.0, 0.0], abs=1e-9)


def test_jaccard_by_hand():
    left = np.array([[1, 1, 0], [0, 0, 0]], bool)
    right = np.array([[0, 1, 1], [0, 0, 0]], bool)
    assert jaccard(left, right) == pytest.approx(1 / 3)
    assert jaccard(left, left) == 1.0
    assert jaccard(left, ~left) == 0.0
    assert jaccard(np.zeros((2, 2)), np.zeros((2, 2))) == 1.0
    with pytest.raises(UserError, match="differ in shape"):
        jaccard(left, right.T)
