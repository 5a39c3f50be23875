"""Bytes → pixels: files whose pixels are known (image_cases.py); bombs; damage.

pytest tests/media/test_images.py
"""

import io
import json
import re
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.image_cases import (
    CMYK_AS_RGB,
    CORPUS,
    DAMAGED,
    EPS,
    EXACT,
    LEVELS,
    LEVELS_8,
    LOSSY,
    NOISE,
    ORIENTED,
    REFUSED,
    RGB,
    SIDES,
    WHOLE,
    adobe_to_srgb,
    bombs,
    chunk,
    encode,
    exif,
    png,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from dino.errors import ImageError
from dino.media import images
from dino.media.images import decode, find_images, read


@pytest.mark.parametrize("name", EXACT)
def test_pixels_of_a_file_are_right(name):
    data, pixels, allowed = EXACT[name]
    rgb = decode(data)
    assert rgb.dtype == np.uint8
    assert rgb.shape == pixels.shape
    assert rgb.flags.writeable
    assert rgb.flags.c_contiguous
    assert np.abs(rgb.astype(int) - pixels).max() <= allowed


@pytest.mark.parametrize("name", LOSSY)
def test_pixels_of_a_lossy_file_are_close(name):
    data, pixels = LOSSY[name]
    rgb = decode(data)
    assert rgb.dtype == np.uint8
    assert rgb.shape == pixels.shape
    assert np.abs(rgb.astype(int) - pixels).mean() < 3.5


def test_the_corpus_tells_wrong_pixels_from_right_ones():
    """The bound of the lossy test is below what each mistake that it is meant for would cost."""
    wrong = [RGB[::-1], RGB[:, ::-1], 255 - RGB, adobe_to_srgb(RGB), RGB[..., ::-1]]
    assert min(np.abs(RGB.astype(int) - other).mean() for other in wrong) > 6.5
    assert np.abs(CMYK_AS_RGB.astype(int) - RGB).mean() > 8


def test_inverted_cmyk_agrees_with_another_decoder():
    for name in ("jpeg-cmyk", "jpeg-cmyk-adobe-ycck"):
        other = cv2.imdecode(np.frombuffer(CORPUS[name], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(decode(CORPUS[name]).astype(int) - other).mean() < 4


def test_sixteen_bit_grey_is_scaled_and_not_clipped():
    rgb = decode(encode(np.array([[0, 32768, 65535]], np.uint16), "PNG"))
    assert rgb[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("fmt", ORIENTED)
@pytest.mark.parametrize("tag", SIDES)
def test_exif_orientation_is_applied_once(fmt, tag):
    upright = RGB.transpose(1, 0, 2) if tag >= 5 else RGB
    upright = upright[:, ::-1] if "right" in SIDES[tag] else upright
    upright = upright[::-1] if "bottom" in SIDES[tag] else upright
    rgb = decode(ORIENTED[fmt](tag))
    assert rgb.shape == upright.shape
    assert np.abs(rgb.astype(int) - upright).mean() < 4
    corners = rgb[8, 8], rgb[8, -8], rgb[-8, 8], rgb[-8, -8]
    expected = upright[8, 8], upright[8, -8], upright[-8, 8], upright[-8, -8]
    assert np.abs(np.array(corners, int) - np.array(expected)).max() < 20


@pytest.mark.parametrize("tag", [0, 9, 255])
def test_an_orientation_that_does_not_exist_is_ignored(tag):
    assert np.array_equal(decode(encode(RGB, "PNG", exif=exif(tag))), RGB)


def test_orientation_of_sixteen_bit_grey_is_applied():
    picture = Image.fromarray(LEVELS)
    turned = decode(encode(picture, "PNG", exif=exif(6)))
    assert np.abs(turned[..., 0].astype(int) - np.rot90(LEVELS_8, -1)).max() <= 1


# Refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED)
def test_other_formats_are_refused_and_named(name):
    data, what = REFUSED[name]
    with pytest.raises(ImageError, match=r"^got .*expected a PNG, .*; export it as") as caught:
        decode(data)
    assert what in str(caught.value)


def test_a_postscript_file_called_png_is_refused(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(EPS)
    with pytest.raises(ImageError, match=r"picture\.png: got a PostScript drawing"):
        read(path)


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_errors_that_name_the_format(name):
    with pytest.raises(
        ImageError, match=r"^got an? .*, expected .*; (fetch|export|scale)"
    ) as caught:
        decode(DAMAGED[name])
    kind = {"heif": "HEIC", "webp": "WebP"}.get(name.split("-")[0], name.split("-")[0].upper())
    named = re.match(rf"got an? {kind} file that is cut short, damaged", str(caught.value))
    assert named or "got a picture of 0x0 px, expected at least 1x1" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "0x7" not in str(caught.value)


@pytest.mark.parametrize("fmt", WHOLE)
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99])
def test_truncated_files_are_errors(fmt, share):
    whole = WHOLE[fmt]
    assert decode(whole).shape == NOISE.shape
    with pytest.raises(ImageError, match=r"^got .*expected.*;"):
        decode(whole[: int(len(whole) * share)])


def test_broken_checksums_and_streams_are_errors():
    data = bytearray(WHOLE["PNG"])
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError, match="PNG file that is cut short, damaged"):
        decode(bytes(data))


@pytest.mark.parametrize("data", [None, "photo.png", Path("photo.png"), 5, np.zeros(3, np.uint8)])
def test_what_is_not_bytes_is_an_image_error(data):
    with pytest.raises(ImageError, match=r"use dino.media.images.read"):
        decode(data)


def test_bytearrays_and_views_are_read_like_bytes():
    assert np.array_equal(decode(bytearray(CORPUS["png"])), RGB)
    assert np.array_equal(decode(memoryview(CORPUS["png"])), RGB)


# Bombs -----------------------------------------------------------------------------------------


MEASURE = """
import json, resource, sys, time, warnings
from pathlib import Path
from dino.errors import ImageError
from dino.media.images import decode

warnings.simplefilter(sys.argv[2])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
out = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    data, before, start = path.read_bytes(), peak(), time.perf_counter()
    try:
        decode(data)
        message = "decoded"
    except ImageError as error:
        message = str(error)
    out[path.name] = message, time.perf_counter() - start, peak() - before
print(json.dumps(out))
"""


@pytest.mark.parametrize("filter_", ["ignore", "error"])
def test_bombs_are_refused_before_decoding(tmp_path, filter_):
    for name, data in bombs().items():
        assert len(data) < 50_000
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", MEASURE, str(tmp_path), filter_]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    results = json.loads(done.stdout)
    for kind in ("webp", "webp-lossless", "webp-lossy"):
        assert "12000x12000 = 144,000,000 px" in results[kind][0]
    assert len(results) == len(bombs())
    for name, (message, seconds, megabytes) in results.items():
        most = "20,000,000" if name.startswith("webp") else "40,000,000"
        assert f"px, expected at most {most}; scale it down" in message, (name, message)
        assert seconds < 1, name
        assert megabytes < 12, name


def test_pillows_own_refusal_of_a_bomb_reads_like_ours():
    with pytest.raises(
        ImageError, match=r"^got a picture of 400,000,000 px, expected at most 40,000,"
    ):
        decode(bombs()["gif-screen"])


def test_a_lack_of_memory_is_an_image_error(monkeypatch):
    def starve(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr(Image, "open", starve)
    with pytest.raises(
        ImageError, match=r"too large for the free memory \(PNG\), .*; scale it down"
    ):
        decode(CORPUS["png"])


def test_the_size_limit_is_inclusive_and_can_be_set():
    assert decode(CORPUS["png"], max_pixels=48 * 64).shape == (48, 64, 3)
    with pytest.raises(ImageError, match="64x48 = 3,072 px, expected at most 3,071"):
        decode(CORPUS["png"], max_pixels=48 * 64 - 1)


def test_forty_megapixels_are_decoded():
    rgb = decode(png([bytes(1000)] * 5000, (8000, 5000, 1, 0)))
    assert rgb.shape == (5000, 8000, 3)
    assert not rgb.any()


# The edges of decode ---------------------------------------------------------------------------


def test_pillow_is_only_asked_for_the_formats_that_are_read(monkeypatch):
    asked, really = [], Image.open
    monkeypatch.setattr(
        Image, "open", lambda fp, formats: (asked.append(formats), really(fp, formats=formats))[1]
    )
    decode(CORPUS["png"])
    assert [set(formats) for formats in asked] == [
        {"PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"}
    ]


def test_what_is_no_number_is_black_without_a_warning():
    levels = np.array([[-5, np.nan, np.inf, -np.inf, 5], [np.nan] * 5], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(encode(levels, "TIFF"))[..., 0].tolist() == [[0, 0, 0, 0, 255], [0] * 5]
        assert not decode(encode(levels[1:], "TIFF")).any()


def test_exif_that_cannot_be_read_leaves_the_photo_as_it_is():
    text = chunk(b"tEXt", b"Raw profile type exif\0\n\n\nno hexadecimal")
    data = png([row.tobytes() for row in RGB], (64, 48, 8, 2), text)
    with pytest.raises(ValueError, match="hexadecimal"):
        Image.open(io.BytesIO(data)).getexif()
    assert np.array_equal(decode(data), RGB)


# Never another exception -----------------------------------------------------------------------


def check_decoded_or_refused(data: bytes) -> None:
    """Lets every exception through but ImageError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            rgb, message = decode(data, max_pixels=2_000_000), ""
        except ImageError as error:
            rgb, message = np.zeros((1, 1, 3), np.uint8), str(error)
    assert rgb.dtype == np.uint8
    assert rgb.ndim == 3
    assert rgb.shape[2] == 3
    assert 0 < rgb.shape[0] * rgb.shape[1] <= 2_000_000
    assert not message or re.fullmatch("got .*expected .*; .*", message)


MAGICS = sorted({data[:12] for data in CORPUS.values()} | {data[:4] for data in CORPUS.values()})


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([b"", *MAGICS]), st.binary(max_size=600))
def test_random_bytes_are_an_image_or_an_image_error(magic, tail):
    check_decoded_or_refused(magic + tail)


@settings(deadline=None, max_examples=500)
@given(
    name=st.sampled_from(sorted(CORPUS)),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    near_start=st.booleans(),
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damaged_pictures_are_an_image_or_an_image_error(name, edits, near_start, keep):
    data = bytearray(CORPUS[name])
    reach = min(len(data), 200) if near_start else len(data)
    for place, value in edits:
        data[min(int(place * reach), len(data) - 1)] = value
    check_decoded_or_refused(bytes(data[: max(1, int(keep * len(data)))]))


def test_decoding_in_threads_gives_the_same_pixels():
    names = sorted(CORPUS) * 3
    alone = {name: decode(data) for name, data in CORPUS.items()}
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda name: decode(CORPUS[name]), names))
    for name, rgb in zip(names, together, strict=True):
        assert np.array_equal(rgb, alone[name]), name


def test_pillow_is_left_as_it_was():
    limit = Image.MAX_IMAGE_PIXELS
    for data in CORPUS.values():
        decode(data)
    assert limit == Image.MAX_IMAGE_PIXELS
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    assert "HEIF" not in Image.OPEN


# Files and folders -----------------------------------------------------------------------------


def test_read_decodes_a_file(tmp_path):
    (tmp_path / "a.bin").write_bytes(CORPUS["png"])
    assert np.array_equal(read(tmp_path / "a.bin"), RGB)
    assert np.array_equal(read(str(tmp_path / "a.bin")), RGB)


@pytest.mark.parametrize("name", ["absent.png", ".", "text.png", "bad\0name"])
def test_errors_of_read_name_the_file(tmp_path, name):
    (tmp_path / "text.png").write_text("words")
    with pytest.raises(ImageError) as caught:
        read(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: got ")


def test_find_images_walks_folders_sorted_and_skips_hidden_and_other_files(tmp_path):
    shown = ["a.JPEG", "b/c.heic", "b/d/e.tif", "b/d/f.PNG", "z.webp"]
    hidden = [".h.png", ".git/x.png", "notes.txt", "b/.DS_Store", "b/m.json", "png"]
    for name in shown + hidden:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find_images([tmp_path]) == [tmp_path / name for name in shown]
    assert find_images(str(tmp_path)) == find_images(tmp_path) == find_images([tmp_path])


def test_find_images_keeps_named_files_their_order_and_each_once(tmp_path):
    for name in ("b.png", "a.png", ".hidden.png", "data.bin"):
        (tmp_path / name).touch()
    named = [tmp_path / name for name in ("data.bin", "b.png", ".hidden.png")]
    assert find_images([*named, tmp_path, named[1]]) == [*named, tmp_path / "a.png"]
    assert find_images([]) == []


@pytest.mark.parametrize("name", ["absent", "absent.png", "a\0b"])
def test_find_images_names_a_path_that_does_not_exist(tmp_path, name):
    with pytest.raises(
        ImageError, match=re.escape(f"{tmp_path / name}: got a path that does not exist")
    ):
        find_images([tmp_path, tmp_path / name])


def test_find_images_names_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(ImageError, match=re.escape(f"{tmp_path}: got a folder that cannot be")):
        find_images(tmp_path)


def test_every_suffix_is_of_a_format_that_decodes():
    assert len(set(images.IMAGE_SUFFIXES)) == len(images.IMAGE_SUFFIXES)
    registered = Image.registered_extensions()
    formats = {"PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"}
    heic_suffixes = {".heic", ".heif", ".hif"}
    for suffix in set(images.IMAGE_SUFFIXES) - heic_suffixes:
        assert registered[suffix] in formats
    assert heic_suffixes < set(images.IMAGE_SUFFIXES)


def test_a_jpeg_is_read_smaller_when_that_is_enough():
    wave = np.add.outer(np.arange(1200), np.arange(1600)) // 11
    pixels = np.stack([wave % 256, wave // 2 % 256, 255 - wave % 256], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    picture = Image.fromarray(cv2.GaussianBlur(pixels, (0, 0), 9))
    picture.save(buffer, "JPEG", quality=95)
    data = buffer.getvalue()
    whole = decode(data)
    for short_side, shape in ((None, (1200, 1600)), (601, (1200, 1600)), (600, (600, 800))):
        assert decode(data, short_side=short_side).shape == (*shape, 3)
    assert decode(data, short_side=100).shape == (150, 200, 3)
    expected = cv2.resize(whole, (400, 300), interpolation=cv2.INTER_AREA)
    difference = np.abs(decode(data, short_side=300).astype(int) - expected)
    assert difference.mean() < 1.5
    png = io.BytesIO()
    picture.save(png, "PNG")
    assert decode(png.getvalue(), short_side=100).shape == (1200, 1600, 3)
