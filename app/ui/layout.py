"""Draw what the pages share: header, footer, pictures, galleries, the colour bar, downloads."""

import base64
import html
import mimetypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app.cache import pictures
from app.state.selection import Choice, Photo
from app.text import plain_text
from dino.media import draw
from dino.media.geometry import Geometry
from dino.model.backbone import Backbone

# What a note says to users of the command line, and to those of the app.
_OPTION, _IN_THE_APP = re.compile(r"pass --[a-z-]+"), "say so under Details in the sidebar"
# Width in px of the pictures sent to the browser; exports are made at the photo's own size.
SHOWN_PX = 960
TILE_PX = 420
# A button's label, the name of its file, an icon, and what makes the bytes once it is clicked.
Download = tuple[str, str, str, Callable[[], bytes]]

_CSS = """<style>
[data-testid="stMainBlockContainer"] { padding: 4.25rem 2.25rem 2rem; }
@media (max-width: 640px) { [data-testid="stMainBlockContainer"] { padding: 4rem 1rem 2rem; } }
@media (max-width: 768px) {
  [data-testid="stExpandSidebarButton"]::after { content: "Menu"; padding-left: 0.25rem; font-size: 0.95rem; }
  [data-testid="stExpandSidebarButton"] { width: auto; padding: 0 0.5rem; }
}
[data-testid="stMain"]:focus { outline: none; }
.dx-head { font-size: 0.95rem; line-height: 1.4; }
.dx-head h1 { font-size: 1.35rem; font-weight: 650; margin: 0; padding: 0 0 0.15rem; }
.dx-head div + div { opacity: 0.8; font-size: 0.88rem; }
.dx-grid { display: grid; gap: 0.75rem; grid-template-columns: repeat(auto-fill, minmax(min(46%, 170px), 1fr)); }
.dx-grid figure { margin: 0; }
.dx-grid img { width: 100%; height: auto; display: block; border-radius: 0.4rem; }
.dx-grid figcaption { font-size: 0.82rem; line-height: 1.3; padding-top: 0.25rem; }
.dx-grid figcaption b { font-weight: 600; }
figure.chosen img { outline: 3px solid #ff8c00; outline-offset: 1px; }
.dx-bar { font-size: 0.8rem; }
.dx-bar div.ramp { height: 0.7rem; border-radius: 0.35rem; border: 1px solid rgba(128,128,128,.5); }
.dx-bar div.ends { display: flex; justify-content: space-between; padding-top: 0.15rem; }
</style>"""


@dataclass(frozen=True)
class Tile:
    """A picture of a gallery: its title, a line of numbers, a text for those who do not see it."""

    picture: np.ndarray
    title: str
    note: str
    alt: str
    chosen: bool = False


def header(title: str, choice: Choice, backbone: Backbone) -> Geometry:
    """Show the page's title, the photo and its way to patches, and the weights; give that way."""
    geometry = pictures.geometry(choice, backbone)
    height, width = geometry.original
    grid_h, grid_w = geometry.grid
    patch = backbone.patch_size
    heading_with_weights(
        title,
        f"<b>{html.escape(choice.photo.file_name)}</b> "
        f"{width}×{height} px → {grid_w * patch}×{grid_h * patch} px → "
        f"{grid_w}×{grid_h} patches of {patch} px",
        backbone,
        if_random="every picture here is noise",
    )
    return geometry


def heading_with_weights(title: str, line: str, backbone: Backbone, *, if_random: str) -> None:
    """Show a page's title, a line of HTML and what the weights are; of random ones what that means."""
    described = f"<b>{html.escape(backbone.name)}</b>: {html.escape(_without_notes(backbone))}"
    heading(title, line, described)
    for note in backbone.notes:
        st.caption(f":material/rule: {plain_text(in_the_app(note))}")
    if backbone.is_random:
        st.warning(
            f"These are random weights: nothing was learned, so {if_random}.",
            icon=":material/casino:",
        )


def in_the_app(text: str) -> str:
    """Say in the app's words what to pass, where a sentence names an option of the command line."""
    return _OPTION.sub(_IN_THE_APP, text)


def _without_notes(backbone: Backbone) -> str:
    """Take from a description what was assumed, which stands below it by itself."""
    described = backbone.description
    for note in backbone.notes:
        described = described.replace(note, "")
    return " ".join(described.split())


def heading(title: str, *lines: str) -> None:
    """Show a page's title with lines of HTML below it."""
    below = "".join(f"<div>{line}</div>" for line in lines)
    st.html(f'{_CSS}<div class="dx-head"><h1>{html.escape(title)}</h1>{below}</div>')


def footer(choice: Choice, backbone: Backbone, seconds: float) -> None:
    """Show time, device, precision and digest, so that a picture can be traced."""
    st.divider()
    st.caption(
        f"forward {seconds:.2f} s on {backbone.device}, {backbone.precision} · "
        f"weights sha256 `{backbone.weights_sha256[:16]}` · "
        f"photo sha256 `{choice.photo.id[:16]}`" + credit(choice.photo)
    )


def credit(photo: Photo | None) -> str:
    """Write a caption's line of whose photo it is; empty for one of a user's own."""
    return f"  \nPhoto: {plain_text(photo.credit)}" if photo and photo.credit else ""


def gallery(tiles: Sequence[Tile]) -> None:
    """Show pictures in a grid that keeps two columns on a phone."""
    figures = "".join(
        f'<figure class="{"chosen" if tile.chosen else ""}">'
        f'<img src="{_data_uri(tile.picture)}" alt="{html.escape(tile.alt, quote=True)}">'
        f"<figcaption><b>{html.escape(tile.title)}</b><br>{html.escape(tile.note)}</figcaption></figure>"
        for tile in tiles
    )
    st.html(f'<div class="dx-grid">{figures}</div>')


def marked(pixels: np.ndarray, backbone: Backbone) -> np.ndarray:
    """Mark a picture that was made with random weights, so that it passes for no result."""
    return draw.mark_random(pixels) if backbone.is_random else pixels


def picture(pixels: np.ndarray, *, alt: str, caption: str | None = None) -> None:
    """Show one picture as wide as its place."""
    st.image(draw.encode_jpeg(pixels), caption=caption, width="stretch", alt=alt)


def colour_bar(colormap: str, low: float, high: float, unit: str) -> None:
    """Show the colour map with the values of its ends, middle included."""
    stops = draw.colorize(np.linspace(0, 1, 16)[None], colormap)[0]
    ramp = ",".join(f"rgb({r},{g},{b})" for r, g, b in stops)
    values = [_short(value, high) for value in (low, (low + high) / 2, high)]
    ends = "".join(f"<span>{value}{html.escape(unit)}</span>" for value in values)
    st.html(
        f'<div class="dx-bar" role="img" aria-label="colour bar from {values[0]} to {values[2]}{html.escape(unit)}">'
        f'<div class="ramp" style="background:linear-gradient(to right,{ramp})"></div>'
        f'<div class="ends">{ends}</div></div>'
    )


def _short(value: float, scale: float) -> str:
    """Write three digits; 0 where a value is nothing beside `scale`."""
    return "0" if abs(value) < 5e-4 * abs(scale) else f"{value:.3g}"


def downloads(*files: Download) -> None:
    """Show buttons in a row."""
    with st.container(horizontal=True):
        for label, file_name, icon, make in files:
            mime = mimetypes.guess_type(file_name)[0] or "application/octet-stream"
            st.download_button(
                label, make, file_name, mime, on_click="ignore", icon=f":material/{icon}:"
            )


def _data_uri(pixels: np.ndarray) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(draw.encode_jpeg(pixels)).decode()
