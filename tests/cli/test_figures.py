"""Figures of the other commands: what they show and say."""

import re

import numpy as np
import pytest
from PIL import Image

import dino
from dino.features.pixels import pca_map
from dino.system.files import content_id

pytest.importorskip("matplotlib")


def texts(path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def folder_of(photo_file, out):
    return out / f"{photo_file.stem}-{content_id(photo_file.read_bytes())[:8]}"


def test_project_draws_colours_at_pixels_and_prints_them(cli, photo_file, small_weights, tmp_path):
    options = ("--shifts", 2, "--upsample", "guided", "--figure", "colours.svg")
    words = ("project", photo_file, "--size", 96, "--precision", "fp32", *options)
    code, _, err = cli(*words, "--out", tmp_path / "out")
    assert code == 0, err
    folder = folder_of(photo_file, tmp_path / "out")
    backbone = dino.load(small_weights, precision="fp32")
    rgb = dino.decode(photo_file.read_bytes())
    expected = pca_map(backbone, rgb, size=96, shifts=2, upsample="guided")
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "pca-rgb.png")), expected)
    found = texts(folder / "colours.svg")
    assert found[:2] == ["photo", "features"]
    assert "12×9 patches, 2×2 grids" in " ".join(found)


def test_segment_prints_mask_and_cutout_with_its_settings(cli, photo_file, tmp_path):
    options = ("--mass", 0.4, "--largest", "--figure", "mask.svg", "--caption", "A disc.")
    code, _, err = cli("segment", photo_file, "--size", 64, *options, "--out", tmp_path / "out")
    assert code == 0, err
    found = texts(folder_of(photo_file, tmp_path / "out") / "mask.svg")
    assert found[:4] == ["photo", "mask", "cut-out", "A disc."]
    assert "mass at 64 px · 40% of the attention · largest True" in " ".join(found[4:])


def test_match_prints_its_lines(cli, photo_file, tmp_path):
    options = ("--size", 64, "--keep", 3, "--figure", "lines.svg", "--out", tmp_path / "out")
    code, _, err = cli("match", photo_file, photo_file, *options)
    assert code == 0, err
    assert "64 px · 3 mutual nearest neighbours" in " ".join(texts(tmp_path / "out" / "lines.svg"))


def test_random_weights_are_named_below_a_figure(cli, photo_file, tmp_path):
    options = ("--weights", "random_vitt16", "--size", 64, "--figure", "heads.svg")
    for verb in ("attend", "segment", "project"):
        code, _, err = cli(verb, photo_file, *options, "--out", tmp_path / verb)
        assert code == 0, err
        found = texts(folder_of(photo_file, tmp_path / verb) / "heads.svg")
        assert "random weights: nothing learned" in " ".join(found), verb
