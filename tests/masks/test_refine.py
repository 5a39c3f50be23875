"""Edges drawn to a photo's own: against the filter written plainly, and on shapes of known edge."""

import numpy as np
import pytest

from dino.errors import UserError
from dino.masks import refine
from dino.masks.refine import grabcut, guided, refine_mask
from dino.media.regions import jaccard


def ellipse(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy photo of a bright ellipse on a dark ground, and the ellipse."""
    y, x = np.mgrid[0:height, 0:width]
    true = ((y / height - 0.5) / 0.33) ** 2 + ((x / width - 0.52) / 0.28) ** 2 < 1
    rgb = np.where(true[..., None], (210, 120, 60), (50, 90, 120))
    noise = np.random.default_rng(0).normal(0, 8, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8), true


def blocky(mask: np.ndarray, patch: int) -> np.ndarray:
    """The mask as patches: set where half a patch is."""
    height, width = (side // patch * patch for side in mask.shape)
    shares = mask[:height, :width].reshape(height // patch, patch, width // patch, patch)
    coarse = np.kron(shares.mean((1, 3)) >= 0.5, np.ones((patch, patch), bool))
    return np.pad(coarse, [(0, mask.shape[0] - height), (0, mask.shape[1] - width)], mode="edge")


def plain_guided(guide: np.ndarray, soft: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Equations 14 to 16 of He, Sun and Tang 2013, window by window."""
    height, width = soft.shape
    padded_guide = np.pad(guide, [(radius, radius)] * 2 + [(0, 0)], mode="symmetric")
    padded_soft = np.pad(soft, radius, mode="symmetric")
    side = 2 * radius + 1
    slope, offset = np.zeros((height, width, 3)), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            colours = padded_guide[y : y + side, x : x + side].reshape(-1, 3)
            values = padded_soft[y : y + side, x : x + side].ravel()
            spread = np.cov(colours.T, bias=True) + eps * np.eye(3)
            shared = ((colours - colours.mean(0)) * (values - values.mean())[:, None]).mean(0)
            slope[y, x] = np.linalg.solve(spread, shared)
            offset[y, x] = values.mean() - slope[y, x] @ colours.mean(0)
    return slope, offset


def test_the_guided_filters_coefficients_are_the_papers():
    rng = np.random.default_rng(1)
    guide = rng.random((9, 11, 3)).astype(np.float32)
    soft = (rng.random((9, 11)) > 0.5).astype(np.float32)
    slope, offset = plain_guided(guide, soft, 2, refine.GUIDED_EPS)
    padded = np.pad(slope, [(2, 2), (2, 2), (0, 0)], mode="symmetric")
    window = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(0, 1))
    ours_slope, ours_offset = refine._guided_coefficients(guide, soft, 2)
    np.testing.assert_allclose(ours_slope, window.mean((-2, -1)), atol=2e-4)
    window = np.lib.stride_tricks.sliding_window_view(np.pad(offset, 2, mode="symmetric"), (5, 5))
    np.testing.assert_allclose(ours_offset, window.mean((-2, -1)), atol=2e-4)


@pytest.mark.parametrize("method", ["guided", "grabcut"])
@pytest.mark.parametrize("size", [(150, 200), (900, 1200)])
def test_a_mask_of_patches_comes_closer_to_the_edge(method, size):
    rgb, true = ellipse(*size)
    coarse = blocky(true, max(size) // 12)
    before, after = jaccard(coarse, true), jaccard(refine_mask(rgb, coarse, method), true)
    assert before < 0.92
    assert after > 0.95


@pytest.mark.parametrize("method", ["guided", "grabcut"])
def test_the_same_photo_gives_the_same_mask_and_leaves_its_input_alone(method):
    rgb, true = ellipse(120, 160)
    coarse = blocky(true, 16)
    kept = rgb.copy(), coarse.copy()
    first = refine_mask(rgb, coarse, method)
    np.testing.assert_array_equal(first, refine_mask(rgb, coarse, method))
    np.testing.assert_array_equal(rgb, kept[0])
    np.testing.assert_array_equal(coarse, kept[1])
    assert first.dtype == bool


@pytest.mark.parametrize("method", refine.REFINEMENTS)
@pytest.mark.parametrize("value", [False, True])
def test_a_mask_without_an_edge_stays(method, value):
    rgb, _ = ellipse(40, 50)
    mask = np.full((40, 50), value)
    np.testing.assert_array_equal(refine_mask(rgb, mask, method), mask)


@pytest.mark.parametrize("method", ["guided", "grabcut"])
def test_thin_and_tiny_photos_and_masks_do_not_fail(method):
    rng = np.random.default_rng(2)
    for height, width in ((1, 9), (2, 2), (3, 800), (37, 41)):
        rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), bool)
        mask[0, 0] = True
        assert refine_mask(rgb, mask, method).shape == mask.shape
        assert refine_mask(rgb, ~mask, method).shape == mask.shape


def test_grabcut_keeps_its_core_and_its_distance():
    rgb, true = ellipse(120, 160)
    coarse = blocky(true, 16)
    labels = refine.draw_seeds(coarse)
    result = grabcut(rgb, coarse)
    assert result[labels == 1].all()
    assert not result[labels == 0].any()
    assert set(np.unique(labels)) == {0, 1, 2, 3}


@pytest.mark.parametrize("method", ["guided", "grabcut"])
def test_what_somebody_said_stays(method):
    """A mask of the ellipse and a piece of ground; a point off it on the ellipse's upper end."""
    rgb, true = ellipse(120, 160)
    coarse = blocky(true, 16)
    on, off = np.zeros_like(true), np.zeros_like(true)
    on[100:108, 4:12] = coarse[100:108, 4:12] = True  # ground, but said to belong
    coarse[24:40, 72:96] = False  # object, but said not to
    off[26:38, 76:92] = True
    assert (
        not refine_mask(rgb, coarse, method)[on].all()
        or refine_mask(rgb, coarse, method)[off].any()
    )
    result = refine_mask(rgb, coarse, method, on=on, off=off)
    assert result[on].all()
    assert not result[off].any()
    assert jaccard(result, true) > 0.7


def test_an_evenly_coloured_photo_gives_the_guided_filter_nothing_to_follow():
    rgb = np.full((60, 80, 3), 127, np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 20:60] = True
    # What is left is the mask's mean over two windows: straight edges stay where they were.
    result = guided(rgb, mask)
    assert result[20:40, 40].all()
    assert not result[:20, 40].any()


def test_wrong_sizes_and_names_are_refused():
    with pytest.raises(UserError, match="resize the mask"):
        refine_mask(np.zeros((4, 5, 3), np.uint8), np.ones((5, 4), bool), "guided")
    with pytest.raises(UserError, match="expected one of"):
        refine_mask(np.zeros((4, 5, 3), np.uint8), np.ones((4, 5), bool), "matting")
