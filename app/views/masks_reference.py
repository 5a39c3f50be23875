"""Comparing masks with one somebody drew: upload, scores of the mask, of each head, of an oracle."""

from collections.abc import Sequence

import streamlit as st

from app import mask_services
from app.mask_services import NamedReference
from app.state import MAX_PHOTO_BYTES, Photo
from app.text import plain_text, sentence
from dino.errors import UserError
from dino.images import IMAGE_SUFFIXES
from dino.reference import HeadScores

_PROBLEM = "reference_problem"


def choose(photo: Photo) -> NamedReference | None:
    """Draw the uploader, or the name of what was uploaded for this photo with a way to remove it."""
    named = mask_services.reference(st.session_state, photo)
    problem_of, problem = st.session_state.get(_PROBLEM, (None, ""))
    if problem_of == photo.id:
        st.error(plain_text(sentence(problem)), icon=":material/broken_image:")
    if named is None:
        key = f"reference_{photo.id[:16]}"
        st.file_uploader(
            "Reference mask",
            type=[suffix.lstrip(".") for suffix in IMAGE_SUFFIXES],
            key=key,
            max_upload_size=MAX_PHOTO_BYTES // 2**20,
            on_change=_take,
            args=(photo, key),
            help="A picture of the photo's size in which everything but the object is 0 (black). "
            "Stays on this machine, in this browser session only.",
        )
        return None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain_text(named.file_name)}**")
        st.button(
            "Remove",
            key="reference_remove",
            icon=":material/close:",
            on_click=mask_services.drop_reference,
            args=(st.session_state, photo),
        )
    if named.reference.resized_from:
        height, width = named.reference.resized_from
        st.caption(f"Resized from {width}×{height} px to the photo's size by nearest neighbour.")
    return named


def show_scores(present: Sequence[tuple[str, float]], scores: HeadScores) -> None:
    """A sorted table of J: masks at hand by name, the best union of heads, and each head."""
    rows = [
        *present,
        ("Oracle: best union", scores.union),
        *((f"Head {index}", value) for index, value in enumerate(scores.heads)),
    ]
    ordered = sorted(rows, key=lambda row: -row[1])
    st.dataframe(
        {"Mask": [name for name, _ in ordered], "J": [value for _, value in ordered]},
        hide_index=True,
        key="reference_scores",
        column_config={
            "Mask": st.column_config.TextColumn(width=150),
            "J": st.column_config.ProgressColumn(format="%.3f", min_value=0.0, max_value=1.0),
        },
    )
    union = ", ".join(map(str, sorted(scores.union_heads)))
    heads = f"heads {union}" if len(scores.union_heads) > 1 else f"head {union} alone"
    st.caption(
        "J: what mask and reference share, over what either covers; 1 is the same. Heads are scored "
        f"by their patches, before clean-up and refinement. The best union is of {heads}: an oracle, "
        "since heads are taken by looking at the reference, as long as each raises J."
    )


def _take(photo: Photo, key: str) -> None:
    """Keep an uploaded reference, or what is wrong with it for display."""
    file = st.session_state.get(key)
    st.session_state.pop(_PROBLEM, None)
    if file is None:
        return
    try:
        mask_services.add_reference(st.session_state, photo, file.name, file.getvalue())
    except UserError as error:
        st.session_state[_PROBLEM] = (photo.id, str(error))
