"""Labels carried by resemblance: the original's arrays, the plain N×N way, and cases done by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dino
from dino.errors import UserError
from dino.evaluation import propagate
from dino.video.propagation import PropagationSettings, label_map


def plain(features, first, options: PropagationSettings) -> list[torch.Tensor]:
    """The definition, one patch of one frame after the other, in float64: soft labels [K,h,w]."""
    h, w = first.shape
    units = [(f / f.norm(dim=1, keepdim=True)).double().view(h, w, -1) for f in features]
    known = [torch.nn.functional.one_hot(first).double()]
    for number in range(1, len(units)):
        context = [0, *range(max(1, number - options.context), number)] if options.context else [0]
        soft = torch.zeros_like(known[0])
        for i in range(h):
            for j in range(w):
                found = [
                    (float(units[number][i, j] @ units[t][p, q]), known[t][p, q])
                    for t in context
                    for p in range(h)
                    for q in range(w)
                    if not options.window or max(abs(p - i), abs(q - j)) <= options.window
                ]
                least = sorted((cosine for cosine, _ in found), reverse=True)[: options.top_k][-1]
                kept = [(math.exp(c / options.temperature), k) for c, k in found if c >= least]
                soft[i, j] = sum(weight * k for weight, k in kept) / sum(w_ for w_, _ in kept)
        known.append(soft)
    return [soft.permute(2, 0, 1) for soft in known[1:]]


def carried(features, first, options, *, size=None):
    size = size or tuple(first.shape)
    return list(propagate(iter(features), first, size=size, settings=options))


def test_golden_soft_labels_and_label_maps(golden):
    arrays = golden("video")
    state = {k[6:]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith("state/")}
    backbone = dino.load(state, num_heads=3, precision="fp32", device="cpu")
    frames = torch.from_numpy(arrays["frames"])
    options = PropagationSettings(
        top_k=int(arrays["topk"]),
        window=int(arrays["size_mask_neighborhood"]),
        context=int(arrays["n_last_frames"]),
        temperature=float(arrays["temperature"]),
    )
    features = (backbone.tokens(frame[None]).patches[0] for frame in frames)
    first = torch.from_numpy(arrays["first_labels"])
    found = carried(features, first, options, size=tuple(frames.shape[-2:]))
    assert len(found) == 6
    for t, frame in enumerate(found, start=1):
        np.testing.assert_allclose(frame.soft.numpy(), arrays[f"{t}/soft"], atol=1e-5)
        np.testing.assert_array_equal(frame.labels.numpy(), arrays[f"{t}/labels"])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    grid=st.tuples(st.integers(1, 10), st.integers(1, 16)),
    options=st.builds(
        PropagationSettings,
        top_k=st.integers(1, 7),
        window=st.integers(0, 4),
        context=st.integers(0, 3),
        temperature=st.sampled_from([0.05, 0.1, 1.0]),
    ),
)
def test_tiles_give_what_the_definition_gives(seed, grid, options):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(4, grid[0] * grid[1], 6, generator=generator)
    first = torch.randint(0, 3, grid, generator=generator)
    for found, expected in zip(
        carried(features, first, options), plain(features, first, options), strict=True
    ):
        torch.testing.assert_close(found.soft.double(), expected, atol=1e-5, rtol=0)


def test_a_patch_takes_the_labels_of_what_looks_like_it():
    """Two kinds of patch change places; their labels follow, weighted by exp(cosine / temperature)."""
    first = torch.tensor([[0, 1]])
    features = [torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 1.0], [3.0, 0.0]])]
    options = PropagationSettings(top_k=2, temperature=0.5)
    (found,) = carried(features, first, options)
    strong = math.e**2 / (math.e**2 + 1)  # cosines 1 and 0, over 0.5
    np.testing.assert_allclose(found.soft[1, 0], [strong, 1 - strong], atol=1e-6)
    np.testing.assert_allclose(found.soft[0, 0], [1 - strong, strong], atol=1e-6)
    assert found.labels.tolist() == [[1, 0]]


def test_nothing_comes_from_beyond_the_window():
    first = torch.tensor([[1, 0, 0, 0]])
    kinds = torch.eye(4)
    features = [kinds, kinds[[1, 2, 3, 0]]]  # the labelled patch turns up 3 columns away
    near, far = (carried(features, first, PropagationSettings(top_k=1, window=w)) for w in (2, 3))
    assert far[0].soft[1].tolist() == [[0, 0, 0, 1]]
    assert near[0].soft[1, 0, 3] == 0


def test_all_that_tie_with_the_last_count():
    """Three sources are equally like the patch; top 1 takes them all, as the original does."""
    first = torch.tensor([[0, 1, 1]])
    same = torch.ones(3, 2)
    (found,) = carried([same, same], first, PropagationSettings(top_k=1))
    np.testing.assert_allclose(found.soft[1], [[2 / 3] * 3], atol=1e-6)


def test_the_context_is_the_first_frame_and_the_last_few():
    """A patch that looks like frame 1 finds it while it is among the last two, and then no more."""
    first = torch.tensor([[0, 1]])
    a, b, c = torch.eye(3)
    odd = torch.stack([b, c])  # unlike the first frame: takes labels from all alike
    plain_one = torch.stack([a, c])
    features = [torch.stack([a, a]), odd, plain_one, odd, plain_one, plain_one, odd]
    options = PropagationSettings(top_k=1, context=2)
    found = carried(features, first, options)
    expected = plain(features, first, options)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.soft.double(), theirs, atol=1e-6, rtol=0)
    # With the first frame alone, no frame depends on the one before.
    alone = carried(features, first, PropagationSettings(top_k=1, context=0))
    assert torch.equal(alone[0].soft, alone[2].soft)


def test_shares_add_up_and_a_tiny_temperature_does_not_overflow():
    features = torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(0))
    first = torch.arange(20).view(4, 5) % 3
    for frame in carried(features, first, PropagationSettings(temperature=1e-3)):
        torch.testing.assert_close(frame.soft.sum(dim=0), torch.ones(4, 5))


def test_frames_are_taken_one_at_a_time():
    taken = []

    def frames():
        for number in range(5):
            taken.append(number)
            yield torch.ones(4, 2) + number

    found = propagate(frames(), torch.zeros(2, 2, dtype=torch.long), size=(2, 2))
    assert taken == []
    next(found)
    assert taken == [0, 1]
    next(found)
    assert taken == [0, 1, 2]


def test_a_small_object_wins_where_it_is_likeliest():
    """Class 1 has 0.4 at most, class 0 at least 0.6: stretched to 0…1, class 1 has its middle."""
    soft = torch.zeros(2, 1, 3)
    soft[1] = torch.tensor([0.0, 0.4, 0.1])
    soft[0] = 1 - soft[1]
    assert label_map(soft, (1, 3)).tolist() == [[0, 1, 0]]


def test_a_class_that_is_alike_everywhere_stays():
    for lone in (0, 1):
        soft = torch.zeros(2, 4, 4)
        soft[lone] = 1 + 1e-7 * torch.rand(4, 4)
        assert (label_map(soft, (32, 32)) == lone).all()


def test_labels_are_enlarged_bilinearly_between_centres():
    soft = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert label_map(soft, (1, 8)).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("features", "first", "says"),
    [
        ([], torch.zeros(2, 2, dtype=torch.long), "no frame to carry labels from"),
        ([torch.ones(3, 2)], torch.zeros(2, 2, dtype=torch.long), r"frame 0 .*\[4, D\]"),
        ([torch.ones(4, 2), torch.ones(4, 3)], torch.zeros(2, 2, dtype=torch.long), "frame 1"),
        ([torch.ones(4, 2)], torch.zeros(2, 2), "expected whole numbers"),
        ([torch.ones(4, 2)], torch.full((2, 2), 256), "expected 0 to 255"),
    ],
)
def test_unfit_input_is_one_sentence(features, first, says):
    with pytest.raises(UserError, match=says):
        carried(features, first, PropagationSettings())


@pytest.mark.parametrize(
    "wrong", [{"top_k": 0}, {"window": -1}, {"context": -1}, {"temperature": 0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UserError, match="expected at least"):
        PropagationSettings(**wrong)
