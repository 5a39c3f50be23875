"""Row 1: pictures from strangers give the right pixels or one sentence, at once and in little memory.

What each file must decode to is held by test_images.py; here all of them are read by one process that
is watched, and the largest that are taken are weighed.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import image_cases as cases
from PIL import Image

CAP = 4_000_000  # px; bytes a px do not depend on it
TRUNCATIONS = 20
# Reads each file of a folder and tells what came of it, the seconds and the growth of its peak in bytes.
# Each is read by a process of its own, forked from one that has loaded what libraries load the first time.
WATCHED = """
import json, os, sys, time
from pathlib import Path
from dino.errors import ImageError
from dino.media.images import decode

def kept(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

def tried(path):
    data = path.read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = kept("VmRSS"), time.perf_counter()
    try:
        shape = decode(data, max_pixels=int(sys.argv[2])).shape
        told = f"decoded {shape[1]}x{shape[0]}"
    except ImageError as error:
        told = str(error)
    return told, time.perf_counter() - start, kept("VmHWM") - before

for path in sorted(Path(sys.argv[1], "first").iterdir()):
    try:
        decode(path.read_bytes())
    except ImageError:
        pass
for path in sorted(Path(sys.argv[1], "files").iterdir()):
    if os.fork() == 0:
        print(json.dumps([path.name, *tried(path)]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, path
"""


def watched(folder: Path, cap: int) -> dict[str, tuple[str, float, int]]:
    """(what was told, seconds, bytes) of each file, read one after the other by a process."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(folder), str(cap)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = map(json.loads, done.stdout.splitlines())
    return {name: (told, seconds, taken) for name, told, seconds, taken in lines}


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


@pytest.mark.reliability
def test_every_file_of_the_corpus_is_read_or_refused_by_one_sentence(tmp_path, figure):
    right = dict(cases.CORPUS) | {
        f"{fmt}-{tag}": make(tag) for fmt, make in cases.ORIENTED.items() for tag in cases.SIDES
    }
    wrong = {name: data for name, (data, _) in cases.REFUSED.items()} | cases.DAMAGED
    wrong |= {f"bomb-{name}": data for name, data in cases.bombs().items()}
    for fmt, whole in cases.WHOLE.items():
        for number in range(TRUNCATIONS):
            wrong[f"cut-{fmt}-{number}"] = whole[: len(whole) * number // TRUNCATIONS]
    write(tmp_path / "first", cases.CORPUS)
    write(tmp_path / "files", right | wrong)
    found = watched(tmp_path, 40_000_000)
    for name in right:
        assert found[name][0].startswith("decoded"), (name, found[name])
    for name in wrong:
        told, seconds, _ = found[name]
        assert re.fullmatch(r"got [^\n]*expected[^\n]*;[^\n]*", told), (name, told)
        assert seconds < 1, (name, seconds)
    slowest = max(found[name][1] for name in wrong)
    smallest = len(wrong["bomb-png-81"])
    figure(
        1,
        f"{len(found)} picture files: {len(cases.bombs())} bombs (an 81 megapixel PNG of "
        f"{smallest / 1000:.1f} kB among them), 8 orientations in {len(cases.ORIENTED)} formats, "
        f"{len(cases.WHOLE)} formats cut at {TRUNCATIONS} places, other formats, damage",
        f"{len(right)} decoded (to the pixels test_images.py holds), {len(wrong)} refused by one sentence, the slowest in "
        f"{1000 * slowest:.0f} ms; no traceback",
    )


def at_the_cap() -> dict[str, bytes]:
    """Pictures of CAP px in every layout of pixels that takes another way through the decoder."""
    width, height = 2500, CAP // 2500
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x % 256, y % 256, (x + y) % 256], -1).astype(np.uint8)
    grey, rgba = rgb[..., 0], np.dstack([rgb, rgb[..., 1]])
    deep = np.ascontiguousarray(grey).astype(np.uint16) * 257
    cmyk = Image.fromarray(rgba, "CMYK")
    half = height // 2  # the most that is taken of WebP
    adobe = cases.ADOBE_ICC
    turned = cases.exif(6)
    return {
        "png-rgb": cases.encode(rgb, "PNG", compress_level=1),
        "png-rgb-turned": cases.encode(rgb, "PNG", compress_level=1, exif=turned),
        "png-rgb-wide": cases.encode(rgb, "PNG", compress_level=1, icc_profile=adobe),
        "png-rgba": cases.encode(rgba, "PNG", compress_level=1),
        "png-rgba-turned-wide": cases.encode(
            rgba, "PNG", compress_level=1, exif=turned, icc_profile=adobe
        ),
        "png-16-bit-grey": cases.encode(deep, "PNG", compress_level=1),
        "png-palette": cases.encode(Image.fromarray(grey).convert("P"), "PNG", compress_level=1),
        "png-la": cases.encode(Image.fromarray(rgb[..., :2].copy(), "LA"), "PNG", compress_level=1),
        "jpeg": cases.encode(rgb, "JPEG", exif=turned),
        "jpeg-cmyk": cases.encode(cmyk, "JPEG"),
        "jpeg-cmyk-profile": cases.encode(cmyk, "JPEG", icc_profile=cases.CMYK_ICC),
        "tiff-float": cases.encode(deep.astype(np.float32), "TIFF"),
        "tiff-32-bit": cases.encode(deep.astype(np.int32), "TIFF"),
        "tiff-lzw": cases.encode(rgb, "TIFF", compression="tiff_lzw"),
        "gif": cases.encode(grey, "GIF"),
        "webp": cases.encode(rgb[:half], "WEBP", method=0),
        "webp-rgba": cases.encode(rgba[:half], "WEBP", method=0, lossless=True, quality=0),
        "bmp": cases.encode(rgb, "BMP"),
        "avif": cases.encode(rgb, "AVIF", speed=10, quality=30),
        "heic": cases.heic(rgb, quality=30),
    }


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures as Linux does")
def test_a_picture_at_the_cap_takes_few_bytes_a_pixel(tmp_path, figure):
    write(tmp_path / "first", cases.CORPUS)
    write(tmp_path / "files", at_the_cap())
    found = watched(tmp_path, CAP)
    grown = {name: taken / CAP for name, (_, _, taken) in found.items()}
    for name, (told, _, _) in found.items():
        assert told.startswith("decoded"), (name, told)
    worst = max(grown, key=lambda name: grown[name])
    assert grown[worst] <= 12, grown
    figure(
        1,
        f"pictures at the cap, in {len(grown)} layouts of pixels",
        f"the process grows by at most {grown[worst]:.1f} bytes a pixel of the cap ({worst}), the "
        f"result of 3 included",
    )
