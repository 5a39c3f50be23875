"""Photos of a folder: small ones in a grid with a line below each, and a few opened large on the canvas,
whole, where patches are compared under the pointer."""

import base64
import html
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from app.cache import canvas as cached_canvas
from app.cache import gallery as cached_gallery
from app.cache.gallery import Gallery
from app.components.canvas.component import canvas
from app.state.problems import show_error
from app.state.selection import Choice
from dino.errors import UserError
from dino.model.backbone import Backbone

MAX_SHOWN = 60

_CSS = """<style>
.dx-thumbs { display: grid; gap: 0.6rem; grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); }
.dx-thumbs figure { margin: 0; min-width: 0; }
.dx-thumbs img { width: 100%; max-width: 128px; aspect-ratio: 1; display: block; border-radius: 0.35rem; }
.dx-thumbs figcaption { font-size: 0.78rem; line-height: 1.25; padding-top: 0.2rem; overflow-wrap: anywhere; }
</style>"""


def show_grid(
    gallery: Gallery,
    rows: Sequence[int],
    notes: Sequence[str] | None = None,
    *,
    chosen: int | None = None,
) -> None:
    """Show thumbnails of photos by row, each with its name and a note; `chosen` is framed."""
    paths, jpegs = gallery.photos.paths, cached_gallery.thumbnails(gallery)
    figures = []
    for row, note in zip(rows, notes or [""] * len(rows), strict=True):
        name = html.escape(paths[row], quote=True)
        image = base64.b64encode(jpegs[row]).decode()
        below = f"<b>{html.escape(note)}</b><br>{name}" if note else name
        figures.append(
            f'<figure class="{"chosen" if row == chosen else ""}">'
            f'<img src="data:image/jpeg;base64,{image}" alt="{name}" title="{name}">'
            f"<figcaption>{below}</figcaption></figure>"
        )
    st.html(f'{_CSS}<div class="dx-thumbs">{"".join(figures)}</div>')


def show_first(gallery: Gallery, rows: Sequence[int], notes: Sequence[str] | None = None) -> None:
    """Show the first of them as `show_grid` does, and how many are not shown."""
    show_grid(gallery, rows[:MAX_SHOWN], notes[:MAX_SHOWN] if notes else None)
    if len(rows) > MAX_SHOWN:
        st.caption(f"… and {len(rows) - MAX_SHOWN:,} more; the CSV lists all.")


MOST = 4
_ALONE = "Point at a patch to see which are like it."
_TOGETHER = "Point at a patch: what is like it lights up in every photo, the best of the others framed in blue."


def show_large(
    key: str,
    gallery: Gallery,
    rows: Sequence[int],
    choice: Choice,
    backbone: Backbone,
    *,
    captions: Sequence[str] | None = None,
) -> None:
    """Show the first photos by row, at the size in the sidebar; a sentence in place of what cannot be
    read."""
    panels = []
    for number, row in enumerate(rows[:MOST]):
        try:
            panels.append(
                cached_canvas.panel(
                    replace(choice, photo=cached_gallery.photo(gallery, row)),
                    backbone,
                    caption=captions[number] if captions else gallery.photos.paths[row],
                )
            )
        except UserError as error:
            show_error(error, "broken_image")
    if not panels:
        return
    canvas(
        key,
        panels,
        hint=_ALONE if len(panels) == 1 else _TOGETHER,
        help_text="Arrow keys move over the patches, plus and minus zoom, Escape ends.",
        link="match",
    )
    st.caption(
        f"Whole, at {choice.size} px (the sidebar's size); the folder was embedded by the middle of each "
        f"photo at {gallery.size} px."
    )
