"""Evolution: attention on one photo, epoch by epoch, of the bundled weights or of any run."""

import streamlit as st
from PIL import Image

from app.cache import evolution
from app.components.film.component import film
from app.state import url
from app.text import plain_text
from app.ui import layout
from dino.media.draw import COLORMAPS


def show() -> None:
    """Draw the page: whose training, which photo, and the film."""
    layout.heading(
        "Evolution",
        "How attention came about: that of the CLS token in the last block (of all patches on average where a "
        "network has none), head by head, from random weights to the last epoch. The photo is the one the training filmed; what the sidebar has chosen "
        "plays no part here.",
    )
    strips = evolution.filmstrips()
    if not strips:
        st.info(
            "There is no filmstrip yet. Start a run with *attention of photos* (`--film photo.jpg`), and it "
            "appears here after its first epoch.",
            icon=":material/movie:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.selectbox("Training of", list(strips), key="of", bind="query-params")
        photos = evolution.photos(strips[source])
        number = _choose_photo(len(photos))
        colormap = st.selectbox("Colours", list(COLORMAPS), key="colours", bind="query-params")
    if not photos:
        st.warning("The filmstrip cannot be read; its files are damaged.", icon=":material/error:")
        return
    strip = photos[number]
    with Image.open(strip.photo, formats=("PNG",)) as picture:
        size = (picture.height, picture.width)
    measured = evolution.measured(strips[source])
    num_heads = len(strip.maps[0])
    film(
        "film",
        strip.maps,
        labels=[_label(epoch, measured.get(epoch)) for epoch in strip.epochs],
        names=[f"Head {head}" for head in range(num_heads)],
        photo=strip.photo.read_bytes(),
        size=size,
        film_id=f"{source}/{strip.name}",
        alt=f"Attention of {num_heads} heads over {len(strip.epochs)} epochs.",
        colormap=colormap,
    )
    st.caption(
        f"{plain_text(source)}: {len(strip.epochs)} epochs from {strip.epochs[0]} to {strip.epochs[-1]}; "
        "each map on its own scale, so that a flat one shows its noise."
    )


def _choose_photo(num_photos: int) -> int:
    if num_photos < 2:
        return 0
    options = [str(number + 1) for number in range(num_photos)]
    url.forget_unknown("film_photo", options)
    chosen = st.segmented_control(
        "Photo", options, default="1", required=True, key="film_photo", bind="query-params"
    )
    return int(chosen) - 1


def _label(epoch: int, accuracy: float | None) -> str:
    return f"epoch {epoch}" + ("" if accuracy is None else f" · k-NN {accuracy:.1f} %")
