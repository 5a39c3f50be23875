"""Videos of the Video page and where its films are kept, below the cache in the checkpoints folder.

cache/video/{clips, uploads, masks, films}: clips that we draw, videos from browsers, first masks, and a
folder a film, named by what it is of; a film that was made once is found again.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
import torch

from app.cache import pictures
from app.state.selection import Choice, Photo
from app.state.uploads import temporary_file
from dino.attention.mass import attention_mask
from dino.errors import UserError
from dino.media import draw
from dino.media.label_maps import indexed_png, resized_labels
from dino.media.video_reading import VideoInfo, VideoLimits, probe, read_frames
from dino.media.video_writing import moving_crop, write_mp4
from dino.model.backbone import Backbone
from dino.system.files import content_id, write_atomically
from dino.system.folders import checkpoints_folder
from dino.video.film import read_first_mask
from dino.video.film.jobs import film_id, read_job

LIMITS = VideoLimits(max_bytes=100 * 2**20, max_frames=600, max_pixels=1920 * 1088)
SUFFIXES = ("mp4", "mov", "gif")
_MAX_UPLOADS, _MAX_FILMS = 8, 40
CLIP_FPS = 12
# Goes into the names of clips; to be raised when they are drawn otherwise.
_CLIP_VERSION = 1
_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class Clip:
    """A video on disk: what the page calls it, the file's sha256, what it says of itself, and the
    `photo` it was drawn from, None where it is somebody's own."""

    path: Path
    name: str
    sha256: str
    info: VideoInfo
    photo: Photo | None = None


def video_folder() -> Path:
    """Return the folder that all of this page is kept in."""
    return (checkpoints_folder() / "cache" / "video").absolute()


def clip_of_photo(photo: Photo) -> Clip:
    """Draw a moving crop of a still photo, when it is first asked for."""
    path = video_folder() / "clips" / f"{photo.id[:16]}-v{_CLIP_VERSION}.mp4"
    if not path.exists():
        write_mp4(moving_crop(pictures.pixels(photo)), path, fps=CLIP_FPS)
    sha256, info = _facts(str(path), path.stat().st_mtime_ns)
    return Clip(path, f"moving crop of {photo.file_name}", sha256, info, photo)


def keep_upload(file_name: str, data: bytes) -> Clip:
    """Check a video from a browser and keep it; older ones make room.

    Raises:
        VideoError: no video, or one that is too large or long.
    """
    try:
        info = probe(data, limits=LIMITS)
    except UserError as error:
        raise type(error)(str(error).replace("the video", file_name, 1)) from error
    sha256 = content_id(data)
    suffix = Path(file_name).suffix.lower()
    path = video_folder() / "uploads" / f"{sha256[:32]}{suffix}"
    if not path.exists():
        write_atomically(data, path)
        for old in _newest_first(path.parent.iterdir())[_MAX_UPLOADS:]:
            old.unlink(missing_ok=True)
    return Clip(path, file_name, sha256, info)


@st.cache_data(
    max_entries=16,
    show_spinner="Reading the first frame …",
    hash_funcs={Clip: lambda clip: (clip.sha256, clip.name)},
)
def first_frame(clip: Clip) -> Photo:
    """Read the clip's first frame as a photo, which pages of photos can look at."""
    data = draw.encode_png(next(read_frames(str(clip.path))))
    return Photo(
        name=f"frame-{clip.sha256[:8]}",
        file_name="first-frame.png",
        data=data,
        id=content_id(data),
        alt=f"The first frame: {clip.name}",
    )


def attention_labels(choice: Choice, backbone: Backbone, mass: float) -> np.ndarray:
    """Label the patches that hold a share of the mean attention on the chosen photo, uint8 [H,W]."""
    found, _ = pictures.attention(choice, backbone)
    mask = attention_mask(torch.from_numpy(found.heads), mass, combine="mean")
    return found.geometry.to_photo(mask.numpy()).astype(np.uint8)


def uploaded_mask(file_name: str, data: bytes, size: tuple[int, int]) -> np.ndarray:
    """Read the labels of a mask picture from a browser at a frame's size (H, W).

    Raises:
        UserError: no mask, or one of another shape than the frame.
    """
    with temporary_file(data, file_name) as path:
        labels = read_first_mask(path)
    height, width = labels.shape
    if abs(width * size[0] / (height * size[1]) - 1) > _ASPECT_TOLERANCE:
        raise UserError(
            f"{file_name} has {width}×{height} px and the video {size[1]}×{size[0]}; expected the "
            "same shape, so draw it on the first frame"
        )
    return resized_labels(labels, size)


def mask_file(labels: np.ndarray) -> tuple[Path, bytes]:
    """Encode a first mask as a PNG, and say where `prepare` puts it."""
    data = indexed_png(labels)
    return video_folder() / "masks" / f"first-{content_id(data)[:16]}.png", data


def prepare(out: Path, mask: tuple[Path, bytes] | None) -> None:
    """Write a film's first mask before it is made, and let the oldest films make room."""
    if mask is not None and not mask[0].exists():
        write_atomically(mask[1], mask[0])
    films = [film for film in out.parent.glob("*/") if film != out and not read_job(film).active]
    for old in _newest_first(films)[_MAX_FILMS - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)


def film_folder(clip: Clip, backbone: Backbone, settings: Mapping[str, Any]) -> Path:
    """Return where the film of a clip is kept, whether it was made yet or not."""
    return video_folder() / "films" / film_id(clip.sha256, backbone.fingerprint, settings)


@st.cache_data(max_entries=32, show_spinner="Reading the video …")
def _facts(path: str, mtime_ns: int) -> tuple[str, VideoInfo]:
    return content_id(Path(path).read_bytes()), probe(path)
