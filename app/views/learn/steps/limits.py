"""Step 10: what attention does not say, and where it fails, on the chosen photo."""

import numpy as np
import streamlit as st

from app.cache import attention
from app.ui import layout
from app.ui.networks import instead_of_attention
from app.views.learn.frame import Lesson, Question, Step, explain, map_over_photo, predict

# As the norms panel of the Attention page counts them.
_TOWERS = 2.0


def show(lesson: Lesson) -> None:
    """Show what to be careful about, and the patches whose tokens tower over the others."""
    choice, backbone = lesson.choice, lesson.backbone
    explain(
        "- Attention is **where values come from, not why**: a head may look at a patch and take little from "
        "it. *Head off* on the Attention page shows what a head changes.\n"
        "- A mask from attention is **no segmentation**: the best head is often picked by looking at the "
        "answer, and several objects share one map.\n"
        "- **Small weights see less**: the ViT-Ti/16 that comes with this app has seen ten classes of photos, at a "
        "small size. What is true of it need not hold for large ones, nor the reverse.\n"
        "- Some networks keep notes in **artefact tokens**: patches of no interest with a very large norm, which draw "
        "attention though nothing is there (Darcet et al. 2024). The map shows the norms of these weights."
    )
    if not backbone.has_attention:
        instead_of_attention(backbone, "So there are no norms of tokens to show")
        return
    _, patches = attention.norms(choice, backbone)
    norms = patches[-1]
    left, right = st.columns(2, gap="medium")
    with left:
        if predict(lesson, _question(norms)):
            median = float(np.median(norms))
            st.caption(
                f"Norms after the last block: median {median:.1f}, largest {norms.max():.1f}. The button "
                "below opens the same panel in Attention, with all blocks."
            )
    with right:
        layout.picture(
            map_over_photo(choice, backbone, norms),
            alt="Norm of each patch token after the last block",
            caption="Norm of each patch token after the last block, on its own scale",
        )


def _question(norms: np.ndarray) -> Question:
    count = int(np.count_nonzero(norms > _TOWERS * np.median(norms)))
    share = count / norms.size
    right = 0 if not count else 1 if share <= 0.05 else 2
    return Question(
        "How many patches have a token more than twice as long as the median?",
        ("None", "At most 5% of them", "More than 5%"),
        right,
        f"{count} of {norms.size:,} patches.",
    )


STEP = Step("Limits and failures", show, link={"panel": "norms"})
