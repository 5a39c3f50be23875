"""Step 4: the token that stands for the whole picture, block by block."""

import numpy as np
import streamlit as st
import torch

from app.cache import attention
from app.text import plain_text
from app.ui import layout
from app.ui.networks import what_it_is
from app.views.learn.frame import (
    Lesson,
    Question,
    Step,
    chart,
    control,
    explain,
    figure,
    map_over_photo,
    predict,
)
from dino.attention.mass import entropy
from dino.model.backbone import Backbone


def show(lesson: Lesson) -> None:
    """Show where CLS looks in each block, and how widely."""
    choice, backbone = lesson.choice, lesson.backbone
    if not backbone.num_class:
        st.info(_without_cls(backbone), icon=":material/info:")
        return
    every = tuple(range(backbone.depth))
    looked, _ = attention.rows(choice, backbone, blocks=every, query="cls", rolled=False)
    maps = looked.weights[:, 0]  # [L,A,h,w]
    bits = entropy(torch.from_numpy(maps)).mean(dim=1).numpy()
    explain(
        "One token has no patch of its own: **CLS**. It asks all patches in every block, collects what they "
        "hand over, and leaves as the description of the whole photo; in DINO it is what two networks in "
        "training, student and teacher, are compared by (steps 5 and 6). In DINO's own training nothing tells "
        f"it where the object is, no label and no outline.{_tuned(backbone)}"
    )
    left, right = st.columns(2, gap="medium")
    with right:
        shown = predict(lesson, _question(bits))
        if shown:
            block = _block(backbone.depth)
            _curve(lesson, bits, block)
    with left:
        _picture(lesson, maps[block if shown else 0].mean(axis=0), block if shown else 0)


def _without_cls(backbone: Backbone) -> str:
    """Say what a network without a CLS token does in its place, and how to see this step; in Markdown."""
    name = plain_text(backbone.name)
    if not backbone.has_attention:
        return (
            f"{what_it_is(backbone)}, and no CLS token: it describes a photo by its pooled features. For "
            "this step choose a ViT in the sidebar, or go on with step 5."
        )
    return (
        f"{name} has no CLS token. It describes a photo by all its patches together, so the other pages draw "
        "the mean of all patches' rows. For this step choose weights that have one in the sidebar, such as "
        "DINO's, or go on with step 5."
    )


def _question(bits: np.ndarray) -> Question:
    first, last = float(bits[0]), float(bits[-1])
    differs = abs(first - last) >= 0.2
    right = int(last > first) if differs else 2
    return Question(
        "Where does the CLS token's attention spread more widely?",
        ("In the first block", "In the last block", "Within 0.2 bits the same in both"),
        right,
        f"On this photo the heads have {first:.1f} bits on average in block 0 and {last:.1f} in block "
        f"{len(bits) - 1}: {_meaning(first, last)}",
    )


def _meaning(first: float, last: float) -> str:
    if abs(first - last) < 0.2:
        return "it goes on looking about equally widely."
    if last < first:
        return "it looks everywhere at first, and in the end at what the description is made of."
    return "it starts from few patches, and in the end it gathers from many."


def _tuned(backbone: Backbone) -> str:
    """Write a word of caution where the weights were not trained by DINO alone."""
    if "saliency" not in backbone.name:
        return ""
    return " (The weights chosen here were tuned to show objects afterwards: choose others to see what emerges.)"


def _block(depth: int) -> int:
    if depth == 1:
        return 0
    return control(
        "learn_layer", range(depth), depth - 1, st.slider, "Block", 0, depth - 1,
        help="From 0, the first after the patches.",
    )  # fmt: skip


def _curve(lesson: Lesson, bits: np.ndarray, block: int) -> None:
    drawn = figure(lesson, x="block", y="entropy, bits", height=240)
    drawn.add_scatter(x=list(range(len(bits))), y=bits, mode="lines+markers", name="mean of heads")
    drawn.add_vline(x=block, line={"color": "rgba(128,128,128,0.7)", "dash": "dot"})
    ends = f"{bits[0]:.1f} bits in the first block, {bits[-1]:.1f} in the last"
    chart(drawn, "learn_entropies", f"Entropy of CLS attention by block: {ends}.")


def _picture(lesson: Lesson, values: np.ndarray, block: int) -> None:
    choice, backbone = lesson.choice, lesson.backbone
    layout.picture(
        map_over_photo(choice, backbone, values),
        alt=f"Where CLS looks in block {block}, over: {choice.photo.alt}",
        caption=f"CLS in block {block} of {backbone.depth - 1}, mean of heads, on its own scale",
    )


STEP = Step(
    "The CLS token",
    show,
    controls={"learn_layer": lambda backbone: backbone.depth - 1},
    link={"query": "cls"},
    handed={"layer": "learn_layer"},
)
