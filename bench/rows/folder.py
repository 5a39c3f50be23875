"""Row 6: the maps of a folder of JPEGs, end to end: reading, decoding, resizing, forward."""

import functools
import io
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench import flops, plain
from bench.bounds import Multiplying
from bench.machine import cpu_precisions
from bench.networks import Networks, networks
from bench.outcome import Outcome, Settings
from bench.rows.maps import over_plain
from bench.timing import in_turns
from bench.training import jpeg
from dino.attention.photo import PhotoAttention, attend
from dino.media.images import find_images, read
from dino.media.preprocessing import plan, preprocess
from dino.model.backbone import Backbone
from dino.model.parallel import map_photos, photos_at_once

_COUNT, _PHOTO_PX, _SIZE = 64, (1600, 1200), 480


def folder(settings: Settings) -> Outcome:
    """Time 64 photos of 1,600 × 1,200 px at 480 px, S/16 (4 photos if tiny)."""
    precisions = cpu_precisions()
    found = networks(16, _SIZE, tiny=settings.tiny, precisions=precisions)
    # Photos are 4:3, so that all ways interpolate positions; timm does it at each forward.
    found.plain.set_input_size((found.side * 3 // 4 // 16 * 16, found.side))
    with tempfile.TemporaryDirectory() as place:
        photos = _photos(Path(place), 4 if settings.tiny else _COUNT)
        ways = {"plain, fp32": lambda: [_plainly(found, photo) for photo in photos]}
        for precision, backbone in found.ours.items():
            ways[f"ours, {precision}"] = functools.partial(_ours, backbone, place, found.side)
        _plainly(found, photos[0])
        multiplying = Multiplying(precisions, tiny=settings.tiny)
        times = in_turns({**ways, **multiplying.ways}, settings.repeats, warm_up=False)
    outcome = Outcome()
    outcome.timed(times)
    outcome.figures = over_plain(times)
    per_photo = {name: times[name].median / len(photos) for name in ways}
    outcome.notes.append(
        "; ".join(f"{name}: {1e3 * s:.0f} ms a photo" for name, s in per_photo.items()) + "."
    )
    height, width = plan(_PHOTO_PX[::-1], size=found.side, patch_size=16).resized
    work = len(photos) * flops.maps(found.shape, height, width)
    outcome.notes.append(multiplying.most(times, "plain, fp32", work))
    return outcome


def _ours(backbone: Backbone, place: str, side: int) -> list[PhotoAttention]:
    """Make the maps as `python -m dino attend` does, less the pictures it writes."""

    def maps_of(photo: Path) -> PhotoAttention:
        return attend(backbone, read(photo, short_side=side), size=side)

    return list(map_photos(maps_of, find_images(place), at_once=photos_at_once(backbone, side)))


def _photos(place: Path, count: int) -> list[Path]:
    data = jpeg(*_PHOTO_PX)
    for number in range(count):
        (place / f"{number:02}.jpg").write_bytes(data)
    return sorted(place.iterdir())


def _plainly(found: Networks, photo: Path) -> torch.Tensor:
    picture = Image.open(io.BytesIO(photo.read_bytes())).convert("RGB")
    images, _ = preprocess(np.asarray(picture), size=found.side, patch_size=16)
    return plain.last_maps(found.plain, images)
