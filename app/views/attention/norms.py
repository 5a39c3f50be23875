"""Show how large the tokens of the residual stream are: a few patches may tower over the others."""

import numpy as np
import streamlit as st

from app.cache import attention
from app.ui.networks import prefix_groups
from app.views.attention.scene import Scene
from dino.attention.figures import norm_lines

_WIDTH_PX = 720
# A patch counts as towering from this many times the median norm on.
_TOWERS = 2.0


def show(scene: Scene) -> None:
    """Draw the map of norms after the asked block, and how they grow over the blocks."""
    prefix, patches = attention.norms(scene.choice, scene.backbone)
    layer = scene.asked.layer
    norms = patches[layer]
    scene.show_values(norms, _WIDTH_PX, alt=f"Norm of each patch token after block {layer}.")
    st.caption(_caption(scene, prefix[layer], norms))
    st.plotly_chart(
        norm_lines(prefix, patches, groups=prefix_groups(scene.backbone), layer=layer),
        width="stretch",
        key="norm_lines",
        config={"displayModeBar": False},
        alt="Norms of "
        + "".join(f"{name}, " for name, _ in prefix_groups(scene.backbone))
        + "and the median and largest patch after each block.",
    )


def _caption(scene: Scene, prefix: np.ndarray, norms: np.ndarray) -> str:
    middle = float(np.median(norms))
    count = int(np.count_nonzero(norms > _TOWERS * middle))
    parts = [f"median patch {middle:.1f}", f"largest {norms.max():.1f}"]
    for name, indices in prefix_groups(scene.backbone):
        of_group = f"{name} {', '.join(f'{prefix[index]:.1f}' for index in indices)}"
        parts.insert(0 if name == "CLS" else len(parts), of_group)
    return (
        f"L2 norm of each token after block {scene.asked.layer}, before the final norm: "
        f"{'; '.join(parts)}. {count} of {norms.size} patches above twice the median: such patches "
        "hold less of what is there (Darcet et al. 2024)."
    )
