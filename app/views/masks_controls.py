"""The Masks page's controls: what is kept, from which heads, and how it is tidied and refined."""

import streamlit as st

from dino.masks import DEFAULT_MASS
from dino.proposals import MaskSettings
from dino.thresholds import DEFAULT_CLUSTERS

METHODS = {"mass": "mass", "Otsu": "otsu", "k-means": "kmeans"}
REFINEMENTS = {"patches": "none", "guided filter": "guided", "GrabCut": "grabcut"}


def settings(num_heads: int, size: int) -> MaskSettings | None:
    """Draw the controls; the settings they make, or None while no head is chosen."""
    first = st.container()
    with st.expander("Method and clean-up", icon=":material/tune:"):
        method = METHODS[_method()]
        clusters = _clusters() if method == "kmeans" else DEFAULT_CLUSTERS
        largest, fill_holes, min_area = _cleanup()
        refine = REFINEMENTS[_refine()]
    with first:
        mass = _mass(disabled=method != "mass")
        heads = _heads(num_heads)
        combine = st.segmented_control(
            "Combined by",
            ["mean", "union"],
            default="mean",
            required=True,
            key="combine",
            bind="query-params",
            help="mean: threshold the mean of the heads; union: everything any head's mask keeps.",
        )
    if not heads:
        return None
    return MaskSettings(
        size=size,
        mass=mass,
        heads=heads,
        combine=combine,
        method=method,
        clusters=clusters,
        largest=largest,
        fill_holes=fill_holes,
        min_area=min_area,
        refine=refine,
    )


def flags(settings: MaskSettings, num_heads: int) -> list[str]:
    """Options of `segment` that make the same mask; weights, photo and size are named elsewhere."""
    options = ["--mass", f"{settings.mass:g}"] if settings.method == "mass" else []
    options += ["--combine", settings.combine]
    if settings.heads is not None and len(settings.heads) < num_heads:
        options += ["--heads", ",".join(map(str, settings.heads))]
    if settings.method != "mass":
        options += ["--method", settings.method]
    if settings.method == "kmeans":
        options += ["--clusters", str(settings.clusters)]
    if settings.min_area:
        options += ["--min-area", f"{settings.min_area:g}"]
    options += ["--largest"] * settings.largest + ["--fill-holes"] * settings.fill_holes
    return options + (["--refine", settings.refine] if settings.refine != "none" else [])


def _mass(*, disabled: bool) -> float:
    percent = st.slider(
        "Attention held by the mask, %",
        1,
        100,
        round(100 * DEFAULT_MASS),
        key="mass",
        bind="query-params",
        disabled=disabled,
        help="The fewest patches that together hold this share of the attention. "
        "The paper uses 60 %.",
    )
    return percent / 100


def _heads(num_heads: int) -> tuple[int, ...]:
    names = [str(head) for head in range(num_heads)]
    chosen = st.session_state.get("heads")
    if chosen and not set(chosen) <= set(names):  # chosen under weights with more heads
        st.session_state["heads"] = [head for head in chosen if head in names] or names
    picked = st.pills(
        "Heads", names, default=names, selection_mode="multi", key="heads", bind="query-params"
    )
    return tuple(sorted(int(name) for name in picked))


def _method() -> str:
    return st.segmented_control(
        "Patches kept",
        list(METHODS),
        default="mass",
        required=True,
        key="method",
        bind="query-params",
        help="mass: the fewest that hold a share of the attention. Otsu: those above the threshold "
        "that best parts strong from weak. k-means: patches grouped by their features; the groups "
        "with more attention than the photo's mean.",
    )


def _clusters() -> int:
    return st.slider(
        "Groups of patches", 2, 16, DEFAULT_CLUSTERS, key="clusters", bind="query-params"
    )


def _cleanup() -> tuple[bool, bool, float]:
    """Largest piece only, holes filled, and the least share of the photo a piece must have."""
    with st.container(horizontal=True, gap="medium"):
        largest = st.toggle("Largest piece only", key="largest", bind="query-params")
        holes = st.toggle("Fill holes", key="holes", bind="query-params")
    percent = st.slider(
        "Drop pieces smaller than, % of the photo",
        0.0,
        10.0,
        0.0,
        0.5,
        key="min_area",
        bind="query-params",
    )
    return largest, holes, percent / 100


def _refine() -> str:
    return st.segmented_control(
        "Edge",
        list(REFINEMENTS),
        default="patches",
        required=True,
        key="refine",
        bind="query-params",
        help="patches: as the network sees the photo. guided filter: the edge moves to the photo's "
        "nearby. GrabCut: object and background are told apart by colour around the mask, which "
        "also finds what the mask missed.",
    )
