"""Attention: what each head of the last block looks at, as the paper's Figure 1 draws it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch

from app import services
from app.state import Choice
from app.views import layout
from app.views.layout import SHOWN_PX, TILE_PX, Tile
from dino import export, render
from dino.backbone import Backbone
from dino.explore import Attention
from dino.masks import DEFAULT_MASS, entropy


@dataclass(frozen=True)
class Scene:
    """What a map is drawn from: the page's choice and how it is drawn."""

    choice: Choice
    backbone: Backbone
    attention: Attention
    style: export.Style

    def draw(self, values: np.ndarray, width: int) -> np.ndarray:
        """One scaled map [h,w] over the photo, `width` px wide."""
        photo = services.shown(self.choice.photo, width)
        pixels = export.head_picture(values, self.attention, photo, self.style, width=width)
        return self.marked(pixels)

    def marked(self, pixels: np.ndarray) -> np.ndarray:
        """The picture, saying so if it was made with random weights."""
        return render.mark_random(pixels) if self.backbone.is_random else pixels


def show(choice: Choice, backbone: Backbone) -> None:
    """The page: one large map, the gallery of heads, numbers, downloads."""
    layout.header("Attention", choice, backbone)
    attention, seconds = services.attention(choice, backbone)
    _explore(choice, backbone, attention)
    layout.footer(choice, backbone, seconds)


@st.fragment
def _explore(choice: Choice, backbone: Backbone, attention: Attention) -> None:
    """Everything a control changes; nothing here runs the backbone."""
    labels = [*(str(head) for head in range(attention.num_heads)), "mean", "max"]
    large, heads = st.columns([5, 6], gap="medium")
    with large:
        chosen = st.pills(
            "Head", labels, default="mean", key="head", bind="query-params", required=True
        )
        place = st.container()
        style, side_by_side = _controls()
        scene = Scene(choice, backbone, attention, style)
        with place:
            _large(scene, labels.index(chosen), side_by_side=side_by_side)
    with heads:
        _gallery(scene, labels.index(chosen))
    _downloads(scene, labels.index(chosen))


def _controls() -> tuple[export.Style, bool]:
    """How maps are drawn, and whether the photo stands beside the large one."""
    opacity = st.slider(
        "Map over photo",
        0.0,
        1.0,
        0.8,
        0.05,
        key="opacity",
        bind="query-params",
        help="0 shows the photo, 1 the map alone.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        scale = st.segmented_control(
            "Scale",
            ["each its own", "shared"],
            default="each its own",
            required=True,
            key="scale",
            bind="query-params",
            help="Shared: one scale for all pictures, so that brightness compares between heads.",
        )
        colormap = st.selectbox(
            "Colours", list(render.COLORMAPS), key="colours", bind="query-params", width=140
        )
        smooth = st.toggle(
            "Smooth", key="smooth", bind="query-params", help="Blend between patches."
        )
        side = st.toggle(
            "Side by side", key="side", bind="query-params", help="The photo beside the map."
        )
    style = export.Style(
        colormap=colormap,
        opacity=opacity,
        interpolation="bilinear" if smooth else "nearest",
        shared_scale=scale == "shared",
    )
    return style, side


def _large(scene: Scene, index: int, *, side_by_side: bool) -> None:
    names, scaled, ranges = export.head_maps(scene.attention, scene.style)
    name, (low, high) = names[index], ranges[index]
    photo = scene.choice.photo
    places = st.columns(2, gap="small") if side_by_side else [st.container()]
    if side_by_side:
        with places[0]:
            layout.picture(services.shown(photo, SHOWN_PX), alt=photo.alt)
    with places[-1]:
        layout.picture(
            scene.draw(scaled[index], SHOWN_PX),
            alt=f"{_title(name)} of the last block's attention over: {photo.alt}",
        )
    layout.colour_bar(scene.style.colormap, 100 * low, 100 * high, "%")
    scale = "one scale for all pictures" if scene.style.shared_scale else "on its own scale"
    st.caption(
        f"{_title(name)}, {scale}; each patch in % of all the attention a head gives, CLS included. "
        f"{_explain(name)}"
    )


def _gallery(scene: Scene, chosen: int) -> None:
    attention = scene.attention
    bits = entropy(torch.from_numpy(attention.weights)).tolist()
    most = np.log2(attention.weights[0].size)
    names, scaled, _ = export.head_maps(attention, scene.style)
    tiles = []
    for index, (name, values) in enumerate(zip(names, scaled, strict=True)):
        note = "over all heads"
        if index < attention.num_heads:
            note = f"{_prefix_share(attention, index)} · entropy {bits[index]:.1f} bits"
        tiles.append(
            Tile(
                picture=scene.draw(values, TILE_PX),
                title=_title(name),
                note=note,
                alt=f"Attention map of {_title(name)}: {note}",
                chosen=index == chosen,
            )
        )
    layout.gallery(tiles)
    st.caption(
        f"Below each head: the share of its attention that stays on the CLS token"
        f"{' and the registers' if attention.prefix.shape[1] > 1 else ''}, and its entropy over the "
        f"patches; {most:.1f} bits would be attention spread evenly."
    )


def _downloads(scene: Scene, index: int) -> None:
    choice, attention = scene.choice, scene.attention

    def files() -> Iterator[export.File]:
        photo = services.pixels(choice.photo)
        random = scene.backbone.is_random
        return export.attention_files(attention, photo, DEFAULT_MASS, scene.style, random=random)

    names, scaled, _ = export.head_maps(attention, scene.style)

    def this_map() -> bytes:
        photo = services.pixels(choice.photo)
        picture = export.head_picture(scaled[index], attention, photo, scene.style)
        return render.encode_png(scene.marked(picture))

    stem = export.stem(choice.photo.file_name, choice.photo.id)
    layout.downloads(
        ("This map (PNG)", f"{stem}-{names[index]}.png", "image", this_map),
        (
            "All pictures (ZIP)",
            f"{stem}-attention.zip",
            "folder_zip",
            lambda: export.zip_files(files()),
        ),
        ("Sheet (PNG)", f"{stem}-sheet.png", "grid_view", lambda: dict(files())["sheet.png"]),
        (
            "Numbers (NPZ)",
            f"{stem}-attention.npz",
            "data_array",
            lambda: export.attention_npz(attention),
        ),
    )
    layout.command("attend", choice, _options(scene.style))


def _options(style: export.Style) -> list[str]:
    """Flags of `attend` where the style differs from its defaults."""
    default, flags = export.Style(), []
    if style.colormap != default.colormap:
        flags += ["--colormap", style.colormap]
    if style.opacity != default.opacity:
        flags += ["--opacity", f"{style.opacity:g}"]
    if style.interpolation == "bilinear":
        flags.append("--smooth")
    if style.shared_scale:
        flags.append("--shared-scale")
    return flags


def _prefix_share(attention: Attention, head: int) -> str:
    """The share of a head's attention that stays on CLS and registers."""
    shares = attention.prefix[head]
    text = f"CLS {shares[0]:.0%}"
    return text + (f", registers {shares[1:].sum():.0%}" if len(shares) > 1 else "")


def _title(name: str) -> str:
    return {"mean": "Mean", "max": "Max"}.get(name, name.replace("head-", "Head "))


def _explain(name: str) -> str:
    if name == "mean":
        return "The mean of all heads: where the network looks altogether."
    if name == "max":
        return "The strongest head at each patch."
    return "Where the CLS token looks in this head."
