"""`make_film`: a video in, a folder with a film of what a network sees in it out.

OUT/film.mp4, result.json, progress.json, preview.jpg; of tracked masks also masks/00000.png …

result.json is written last: where it is, the rest is whole. Frames are read, attended to, drawn and
written one at a time, whatever the length.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dino.errors import UserError, VideoError
from dino.media.draw import mark_random, shrink
from dino.media.label_maps import indexed_png, label_overlay
from dino.media.video_reading import VideoInfo, VideoLimits, probe, read_frames
from dino.media.video_writing import write_gif, write_mp4
from dino.model.backbone import Backbone
from dino.system.files import parse_json, write_atomically, write_error, zip_files
from dino.system.signals import stop_on_signal
from dino.video.film.attention import (
    AttentionStyle,
    KeptMaps,
    attention_maps,
    check_style,
    draw_attention,
    map_frames,
)
from dino.video.film.jobs import RESULT, FilmProgress, FilmProgressWriter
from dino.video.tracking import track_with_frames

FILM, MASKS = "film.mp4", "masks"
# What there is only while a film is made.
_MAPS, _NEW_MASKS = ".maps", ".masks"
# Films are no wider: a browser shows them smaller, and encoding grows with the pixels.
FILM_PX = 1280
_FPS = (1.0, 60.0)
# A GIF's frames are held in memory until all are there: together at most about 40 MB.
GIF_FRAMES = 200
GIF_PX = 480


@dataclass(frozen=True)
class FilmResult:
    """How making a film ended: whether it was `stopped`, and if not its `num_frames`, `fps`, `seconds` of
    work, and for attention the `tops`, the last colour's value of each map in multiples of even attention."""

    stopped: bool
    num_frames: int = 0
    fps: float = 0.0
    seconds: float = 0.0
    tops: tuple[float, ...] = ()


class _Stopped(Exception):  # noqa: N818 (a wish, not an error)
    """SIGTERM or Ctrl-C came."""


def make_film(
    backbone: Backbone,
    video: Path,
    out: Path,
    *,
    subject: AttentionStyle | np.ndarray,
    size: int = 480,
    limits: VideoLimits | None = None,
    progress: Callable[[FilmProgress], None] | None = None,
) -> FilmResult:
    """Draw the attention over a video, or follow a mask through it.

    SIGTERM or Ctrl-C ends it after the frame at hand; half a film is not left behind.

    Args:
        video: MP4, MOV or GIF file.
        out: folder of the results; those of an earlier film are replaced once this one is whole.
        subject: how attention is drawn, or the labels uint8 [H,W] of the first frame to track.
        size: longer side in px of the network's input.
        progress: called after each frame.
    Raises:
        UserError: no such video, a mask of another size, a network without attention where it is
            asked for, too large a size, or a folder that cannot be written.
    """
    started = time.monotonic()
    if isinstance(subject, AttentionStyle):
        check_style(backbone, subject)
    info = probe(str(video), limits=limits)
    _clear(out)
    reporter = FilmProgressWriter(out, total=info.num_frames or 0, listener=progress)
    fps = min(max(info.fps, _FPS[0]), _FPS[1])
    with stop_on_signal() as stop:
        work = _Work(backbone, video, limits, out, size, fps, reporter, stop)
        try:
            if isinstance(subject, AttentionStyle):
                tops = _draw_attention_film(work, subject)
            else:
                _check_mask(subject, info)
                tops = _draw_mask_film(work, subject)
        except _Stopped:
            reporter.end("stopped")
            return FilmResult(stopped=True)
        except BaseException as error:
            reporter.end("failed", str(error) or type(error).__name__)
            if not isinstance(error, OSError):
                raise
            raise VideoError(str(write_error(out, error))) from error
        finally:
            _clear(out)
    result = FilmResult(False, reporter.now.done, fps, round(time.monotonic() - started, 2), tops)
    _write_result(out, result, backbone, subject, size)
    reporter.end("finished")
    return result


def read_result(out: Path) -> FilmResult | None:
    """Read the result of a finished film; None where there is none."""
    try:
        values = parse_json((out / RESULT).read_bytes())
        names = ("stopped", "num_frames", "fps", "seconds")
        return FilmResult(**{name: values[name] for name in names}, tops=tuple(values["tops"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class _Work:
    """What both kinds of film need."""

    backbone: Backbone
    video: Path
    limits: VideoLimits | None
    out: Path
    size: int
    fps: float
    reporter: FilmProgressWriter
    stop: list[bool]

    def frames(self) -> Iterator[np.ndarray]:
        """Read the video's frames from the first, until it is to stop."""
        for rgb in read_frames(str(self.video), limits=self.limits):
            if self.stop[0]:
                raise _Stopped
            yield rgb

    def finished(self, picture: np.ndarray) -> np.ndarray:
        """Shrink and mark a drawn frame as the film has it."""
        shown = shrink(picture, FILM_PX)
        return mark_random(shown) if self.backbone.is_random else shown

    def write(self, pictures: Iterator[np.ndarray]) -> None:
        """Write drawn frames as the film, with previews on the way."""

        def shown_frames() -> Iterator[np.ndarray]:
            for picture in pictures:
                shown = self.finished(picture)
                yield shown
                self.reporter.add_frame()
                if self.reporter.wants_preview:
                    self.reporter.write_preview(shown)

        write_mp4(shown_frames(), self.out / FILM, fps=self.fps)
        # The film is whole: what belongs to an earlier one goes.
        (self.out / RESULT).unlink(missing_ok=True)
        shutil.rmtree(self.out / MASKS, ignore_errors=True)


def _draw_attention_film(work: _Work, style: AttentionStyle) -> tuple[float, ...]:
    """Compute the maps of all frames, then draw them by one scale; return its ends."""
    kept = KeptMaps(work.out / _MAPS)
    attend = partial(attention_maps, work.backbone, size=work.size, head=style.head)
    try:
        for rgb, maps, geometry in map_frames(work.frames(), attend, kept):
            work.reporter.add_frame()
            if work.reporter.wants_preview:  # by the scale so far
                drawn = draw_attention(rgb, maps, geometry, kept.tops(), style)
                work.reporter.write_preview(work.finished(drawn))
        tops = kept.tops()
        work.reporter.start_phase("drawing", kept.num_frames)
        work.write(
            draw_attention(rgb, maps, geometry, tops, style)
            for rgb, maps in zip(work.frames(), kept.frames(), strict=True)
        )
    finally:
        kept.close()
    return tuple(round(float(top), 4) for top in tops)


def _draw_mask_film(work: _Work, first: np.ndarray) -> tuple[float, ...]:
    """Track the mask; labels as PNGs and the film are written in one go."""

    def drawn() -> Iterator[np.ndarray]:
        pairs = track_with_frames(work.backbone, work.frames(), first, size=work.size)
        for number, (rgb, labels) in enumerate(pairs):
            write_atomically(indexed_png(labels), work.out / _NEW_MASKS / f"{number:05}.png")
            yield label_overlay(rgb, labels)

    work.write(drawn())
    (work.out / _NEW_MASKS).rename(work.out / MASKS)
    return ()


def _check_mask(first: np.ndarray, info: VideoInfo) -> None:
    if first.shape != (info.height, info.width):
        raise UserError(
            f"the mask has {first.shape[1]}×{first.shape[0]} px and the video "
            f"{info.width}×{info.height}; expected one size, so draw it on the video's first frame"
        )


def _clear(out: Path) -> None:
    """Delete what an unfinished film left."""
    (out / _MAPS).unlink(missing_ok=True)
    shutil.rmtree(out / _NEW_MASKS, ignore_errors=True)


def _write_result(
    out: Path,
    result: FilmResult,
    backbone: Backbone,
    subject: AttentionStyle | np.ndarray,
    size: int,
) -> None:
    settings: dict[str, Any]
    if isinstance(subject, AttentionStyle):
        settings = {"made": "attention", **asdict(subject)}
    else:
        settings = {"made": "masks", "objects": int(subject.max())}
    values = {
        **asdict(result),
        **settings,
        "size": size,
        "weights": backbone.name,
        "weights_sha256": backbone.weights_sha256,
        "precision": backbone.precision,
    }
    write_atomically(json.dumps(values, indent=2).encode(), out / RESULT)


def film_gif(out: Path) -> bytes:
    """Encode the film as a GIF, at most 480 px wide; of one with more than 200 frames only every so
    many."""
    film = str(out / FILM)
    info = probe(film)
    step = -(-(info.num_frames or 1) // GIF_FRAMES)

    def frames() -> Iterator[np.ndarray]:
        for number, rgb in enumerate(read_frames(film)):
            if number % step == 0:
                yield shrink(rgb, GIF_PX)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.gif"
        write_gif(frames(), path, fps=info.fps / step)
        return path.read_bytes()


def masks_zip(out: Path) -> bytes:
    """Pack the masks, one indexed PNG a frame, into a ZIP; PNGs are packed already, so they are
    only put together."""
    masks = sorted((out / MASKS).glob("*.png"))
    return zip_files(((path.name, path.read_bytes()) for path in masks), compressed=False)
