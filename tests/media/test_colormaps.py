"""Colour maps as tables: those of matplotlib, lightening all the way."""

import cv2
import numpy as np
import pytest

from dino.media.colormaps import COLORMAPS


@pytest.mark.parametrize("name", COLORMAPS)
def test_a_table_is_matplotlib_s_within_one_level(name):
    matplotlib = pytest.importorskip("matplotlib")
    expected = matplotlib.colormaps[name](np.arange(256)) * 255  # before it is rounded
    assert np.abs(COLORMAPS[name] - expected[:, :3]).max() <= 1


@pytest.mark.parametrize("name", COLORMAPS)
def test_every_step_is_lighter_and_none_stands_out(name):
    colours = cv2.cvtColor(COLORMAPS[name][None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    assert (np.diff(colours[:, 0]) > -0.5).all()  # rounding to 8 bits
    steps = np.linalg.norm(colours[8:] - colours[:-8], axis=1)  # of eight levels
    assert steps.max() < 2 * steps.mean()
    assert steps.min() > steps.mean() / 4


def test_there_are_ten():
    assert len(COLORMAPS) == 10
    assert COLORMAPS["gray"].tolist() == [[level] * 3 for level in range(256)]
    assert COLORMAPS["YlGnBu_r"][[0, -1]].tolist() == [[8, 29, 88], [255, 255, 217]]
