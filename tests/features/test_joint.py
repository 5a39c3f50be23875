"""Joint PCA: one basis and the same colours, in any order and company; what is written of it."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

import dino
from dino.attention.photo import PatchFeatures, PhotoAttention
from dino.errors import UserError
from dino.features.files import joint_files, joint_photo, paint_jointly
from dino.features.joint import foreground_mask, joint_pca
from dino.features.projections import fit_pca, pca_rgb
from dino.media.geometry import Geometry


def photo(patches: np.ndarray, grid: tuple[int, int], sha: str = "w") -> PatchFeatures:
    size = (grid[0] * 8, grid[1] * 8)
    geometry = Geometry(size, size, (0, 0, *size), 8)
    return PatchFeatures(patches.astype(np.float32), patches[0], geometry, sha, "fp32")


@pytest.fixture
def three() -> list[PatchFeatures]:
    rng = np.random.default_rng(0)
    scales = 4 * 0.6 ** np.arange(12)
    grids = [(4, 5), (6, 3), (2, 7)]
    return [photo(rng.standard_normal((h * w, 12)) * scales, (h, w)) for h, w in grids]


def test_the_basis_is_that_of_all_patches_together(three):
    together = np.concatenate([p.patches for p in three])
    basis, joint = fit_pca(together, 3), joint_pca(three)
    np.testing.assert_allclose(joint.basis.components, basis.components, atol=1e-9)
    for found, source in zip(joint.colours, three, strict=True):
        np.testing.assert_array_equal(
            found, pca_rgb(source.patches, source.geometry.grid, basis=basis)
        )
    np.testing.assert_allclose(joint.scores[1], basis.scores(three[1].patches), atol=1e-5)
    for row in joint.basis.components:
        assert row[np.abs(row).argmax()] > 0
    shares = joint.basis.explained_variance
    assert list(shares) == sorted(shares, reverse=True)


def test_colours_do_not_depend_on_the_order_of_the_photos(three):
    straight, turned = joint_pca(three), joint_pca(three[::-1])
    for a, b in zip(straight.colours, turned.colours[::-1], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(straight.basis.components, turned.basis.components)


def test_the_same_patch_has_one_colour_in_all_photos(three):
    shared = three[0].patches[3]
    second = three[1].patches.copy()
    second[7] = shared
    joint = joint_pca([three[0], photo(second, (6, 3)), three[2]])
    np.testing.assert_array_equal(joint.colours[0][0, 3], joint.colours[1][2, 1])


def test_the_foreground_alone_decides_and_the_rest_is_black(three):
    masks = [np.zeros(p.geometry.grid, bool) for p in three]
    for mask in masks:
        mask[:2, :3] = True
    inside = joint_pca(three, foreground=masks)
    loud = [photo(np.where(m.ravel()[:, None], p.patches, 50 * p.patches[::-1]), p.geometry.grid)
            for p, m in zip(three, masks, strict=True)]  # fmt: skip
    again = joint_pca(loud, foreground=masks)
    for a, b, mask in zip(inside.colours, again.colours, masks, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a[~mask] == 0).all()
        assert a[mask].any()
    chosen = np.concatenate([p.patches[m.ravel()] for p, m in zip(three, masks, strict=True)])
    np.testing.assert_allclose(inside.basis.mean, chosen.mean(axis=0), atol=1e-6)


def test_the_foreground_is_the_fewest_patches_that_hold_the_mass():
    weights = np.array([[[0.5, 0.1], [0.1, 0.3]], [[0.3, 0.1], [0.1, 0.5]]], np.float32)
    geometry = Geometry((16, 16), (16, 16), (0, 0, 16, 16), 8)
    attention = PhotoAttention(
        weights[None, None], np.zeros((1, 1, 2, 1), np.float32), geometry, "w", "fp32", layers=(0,)
    )
    # The mean of the heads is 0.4, 0.1, 0.1, 0.4.
    np.testing.assert_array_equal(foreground_mask(attention, 0.4), [[True, False], [False, False]])
    np.testing.assert_array_equal(foreground_mask(attention, 0.8), [[True, False], [False, True]])


def test_what_does_not_go_together_is_refused(three):
    with pytest.raises(UserError, match="no photos"):
        joint_pca([])
    with pytest.raises(UserError, match="different weights"):
        joint_pca([three[0], photo(three[1].patches, (6, 3), sha="other")])
    with pytest.raises(UserError, match="masks have shapes"):
        joint_pca(three, foreground=[np.ones((4, 5), bool)])
    empty = [np.zeros(p.geometry.grid, bool) for p in three]
    with pytest.raises(UserError, match="0 patches are in the foreground"):
        joint_pca(three, foreground=empty)


def test_the_files_hold_what_was_painted(small_weights, photo_file):
    backbone = dino.load(small_weights, device="cpu", precision="fp32")
    rgb = dino.decode(photo_file.read_bytes())
    looks = [
        joint_photo(backbone, picture, name=name, size=96, foreground=0.6)
        for name, picture in (('a "1".png', rgb), ("b.png", rgb[:, ::-1].copy()))
    ]
    joint, files = paint_jointly(looks), dict(joint_files(looks))
    assert list(files) == ["joint-pca.png", "joint-points.csv", "joint-points.html", "joint.npz"]
    lines = list(csv.DictReader(io.StringIO(files["joint-points.csv"].decode())))
    num = sum(mask.size for mask in joint.kept)
    assert len(lines) == num
    line, (row, column) = lines[num // 2 + 5], divmod(5, looks[1].features.geometry.grid[1])
    assert (line["photo"], int(line["row"]), int(line["column"])) == ("b.png", row, column)
    assert lines[0]["photo"] == 'a "1".png'
    assert [int(line[c]) for c in ("red", "green", "blue")] == joint.colours[1][
        row, column
    ].tolist()
    assert int(line["foreground"]) == joint.kept[1][row, column]
    assert float(line["x"]) == pytest.approx(float(joint.scores[1][5, 0]), rel=1e-4)
    with np.load(io.BytesIO(files["joint.npz"])) as file:
        scores = (file["features"] - file["mean"]) @ file["components"].T
        np.testing.assert_allclose(scores, file["scores"], atol=1e-4)
        assert file["photo"].tolist() == [0] * (num // 2) + [1] * (num // 2)
        assert file["photos"].tolist() == ['a "1".png', "b.png"]
    assert b"plotly" in files["joint-points.html"]
    sheet = Image.open(io.BytesIO(files["joint-pca.png"]))
    assert sheet.width > 2 * 120


def test_the_command_writes_them(cli, photo_file, tmp_path):
    code, _, err = cli("joint", photo_file, "--size", 96, "--foreground", 0.6)
    assert code == 0, err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"joint-pca.png", "joint-points.csv", "joint-points.html", "joint.npz"}
