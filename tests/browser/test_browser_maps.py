"""What the canvas draws from numbers is what Python draws: ranges, masks, pixels between patches, and edges."""

import base64
import json

import numpy as np
import pytest
import torch
from helpers.chromium import IN_CHROMIUM

import dino
from app.state.selection import PHOTOS
from dino.canvas import scripts
from dino.media.draw import COLORMAPS, colorize, encode_png, shrink
from dino.media.geometry import Geometry
from dino.media.upsampling import to_pixels

pytestmark = IN_CHROMIUM

ROWS, COLUMNS, WIDTH, HEIGHT = 9, 12, 150, 110
GEOMETRY = Geometry((HEIGHT, WIDTH), (ROWS * 8, COLUMNS * 8), (0, 0, ROWS * 8, COLUMNS * 8), 8)


@pytest.fixture(scope="module")
def page(browser):
    """A page with the canvas's functions, and nothing drawn."""
    page = browser.new_page()
    page.set_content("<p>canvas</p>")
    page.add_script_tag(content=scripts.CANVAS)
    yield page
    page.close()


@pytest.fixture(scope="module")
def maps() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random((4, ROWS, COLUMNS)) ** 6 / 40).astype(np.float32)


def asked(page, expression: str, maps: np.ndarray):
    """Evaluate an expression in which `maps` are these."""
    code = f"""(values) => {{
        const maps = new Maps(new Uint8Array(Float32Array.from(values).buffer), {ROWS}, {COLUMNS});
        const found = {expression};
        return found.buffer ? Array.from(found) : found;
    }}"""
    return page.evaluate(code, maps.ravel().tolist())


def test_a_robust_range_ends_at_the_98_5th_percentile(page, maps):
    for index, one in enumerate(maps):
        found = asked(page, f"maps.range({index}, 'robust')", maps)
        assert found["low"] == one.min()
        assert found["most"] == one.max()
        assert found["high"] == pytest.approx(np.percentile(one.astype(np.float64), 98.5), rel=1e-9)
        assert asked(page, f"maps.range({index}, 'full')", maps)["high"] == one.max()
        shared = asked(page, f"maps.range({index}, 'shared')", maps)
        assert (shared["low"], shared["high"]) == (maps.min(), maps.max())


def test_an_even_map_has_a_range_of_nothing_and_is_drawn(page):
    even = np.full((1, ROWS, COLUMNS), 0.25, np.float32)
    assert asked(page, "maps.range(0, 'robust')", even) == {"low": 0.25, "high": 0.25, "most": 0.25}


def test_a_map_of_one_bright_patch_is_not_black(page):
    """Above 98.5 % there is one patch, below nothing: then the largest value is the end."""
    one = np.zeros((1, ROWS, COLUMNS), np.float32)
    one[0, 3, 4] = 1
    assert asked(page, "maps.range(0, 'robust')", one)["high"] == 1


@pytest.mark.parametrize("mass", [0.01, 0.3, 0.6, 0.98, 1.0])
def test_a_mask_keeps_the_patches_that_the_library_keeps(page, maps, mass):
    tied = np.round(maps * 400) / 400  # many patches alike: of those the first
    for values in (maps, tied.astype(np.float32)):
        kept = dino.mass_mask(torch.from_numpy(values), mass).numpy()
        for index in range(len(values)):
            found = asked(page, f"maps.kept({index}, {mass})", values)
            np.testing.assert_array_equal(np.array(found, bool), kept[index].ravel())


@pytest.mark.parametrize(
    ("how", "same"), [("patches", "nearest"), ("bilinear", "bilinear"), ("bicubic", "bicubic")]
)
def test_values_between_patches_are_those_of_the_library(page, maps, how, same):
    expected = GEOMETRY.to_photo(maps[1], interpolation=same)
    drawn = f"field(maps.of(1), {ROWS}, {COLUMNS}, {WIDTH}, {HEIGHT}, '{how}')"
    found = np.array(asked(page, drawn, maps)).reshape(HEIGHT, WIDTH)
    np.testing.assert_allclose(found, expected, atol=1e-6 * float(maps[1].max()) * 10)


@pytest.mark.parametrize("name", list(COLORMAPS))
def test_pixels_are_those_that_python_draws(page, maps, name):
    low, high = float(maps[0].min()), float(np.percentile(maps[0].astype(np.float64), 98.5))
    smooth = GEOMETRY.to_photo(maps[0], interpolation="bicubic")
    expected = colorize((smooth - low) / (high - low), name).astype(int)
    found = asked(
        page,
        f"""(() => {{ const canvas = document.createElement("canvas");
        paintField(canvas, field(maps.of(0), {ROWS}, {COLUMNS}, {WIDTH}, {HEIGHT}, "bicubic"), {WIDTH}, {HEIGHT},
            maps.range(0, "robust"), coloursOf("{name}").pixels);
        return canvas.getContext("2d").getImageData(0, 0, {WIDTH}, {HEIGHT}).data }})()""",
        maps,
    )
    pixels = np.array(found).reshape(HEIGHT, WIDTH, 4)
    assert (pixels[..., 3] == 255).all()
    steps = np.abs(np.diff(colorize(np.linspace(0, 1, 256)[None], name)[0].astype(int), axis=0))
    assert np.abs(pixels[..., :3] - expected).max() <= steps.max()  # a level, where rounding parts
    assert (pixels[..., :3] == expected).all(axis=-1).mean() > 0.999


def test_an_outline_is_the_edges_of_the_kept_patches(page):
    kept = [0, 1, 1, 0, 1, 1, 0, 0, 0]  # a square of four on three by three
    found = page.evaluate("(kept) => outlines(Uint8Array.from(kept), 3, 3)", kept)
    assert found["area"] == "M1 0H3v1H1zM1 1H3v1H1z"
    edges = {"M1 0H3", "M1 2H3", "M1 0V2", "M3 0V2"}
    assert set(found["edges"].replace("M", "|M").split("|")[1:]) == edges
    kept = page.evaluate("(k) => outlines(Uint8Array.from(k), 2, 2)", [1, 1, 1, 1])
    assert set(kept["edges"].replace("M", "|M").split("|")[1:]) == {
        "M0 0H2",
        "M0 2H2",
        "M0 0V2",
        "M2 0V2",
    }


def test_sharp_maps_follow_the_photo_as_the_library_draws_them(page):
    photo = shrink(dino.decode((PHOTOS / "macaw.jpg").read_bytes()), 480)
    height, width = photo.shape[:2]
    rows, columns = height // 16, width // 16
    geometry = Geometry((height, width), (rows * 8, columns * 8), (0, 0, rows * 8, columns * 8), 8)
    rng = np.random.default_rng(1)
    values = (geometry.to_grid(photo.mean(-1)) / 255 + 0.1 * rng.random((rows, columns))).astype(
        np.float32
    )
    expected = to_pixels(values, geometry, photo, how="guided")
    smooth = to_pixels(values, geometry, photo, how="bicubic")
    picture = "data:image/png;base64," + base64.b64encode(encode_png(photo)).decode()
    found = page.evaluate(
        """async ([address, values, rows, columns, width, height]) => {
        const picture = Object.assign(new Image(), { src: address });
        await picture.decode();
        const guide = new Guide(picture, width, height);
        return Array.from(guide.field(Float32Array.from(values), rows, columns)) }""",
        [picture, values.ravel().tolist(), rows, columns, width, height],
    )
    found = np.array(found).reshape(height, width)
    spread = float(np.ptp(values))
    # Its coefficients are worked out at half the size: near to the library's, and far from what is only smooth.
    near, far = np.abs(found - expected).mean() / spread, np.abs(smooth - expected).mean() / spread
    assert near < 0.02
    assert near < far / 3
    assert found.min() >= values.min() - 1e-6
    assert found.max() <= values.max() + 1e-6


def test_window_means_mirror_the_edge(page):
    rng = np.random.default_rng(2)
    values = rng.random((7, 11)).astype(np.float32)
    found = page.evaluate(
        "([v]) => Array.from(windowMeans(Float32Array.from(v), 11, 7, 2))",
        [values.ravel().tolist()],
    )
    padded = np.pad(values, 2, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    np.testing.assert_allclose(
        np.reshape(found, values.shape), windows.mean(axis=(2, 3)), atol=1e-5
    )


def test_colours_of_a_script_are_the_tables_of_the_library():
    text = scripts.CANVAS.split("const PALETTES = ", 1)[1].split(";", 1)[0]
    assert list(json.loads(text)) == list(COLORMAPS)
