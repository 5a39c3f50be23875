"""Objects followed through frames, with a network that sees colours."""

import numpy as np
import pytest
from helpers.video_cases import SHAPE, ColorBackbone, colored, scene

from dino.errors import TooLargeError, UserError
from dino.media.regions import jaccard
from dino.video.propagation import PropagationSettings
from dino.video.tracking import network_size, track


@pytest.mark.parametrize(
    ("frame", "short_side", "patch_size", "expected"),
    [
        ((480, 854), 480, 16, (480, 832)),
        ((480, 854), 480, 8, (480, 832)),
        ((480, 854), 480, 14, (476, 854)),  # 14 does not divide 64
        ((854, 480), 480, 16, (832, 480)),
        ((1080, 1920), 480, 16, (480, 832)),
        ((480, 480), 480, 16, (480, 448)),  # as the original: the side that is not shorter
        ((30, 40), 32, 8, (32, 40)),  # no multiple of 64 is that small
        ((480, 854), 100, 14, (98, 168)),
    ],
)
def test_the_network_s_size(frame, short_side, patch_size, expected):
    assert network_size(frame, short_side=short_side, patch_size=patch_size) == expected


def frames(*numbers):
    rng = np.random.default_rng(0)
    return (colored(scene(number), rng) for number in numbers)


def test_a_square_is_followed_where_it_goes():
    backbone = ColorBackbone()
    found = list(track(backbone, frames(*range(6)), scene(0), short_side=64))
    assert len(found) == 6
    np.testing.assert_array_equal(found[0], scene(0))
    for number, labels in enumerate(found):
        assert labels.shape == SHAPE
        assert labels.dtype == np.uint8
        for label in (1, 2):  # whole patches, whose corners the enlarging rounds
            assert jaccard(labels == label, scene(number) == label) > 0.9
    assert jaccard(scene(0) == 1, scene(5) == 1) == 0


def test_settings_are_heeded():
    """A square that jumps 5 patches is lost to a window of 2."""
    near, far = (
        list(
            track(
                ColorBackbone(),
                frames(0, 5),
                scene(0),
                short_side=64,
                settings=PropagationSettings(window=window, top_k=1),
            )
        )[1]
        for window in (2, 6)
    )
    assert jaccard(far == 1, scene(5) == 1) > 0.9
    assert not (near == 1)[:, 64:].any()


def test_frames_are_taken_as_they_are_needed():
    taken = []

    def counted():
        for number, frame in enumerate(frames(*range(4))):
            taken.append(number)
            yield frame

    found = track(ColorBackbone(), counted(), scene(0), short_side=64)
    next(found)
    assert taken == []
    next(found)
    assert taken == [0, 1]


def test_labels_of_another_size_and_frames_that_change_theirs_are_refused():
    with pytest.raises(UserError, match="frame 0 is 64×128 px and the first labels 32×64"):
        list(track(ColorBackbone(), frames(0, 1), scene(0)[::2, ::2], short_side=64))
    first, second = frames(0, 1)
    mixed = iter([first, second[:32]])
    with pytest.raises(UserError, match="frame 1 is 32×128"):
        list(track(ColorBackbone(), mixed, scene(0), short_side=64))
    with pytest.raises(UserError, match="expected a patch at least"):
        list(track(ColorBackbone(), frames(0, 1), scene(0), short_side=7))


def test_a_size_beyond_memory_is_refused_before_a_frame_is_taken():
    with pytest.raises(TooLargeError, match=r"frames become 2000×\d+ px, .* for the longer side"):
        next(track(ColorBackbone(), iter(()), scene(0), short_side=2000))
