"""Show which patches of two photos the network takes for the same."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import streamlit as st

from app.cache import canvas as cached_canvas
from app.components.canvas.component import canvas
from app.state import url
from app.state.selection import Choice, all_photos
from app.ui import command, joint, layout
from app.ui.widgets import choose_one, foreground_share
from dino.features.correspondence import Matches, matches_csv, matches_picture
from dino.features.files import paint_jointly
from dino.media import draw
from dino.model.backbone import Backbone

MIRROR = "its mirror image"
PLAIN, JOINT = "photos", "joint colours"
MOST_LINES = 100
# Photos with something in common; any other photo is set beside its mirror image.
_PARTNERS = {"macaw": "kingfisher", "kingfisher": "macaw", "cat": "lemurs", "lemurs": "cat"}


def show(choice: Choice, backbone: Backbone) -> None:
    """Draw the page: two photos on one canvas, lines between them, downloads."""
    layout.header("Correspondence", choice, backbone)
    pair = choice, _other(choice)
    _, seconds = joint.see(pair, backbone, None)
    _explore(pair, backbone)
    layout.footer(choice, backbone, seconds)


def _other(choice: Choice) -> Choice:
    """Choose the second photo, for the same weights and size."""
    photos = all_photos(st.session_state)
    names = [MIRROR, *(name for name in photos if name != choice.photo.name)]
    wanted = _PARTNERS.get(choice.photo.name, MIRROR)
    url.forget_unknown("other", names)
    name = st.selectbox(
        "Second photo",
        names,
        index=names.index(wanted),
        key="other",
        bind="query-params",
        width=320,
    )
    photo = cached_canvas.mirrored(choice.photo) if name == MIRROR else photos[name]
    return replace(choice, photo=photo)


@st.fragment
def _explore(pair: tuple[Choice, Choice], backbone: Backbone) -> None:
    """Draw what the controls below the canvas change; the backbone has seen both photos already."""
    place = st.container()
    num_lines, share, shown = _controls(backbone)
    photos, _ = joint.see(pair, backbone, share)
    grids = [photo.features.geometry.grid for photo in photos]
    matches = cached_canvas.matches(*pair, backbone, share, photos)
    lines = _lines(matches, num_lines, grids[0][1], grids[1][1])
    maps = joint.paint(photos, paint_jointly(photos), backbone) if shown == JOINT else [None, None]
    with place:
        _canvas(pair, backbone, maps, lines)
    st.caption(
        f"{len(matches):,} pairs of patches are each other's nearest; the lines join "
        + ("all of them" if len(lines) == len(matches) else f"the best {len(lines)}")
        + (f", cosine {lines[0][4]:.2f} to {lines[-1][4]:.2f}." if lines else ".")
    )

    def picture() -> bytes:
        drawn = matches_picture([photo.rgb for photo in photos], grids, matches, keep=num_lines)
        return draw.encode_png(layout.marked(drawn, backbone))

    layout.downloads(
        ("Matches (CSV)", "matches.csv", "table", lambda: matches_csv(matches, *grids).encode()),
        ("Picture (PNG)", "matches.png", "image", picture),
    )
    command.show(
        "match",
        *(command.photo_argument(choice.photo) for choice in pair),
        weights=pair[0].weights,
        options=command.flags(keep=num_lines, size=pair[0].size, foreground=share),
    )


def _canvas(
    pair: tuple[Choice, Choice],
    backbone: Backbone,
    maps: Sequence[np.ndarray | None],
    lines: list[list[float]],
) -> None:
    canvas(
        "correspondence",
        [
            cached_canvas.panel(
                choice,
                backbone,
                map_picture=picture,
                caption=choice.photo.file_name,
                alt=f"Photo {number + 1} of 2, {choice.photo.alt}",
            )
            for number, (choice, picture) in enumerate(zip(pair, maps, strict=True))
        ],
        hint="Point at a patch of either photo: what is like it lights up in both, and the best match "
        "of the other is framed in blue.",
        help_text="Arrow keys move over the patches, plus and minus zoom, Escape ends.",
        link="match",
        lines=lines,
    )


def _controls(backbone: Backbone) -> tuple[int, float | None, str]:
    """Draw the controls; return the number of lines, the attention held by the foreground, and what is
    shown."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        num_lines = st.slider(
            "Lines", 0, MOST_LINES, 30, key="lines", bind="query-params",
            help="How many of the mutual nearest neighbours are joined, the best first.",
        )  # fmt: skip
        shown = choose_one(
            "Show",
            [PLAIN, JOINT],
            key="shown",
            help="Joint colours: the first three components of both photos' patches together.",
        )
        share = foreground_share(
            backbone,
            value=backbone.has_attention,
            help="Match only patches among those that hold a share of the attention, heads averaged.",
        )
    return num_lines, share, shown


def _lines(matches: Matches, num_lines: int, first: int, second: int) -> list[list[float]]:
    """List (row, column, row, column, cosine) of the best; `first` and `second` are columns of the grids."""
    best = zip(matches.first, matches.second, matches.cosines, strict=True)
    return [
        [*divmod(int(a), first), *divmod(int(b), second), round(float(cosine), 4)]
        for a, b, cosine in islice(best, num_lines)
    ]
