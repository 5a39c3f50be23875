"""Attention maps as a film: a frame an epoch, played and stepped in the browser."""

import base64
from collections.abc import Sequence

import numpy as np

from app.components.registration import register
from dino.media.draw import colorize, normalize

_component = register("dino_film", __file__)


def film(
    key: str,
    maps: Sequence[np.ndarray],
    *,
    labels: Sequence[str],
    names: Sequence[str],
    photo: bytes,
    size: tuple[int, int],
    film_id: str,
    alt: str,
    colormap: str = "inferno",
) -> None:
    """Draw the film, at its last frame, after the photo itself.

    Args:
        maps: of each frame float [A,h,w]; each map is scaled to its own range.
        labels: a line a frame; `names`: one a head.
        photo: PNG covered by the patches from edge to edge, `size` (H, W) in px.
        film_id: another one starts at its end again.
    """
    frames = [(255 * normalize(one)[0]).round().astype(np.uint8) for one in maps]
    palette = colorize(np.linspace(0, 1, 256)[None], colormap)[0]
    data = {
        "id": film_id,
        "frames": [base64.b64encode(frame.tobytes()).decode() for frame in frames],
        "labels": list(labels),
        "names": list(names),
        "photo": "data:image/png;base64," + base64.b64encode(photo).decode(),
        "rows": maps[0].shape[1],
        "columns": maps[0].shape[2],
        "width": size[1],
        "height": size[0],
        "palette": base64.b64encode(palette.tobytes()).decode(),
        "alt": alt,
    }
    _component(key=key, data=data)
