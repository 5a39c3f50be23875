"""Frames → video files that a browser plays.

    write_mp4(frames, Path("walk.mp4"), fps=24)           # H.264
    write_gif(frames, Path("walk.gif"), fps=12)
    write_mp4(moving_crop(photo), Path("pan.mp4"), fps=24)   # over a still photo

Frames are uint8 [H,W,3], all of one size, and may come from a generator. A file is either the old or
the whole new one, whatever happens.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from dino.errors import VideoError
from dino.system.files import open_atomically

# Of x264's quality: 0 is lossless, 18 hard to tell from it, 23 the default.
_QUALITY = 20
_BT709 = 1  # number of matrix, primaries and curve in H.264
_LIMITED_RANGE = 1
_FPS = (0.1, 240.0)
_GIF_STEP_MS = 10  # the unit of time in a GIF
# Shares of the largest window on a still photo that fits: the nearest and the farthest zoom.
_NEAR, _FAR = 0.55, 0.85
_GIF_FASTEST_MS = 20  # below this, browsers play it slowly


def write_mp4(frames: Iterable[np.ndarray], path: Path, *, fps: float) -> int:
    """Write H.264 (yuv420p, BT.709, index at the front), which every browser plays as it loads.

    An odd width or height, which H.264 does not have, is made even by repeating the last column or
    row.

    Args:
        fps: frames a second, from 0.1 to 240.
    Returns:
        How many frames were written.
    Raises:
        VideoError: no frame, frames of other shapes, a rate out of range, no encoder, or a file
            that cannot be written; nothing is left behind.
    """
    import av

    rate = _rate(fps)
    if "libx264" not in av.codecs_available:
        raise VideoError(
            "this build of PyAV has no libx264 to write H.264 with; install av from PyPI"
        )
    with _written_beside(path) as temporary:
        try:
            return _encode_mp4(_check_frames(frames), temporary, rate)
        except av.FFmpegError as error:
            raise VideoError(
                f"{path}: cannot be encoded ({error}); free space or choose another folder"
            ) from error


def write_gif(frames: Iterable[np.ndarray], path: Path, *, fps: float) -> int:
    """Write an endless GIF, each frame in the 256 colours that suit it best.

    Frames are held in memory until all are there; times are whole hundredths of a second, at least
    two. Arguments, returns and errors as in `write_mp4`.
    """
    step = 1000 / float(_rate(fps))
    duration = max(_GIF_FASTEST_MS, round(step / _GIF_STEP_MS) * _GIF_STEP_MS)
    pictures = [Image.fromarray(frame).quantize(256) for frame in _check_frames(frames)]
    with _written_beside(path) as temporary:
        pictures[0].save(
            temporary,
            "GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=duration,
            loop=0,
            optimize=False,
        )
    return len(pictures)


def _encode_mp4(frames: Iterator[np.ndarray], path: Path, rate: Fraction) -> int:
    import av

    first = _make_even(next(frames))
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(_QUALITY)})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        # Untagged, players guess the matrix from the size, and colours differ between them.
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        count = 0
        for rgb in chain([first], map(_make_even, frames)):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode())
    return count


def _make_even(rgb: np.ndarray) -> np.ndarray:
    """Make both sides even, the last row and column repeated."""
    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(rgb)


def _rate(fps: float) -> Fraction:
    low, high = _FPS
    if not low <= fps <= high:
        raise VideoError(f"fps is {fps}; expected {low} to {high:.0f} frames a second")
    return Fraction(fps).limit_denominator(1001)  # 29.97 is 30000/1001


def _check_frames(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Check that frames have the shape of the first, and give them on."""
    shape: tuple[int, ...] | None = None
    for number, rgb in enumerate(frames):
        shape = shape or rgb.shape
        if rgb.dtype != np.uint8 or rgb.shape != shape or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise VideoError(
                f"frame {number} is {rgb.dtype} of shape {rgb.shape}; expected uint8 [H, W, 3], all "
                "of one size"
            )
        yield rgb
    if shape is None:
        raise VideoError("there is no frame to write; expected one at least")


@contextmanager
def _written_beside(path: Path) -> Iterator[Path]:
    """Open a temporary file beside `path`, which takes its place if all goes well."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomically(path, durable=False) as file:
            yield Path(file.name)
    except OSError as error:
        raise VideoError(
            f"{path}: cannot be written ({error.strerror or error}); free space or choose another "
            "folder"
        ) from error


def moving_crop(
    photo: np.ndarray, *, num_frames: int = 48, long_side: int = 480
) -> Iterator[np.ndarray]:
    """Cut the frames of a window that goes once around the photo's middle and zooms in and out; the end meets
    the beginning.

    Args:
        photo: uint8 [H,W,3].
        long_side: px of a frame's longer side; frames keep the photo's aspect, both sides even.
    Yields:
        uint8 [h,w,3], `num_frames` of them.
    """
    height, width = photo.shape[:2]
    scale = long_side / max(height, width)
    size = tuple(max(2, round(side * scale / 2) * 2) for side in (width, height))
    for number in range(num_frames):
        turn = 2 * math.pi * number / num_frames
        share = (_FAR + _NEAR) / 2 + (_FAR - _NEAR) / 2 * math.cos(turn)
        # The window's corner goes round an ellipse within the room that the window leaves.
        left = (1 - share) * width / 2 * (1 + 0.9 * math.sin(turn))
        top = (1 - share) * height / 2 * (1 - 0.6 * math.sin(2 * turn))
        zoom = np.array([[size[0] / (share * width), 0, 0], [0, size[1] / (share * height), 0]])
        zoom[:, 2] = -zoom[0, 0] * left, -zoom[1, 1] * top
        yield cv2.warpAffine(
            photo, zoom, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )
