"""Compare masks with one somebody drew: upload, scores of the mask, of each head, of an oracle."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from app.cache import masks
from app.state.problems import show_error
from app.state.selection import MAX_PHOTO_BYTES, Photo
from app.state.uploads import take_upload
from app.text import plain_text
from dino.masks.reference import HeadScores
from dino.media.images import IMAGE_SUFFIXES


def choose(photo: Photo) -> np.ndarray | None:
    """Draw the uploader, or the name of what was uploaded for this photo with a way to remove it.

    Returns:
        The reference mask at the photo's size, bool [H,W]; None while there is none.
    """
    found = masks.reference(st.session_state, photo)
    key = f"reference_{photo.id[:16]}"
    if problem := st.session_state.get(f"{key}_problem"):
        show_error(problem, "broken_image")
    if found is None:
        st.file_uploader(
            "Reference mask",
            type=[suffix.lstrip(".") for suffix in IMAGE_SUFFIXES],
            key=key,
            max_upload_size=MAX_PHOTO_BYTES // 2**20,
            on_change=take_upload,
            args=(
                key,
                f"{key}_problem",
                partial(masks.add_reference, st.session_state, photo),
            ),
            help="A picture of the photo's size in which everything but the object is 0 (black). "
            "Stays on this machine, in this browser session only.",
        )
        return None
    file_name, reference = found
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain_text(file_name)}**")
        st.button(
            "Remove",
            key="reference_remove",
            icon=":material/close:",
            on_click=masks.drop_reference,
            args=(st.session_state, photo),
        )
    if reference.resized_from:
        height, width = reference.resized_from
        st.caption(f"Resized from {width}×{height} px to the photo's size by nearest neighbour.")
    return reference.pixels


def show_scores(
    present: Sequence[tuple[str, float]], scores: HeadScores | None, *, kind: str
) -> None:
    """Show a sorted table of J: masks at hand by name, the best union of heads, and each head.

    Args:
        scores: of the masks of heads, counted from 0, or where `kind` is "Object" of objects, counted
            from 1; None without any.
    """
    rows, first = list(present), int(kind == "Object")
    if scores is not None:
        rows.append(("Oracle: best union", scores.union))
        rows += [(f"{kind} {number}", j) for number, j in enumerate(scores.heads, start=first)]
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
    caption = "J: what mask and reference share, over what either covers; 1 is the same."
    if scores is not None:
        numbers = [str(index + first) for index in sorted(scores.union_heads)]
        plural = f"{kind.lower()}s"
        union = f"{plural} {', '.join(numbers)}" if len(numbers) > 1 else ""
        caption += (
            f" {plural.capitalize()} are scored by their patches, before clean-up and refinement. "
            f"The best union is of {union or f'{kind.lower()} {numbers[0]} alone'}: an oracle, since "
            f"{plural} are taken by looking at the reference, as long as each raises J."
        )
    st.caption(caption)
