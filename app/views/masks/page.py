"""Show masks: the patches that hold the attention, or the objects in a photo, tidied and refined."""

from dataclasses import replace

import numpy as np
import streamlit as st
import torch

from app.cache import masks as cached_masks
from app.cache import pictures
from app.state.problems import show_error
from app.state.selection import Choice
from app.ui import layout, pointing, reference
from app.ui.layout import SHOWN_PX, TILE_PX, Tile
from app.ui.masks import REFINEMENTS
from app.ui.networks import instead_of_attention, say_whose_attention
from app.ui.widgets import choose_one
from app.views.masks import controls, downloads
from app.views.masks.scene import VIEWS, Scene
from dino.attention.figures import attention_histogram
from dino.attention.photo import PhotoAttention
from dino.errors import UserError
from dino.masks.discovery.methods import Discovery
from dino.masks.reference import HeadScores, score_heads
from dino.masks.settings import MaskSettings
from dino.media import draw
from dino.media.regions import jaccard
from dino.model.backbone import Backbone

ATTENDED, POINTING = "by attention or discovery", "by pointing"


def show(choice: Choice, backbone: Backbone) -> None:
    """Draw the page: how masks are made; the mask, each head's or object's own, scores, downloads."""
    layout.header("Masks", choice, backbone)
    by = choose_one("Masks by", [ATTENDED, POINTING], key="by", show_label=False)
    if by == POINTING:
        _, seconds = pictures.features(choice, backbone)
        _point(choice, backbone)
    elif not backbone.has_attention:
        instead_of_attention(backbone, f"*{POINTING.capitalize()}*, above, works with it")
        return
    else:
        say_whose_attention(backbone)
        attention, seconds = pictures.attention(choice, backbone)
        _explore(choice, backbone, attention)
    layout.footer(choice, backbone, seconds)


@st.fragment
def _point(choice: Choice, backbone: Backbone) -> None:
    pointing.show(choice, backbone)


@st.fragment
def _explore(choice: Choice, backbone: Backbone, attention: PhotoAttention) -> None:
    """Draw everything a control changes; attention is here already, features and keys are where asked."""
    large, side = st.columns([6, 5], gap="medium")
    with side:
        settings = controls.settings(attention.num_heads, choice.size)
    if settings is None:
        large.info("Choose at least one head.", icon=":material/touch_app:")
        return
    with large:
        try:
            scene = _look(Scene(choice, backbone, attention, settings))
        except UserError as error:
            show_error(error)
            return
    with side:
        if scene.found is None:
            _histogram(scene)
        scores = _scores(scene)
    with large:
        view, before = _view(settings)
        scene = replace(scene, view=view)
        _large(_before_refinement(scene) if before else scene)
        if before:
            st.caption("Shown before refinement; downloads hold the refined mask.")
        downloads.offer(scene)
    _gallery(scene, scores)


def _look(scene: Scene) -> Scene:
    """Add what the settings need beside attention: groups of patches, or objects.

    Raises:
        UserError: too many patches.
    """
    choice, backbone, settings = scene.choice, scene.backbone, scene.settings
    if settings.method == "kmeans":
        features, _ = pictures.features(choice, backbone)
        labels = cached_masks.clusters(choice, backbone, settings.clusters, features)
        return replace(scene, labels=labels)
    if settings.discovers:
        return replace(scene, found=cached_masks.find_objects(choice, backbone, settings))
    return scene


def _view(settings: MaskSettings) -> tuple[str, bool]:
    """Choose how the mask is drawn, and whether it is shown before refinement."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        view = choose_one("View", VIEWS, key="view", show_label=False)
        refines = settings.refine != "none"
        before = refines and st.toggle("Before refinement", key="before", bind="query-params")
    return view, before


def _before_refinement(scene: Scene) -> Scene:
    return replace(scene, settings=replace(scene.settings, refine="none"))


def _large(scene: Scene) -> None:
    masks = scene.shown_masks(SHOWN_PX)
    share = (scene.grid_mask if scene.is_patches else np.logical_or.reduce(masks, axis=0)).mean()
    layout.picture(
        scene.draw(masks, SHOWN_PX),
        alt=f"Mask covering {share:.0%} of: {scene.choice.photo.alt}",
    )
    grid = scene.grid_mask
    kept = f"{np.count_nonzero(grid)} of {grid.size} patches"
    steps = "" if scene.is_patches else f", then {_steps(scene.settings)}"
    st.caption(f"{scene.name}: {kept}{steps}, {share:.0%} of the photo.")
    if not len(scene.grid_masks):
        st.info(
            "Nothing stands out: to these weights all patches are alike. Try other keys under "
            "*Keys and clean-up*, other heads, or LOST, which always answers.",
            icon=":material/search_off:",
        )


def _steps(settings: MaskSettings) -> str:
    """Say what is done to the patches, in words."""
    steps = []
    if settings.min_area:
        steps.append(f"pieces below {100 * settings.min_area:g} % dropped")
    steps += ["largest piece"] * settings.largest + ["holes filled"] * settings.fill_holes
    named = {kept: name for name, kept in REFINEMENTS.items()}
    return ", ".join(steps + [named[settings.refine]] * (settings.refine != "none"))


def _gallery(scene: Scene, scores: HeadScores | None) -> None:
    """Show each head's own mask; or each object's, beside the map it was cut from."""
    found = scene.found
    if found is not None and not len(found.masks):
        return
    title = "Each head's own mask" if found is None else "Each object, and what it was cut from"
    st.markdown(f"**{title}**" + ("" if scene.is_patches else " · patches as kept"))
    geometry, tiles = draw.scaled(scene.attention.geometry, TILE_PX), []
    for index, mask in enumerate(scene.compared_masks):
        note = f"{mask.mean():.0%} of the photo"
        note += f" · J {scores.heads[index]:.2f}" if scores else ""
        name = f"Head {index}" if found is None else f"Object {index + 1}"
        first = 0 if found is None else index
        tiles.append(
            Tile(
                picture=scene.draw(geometry.to_photo(mask)[None], TILE_PX, first=first),
                title=name,
                note=note,
                alt=f"Mask of {name.lower()}, {note}",
                chosen=found is None and index in scene.heads,
            )
        )
        if found is not None:
            tiles.append(_cut(scene, found, index))
    layout.gallery(tiles)


def _cut(scene: Scene, found: Discovery, index: int) -> Tile:
    """Draw the map an object was cut from."""
    photo = scene.photo(TILE_PX)
    pixels, _ = draw.diverging_heat(found.scores[index], scene.attention.geometry, photo)
    kind = "summed similarity" if scene.settings.method == "lost" else "second eigenvector"
    row, column = found.seeds[index]
    return Tile(
        picture=layout.marked(pixels, scene.backbone),
        title=kind.capitalize(),
        note=f"cut at 0 · seed at {row}:{column}",
        alt=f"Map of the {kind} that object {index + 1} was cut from: orange is the object's side",
    )


def _scores(scene: Scene) -> HeadScores | None:
    """Take a reference mask and, where there is one, show what masks score on it."""
    known = cached_masks.has_reference(st.session_state, scene.choice.photo)
    with st.expander("Compare with a reference mask", expanded=known, icon=":material/rule:"):
        truth = reference.choose(scene.choice.photo)
        if truth is None:
            return None
        scores = None
        if len(scene.compared_masks):
            scores = score_heads(scene.compared_masks, truth, scene.attention.geometry)
        present = [("This mask", _agreement(scene, truth))]
        if scene.settings.refine != "none":
            present.append(("Before refinement", _agreement(_before_refinement(scene), truth)))
        kind = "Head" if scene.found is None else "Object"
        reference.show_scores(present, scores, kind=kind)
    return scores


def _agreement(scene: Scene, truth: np.ndarray) -> float:
    """Measure J of the mask, of all objects together, with a reference [H,W]."""
    return jaccard(np.logical_or.reduce(scene.masks(), axis=0), truth)


def _histogram(scene: Scene) -> None:
    mean = torch.from_numpy(scene.attention.heads)[list(scene.heads)].mean(0)
    kept = scene.grid_mask.flatten()
    shares = (mean / mean.sum()).flatten().numpy()
    which = f"head {scene.heads[0]}" if len(scene.heads) == 1 else "the mean of the chosen heads"
    if scene.settings.combine == "union" and len(scene.heads) > 1:
        kept_ones = "the mask keeps what any single head's mask keeps, whatever its place here"
    elif scene.settings.method == "kmeans":
        kept_ones = "the mask keeps whole groups, whatever the place of their patches here"
    elif kept.any():
        kept_ones = f"the mask keeps the strongest, from {shares[kept].min():.2%} up"
    else:
        kept_ones = "the mask keeps none"
    st.plotly_chart(
        attention_histogram(shares, kept),
        width="stretch",
        key="mass_histogram",
        config={"displayModeBar": False},
        alt=f"Histogram of attention per patch for {which}; {kept_ones}.",
    )
    st.caption(f"Patches by attention, {which}; {kept_ones}.")
