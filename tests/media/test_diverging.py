"""Signed maps and lines of norms, read back value by value."""

import numpy as np

from dino.attention.figures import norm_lines
from dino.media.draw import diverging_heat
from dino.media.geometry import Geometry
from dino.media.palettes import ABOVE, BELOW

GEOMETRY = Geometry(original=(4, 6), resized=(4, 6), crop=(0, 0, 4, 6), patch_size=2)


def test_the_largest_gain_and_loss_have_the_full_colours():
    values = np.array([[0.5, -0.5, 0.0], [0.25, 0.0, 0.0]])
    photo = np.full((4, 6, 3), 100, np.uint8)
    pixels, most = diverging_heat(values, GEOMETRY, photo)
    assert most == 0.5
    assert pixels[0, 0].tolist() == list(ABOVE)
    assert pixels[1, 3].tolist() == list(BELOW)
    assert pixels[3, 5].tolist() == [45, 45, 45]  # unchanged: the photo, darkened
    half = np.rint(0.5 * 45 + 0.5 * np.array(ABOVE))
    assert pixels[2, 1].tolist() == half.tolist()


def test_no_change_is_the_darkened_photo():
    pixels, most = diverging_heat(np.zeros((2, 3)), GEOMETRY, np.full((4, 6, 3), 200, np.uint8))
    assert most == 0
    assert (pixels == 90).all()


def test_lines_are_cls_registers_median_and_largest():
    prefix = np.array([[5.0, 1.0, 3.0], [6.0, 2.0, 2.0]])
    patches = np.array([[[1.0, 2.0, 9.0]], [[4.0, 4.0, 8.0]]])
    figure = norm_lines(prefix, patches, groups=[("CLS", [0]), ("registers", [1, 2])], layer=1)
    drawn = {trace.name: list(trace.y) for trace in figure.data}
    assert drawn == {
        "largest patch": [9.0, 8.0],
        "median patch": [2.0, 4.0],
        "registers, mean": [2.0, 2.0],
        "CLS": [5.0, 6.0],
    }
    assert figure.layout.shapes[0].x0 == 1
    without = norm_lines(prefix[:, :0], patches, groups=[], layer=0)
    assert {trace.name for trace in without.data} == {"largest patch", "median patch"}
