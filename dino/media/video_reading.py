"""Video files → frames, one at a time, upright.

    for rgb in read_frames("walk.mov"):                    # uint8 [H, W, 3]
        …
    probe(data).num_frames                                 # what the file says of itself

Made for files from strangers, like `dino.media.images`: three containers are opened and no others, so that
a playlist cannot name files or addresses to read; size and length are checked before a frame is
decoded, and again as frames come, as a header may lie. Whatever is wrong becomes a VideoError.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dino.errors import VideoError

_EXPECTED = "expected an MP4, MOV or GIF video"
# Demuxers as FFmpeg calls them; the first is a family that it opens by one reader.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,gif"
_ANY_FPS = 25.0  # for files that do not say

Source = str | os.PathLike[str] | bytes  # a path, or what the file holds


@dataclass(frozen=True)
class VideoLimits:
    """What is refused.

    Args:
        max_bytes: size of the file.
        max_frames: frames in all.
        max_pixels: width · height of a frame; 4K has 8.3 million. A decoder holds some twenty.
    """

    max_bytes: int = 200_000_000
    max_frames: int = 3_000
    max_pixels: int = 10_000_000


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself: `height` and `width` in px as shown upright, frames a second, and
    how many frames there should be (None where nothing tells)."""

    height: int
    width: int
    fps: float
    num_frames: int | None


def probe(source: Source, *, limits: VideoLimits | None = None) -> VideoInfo:
    """Look at a video without decoding more than its first frame, but to its end: one that is cut
    short is refused before work on it begins.

    Arguments and errors as in `read_frames`.
    """
    limits = limits or VideoLimits()
    with _open_stream(source, limits) as (container, stream, name):
        packets = _packets(container, stream, name)
        first = next(_decode(packets, name, limits), None)
        if first is None:
            raise _no_frames(name)
        for _ in packets:
            pass
        turned = round(first.rotation / 90) % 2
        height, width = (first.width, first.height) if turned else (first.height, first.width)
        return VideoInfo(height, width, _fps(stream), _num_frames(container, stream))


def read_frames(source: Source, *, limits: VideoLimits | None = None) -> Iterator[np.ndarray]:
    """Decode a video's frames in the order they are shown.

    They are turned as the file's metadata says (phones record sideways), and transparency is laid on
    white.

    Args:
        source: path or bytes of an MP4, MOV or GIF file.
        limits: what is refused; default `VideoLimits()`.
    Yields:
        uint8 [H,W,3], contiguous.
    Raises:
        VideoError: another kind of file, damaged or cut short, without a frame, too large or long.
    """
    limits = limits or VideoLimits()
    with _open_stream(source, limits) as (container, stream, name):
        count = 0
        for frame in _decode(_packets(container, stream, name), name, limits):
            count += 1
            if count > limits.max_frames:
                raise VideoError(_too_long(name, f"more than {limits.max_frames:,}", limits))
            yield _upright(frame)
        if not count:
            raise _no_frames(name)


@contextmanager
def _open_stream(source: Source, limits: VideoLimits) -> Iterator[tuple[Any, Any, str]]:
    """Open a container: itself, its video stream and the file's name, all limits but the true length checked."""
    import av

    name = "the video" if isinstance(source, bytes) else os.fspath(source)
    _check_bytes(source, name, limits)
    options = {"max_pixels": str(limits.max_pixels)}
    try:
        container = av.open(
            io.BytesIO(source) if isinstance(source, bytes) else name,
            "r",
            options=options,
            container_options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(_unreadable(name, error)) from error
    with container:
        stream: Any = container.streams.best("video")
        if stream is None or stream.codec_context is None:
            raise VideoError(f"{name} holds {_describe_contents(container, stream)}; {_EXPECTED}")
        _check_size(name, stream.width, stream.height, limits)
        expected = _num_frames(container, stream)
        if expected is not None and expected > limits.max_frames:
            raise VideoError(_too_long(name, f"about {expected:,}", limits))
        stream.codec_context.options = options
        yield container, stream, name


def _check_bytes(source: Source, name: str, limits: VideoLimits) -> None:
    try:
        size = len(source) if isinstance(source, bytes) else Path(name).stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{name} cannot be read ({reason}); {_EXPECTED}") from error
    if size > limits.max_bytes:
        raise VideoError(
            f"{name} has {size / 1e6:,.0f} MB, and the limit is {limits.max_bytes / 1e6:,.0f}; cut "
            "it shorter or scale it down first"
        )


def _check_size(name: str, width: int, height: int, limits: VideoLimits) -> None:
    if width < 1 or height < 1:
        raise VideoError(f"{name} has no size, so it is damaged; fetch or export it again")
    if width * height > limits.max_pixels:
        raise VideoError(
            f"{name} has frames of {width}×{height} = {width * height:,} px, and the limit is "
            f"{limits.max_pixels:,}; scale it down first"
        )


def _packets(container: Any, stream: Any, name: str) -> Iterator[Any]:
    """Read what the file holds of the stream, undecoded."""
    import av

    number = 0
    try:
        for number, packet in enumerate(container.demux(stream), start=1):
            if packet.is_corrupt:
                raise VideoError(
                    f"{name} ends within frame {number}, so it is cut short; fetch it again"
                )
            yield packet
    except (av.FFmpegError, OSError) as error:
        raise VideoError(_unreadable(name, error, after=number)) from error


def _decode(packets: Iterator[Any], name: str, limits: VideoLimits) -> Iterator[Any]:
    """Decode frames as PyAV has them."""
    import av

    count = 0
    for packet in packets:
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError) as error:
            raise VideoError(_unreadable(name, error, after=count)) from error
        for frame in frames:
            _check_size(name, frame.width, frame.height, limits)
            count += 1
            yield frame


def _upright(frame: Any) -> np.ndarray:
    """Turn a frame upright: uint8 [H,W,3], turned counter-clockwise by its rotation."""
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.to_ndarray(format="rgba").astype(np.uint16)
        alpha = rgba[..., 3:]
        rgb = ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    else:
        rgb = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


def _describe_contents(container: Any, stream: Any) -> str:
    """Describe what there is where no video can be decoded."""
    if stream is not None:
        return "a video in a coding that is not known here"
    return "sound only" if container.streams.audio else "no video, or only the start of one"


def _fps(stream: Any) -> float:
    return float(stream.average_rate or stream.guessed_rate or _ANY_FPS)


def _num_frames(container: Any, stream: Any) -> int | None:
    """Count the frames by the header: as counted there, else by duration and rate."""
    if stream.frames:
        return int(stream.frames)
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration:
        seconds = container.duration / 1e6
    else:
        return None
    return max(1, round(seconds * _fps(stream)))


def _too_long(name: str, frames: str, limits: VideoLimits) -> str:
    return (
        f"{name} has {frames} frames, and the limit is {limits.max_frames:,}; cut it shorter first"
    )


def _no_frames(name: str) -> VideoError:
    return VideoError(f"{name} holds no frame; {_EXPECTED}, so fetch or export it again")


def _unreadable(name: str, error: Exception, *, after: int = 0) -> str:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
    if after:
        return f"{name} is damaged after frame {after} ({reason}); fetch or export it again"
    return f"{name} cannot be read as a video ({reason}); {_EXPECTED}, complete and undamaged"
