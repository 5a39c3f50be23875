"""What the steps of the Learn page share: what they are shown on, a prediction to make, controls, pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app.cache import pictures
from app.state import url
from app.state.selection import Choice
from dino.media import draw
from dino.model.backbone import Backbone

T = TypeVar("T")
_CHECKED = "learn_checked"
MAX_SEED = 99_999
# Of the photo and of small maps, in px.
SHOWN_PX, TILE_PX = 720, 320


@dataclass(frozen=True)
class Lesson:
    """What a step is shown on: photo and weights; `step` is the step's own name, `answers` shows all
    answers at once, `projector` is large type."""

    choice: Choice
    backbone: Backbone
    step: str
    answers: bool
    projector: bool


@dataclass(frozen=True)
class Step:
    """One idea: `show` draws it; `controls` are its widgets' keys and what a reset sets them to (a
    function is asked with the network). `link` are parameters of the Attention page that go with it, and
    `handed` those that have the value of one of the widgets: name → key."""

    title: str
    show: Callable[[Lesson], None]
    controls: dict[str, Any] = field(default_factory=dict)
    link: dict[str, str] = field(default_factory=dict)
    handed: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the name answers are kept by: that of the step's module."""
        return self.show.__module__.rpartition(".")[2]


@dataclass(frozen=True)
class Question:
    """What a reader predicts; `right` is the number of the option that holds, `why` the answer."""

    asked: str
    options: tuple[str, ...]
    right: int
    why: str


def explain(text: str) -> None:
    """Show the step's own text, in type that can be read from further away."""
    with st.container(key="learn_text"):
        st.markdown(text)


def predict(lesson: Lesson, question: Question) -> bool:
    """Ask; after "Check" say what is right. Return whether the answer may be shown.

    What was answered is kept by step, photo and weights.
    """
    step = lesson.step
    key = f"{step}-{lesson.choice.photo.id[:8]}-{lesson.backbone.fingerprint[:8]}"
    checked: dict[str, str] = st.session_state.setdefault(_CHECKED, {})
    with st.container(border=True, key=f"learn_question_{step}"):
        guess = st.radio(
            f"**{question.asked}**",
            question.options,
            index=None,
            key=f"guess-{key}",
            persist_state="session",
            horizontal=True,
        )
        if not lesson.answers:
            st.button(
                "Check",
                key=f"check-{step}",
                type="primary" if key not in checked else "secondary",
                disabled=guess is None,
                on_click=lambda: checked.__setitem__(key, str(guess)),
            )
        shown = lesson.answers or key in checked
        if shown:
            _answer(question, checked.get(key))
    return shown


def _answer(question: Question, guess: str | None) -> None:
    right = question.options[question.right]
    if guess == right:
        st.success(f"**Right: {right}.** {question.why}", icon=":material/check_circle:")
    else:
        said = f"You said: {guess}. " if guess is not None else ""
        st.info(f"{said}**Answer: {right}.** {question.why}", icon=":material/lightbulb:")


def forget_answers(step: str) -> None:
    """Take back what was answered in a step."""
    checked = st.session_state.get(_CHECKED, {})
    for key in [key for key in checked if key.startswith(f"{step}-")]:
        del checked[key]
        st.session_state.pop(f"guess-{key}", None)


def control(
    key: str,
    options: Sequence[T],
    default: T,
    widget: Callable[..., Any],
    *arguments: Any,
    **details: Any,
) -> T:
    """Draw a widget of a step whose value is in the link; see `url.linked`.

    Args:
        widget: one of Streamlit's, called with the `arguments` and `details`.
    """
    draw_it = partial(widget, *arguments, key=key, persist_state="session", **details)
    return url.linked(key, options, default, draw_it)


def seed_control(key: str, *, help_text: str, another: str, another_key: str) -> int:
    """Choose a seed, and draw the button `another`, which takes the next."""

    def take_next() -> None:
        st.session_state[key] = (st.session_state[key] + 1) % (MAX_SEED + 1)

    seeds = range(MAX_SEED + 1)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = control(
            key, seeds, 0, st.number_input, "Seed", 0, MAX_SEED, step=1, help=help_text, width=150
        )
        st.button(another, on_click=take_next, icon=":material/casino:", key=another_key)
    return seed


def map_over_photo(
    choice: Choice, backbone: Backbone, values: np.ndarray, width: int = SHOWN_PX
) -> np.ndarray:
    """Draw a map [h,w], on its own scale, over the chosen photo, at most `width` px wide."""
    scaled, _ = draw.normalize(values[None])
    colours = draw.heat(scaled[0], pictures.geometry(choice, backbone), width=width)
    picture = draw.overlay(pictures.shown(choice.photo, width), colours, 0.8)
    return draw.mark_random(picture) if backbone.is_random else picture


def figure(lesson: Lesson, *, x: str, y: str, height: int = 300) -> go.Figure:
    """Make an empty chart in the page's type."""
    font_px = 20 if lesson.projector else 14
    return go.Figure(
        layout={
            "height": height + 8 * (font_px - 14),
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "font": {"size": font_px},
            "xaxis": {"title": x},
            "yaxis": {"title": y},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "uirevision": "kept",
        }
    )


def chart(drawn: go.Figure, key: str, alt: str) -> None:
    """Show the chart as wide as its place."""
    st.plotly_chart(drawn, width="stretch", key=key, config={"displayModeBar": False}, alt=alt)
