"""Discovery without labels: small graphs by hand, planted objects, and what must not matter."""

import itertools

import numpy as np
import pytest
from scipy.linalg import eigh

import dino
from dino.errors import UserError
from dino.masks.discovery.cut import EPSILON, second_eigenvector, similar_edges
from dino.masks.discovery.methods import (
    MAX_PATCHES,
    METHODS,
    count_corners,
    degrees,
    discover,
    expand_seed,
    lost,
    maskcut,
    piece_around,
    tokencut,
)
from dino.media.regions import box_of

# Directions in a plane, in degrees; patches correlate positively up to 90° apart.
#         0   1    2    3    4    5
ANGLES = [0, 10, -60, 100, 150, 140]


def rays(*angles: float) -> np.ndarray:
    turned = np.deg2rad(angles)
    return np.stack([np.cos(turned), np.sin(turned)], axis=1)


def planted(grid: tuple[int, int], *objects: tuple[slice, slice], seed: int = 0) -> np.ndarray:
    """Keys [N,4]: one direction for the background, one for each object, and a little noise."""
    labels = np.zeros(grid, dtype=int)
    for number, where in enumerate(objects, start=1):
        labels[where] = number
    directions = np.eye(4) - 0.25  # the corners of a simplex: products of -0.25 with each other
    noise = np.random.default_rng(seed).normal(0, 0.05, (labels.size, 4))
    return directions[labels.ravel()] + noise


def marked(grid: tuple[int, int], where: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros(grid, dtype=bool)
    mask[where] = True
    return mask


GRID = (10, 12)
LARGE, SMALL = (slice(2, 7), slice(2, 6)), (slice(5, 8), slice(8, 11))


# LOST ------------------------------------------------------------------------------------------


def test_degrees_count_patches_at_no_more_than_a_right_angle():
    """0: 1, 2; 1: 0, 2, 3; 2: 0, 1; 3: 1, 4, 5; 4: 3, 5; 5: 3, 4; and each itself. 10° and 100°
    make a right angle, which rounding may put on either side, so 3 stands at 99°."""
    angles = [99 if angle == 100 else angle for angle in ANGLES]
    assert degrees(rays(*angles)).tolist() == [3, 4, 3, 4, 3, 3]


def test_lost_by_hand():
    """In one row, degrees 3 4 3 4 3 3: the seed is patch 0. Of the two of lowest degree (0 and 2)
    both join. Their sum points to -30°, so the mask is what lies within -120° to 60°: 0, 1, 2."""
    found = lost(rays(0, 10, -60, 99, 150, 140), (1, 6), k=2)
    assert found.seeds == ((0, 0),)
    np.testing.assert_array_equal(found.masks[0, 0], [1, 1, 1, 0, 0, 0])
    assert found.boxes == ((0, 0, 1, 3),)
    total = rays(0)[0] + rays(-60)[0]
    np.testing.assert_allclose(found.scores[0, 0, 3], rays(99)[0] @ total, rtol=1e-6)


def test_the_candidates_are_the_k_lowest_and_the_seed_is_one_of_them():
    """By degree: 0, 2, 4, 5, 1, 3. Of the first k those join that are like patch 0: 0, 2 and 1."""
    features = rays(0, 10, -60, 99, 150, 140)
    order = np.argsort(degrees(features), kind="stable")
    assert order.tolist() == [0, 2, 4, 5, 1, 3]
    expanded = [expand_seed(features, order, k=k).tolist() for k in range(1, 7)]
    assert expanded == [[0], [0, 2], [0, 2], [0, 2], [0, 2, 1], [0, 2, 1]]


def test_lost_keeps_the_piece_around_the_seed():
    """The fourth patch is like the seed, the first, but does not hang together with it."""
    found = lost(rays(150, 0, 10, 140), (1, 4))
    assert found.seeds == ((0, 0),)
    np.testing.assert_array_equal(found.scores[0, 0] > 0, [1, 0, 0, 1])
    np.testing.assert_array_equal(found.masks[0, 0], [1, 0, 0, 0])


# The normalised cut ----------------------------------------------------------------------------


def test_the_cut_of_two_pairs_is_known():
    """Two pairs joined within, ε between: y is ±½ by symmetry, whatever ε."""
    edges = np.kron(np.eye(2), np.ones((2, 2))).astype(np.float32)
    y = second_eigenvector(edges)
    np.testing.assert_allclose(y * np.sign(y[0]), [0.5, 0.5, -0.5, -0.5], atol=1e-12)


def test_the_cut_of_a_path_of_three():
    """1–2–3, every patch joined to itself. D ≈ diag(2, 3, 2): y = (1, 0, −1)/√2 by symmetry."""
    edges = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], np.float32)
    y = second_eigenvector(edges)
    np.testing.assert_allclose(y * np.sign(y[0]), [2**-0.5, 0, -(2**-0.5)], atol=1e-12)


@pytest.mark.parametrize("num", [5, 40, 150])
def test_the_second_eigenvector_is_that_of_the_whole_problem(num):
    """By Lanczos (150) and without, against (D − W) y = λ D y solved whole."""
    features = np.random.default_rng(num).normal(size=(num, 6))
    edges = similar_edges(features, tau=0.2)
    weights = np.where(edges > 0, 1.0, EPSILON)
    _, vectors = eigh(np.diag(weights.sum(1)) - weights, np.diag(weights.sum(1)))
    expected = vectors[:, 1] / np.linalg.norm(vectors[:, 1])
    y = second_eigenvector(edges)
    np.testing.assert_allclose(y * np.sign(y @ expected), expected, atol=1e-6)


def test_a_graph_in_two_parts_is_cut_between_them():
    edges = np.zeros((200, 200), np.float32)
    edges[:60, :60] = edges[60:, 60:] = 1
    y = second_eigenvector(edges)
    assert len({*np.sign(y[:60])} | {*-np.sign(y[60:])}) == 1


def test_where_lanczos_does_not_settle_the_whole_matrix_is_decomposed(monkeypatch):
    from scipy.sparse.linalg import ArpackNoConvergence

    from dino.masks.discovery import cut

    edges = similar_edges(np.random.default_rng(1).normal(size=(100, 5)), tau=0.2)
    expected = second_eigenvector(edges)

    def never(*_args, **_options):
        raise ArpackNoConvergence("no", np.empty(0), np.empty((100, 0)))

    monkeypatch.setattr(cut, "eigsh", never)
    y = second_eigenvector(edges)
    np.testing.assert_allclose(y * np.sign(y @ expected), expected, atol=1e-6)


def test_patches_are_joined_above_the_threshold_only():
    edges = similar_edges(np.array([[1.0, 0], [0.6, 0.8], [0, 2], [0, 0]]), tau=0.7)
    expected = [[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(edges, expected)


# Planted objects -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lost", "tokencut"])
def test_a_planted_object_is_found(method):
    found = discover(planted(GRID, LARGE), GRID, method=method)
    np.testing.assert_array_equal(found.masks, [marked(GRID, LARGE)])
    assert found.boxes == ((2, 2, 7, 6),)
    row, column = found.seeds[0]
    assert found.masks[0, row, column]
    assert ((found.scores[0] > 0) >= found.masks[0]).all()


@pytest.mark.parametrize("method", ["lost", "tokencut"])
def test_of_two_planted_objects_one_is_found(method):
    found = discover(planted(GRID, LARGE, SMALL), GRID, method=method)
    assert any(np.array_equal(found.masks[0], marked(GRID, where)) for where in (LARGE, SMALL))


def test_maskcut_finds_both_planted_objects_and_no_third():
    found = maskcut(planted(GRID, LARGE, SMALL), GRID)
    by_size = sorted(found.masks, key=lambda mask: -mask.sum())
    np.testing.assert_array_equal(by_size[0], marked(GRID, LARGE))
    np.testing.assert_array_equal(by_size[1], marked(GRID, SMALL))
    assert len(found.masks) == len(found.boxes) == len(found.scores) == 2


def test_maskcut_stops_at_the_number_asked_for_and_shares_no_patch():
    keys = np.random.default_rng(4).normal(size=(400, 8))
    for objects in (1, 2, 5):
        found = maskcut(keys, (20, 20), objects=objects)
        assert 1 <= len(found.masks) <= objects
        assert found.masks.sum(axis=0).max() == 1


def test_what_reaches_three_corners_is_background():
    """A frame around the photo is the smaller side, so its values are the larger: TokenCut takes it
    for the object, MaskCut takes what is within."""
    grid = (12, 12)
    within = marked(grid, (slice(1, 11), slice(1, 11)))
    keys = np.where(within.ravel()[:, None], [1.0, -0.2], [-0.2, 1.0])
    keys = keys + np.random.default_rng(0).normal(0, 0.01, keys.shape)
    np.testing.assert_array_equal(tokencut(keys, grid).masks, [~within])
    found = maskcut(keys, grid)
    np.testing.assert_array_equal(found.masks[0], within)
    assert found.scores[0][found.seeds[0]] == found.scores[0].max()


# What must not matter --------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_length_of_features_does_not_matter(method):
    keys = planted(GRID, LARGE, SMALL)
    found, scaled = (discover(values, GRID, method=method) for values in (keys, 37.5 * keys))
    np.testing.assert_array_equal(found.masks, scaled.masks)
    assert found.seeds == scaled.seeds


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_a_turned_photo_gives_turned_masks(method, axes):
    keys = planted(GRID, LARGE, SMALL).reshape(*GRID, -1)
    found = discover(keys.reshape(-1, 4), GRID, method=method)
    turned = discover(np.flip(keys, axes).reshape(-1, 4), GRID, method=method)
    back = np.flip(turned.masks, [axis + 1 for axis in axes])
    assert {mask.tobytes() for mask in found.masks} == {mask.tobytes() for mask in back}


@pytest.mark.parametrize("method", METHODS)
def test_the_same_keys_give_the_same_to_the_last_bit(method):
    keys = np.random.default_rng(2).normal(size=(900, 16))
    first, second = (discover(keys, (30, 30), method=method) for _ in range(2))
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.masks, second.masks)


# Little and nothing ----------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (5, 7)])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_all_patches_are_alike_lost_takes_all_and_cuts_find_none(grid, value):
    keys = np.full((grid[0] * grid[1], 4), value)
    assert lost(keys, grid).masks.all()
    for method in (tokencut, maskcut):
        found = method(keys, grid)
        assert found.masks.shape == found.scores.shape == (0, *grid)
        assert found.seeds == found.boxes == ()
        assert found.grid == grid


def test_patches_that_are_like_none_have_no_best_cut():
    assert not len(tokencut(np.eye(6), (2, 3)).masks)


def test_two_patches_that_differ():
    found = lost(np.array([[1.0, 0], [-1, 0.1]]), (1, 2))
    np.testing.assert_array_equal(found.masks, [[[True, False]]])
    assert not len(tokencut(np.array([[1.0, 0], [-1, 0.1]]), (2, 1)).masks)


@pytest.mark.parametrize(
    ("keys", "grid", "options", "says"),
    [
        (np.zeros((5, 2)), (2, 3), {}, "N = 2·3 patches"),
        (np.zeros(6), (2, 3), {}, "expected [N, D]"),
        (np.zeros((0, 2)), (0, 3), {}, "expected [N, D]"),
        (np.full((6, 2), np.nan), (2, 3), {}, "not all finite"),
        (np.zeros((MAX_PATCHES + 1, 1)), (1, MAX_PATCHES + 1), {}, "choose a smaller size"),
        (np.zeros((6, 2)), (2, 3), {"method": "sam"}, "expected one of lost, tokencut, maskcut"),
        (np.zeros((6, 2)), (2, 3), {"method": "lost", "k": 0}, "k is 0"),
        (np.zeros((6, 2)), (2, 3), {"tau": 1.0}, "tau is 1.0"),
        (np.zeros((6, 2)), (2, 3), {"method": "maskcut", "objects": 0}, "objects is 0"),
        (np.zeros((6, 2)), (2, 3), {"method": "maskcut", "objects": 2.0}, "objects is 2.0"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(keys, grid, options, says):
    with pytest.raises(UserError) as caught:
        discover(keys, grid, **options)
    assert says in str(caught.value)


def test_a_piece_hangs_together_over_edges_only():
    mask = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1]], bool)
    np.testing.assert_array_equal(piece_around(mask, 5), mask & (np.arange(9) > 0).reshape(3, 3))
    assert box_of(mask) == (0, 0, 3, 3)
    assert box_of(mask & (np.arange(9) > 4).reshape(3, 3)) == (1, 2, 3, 3)
    assert not piece_around(mask, 1).any()


def test_corners_are_counted():
    sides = itertools.product([False, True], repeat=4)
    for a, b, c, d in sides:
        assert count_corners(np.array([[a, 0, b], [1, 1, 1], [c, 0, d]], bool)) == a + b + c + d


# From a photo ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def looked(small_weights, photo_file):
    """Backbone, model input and the photo."""
    backbone = dino.load(small_weights, precision="fp32")
    rgb = dino.decode(photo_file.read_bytes())
    image, _ = dino.preprocess(rgb, size=96, patch_size=8, mean=backbone.mean, std=backbone.std)
    return backbone, image, rgb


def test_keys_are_those_of_the_last_block(looked):
    from dino.masks.discovery.keys import attention_and_keys, last_keys
    from dino.model import stream

    backbone, image, _ = looked
    _, expected, _ = stream.queries_keys_values(
        backbone, stream.stream_of(backbone, image), layers=(-1,)
    )
    found, grid = last_keys(backbone, image)
    np.testing.assert_allclose(found.keys, expected[0, 0, :, 1:].numpy(), atol=1e-6)
    assert grid == (9, 12)
    maps, again = attention_and_keys(backbone, image)
    np.testing.assert_array_equal(again.keys, found.keys)
    np.testing.assert_allclose(
        maps.weights.numpy(), backbone.attention(image).weights.numpy(), atol=1e-7
    )


def test_what_is_taken_out_of_keys_changes_no_attention(looked):
    """softmax(q·k) of the keys as they are, without bias and about their mean (CLS left out)."""
    import torch

    from dino.masks.discovery.keys import KEYS, last_keys
    from dino.model import forward

    backbone, image, _ = looked
    with torch.no_grad():
        backbone.module.blocks[-1].attn.qkv.bias[48:96] += torch.linspace(-1, 1, 48)
        found, _ = last_keys(backbone, image)
        expected = forward.key_bias(backbone.module, 1).numpy()
        backbone.module.blocks[-1].attn.qkv.bias[48:96] -= torch.linspace(-1, 1, 48)
    np.testing.assert_allclose(found.bias, expected)
    assert found.bias.shape == (3, 16)
    queries = np.random.default_rng(0).normal(size=(5, 48))
    rows = [torch.from_numpy(queries @ found.joined(kind=kind).T).softmax(-1) for kind in KEYS]
    for row in rows[1:]:
        np.testing.assert_allclose(row, rows[0], rtol=1e-3)
    plain, unbiased, centered = (found.joined(kind=kind) for kind in KEYS[1:])
    np.testing.assert_allclose(plain - unbiased, np.tile(expected.reshape(-1), (108, 1)), atol=1e-5)
    np.testing.assert_allclose(centered.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_array_equal(found.joined((1,), kind="plain"), found.keys[1])


def test_auto_takes_the_mean_out_where_it_outweighs_the_rest():
    from dino.masks.discovery.keys import LastKeys

    apart = np.array([[[1.0, 0], [-1, 0]]], np.float32)
    bias = np.array([[5.0, 5]], np.float32)
    for common, expected in ((0.9, apart + np.array([0, 0.9])), (1.1, apart)):
        keys = LastKeys(apart + bias + np.float32([0, common]), bias)
        np.testing.assert_allclose(keys.joined(), expected[0], atol=1e-6)


def test_discover_from_a_photo(looked):
    from dino.masks.discovery.keys import photo_keys

    backbone, image, rgb = looked
    kept = photo_keys(backbone, rgb, size=96)
    for method in METHODS:
        found = dino.discover(backbone, image, method=method)
        again = discover(kept.last.joined(), kept.geometry.grid, method=method)
        np.testing.assert_array_equal(found.masks, again.masks)
        assert found.method == method
    with pytest.raises(UserError, match="head 9 does not exist"):
        kept.last.joined((9,))
    with pytest.raises(UserError, match="keys is 'raw'"):
        kept.last.joined(kind="raw")


def test_objects_of_real_photos(shared):
    """A trained network finds the outlined animal far better than a mask of everything."""
    from dino.evaluation.mask_data import open_masks
    from dino.masks.discovery.keys import photo_keys

    backbone = dino.load(
        shared / "weights" / "vits14_dinov2_saliency.fp16.safetensors", precision="fp32"
    )
    data = open_masks(shared / "data" / "caltech-masks")
    scores = {method: [] for method in METHODS}
    whole = []
    for path in data.paths[::60]:
        truth = data.objects(path).masks[0]
        kept = photo_keys(backbone, dino.decode(path.read_bytes()), size=224)
        whole.append(truth.mean())
        for method in METHODS:
            found = discover(kept.last.joined(), kept.geometry.grid, method=method)
            masks = kept.geometry.to_photo(found.masks)
            scores[method].append(dino.jaccard(masks[0], truth) if len(masks) else 0.0)
    for method in METHODS:
        assert np.mean(scores[method]) > np.mean(whole) + 0.1, method
