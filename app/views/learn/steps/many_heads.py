"""Step 3: the same query in all heads of a block, side by side."""

import numpy as np
import torch

from app.cache import pictures
from app.ui import layout
from app.ui.layout import Tile
from app.ui.networks import instead_of_attention, say_whose_attention
from app.views.learn.frame import TILE_PX, Lesson, Question, Step, explain, map_over_photo, predict
from dino.attention.mass import entropy


def show(lesson: Lesson) -> None:
    """Show all heads of the last block; after the prediction, how widely each spreads."""
    choice, backbone = lesson.choice, lesson.backbone
    if not backbone.has_attention:
        instead_of_attention(backbone, "So it has no heads to show; steps 5 to 9 work with it")
        return
    attention, _ = pictures.attention(choice, backbone)
    bits = entropy(torch.from_numpy(attention.heads)).tolist()
    explain(
        f"A block has several heads, {backbone.num_heads} in these weights, each with queries, keys and values of "
        "its own. They all get the same tokens and may look for different things; what they bring back is "
        "joined, and one more learned matrix mixes it. How widely a head spreads is its **entropy**: "
        f"0 bits is all on one patch, {np.log2(attention.heads[0].size):.1f} bits the same for every "
        "patch here."
    )
    say_whose_attention(backbone)
    sharpest = int(np.argmin(bits))
    shown = predict(
        lesson,
        Question(
            "Which head looks at the fewest patches (has the lowest entropy)?",
            tuple(f"Head {number}" for number in range(len(bits))),
            sharpest,
            f"It has {min(bits):.1f} bits, about {2 ** min(bits):.0f} patches' worth; the widest head has "
            f"{max(bits):.1f} bits.",
        ),
    )
    layout.gallery(
        [
            Tile(
                picture=map_over_photo(choice, backbone, values, TILE_PX),
                title=f"Head {number}",
                note=f"entropy {bits[number]:.1f} bits" if shown else "entropy: predict it first",
                alt=f"Attention of head-{number} over: {choice.photo.alt}",
                chosen=shown and number == sharpest,
            )
            for number, values in enumerate(attention.heads)
        ]
    )


STEP = Step("Many heads", show)
