"""Switch one head off, and show what that changes in the photo's description, the patches and the last block."""

import streamlit as st

from app.cache import attention
from app.state import url
from app.ui import layout
from app.ui.networks import summary_words
from app.views.attention.scene import Scene
from dino.attention.head_ablation import HeadAblation
from dino.media import draw

_WIDTH_PX = 640


def show(scene: Scene) -> None:
    """Draw the choice of the head of the asked block that is off, the numbers and two pictures."""
    asked = scene.asked
    heads = [str(number) for number in range(scene.backbone.num_heads)]
    url.forget_unknown("off", heads)  # chosen under weights with more heads
    head = st.pills(
        f"Head of block {asked.layer} to switch off",
        heads,
        default="0",
        required=True,
        key="off",
        bind="query-params",
    )
    found = attention.ablation(
        scene.choice, scene.backbone, layer=asked.layer, head=int(head), query=asked.query
    )
    change = found.patch_change[0].numpy()
    with st.container(horizontal=True):
        summary = summary_words(scene.backbone).removeprefix("the ").removesuffix(" token")
        st.metric(
            f"{summary[0].upper()}{summary[1:]}, cosine before and after",
            f"{found.cls_cosine[0]:.3f}",
        )
        st.metric("Patches, mean change", f"{change.mean():.3f}")
        st.metric("Patches, largest change", f"{change.max():.3f}")
    left, right = st.columns(2, gap="small")
    with left:
        alt = "How much each patch's feature changes, as a map."
        scene.show_values(change, _WIDTH_PX, alt=alt)
        st.caption("Change of each patch's feature.")
    with right:
        _attention(scene, found)
    st.caption(
        f"Head {head} of block {asked.layer} writes zeros before the block's output projection; all "
        "later blocks go on from there. Change is 1 − cosine of a token after the last norm: 0 is "
        "unchanged, 1 at right angles."
    )


def _attention(scene: Scene, found: HeadAblation) -> None:
    if found.layer == scene.backbone.depth - 1:
        st.info(
            "The last block's attention is decided before its heads write; choose an earlier block "
            "to see it change.",
            icon=":material/info:",
        )
        return
    mean = found.attention_change[0].numpy().mean(axis=0)
    pixels, most = draw.diverging_heat(mean, scene.attention.geometry, scene.photo(_WIDTH_PX))
    layout.picture(
        layout.marked(pixels, scene.backbone),
        alt="Where the last block's attention grows and shrinks, as a map.",
    )
    st.caption(
        f"Last-block attention of {scene.asked.token}, mean of heads: orange where it grows, blue "
        f"where it shrinks, up to {100 * most:.2g} percentage points."
    )
