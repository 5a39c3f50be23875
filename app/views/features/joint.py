"""The patches of several photos in one basis: one colour means one thing in all of them."""

from dataclasses import replace

import streamlit as st

from app.cache import canvas as cached_canvas
from app.cache import pictures
from app.components.canvas.component import canvas
from app.state.selection import Choice, all_photos, bundled_photos
from app.ui import command, layout
from dino.attention.figures import standalone_html
from dino.features.figures import joint_scatter
from dino.features.files import (
    JointPhoto,
    joint_csv,
    joint_npz,
    joint_picture,
    joint_sheet,
    paint_jointly,
)
from dino.features.joint import JointPca, foreground_mask
from dino.media import draw
from dino.model.backbone import Backbone

PHOTOS, FRONT, SHARE = "joint", "front", "share"
_MAX_PHOTOS = 8


def show(choice: Choice, backbone: Backbone) -> None:
    """Choose photos, and see their patches in the colours of one basis."""
    names, share = _controls(choice, backbone)
    if not names:
        st.info("Choose photos to paint in one basis.", icon=":material/touch_app:")
        return
    photos = [replace(choice, photo=all_photos(st.session_state)[name]) for name in names]
    looks, seconds = _see(photos, backbone, share)
    joint = paint_jointly(looks)
    _pictures(photos, looks, joint, backbone)
    mark = draw.RANDOM_MARK if backbone.is_random else ""
    figure = joint_scatter(joint, [look.name for look in looks], title=mark)
    figure.update_layout(height=560)
    st.plotly_chart(
        figure,
        width="stretch",
        key="joint_scatter",
        config={"displaylogo": False},
        alt=f"Patches of {len(looks)} photos along their first two joint components.",
    )
    kept = sum(int(mask.sum()) for mask in joint.kept)
    held = sum(joint.basis.explained_variance)
    st.caption(f"{kept:,} patches; the three components hold {held:.0%} of their variance.")
    _downloads(looks, joint, backbone)
    _command(choice, names, share)
    layout.footer(choice, backbone, seconds)


def _controls(choice: Choice, backbone: Backbone) -> tuple[list[str], float | None]:
    options = list(all_photos(st.session_state))
    first = list(dict.fromkeys([choice.photo.name, *bundled_photos()]))[:3]
    left, right = st.columns([3, 2], gap="medium", vertical_alignment="bottom")
    with left:
        names = st.multiselect(
            "Photos",
            options,
            default=[name for name in first if name in options],
            key=PHOTOS,
            bind="query-params",
            max_selections=_MAX_PHOTOS,
        )
    with right, st.container(horizontal=True, vertical_alignment="bottom"):
        front = st.toggle(
            "Foreground only",
            key=FRONT,
            bind="query-params",
            disabled=not backbone.has_attention,
            help="Find the basis in the patches that hold a share of the attention, heads averaged, and "
            "leave the others black.",
        )
        share = st.slider(
            "Attention held", 30, 95, 60, format="%d%%", key=SHARE, bind="query-params",
            disabled=not front,
        )  # fmt: skip
    return names, share / 100 if front and backbone.has_attention else None


def _see(
    photos: list[Choice], backbone: Backbone, share: float | None
) -> tuple[list[JointPhoto], float]:
    """See the photos as the network does, and the seconds of the forwards when they were made."""
    looks, total = [], 0.0
    for one in photos:
        features, seconds = pictures.features(one, backbone)
        mask = None
        if share is not None:
            attention, more = pictures.attention(one, backbone)
            mask, seconds = foreground_mask(attention, share), seconds + more
        rgb = pictures.shown(one.photo, layout.SHOWN_PX)
        looks.append(JointPhoto(one.photo.file_name, rgb, features, mask))
        total += seconds
    return looks, total


def _pictures(
    photos: list[Choice], looks: list[JointPhoto], joint: JointPca, backbone: Backbone
) -> None:
    panels = []
    shown = zip(photos, looks, joint.colours, joint.kept, strict=True)
    for number, (one, look, colours, kept) in enumerate(shown):
        picture = joint_picture(look, colours, width=layout.SHOWN_PX)
        panels.append(
            cached_canvas.panel(
                one,
                backbone,
                f"joint-{number}",
                map_picture=draw.mark_random(picture) if backbone.is_random else picture,
                caption=f"{look.name}: {kept.mean():.0%} of its patches",
                alt=f"Patches in the joint colours over: {one.photo.alt}",
            )
        )
    canvas(
        "joint_canvas",
        panels,
        hint="Point at a patch: what is like it lights up in all photos, the best of each framed in blue.",
        help_text="Arrow keys move over the patches, plus and minus zoom, Escape ends.",
        link="match",
        wipe=True,
    )
    st.caption(
        "Red, green and blue are the first three components of all patches together, each turned so that "
        "its largest loading is positive: equal colours are alike to the network, in whichever photo."
    )


def _downloads(looks: list[JointPhoto], joint: JointPca, backbone: Backbone) -> None:
    random = backbone.is_random

    def plot() -> bytes:
        title = draw.RANDOM_MARK if random else ""
        return standalone_html(joint_scatter(joint, [look.name for look in looks], title=title))

    layout.downloads(
        ("Pictures (PNG)", "joint-pca.png", "image",
         lambda: joint_sheet(looks, joint, random=random)),
        ("Points (CSV)", "joint-points.csv", "table", lambda: joint_csv(looks, joint)),
        ("Plot (HTML)", "joint-points.html", "language", plot),
        ("Features (NPZ)", "joint.npz", "data_array", lambda: joint_npz(looks, joint)),
    )  # fmt: skip


def _command(choice: Choice, names: list[str], share: float | None) -> None:
    photos = (command.photo_argument(all_photos(st.session_state)[name]) for name in names)
    options = command.flags(size=choice.size, foreground=share)
    command.show("joint", *photos, weights=choice.weights, options=options)
