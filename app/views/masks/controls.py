"""Draw the Masks page's controls: what is kept, from which heads, and how it is tidied and refined."""

from typing import Any

import streamlit as st

from app.ui import command
from app.ui.masks import METHODS, REFINEMENTS
from app.ui.widgets import choose_one
from dino.attention.mass import DEFAULT_MASS
from dino.attention.thresholds import DEFAULT_CLUSTERS
from dino.masks.discovery import methods
from dino.masks.discovery.methods import DEFAULT_OBJECTS, MAX_OBJECTS
from dino.masks.settings import MaskSettings

KEYS = {
    "auto": "auto",
    "as they are": "plain",
    "without bias": "unbiased",
    "about their mean": "centered",
}
# What each method does, in two sentences, and where it is from.
EXPLAINED = {
    "mass": "Keeps the fewest patches that together hold a share of the attention. "
    "Of one head and at 60 % these are the masks of the paper's Fig. 4. (Caron et al. 2021)",
    "otsu": "Keeps the patches above the one threshold that best parts strong attention from weak. "
    "There is nothing to set. (Otsu 1979)",
    "kmeans": "Groups patches whose features are alike, and keeps the groups with more attention "
    "than the photo's mean. The edges are those of groups, not of the attention. (after Amir et al. "
    "2021)",
    "lost": "Starts at the patch that is like the fewest others, for an object is smaller than what "
    "surrounds it, and adds what is like it. It finds one object in every photo, even where there is "
    "none. (LOST, Siméoni et al. 2021)",
    "tokencut": "Ties patches that are alike, and parts the photo where the fewest ties are cut. "
    "The side with the patch that stands out most is the object. (TokenCut, Wang et al. 2022)",
    "maskcut": "Parts the photo as TokenCut does, then again without what it found, up to the number "
    "of objects you allow. A side that reaches three corners of the photo is taken for background. "
    "(MaskCut of CutLER, Wang et al. 2023)",
}


def settings(num_heads: int, size: int) -> MaskSettings | None:
    """Draw the controls; return the settings they make, or None while no head is chosen."""
    method = METHODS[
        choose_one(
            "Method",
            list(METHODS),
            key="method",
            wrap=True,
            help="mass, Otsu and k-means keep patches by their attention; LOST, TokenCut and MaskCut "
            "find objects by the keys the attention is made from.",
        )
    ]
    st.caption(EXPLAINED[method])
    discovers = method in methods.METHODS
    chosen = _method_settings(method, discovers=discovers)
    heads = _heads(num_heads)
    if not discovers:
        chosen["combine"] = choose_one(
            "Combined by",
            ["mean", "union"],
            key="combine",
            help="mean: threshold the mean of the heads; union: everything any head's mask keeps.",
        )
    with st.expander("Keys and clean-up" if discovers else "Clean-up", icon=":material/tune:"):
        if discovers:
            chosen["keys"] = _keys()
        chosen |= _cleanup()
    return MaskSettings(size=size, heads=heads, method=method, **chosen) if heads else None


def flags(settings: MaskSettings, num_heads: int) -> list[str]:
    """Write the options of `segment` that make the same mask; weights, photo and size are named
    elsewhere."""
    method, heads = settings.method, settings.heads
    return command.flags(
        mass=settings.mass if method == "mass" else None,
        combine=None if settings.discovers else settings.combine,
        heads=heads if heads is not None and len(heads) < num_heads else None,
        method=method if method != "mass" else None,
        clusters=settings.clusters if method == "kmeans" else None,
        objects=settings.objects if method == "maskcut" else None,
        keys=settings.keys if settings.discovers and settings.keys != "auto" else None,
        min_area=settings.min_area or None,
        largest=settings.largest,
        fill_holes=settings.fill_holes,
        refine=settings.refine if settings.refine != "none" else None,
    )


def _method_settings(method: str, *, discovers: bool) -> dict[str, Any]:
    """Draw what can be set of a method alone."""
    chosen: dict[str, Any] = {}
    if not discovers:
        percent = st.slider(
            "Attention held by the mask, %", 1, 100, round(100 * DEFAULT_MASS),
            key="mass", bind="query-params", disabled=method != "mass",
            help="The fewest patches that together hold this share of the attention. "
            "The paper uses 60 %.",
        )  # fmt: skip
        chosen["mass"] = percent / 100
    if method == "maskcut":
        chosen["objects"] = st.slider(
            "Objects at most", 1, MAX_OBJECTS, DEFAULT_OBJECTS, key="objects", bind="query-params",
            help="It ends earlier where the next object would be a crumb.",
        )  # fmt: skip
    if method == "kmeans":
        chosen["clusters"] = st.slider(
            "Groups of patches", 2, 16, DEFAULT_CLUSTERS, key="clusters", bind="query-params"
        )
    return chosen


def _heads(num_heads: int) -> tuple[int, ...]:
    names = [str(head) for head in range(num_heads)]
    chosen = st.session_state.get("heads")
    if chosen and not set(chosen) <= set(names):  # chosen under weights with more heads
        st.session_state["heads"] = [head for head in chosen if head in names] or names
    picked = st.pills(
        "Heads", names, default=names, selection_mode="multi", key="heads", bind="query-params"
    )
    return tuple(sorted(int(name) for name in picked))


def _keys() -> str:
    name = choose_one(
        "Keys compared",
        list(KEYS),
        key="keys",
        help="Objects are found in the keys of the last block. What all keys of a photo have in "
        "common changes no attention, and may hide what sets them apart. as they are: as in the "
        "papers. without bias: less what the block adds to every key. about their mean: less the "
        "photo's mean. auto: without bias, and about their mean where that outweighs the rest.",
    )
    return KEYS[name]


def _cleanup() -> dict[str, Any]:
    """Draw how a mask is tidied, and how its edge is refined."""
    with st.container(horizontal=True, gap="medium"):
        largest = st.toggle("Largest piece only", key="largest", bind="query-params")
        fill_holes = st.toggle("Fill holes", key="holes", bind="query-params")
    percent = st.slider(
        "Drop pieces smaller than, % of the photo", 0.0, 10.0, 0.0, 0.5,
        key="min_area", bind="query-params",
    )  # fmt: skip
    edge = choose_one(
        "Edge",
        list(REFINEMENTS),
        key="refine",
        help="patches: as the network sees the photo. guided filter: the edge moves to the photo's "
        "nearby. GrabCut: object and background are parted by colour around the mask, which "
        "also finds what the mask missed.",
    )
    return {
        "largest": largest,
        "fill_holes": fill_holes,
        "min_area": percent / 100,
        "refine": REFINEMENTS[edge],
    }
