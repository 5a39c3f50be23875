"""Photos into folders by their group: as a ZIP, or copied below the data root."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from app.cache.gallery import Gallery
from app.state import data_root
from app.text import plain_text, sentence
from app.ui import layout
from dino.errors import UserError
from dino.features.folder.sorting import MAX_ZIP_BYTES, choose_places, copy_sorted, zip_sorted
from dino.system.words import counted

_TARGET, _OUTCOME = "gallery_target", "gallery_sorted"


def show(gallery: Gallery, rows: Sequence[int], groups: Sequence[str]) -> None:
    """Offer what can be done with photos by row, each going to its group's folder."""
    with st.expander("Sort into folders by group", icon=":material/drive_file_move:"):
        wanted = choose_places([gallery.photos.paths[r] for r in rows], [groups[r] for r in rows])
        num_groups = len({groups[row] for row in rows})
        st.caption(
            f"{counted(len(wanted), 'photo')} into {counted(num_groups, 'folder')}; the originals stay as they are."
        )
        num_bytes = sum(_size(gallery.folder / path) for path in wanted)
        if num_bytes <= MAX_ZIP_BYTES:
            make = partial(zip_sorted, gallery.folder, wanted)
            layout.downloads(("Photos (ZIP)", "photos.zip", "folder_zip", make))
        else:
            st.caption(f"{num_bytes / 2**30:.1f} GB are too much for a ZIP; choose fewer, or copy.")
        root = data_root.data_root()
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input("New folder", f"{gallery.folder.name}-sorted", key=_TARGET,
                          help=f"Below `{root}`.")  # fmt: skip
            st.button(
                "Copy on the server",
                icon=":material/content_copy:",
                on_click=_copy,
                args=(gallery.folder, wanted),
            )
        kind, text = st.session_state.pop(_OUTCOME, ("", ""))
        if kind:
            {"error": st.error, "success": st.success}[kind](plain_text(sentence(text)))


def _copy(folder: Path, wanted: Mapping[str, str]) -> None:
    try:
        target = target_below(data_root.data_root(), st.session_state[_TARGET])
        copied = copy_sorted(folder, wanted, target)
    except UserError as error:
        st.session_state[_OUTCOME] = ("error", str(error))
        return
    st.session_state[_OUTCOME] = ("success", f"{counted(copied, 'photo')} copied to {target}")


def target_below(root: Path, text: str) -> Path:
    """Find a folder that may be made below the data root.

    Raises:
        UserError: a path that leads elsewhere, or the root itself.
    """
    try:
        target = (root / text.strip()).resolve()
        inside = target.is_relative_to(root.resolve()) and target != root.resolve()
    except (OSError, ValueError):  # too long, a null byte, a loop of links
        inside = False
    if not text.strip() or not inside:
        raise UserError(f"{text[:80]!r} is not a folder below {root}; give a path from there")
    return target


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
