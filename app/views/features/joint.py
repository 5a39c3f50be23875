"""Show the patches of several photos in one basis: one colour means one thing in all of them."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from app.cache import canvas as cached_canvas
from app.components.canvas.component import canvas
from app.state.selection import Choice, all_photos, bundled_photos
from app.ui import command, joint, layout
from app.ui.widgets import foreground_share
from dino.attention.figures import standalone_html
from dino.features.figures import joint_scatter
from dino.features.files import JointPhoto, joint_csv, joint_npz, joint_sheet, paint_jointly
from dino.features.joint import JointPca
from dino.media import draw
from dino.model.backbone import Backbone

_MAX_PHOTOS = 8


def show(choice: Choice, backbone: Backbone) -> None:
    """Choose photos, and see their patches in the colours of one basis."""
    choices, share = _controls(choice, backbone)
    if not choices:
        st.info("Choose photos to paint in one basis.", icon=":material/touch_app:")
        return
    photos, seconds = joint.see(choices, backbone, share)
    painted = paint_jointly(photos)
    _pictures(choices, photos, painted, backbone)
    names = [photo.name for photo in photos]
    mark = draw.RANDOM_MARK if backbone.is_random else ""
    figure = joint_scatter(painted, names, title=mark)
    figure.update_layout(height=560)
    st.plotly_chart(
        figure,
        width="stretch",
        key="joint_scatter",
        config={"displaylogo": False},
        alt=f"Patches of {len(photos)} photos along their first two joint components.",
    )
    kept = sum(int(mask.sum()) for mask in painted.kept)
    held = sum(painted.basis.explained_variance)
    st.caption(f"{kept:,} patches; the three components hold {held:.0%} of their variance.")
    layout.downloads(
        ("Pictures (PNG)", "joint-pca.png", "image",
         lambda: joint_sheet(photos, painted, random=backbone.is_random)),
        ("Points (CSV)", "joint-points.csv", "table", lambda: joint_csv(photos, painted)),
        ("Plot (HTML)", "joint-points.html", "language",
         lambda: standalone_html(joint_scatter(painted, names, title=mark))),
        ("Features (NPZ)", "joint.npz", "data_array", lambda: joint_npz(photos, painted)),
    )  # fmt: skip
    command.show(
        "joint",
        *(command.photo_argument(chosen.photo) for chosen in choices),
        weights=choice.weights,
        options=command.flags(size=choice.size, foreground=share),
    )
    layout.footer(choice, backbone, seconds)


def _controls(choice: Choice, backbone: Backbone) -> tuple[list[Choice], float | None]:
    """Choose the photos, and the share of attention the foreground holds; None for all patches."""
    options = all_photos(st.session_state)
    first = list(dict.fromkeys([choice.photo.name, *bundled_photos()]))[:3]
    left, right = st.columns([3, 2], gap="medium", vertical_alignment="bottom")
    with left:
        names = st.multiselect(
            "Photos",
            list(options),
            default=[name for name in first if name in options],
            key="joint",
            bind="query-params",
            max_selections=_MAX_PHOTOS,
        )
    with right, st.container(horizontal=True, vertical_alignment="bottom"):
        share = foreground_share(
            backbone,
            value=False,
            help="Find the basis in the patches that hold a share of the attention, heads averaged, and "
            "leave the others black.",
        )
    return [replace(choice, photo=options[name]) for name in names], share


def _pictures(
    choices: Sequence[Choice],
    photos: Sequence[JointPhoto],
    painted: JointPca,
    backbone: Backbone,
) -> None:
    maps = joint.paint(photos, painted, backbone)
    shown = zip(choices, maps, painted.kept, strict=True)
    canvas(
        "joint_canvas",
        [
            cached_canvas.panel(
                choice,
                backbone,
                map_picture=picture,
                caption=f"{choice.photo.file_name}: {kept.mean():.0%} of its patches",
                alt=f"Patches in the joint colours over: {choice.photo.alt}",
            )
            for choice, picture, kept in shown
        ],
        hint="Point at a patch: what is like it lights up in all photos, the best of each framed in blue.",
        help_text="Arrow keys move over the patches, plus and minus zoom, Escape ends.",
        link="match",
        wipe=True,
    )
    st.caption(
        "Red, green and blue are the first three components of all patches together, each turned so that "
        "its largest loading is positive: equal colours are alike to the network, in whichever photo."
    )
