"""Masks: the fewest patches that hold a share of the attention, per head and combined."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
import torch

from app import services
from app.state import Choice
from app.views import layout
from app.views.layout import SHOWN_PX, TILE_PX, Tile
from dino import export, render
from dino.backbone import Backbone
from dino.explore import Attention
from dino.figures import attention_histogram
from dino.masks import DEFAULT_MASS, attention_mask, mass_mask

VIEWS = ("overlay", "outline", "cut-out")


@dataclass(frozen=True)
class Scene:
    """What a mask is drawn from: the page's choice and its controls."""

    choice: Choice
    backbone: Backbone
    attention: Attention
    heads: tuple[int, ...]
    combine: str
    mass: float
    view: str = VIEWS[0]

    @property
    def weights(self) -> torch.Tensor:
        return torch.from_numpy(self.attention.weights)

    @property
    def grid_mask(self) -> np.ndarray:
        """The mask of the chosen heads, bool [h,w]."""
        weights, combine = self.weights, self.combine
        return attention_mask(weights, self.mass, heads=self.heads, combine=combine).numpy()


def show(choice: Choice, backbone: Backbone) -> None:
    """The page: mass, heads and combination; the mask, each head's own, downloads."""
    layout.header("Masks", choice, backbone)
    attention, seconds = services.attention(choice, backbone)
    _explore(choice, backbone, attention)
    layout.footer(choice, backbone, seconds)


@st.fragment
def _explore(choice: Choice, backbone: Backbone, attention: Attention) -> None:
    """Everything a control changes; nothing here runs the backbone."""
    large, side = st.columns([6, 5], gap="medium")
    with side:
        mass, heads, combine = _controls(attention.num_heads)
    if not heads:
        large.info("Choose at least one head.", icon=":material/touch_app:")
        return
    scene = Scene(choice, backbone, attention, heads, combine, mass)
    with side:
        _histogram(scene)
    with large:
        view = st.segmented_control(
            "View",
            VIEWS,
            default=VIEWS[0],
            required=True,
            key="view",
            bind="query-params",
            label_visibility="collapsed",
        )
        scene = replace(scene, view=view)
        _large(scene)
        _downloads(scene)
    st.markdown("**Each head's own mask**")
    _gallery(scene)


def _controls(num_heads: int) -> tuple[float, tuple[int, ...], str]:
    """Mass as a share, the chosen heads, and how they are combined."""
    mass = st.slider(
        "Attention held by the mask, %",
        1,
        100,
        round(100 * DEFAULT_MASS),
        key="mass",
        bind="query-params",
        help="The fewest patches that together hold this share of the attention. "
        "The paper uses 60 %.",
    )
    names = [str(head) for head in range(num_heads)]
    chosen = st.session_state.get("heads")
    if chosen and not set(chosen) <= set(names):  # chosen under weights with more heads
        st.session_state["heads"] = [head for head in chosen if head in names] or names
    picked = st.pills(
        "Heads", names, default=names, selection_mode="multi", key="heads", bind="query-params"
    )
    combine = st.segmented_control(
        "Combined by",
        ["mean", "union"],
        default="mean",
        required=True,
        key="combine",
        bind="query-params",
        help="mean: threshold the mean of the heads; union: everything any head's mask keeps.",
    )
    return mass / 100, tuple(sorted(int(name) for name in picked)), combine


def _large(scene: Scene) -> None:
    grid_mask = scene.grid_mask
    share = grid_mask.mean()
    layout.picture(
        _draw(scene, grid_mask, SHOWN_PX),
        alt=f"Mask covering {share:.0%} of: {scene.choice.photo.alt}",
    )
    st.caption(
        f"{_name(scene)} at {scene.mass:.0%}: {np.count_nonzero(grid_mask)} of {grid_mask.size} patches, "
        f"{share:.0%} of the photo."
    )


def _name(scene: Scene) -> str:
    """The mask in words."""
    if len(scene.heads) == 1:
        return f"Head {scene.heads[0]}"
    return f"{scene.combine.title()} of heads {', '.join(map(str, scene.heads))}"


def _gallery(scene: Scene) -> None:
    tiles = [
        Tile(
            picture=_draw(scene, mask, TILE_PX),
            title=f"Head {index}",
            note=f"{mask.mean():.0%} of the photo",
            alt=f"Mask of head {index}, {mask.mean():.0%} of the photo",
            chosen=index in scene.heads,
        )
        for index, mask in enumerate(mass_mask(scene.weights, scene.mass).numpy())
    ]
    layout.gallery(tiles)


def _draw(scene: Scene, grid_mask: np.ndarray, width: int) -> np.ndarray:
    photo = services.shown(scene.choice.photo, width)
    mask = render.scaled(scene.attention.geometry, width).to_photo(grid_mask)
    if scene.view == "outline":
        pixels = render.mask_outline(photo, mask)
    elif scene.view == "cut-out":
        pixels = render.on_checkers(render.cutout(photo, mask))
    else:
        pixels = render.mask_overlay(photo, mask)
    return render.mark_random(pixels) if scene.backbone.is_random else pixels


def _histogram(scene: Scene) -> None:
    mean = scene.weights[list(scene.heads)].mean(0)
    kept = scene.grid_mask.flatten()
    shares = (mean / mean.sum()).flatten().numpy()
    which = f"head {scene.heads[0]}" if len(scene.heads) == 1 else "the mean of the chosen heads"
    least = f"{shares[kept].min():.2%}"
    if scene.combine == "union" and len(scene.heads) > 1:
        told = "the mask keeps what any single head's mask keeps, whatever its place here"
    else:
        told = f"the mask keeps the strongest, from {least} up"
    st.plotly_chart(
        attention_histogram(shares, kept),
        width="stretch",
        key="mass_histogram",
        config={"displayModeBar": False},
        alt=f"Histogram of attention per patch for {which}; {told}.",
    )
    st.caption(f"Patches by attention, {which}; {told}.")


def _downloads(scene: Scene) -> None:
    choice, attention, mass = scene.choice, scene.attention, scene.mass
    random = scene.backbone.is_random

    def files() -> Iterator[export.File]:
        mask = export.photo_mask(attention, mass, heads=scene.heads, combine=scene.combine)
        return export.mask_files(services.pixels(choice.photo), mask, random=random)

    def every_head() -> bytes:
        photo, collected = services.pixels(choice.photo), []
        for head in range(attention.num_heads):
            mask = export.photo_mask(attention, mass, heads=(head,), combine="union")
            named = export.mask_files(photo, mask, random=random)
            collected += [(f"head-{head}-{name}", data) for name, data in named]
        return export.zip_files([*files(), *collected])

    stem = export.stem(choice.photo.file_name, choice.photo.id)

    def this_view() -> bytes:
        full = services.pixels(choice.photo).shape[1]
        return render.encode_png(_draw(scene, scene.grid_mask, full))

    layout.downloads(
        ("This view (PNG)", f"{stem}-{scene.view}.png", "image", this_view),
        ("Mask (PNG)", f"{stem}-mask.png", "contrast", lambda: dict(files())["mask.png"]),
        ("Cut-out (PNG)", f"{stem}-cutout.png", "content_cut", lambda: dict(files())["cutout.png"]),
        ("All heads (ZIP)", f"{stem}-masks.zip", "folder_zip", every_head),
        (
            "Numbers (NPZ)",
            f"{stem}-attention.npz",
            "data_array",
            lambda: export.attention_npz(attention),
        ),
    )
    options = ["--mass", f"{mass:g}", "--combine", scene.combine]
    if len(scene.heads) < attention.num_heads:
        options += ["--heads", ",".join(map(str, scene.heads))]
    layout.command("segment", choice, options)
