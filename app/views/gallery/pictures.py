"""Photos of a folder as small pictures in a grid, with a line below each."""

import base64
import html
from collections.abc import Sequence

import streamlit as st

from app.cache import gallery as services
from app.cache.gallery import Gallery

MAX_SHOWN = 60

_CSS = """<style>
.dx-thumbs { display: grid; gap: 0.6rem; grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); }
.dx-thumbs figure { margin: 0; min-width: 0; }
.dx-thumbs img { width: 100%; max-width: 128px; aspect-ratio: 1; display: block; border-radius: 0.35rem; }
.dx-thumbs figcaption { font-size: 0.78rem; line-height: 1.25; padding-top: 0.2rem; overflow-wrap: anywhere; }
.dx-thumbs figure.chosen img { outline: 3px solid #ff8c00; outline-offset: 1px; }
</style>"""


def grid(
    of: Gallery,
    rows: Sequence[int],
    notes: Sequence[str] | None = None,
    *,
    chosen: int | None = None,
) -> None:
    """Thumbnails of photos by row, each with its name and a note; `chosen` is framed."""
    paths = of.photos.paths
    lines = notes or [""] * len(rows)
    figures = []
    for row, note in zip(rows, lines, strict=True):
        name = html.escape(paths[row], quote=True)
        image = base64.b64encode(services.thumbnail(of, row)).decode()
        below = f"<b>{html.escape(note)}</b><br>{name}" if note else name
        figures.append(
            f'<figure class="{"chosen" if row == chosen else ""}">'
            f'<img src="data:image/jpeg;base64,{image}" alt="{name}" title="{name}">'
            f"<figcaption>{below}</figcaption></figure>"
        )
    st.html(f'{_CSS}<div class="dx-thumbs">{"".join(figures)}</div>')


def first(of: Gallery, rows: Sequence[int], notes: Sequence[str] | None = None) -> None:
    """As `grid`, the first so many, and how many are not shown."""
    shown = list(rows)[:MAX_SHOWN]
    grid(of, shown, list(notes)[:MAX_SHOWN] if notes else None)
    if len(rows) > MAX_SHOWN:
        st.caption(f"… and {len(rows) - MAX_SHOWN:,} more; the CSV lists all.")
