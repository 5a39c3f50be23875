"""Video: a film of what a network attends to, or of a mask that it follows, made by a process."""

from dataclasses import replace

import streamlit as st

from app.cache import video as cached_video
from app.cache.video import Clip
from app.state import url
from app.state.selection import Choice
from app.ui import command, layout
from app.ui.networks import instead_of_attention, say_whose_attention
from app.views.video import film, mask, source
from app.views.video.film import Order
from dino.model.backbone import Backbone
from dino.video.film import AttentionStyle
from dino.video.film.attention import EACH, MEAN

KINDS = ("Attention film", "Follow a mask")
FOLLOW = KINDS[1]


def show(choice: Choice, backbone: Backbone) -> None:
    """Draw the page: a video, what is made of it, and the film."""
    layout.heading_with_weights(
        "Video",
        "What a network attends to over time, or where a mask goes that is drawn on the first frame.",
        backbone,
        if_random="every film here is noise",
    )
    clip = source.choose_clip(choice.photo)
    if clip is None:
        return
    kind = st.segmented_control(
        "Make", KINDS, default=KINDS[0], required=True, key="make", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    if kind != FOLLOW and not backbone.has_attention:
        instead_of_attention(backbone, f"*{FOLLOW}*, above, works with it")
        return
    order = _follow(choice, backbone, clip) if kind == FOLLOW else _attend(choice, backbone, clip)
    if order is not None:
        _command(order)
    _footer(clip, backbone)


def _attend(choice: Choice, backbone: Backbone, clip: Clip) -> Order:
    """Draw the controls of an attention film beside the film."""
    say_whose_attention(backbone)
    large, side = st.columns([6, 5], gap="medium")
    with side:
        style = _style(backbone.num_heads)
    options = ["--attention", "--head", style.head, "--opacity", f"{style.opacity:g}"]
    options += [] if style.smooth else ["--blocks"]
    order = _order(choice, backbone, clip, options)
    with side:
        finished = film.show_making(order)
    with large:
        if finished:
            film.play(order)
        else:
            source.show_clip(clip)
    with side:
        film.show_facts(order, backbone)
    return order


def _style(num_heads: int) -> AttentionStyle:
    heads = [MEAN, EACH, *map(str, range(num_heads))]
    url.forget_unknown("film_head", heads)  # of weights with more heads
    names = {MEAN: "mean of the heads", EACH: "each head, side by side"}
    head = st.selectbox(
        "Head", heads, format_func=lambda one: names.get(one, f"head {one}"), key="film_head",
        bind="query-params",
    )  # fmt: skip
    opacity = st.slider(
        "Opacity of the map", 0.0, 1.0, 0.6, 0.05, key="film_opacity", bind="query-params"
    )
    smooth = st.toggle("Blend between patches", True, key="film_smooth", bind="query-params")
    return AttentionStyle(head, opacity, smooth=smooth)


def _follow(choice: Choice, backbone: Backbone, clip: Clip) -> Order | None:
    """Draw the first frame's mask, then the film."""
    frame = replace(choice, photo=cached_video.first_frame(clip))
    labels = mask.choose_labels(frame, backbone)
    if labels is None:
        return None
    path, data = cached_video.mask_file(labels)
    order = replace(_order(choice, backbone, clip, ["--mask", str(path)]), mask=(path, data))
    large, side = st.columns([6, 5], gap="medium")
    with large:
        if film.show_making(order):
            film.play(order)
    with side:
        film.show_facts(order, backbone)
        layout.downloads(("First mask (PNG)", path.name, "contrast", lambda: data))
    return order


def _order(choice: Choice, backbone: Backbone, clip: Clip, options: list[str]) -> Order:
    settings = {"size": choice.size, "options": options}
    out = cached_video.film_folder(clip, backbone, settings)
    return Order(clip, choice.weights, choice.size, backbone.precision, tuple(options), out)


def _command(order: Order) -> None:
    video = str(order.clip.path) if order.clip.photo else order.clip.name
    # The mask by the name it is downloaded with.
    options = ["--mask", order.mask[0].name] if order.mask else order.options
    options = [*options, *command.flags(size=order.size)]
    command.show("film", video, weights=order.weights, options=options)


def _footer(clip: Clip, backbone: Backbone) -> None:
    st.divider()
    st.caption(
        f"{backbone.device}, {backbone.precision} · weights sha256 `{backbone.weights_sha256[:16]}` · "
        f"video sha256 `{clip.sha256[:16]}`" + layout.credit(clip.photo)
    )
