"""Correspondence: which patches of two photos the network takes for the same."""

from dataclasses import replace

import numpy as np
import streamlit as st

from app.cache import canvas as cached_canvas
from app.cache import pictures
from app.components.canvas.component import canvas
from app.state import url
from app.state.selection import Choice, all_photos
from app.ui import command, layout
from dino.features.correspondence import Matches, matches_csv, matches_picture
from dino.features.files import JointPhoto, joint_picture, paint_jointly
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
    other = _other(choice)
    seconds = sum(pictures.features(one, backbone)[1] for one in (choice, other))
    _explore(choice, other, backbone)
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
def _explore(first: Choice, second: Choice, backbone: Backbone) -> None:
    """Draw what the controls below the canvas change; the backbone has seen both photos already."""
    place = st.container()
    keep, share, shown = _controls(backbone)
    matches = cached_canvas.matches(first, second, backbone, share)
    maps = _joint(first, second, backbone, share) if shown == JOINT else (None, None)
    grids = [pictures.geometry(one, backbone).grid for one in (first, second)]
    lines = _lines(matches, keep, grids[0][1], grids[1][1])
    panels = [
        cached_canvas.panel(
            one,
            backbone,
            f"correspondence-{number}",
            map_picture=picture,
            caption=one.photo.file_name,
            alt=f"Photo {number + 1} of 2, {one.photo.alt}",
        )
        for number, (one, picture) in enumerate(zip((first, second), maps, strict=True))
    ]
    with place:
        canvas(
            "correspondence",
            panels,
            hint="Point at a patch of either photo: what is like it lights up in both, and the best match "
            "of the other is framed in blue.",
            help_text="Arrow keys move over the patches, plus and minus zoom, Escape ends.",
            link="match",
            lines=lines,
        )
    st.caption(
        f"{len(matches):,} pairs of patches are each other's nearest; the lines join "
        + ("all of them" if len(lines) == len(matches) else f"the best {len(lines)}")
        + (f", cosine {lines[0][4]:.2f} to {lines[-1][4]:.2f}." if lines else ".")
    )
    layout.downloads(
        ("Matches (CSV)", "matches.csv", "table", lambda: matches_csv(matches, *grids).encode()),
        (
            "Picture (PNG)",
            "matches.png",
            "image",
            lambda: _picture(first, second, matches, keep, backbone),
        ),
    )
    _command(first, second, keep, share)


def _controls(backbone: Backbone) -> tuple[int, float | None, str]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        keep = st.slider(
            "Lines", 0, MOST_LINES, 30, key="lines", bind="query-params",
            help="How many of the mutual nearest neighbours are joined, the best first.",
        )  # fmt: skip
        shown = st.segmented_control(
            "Show", [PLAIN, JOINT], default=PLAIN, required=True, key="shown", bind="query-params",
            help="Joint colours: the first three components of both photos' patches together.",
        )  # fmt: skip
        front = st.toggle(
            "Foreground only",
            value=backbone.has_attention,
            key="front",
            bind="query-params",
            disabled=not backbone.has_attention,
            help="Match only patches among those that hold a share of the attention, heads averaged.",
        )
        share = st.slider(
            "Attention held", 30, 95, 60, format="%d%%", key="share", bind="query-params",
            disabled=not front,
        )  # fmt: skip
    return keep, share / 100 if front and backbone.has_attention else None, shown


def _lines(matches: Matches, keep: int, first: int, second: int) -> list[list[float]]:
    """List (row, column, row, column, cosine) of the best; `first` and `second` are columns of the grids."""
    return [
        [*divmod(int(a), first), *divmod(int(b), second), round(float(cosine), 4)]
        for a, b, cosine in zip(
            matches.first[:keep], matches.second[:keep], matches.cosines[:keep], strict=True
        )
    ]


def _joint(
    first: Choice, second: Choice, backbone: Backbone, share: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw both photos in the colours of one basis."""
    looks = []
    for one in (first, second):
        features, _ = pictures.features(one, backbone)
        mask = None
        if share is not None:
            mask = cached_canvas.foreground(one, backbone, share)
        looks.append(
            JointPhoto(one.photo.file_name, pictures.shown(one.photo, 960), features, mask)
        )
    joint = paint_jointly(looks)
    drawn = [
        joint_picture(look, colours, width=960)
        for look, colours in zip(looks, joint.colours, strict=True)
    ]
    if backbone.is_random:
        drawn = [draw.mark_random(picture) for picture in drawn]
    return drawn[0], drawn[1]


def _picture(
    first: Choice, second: Choice, matches: Matches, keep: int, backbone: Backbone
) -> bytes:
    photos = [pictures.shown(one.photo, layout.SHOWN_PX) for one in (first, second)]
    geometries = [pictures.geometry(one, backbone) for one in (first, second)]
    drawn = matches_picture(photos, [g.grid for g in geometries], matches, keep=keep)
    return draw.encode_png(draw.mark_random(drawn) if backbone.is_random else drawn)


def _command(first: Choice, second: Choice, keep: int, share: float | None) -> None:
    photos = (command.photo_argument(one.photo) for one in (first, second))
    options = command.flags(keep=keep, size=first.size, foreground=share)
    command.show("match", *photos, weights=first.weights, options=options)
