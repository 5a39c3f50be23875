"""Comparing masks with one somebody drew: upload, scores of the mask, of each head, of an oracle."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app.cache import masks
from app.cache.masks import NamedReference
from app.state.problems import show_error
from app.state.selection import MAX_PHOTO_BYTES, Photo
from app.state.uploads import take_upload
from app.text import plain_text
from dino.masks.reference import HeadScores
from dino.media.images import IMAGE_SUFFIXES


def choose(photo: Photo) -> NamedReference | None:
    """Draw the uploader, or the name of what was uploaded for this photo with a way to remove it."""
    named = masks.reference(st.session_state, photo)
    key = f"reference_{photo.id[:16]}"
    if problem := st.session_state.get(f"{key}_problem"):
        show_error(problem, "broken_image")
    if named is None:
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
            on_click=masks.drop_reference,
            args=(st.session_state, photo),
        )
    if named.reference.resized_from:
        height, width = named.reference.resized_from
        st.caption(f"Resized from {width}×{height} px to the photo's size by nearest neighbour.")
    return named


def show_scores(
    present: Sequence[tuple[str, float]], scores: HeadScores | None, *, kind: str = "Head"
) -> None:
    """Show a sorted table of J: masks at hand by name, the best union of heads, and each head.

    Args:
        scores: of the heads' masks, or where `kind` is "Object" of the objects'; None without any.
    """
    rows = list(present)
    if scores is not None:
        rows.append(("Oracle: best union", scores.union))
        names = (_name(kind, index) for index in range(len(scores.heads)))
        rows += zip(names, scores.heads, strict=True)
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
        numbers = [_name(kind, index).split()[-1] for index in sorted(scores.union_heads)]
        plural = f"{kind.lower()}s"
        union = f"{plural} {', '.join(numbers)}" if len(numbers) > 1 else ""
        caption += (
            f" {plural.capitalize()} are scored by their patches, before clean-up and refinement. "
            f"The best union is of {union or f'{kind.lower()} {numbers[0]} alone'}: an oracle, since "
            f"{plural} are taken by looking at the reference, as long as each raises J."
        )
    st.caption(caption)


def _name(kind: str, index: int) -> str:
    """Name a head, counted from 0, or an object, counted from 1."""
    return f"{kind} {index + (kind == 'Object')}"


def _take(photo: Photo, key: str) -> None:
    """Keep an uploaded reference, or what is wrong with it for display."""
    take_upload(key, f"{key}_problem", partial(masks.add_reference, st.session_state, photo))
