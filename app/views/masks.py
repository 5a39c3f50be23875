"""Masks: the patches that hold the attention, per head and combined, tidied and refined."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import streamlit as st
import torch

from app import mask_services, services
from app.mask_services import NamedReference
from app.state import Choice
from app.views import layout, masks_controls, masks_reference
from app.views.layout import SHOWN_PX, TILE_PX, Tile
from dino import export, proposals, render
from dino.backbone import Backbone
from dino.explore import Attention
from dino.figures import attention_histogram
from dino.masks import jaccard
from dino.proposals import MaskSettings
from dino.reference import HeadScores, score_heads

VIEWS = ("overlay", "outline", "cut-out")


@dataclass(frozen=True)
class Scene:
    """What a mask is drawn from: the page's choice, how masks are made, and how they are shown.

    `labels` [h,w] the cluster of each patch for k-means.
    """

    choice: Choice
    backbone: Backbone
    attention: Attention
    settings: MaskSettings
    labels: np.ndarray | None
    view: str = VIEWS[0]

    @property
    def heads(self) -> tuple[int, ...]:
        """The chosen heads."""
        assert self.settings.heads is not None
        return self.settings.heads

    @cached_property
    def grid_mask(self) -> np.ndarray:
        """The patches the chosen heads keep, bool [h,w], before clean-up and refinement."""
        return proposals.patch_mask(self.attention, self.settings, labels=self.labels)

    @cached_property
    def head_masks(self) -> np.ndarray:
        """The patches each head keeps by itself, bool [A,h,w]."""
        return proposals.patch_masks(self.attention.weights, self.settings, labels=self.labels)

    @property
    def is_patches(self) -> bool:
        """Whether the mask is whole patches, neither tidied nor refined."""
        return not self.settings.cleans and self.settings.refine == "none"

    def mask(self) -> np.ndarray:
        """The mask at the photo's size, bool [H,W]."""
        made = self.choice, self.backbone, self.attention, self.settings, self.labels
        return mask_services.finished(*made)

    def shown_mask(self, width: int) -> np.ndarray:
        """The mask over the photo at most `width` px wide."""
        if self.is_patches:
            return render.scaled(self.attention.geometry, width).to_photo(self.grid_mask)
        return render.shrink(self.mask().astype(np.uint8) * 255, width) >= 128

    def draw(self, mask: np.ndarray, width: int) -> np.ndarray:
        """A mask drawn over the photo at most `width` px wide, as the view says."""
        photo = services.shown(self.choice.photo, width)
        if self.view == "outline":
            pixels = render.mask_outline(photo, mask)
        elif self.view == "cut-out":
            pixels = render.on_checkers(render.cutout(photo, mask))
        else:
            pixels = render.mask_overlay(photo, mask)
        return render.mark_random(pixels) if self.backbone.is_random else pixels


def show(choice: Choice, backbone: Backbone) -> None:
    """The page: how masks are made; the mask, each head's own, scores, downloads."""
    layout.header("Masks", choice, backbone)
    attention, seconds = services.attention(choice, backbone)
    _explore(choice, backbone, attention)
    layout.footer(choice, backbone, seconds)


@st.fragment
def _explore(choice: Choice, backbone: Backbone, attention: Attention) -> None:
    """Everything a control changes; attention is here already, features are where k-means asks."""
    large, side = st.columns([6, 5], gap="medium")
    with side:
        settings = masks_controls.settings(attention.num_heads, choice.size)
    if settings is None:
        large.info("Choose at least one head.", icon=":material/touch_app:")
        return
    labels = mask_services.labels(choice, backbone, settings)
    scene = Scene(choice, backbone, attention, settings, labels)
    with side:
        _histogram(scene)
        scores = _reference(scene)
    with large:
        view, before = _view(settings)
        scene = replace(scene, view=view)
        _large(replace(scene, settings=replace(settings, refine="none")) if before else scene)
        if before:
            st.caption("Shown before refinement; downloads hold the refined mask.")
        _downloads(scene)
    st.markdown("**Each head's own mask**" + ("" if scene.is_patches else " · patches as kept"))
    _gallery(scene, scores)


def _view(settings: MaskSettings) -> tuple[str, bool]:
    """How the mask is drawn, and whether it is shown before refinement."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        view = st.segmented_control(
            "View",
            VIEWS,
            default=VIEWS[0],
            required=True,
            key="view",
            bind="query-params",
            label_visibility="collapsed",
        )
        refines = settings.refine != "none"
        before = refines and st.toggle("Before refinement", key="before", bind="query-params")
    return view, before


def _large(scene: Scene) -> None:
    mask = scene.shown_mask(SHOWN_PX)
    share = scene.grid_mask.mean() if scene.is_patches else mask.mean()
    layout.picture(
        scene.draw(mask, SHOWN_PX),
        alt=f"Mask covering {share:.0%} of: {scene.choice.photo.alt}",
    )
    grid = scene.grid_mask
    kept = f"{np.count_nonzero(grid)} of {grid.size} patches"
    steps = "" if scene.is_patches else f", then {_steps(scene.settings)}"
    st.caption(f"{_name(scene)}: {kept}{steps}, {share:.0%} of the photo.")


def _name(scene: Scene) -> str:
    """The mask in words."""
    settings, heads = scene.settings, scene.heads
    if len(heads) == 1:
        which = f"Head {heads[0]}"
    else:
        which = f"{settings.combine.title()} of heads {', '.join(map(str, heads))}"
    if settings.method == "otsu":
        return f"{which} above Otsu's threshold"
    if settings.method == "kmeans":
        return f"{which} in {settings.clusters} groups by k-means"
    return f"{which} at {settings.mass:.0%}"


def _steps(settings: MaskSettings) -> str:
    """What is done to the patches, in words."""
    steps = []
    if settings.min_area:
        steps.append(f"pieces below {100 * settings.min_area:g} % dropped")
    steps += ["largest piece"] * settings.largest + ["holes filled"] * settings.fill_holes
    named = {kept: name for name, kept in masks_controls.REFINEMENTS.items()}
    return ", ".join(steps + [named[settings.refine]] * (settings.refine != "none"))


def _gallery(scene: Scene, scores: HeadScores | None) -> None:
    geometry = render.scaled(scene.attention.geometry, TILE_PX)
    tiles = []
    for index, mask in enumerate(scene.head_masks):
        note = f"{mask.mean():.0%} of the photo"
        note += f" · J {scores.heads[index]:.2f}" if scores else ""
        tiles.append(
            Tile(
                picture=scene.draw(geometry.to_photo(mask), TILE_PX),
                title=f"Head {index}",
                note=note,
                alt=f"Mask of head {index}, {note}",
                chosen=index in scene.heads,
            )
        )
    layout.gallery(tiles)


def _reference(scene: Scene) -> HeadScores | None:
    """Upload of a reference mask and, where there is one, what masks score on it."""
    known = mask_services.reference(st.session_state, scene.choice.photo) is not None
    with st.expander("Compare with a reference mask", expanded=known, icon=":material/rule:"):
        named = masks_reference.choose(scene.choice.photo)
        if named is None:
            return None
        scores = score_heads(scene.head_masks, named.reference.pixels, scene.attention.geometry)
        masks_reference.show_scores(_present(scene, named), scores)
    return scores


def _present(scene: Scene, named: NamedReference) -> list[tuple[str, float]]:
    """J of the mask at hand, and of the same before it was refined."""
    truth = named.reference.pixels
    present = [("This mask", jaccard(scene.mask(), truth))]
    if scene.settings.refine != "none":
        before = replace(scene, settings=replace(scene.settings, refine="none"))
        present.append(("Before refinement", jaccard(before.mask(), truth)))
    return present


def _histogram(scene: Scene) -> None:
    mean = torch.from_numpy(scene.attention.weights)[list(scene.heads)].mean(0)
    kept = scene.grid_mask.flatten()
    shares = (mean / mean.sum()).flatten().numpy()
    which = f"head {scene.heads[0]}" if len(scene.heads) == 1 else "the mean of the chosen heads"
    if scene.settings.combine == "union" and len(scene.heads) > 1:
        told = "the mask keeps what any single head's mask keeps, whatever its place here"
    elif scene.settings.method == "kmeans":
        told = "the mask keeps whole groups, whatever the place of their patches here"
    elif kept.any():
        told = f"the mask keeps the strongest, from {shares[kept].min():.2%} up"
    else:
        told = "the mask keeps none"
    st.plotly_chart(
        attention_histogram(shares, kept),
        width="stretch",
        key="mass_histogram",
        config={"displayModeBar": False},
        alt=f"Histogram of attention per patch for {which}; {told}.",
    )
    st.caption(f"Patches by attention, {which}; {told}.")


def _downloads(scene: Scene) -> None:
    choice, attention, settings = scene.choice, scene.attention, scene.settings
    random = scene.backbone.is_random

    def files() -> Iterator[export.File]:
        mask = proposals.described(scene.mask(), attention, settings)
        return export.mask_files(services.pixels(choice.photo), mask, random=random)

    def every_head() -> bytes:
        photo, collected = services.pixels(choice.photo), []
        for head, patches in enumerate(scene.head_masks):
            pixels = proposals.finish(photo, attention.geometry.to_photo(patches), settings)
            own = replace(settings, heads=(head,))
            mask = proposals.described(pixels, attention, own)
            named = export.mask_files(photo, mask, random=random)
            collected += [(f"head-{head}-{name}", data) for name, data in named]
        return export.zip_files([*files(), *collected])

    stem = export.stem(choice.photo.file_name, choice.photo.id)

    def this_view() -> bytes:
        full = services.pixels(choice.photo).shape[1]
        return render.encode_png(scene.draw(scene.mask(), full))

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
    layout.command("segment", choice, masks_controls.flags(settings, attention.num_heads))
