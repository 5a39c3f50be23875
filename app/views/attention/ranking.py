"""Rank the heads of a block: by how widely they spread, how far they look, what they agree with."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch

from app.cache import attention, pictures
from app.state.problems import show_error
from app.ui import layout, reference
from app.ui.layout import TILE_PX, Tile
from app.ui.widgets import choose_one
from app.views.attention.scene import Scene
from dino.attention.heads import Agreement, agreement, query_distance, ranked
from dino.attention.mass import DEFAULT_MASS, entropy
from dino.errors import UserError
from dino.masks.proposals import propose_from
from dino.masks.settings import MaskSettings

ENTROPY, DISTANCE, JACCARD, INSIDE = "entropy", "distance", "Jaccard", "share inside"
_OWN, _UPLOADED = "mask of the heads' mean", "uploaded mask"


@dataclass(frozen=True)
class HeadFigures:
    """Figures of each head: `entropy` in bits, `distance` in px, `agreement` where a mask was chosen."""

    entropy: list[float]
    distance: list[float]
    agreement: Agreement | None

    def values(self, by: str) -> list[float]:
        """Give the figure that a ranking goes by."""
        if by in (JACCARD, INSIDE) and self.agreement is not None:
            return list(self.agreement.jaccard if by == JACCARD else self.agreement.inside)
        return self.distance if by == DISTANCE else self.entropy

    def note(self, head: int) -> str:
        """Put all figures of a head in a line."""
        note = f"{self.entropy[head]:.1f} bits · {self.distance[head]:.0f} px"
        if self.agreement is None:
            return note
        score, inside = self.agreement.jaccard[head], self.agreement.inside[head]
        return f"{note} · J {score:.2f} · {inside:.0%} inside"


def show(scene: Scene) -> None:
    """Draw the ranked gallery and, for agreement, the mask to agree with."""
    if not scene.has_heads:
        st.info("A rollout has no heads to rank; choose probabilities.", icon=":material/sort:")
        return
    by = choose_one(
        "Rank by",
        [ENTROPY, DISTANCE, JACCARD, INSIDE],
        key="rank",
        help="entropy: how widely a head spreads, the narrowest first. distance: how far it looks, "
        "the farthest first. Jaccard and share inside: how well it finds the object of a mask.",
    )
    mass, mask = 0.0, None
    if by in (JACCARD, INSIDE):
        mass, mask = _mask(scene)
        if mask is None:
            return
    figures = _figures(scene, mask, mass)
    if figures is not None:
        _gallery(scene, figures, by)


def _figures(scene: Scene, mask: np.ndarray | None, mass: float) -> HeadFigures | None:
    """Measure every head; show a sentence and give None where the mask does not fit."""
    asked, weights, found = scene.asked, scene.attention.heads, None
    spread = torch.from_numpy(weights)
    if isinstance(asked.query, tuple):
        patch_px = scene.backbone.patch_size
        distance = query_distance(spread, asked.query, patch_size=patch_px).tolist()
    else:
        distance = attention.distances(scene.choice, scene.backbone, asked.layer)
    if mask is not None:
        try:
            found = agreement(weights, mask, scene.attention.geometry, mass=mass)
        except UserError as error:
            show_error(error)
            return None
    return HeadFigures(entropy(spread).tolist(), distance, found)


def _gallery(scene: Scene, figures: HeadFigures, by: str) -> None:
    _, scaled, _ = scene.maps()
    order = ranked(figures.values(by), descending=by != ENTROPY)
    layout.gallery(
        [
            Tile(
                picture=scene.draw(scaled[head], TILE_PX),
                title=f"{place}. Head {head}",
                note=figures.note(head),
                alt=f"Attention map of head {head}, place {place} by {by}: {figures.note(head)}",
            )
            for place, head in enumerate(order, start=1)
        ]
    )
    patches = isinstance(scene.asked.query, tuple)
    queries = "from the asked patch" if patches else "mean of all patches as queries"
    st.caption(
        f"Block {scene.asked.layer}. Entropy of the attention over patches in bits; distance "
        f"weighted by attention in px of the network's input, {queries} (Dosovitskiy et al. 2021)."
    )


def _mask(scene: Scene) -> tuple[float, np.ndarray | None]:
    """Draw the choice of the mask to agree with; give the mass of the heads' own, and it, bool [H,W]."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        source = choose_one("Agreement with", [_OWN, _UPLOADED], key="reference")
        percent = st.slider(
            "Attention held by a mask, %", 1, 100, round(100 * DEFAULT_MASS),
            key="mass", bind="query-params",
        )  # fmt: skip
    mass = percent / 100
    if source == _OWN:
        first, _ = pictures.attention(scene.choice, scene.backbone)
        return mass, propose_from(first, scene.photo(), MaskSettings(mass=mass)).pixels
    return mass, reference.choose(scene.choice.photo)
