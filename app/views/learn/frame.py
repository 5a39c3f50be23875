"""What the steps of the Learn page share: what they are shown, a prediction to make, a seed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app.state import url
from app.state.selection import Choice
from dino.model.backbone import Backbone

_CHECKED = "learn_checked"
MAX_SEED = 99_999
# Of the photo and of small maps, in px.
SHOWN_PX, TILE_PX = 720, 320


@dataclass(frozen=True)
class Lesson:
    """What a step is shown on: photo and weights; `answers` shows all answers at once, `projector` is
    large type; `open_attention` opens the Attention page with parameters, None where there is no such page."""

    choice: Choice
    backbone: Backbone
    answers: bool = False
    projector: bool = False
    open_attention: Callable[..., None] | None = None

    @property
    def has_cls(self) -> bool:
        return self.backbone.num_prefix > self.backbone.num_registers

    @property
    def font_px(self) -> int:
        return 20 if self.projector else 14


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


def predict(lesson: Lesson, question: Question, *, name: str) -> bool:
    """Ask; after "Check" say what is right. Return whether the answer may be shown.

    Args:
        name: of the question; what was answered is kept by it, photo and weights.
    """
    key = f"{name}-{lesson.choice.photo.id[:8]}-{lesson.backbone.fingerprint[:8]}"
    checked: dict[str, str] = st.session_state.setdefault(_CHECKED, {})
    with st.container(border=True, key=f"learn_question_{name}"):
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
                key=f"check-{name}",
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


def forget_answers(name: str) -> None:
    """Take back what was answered to a question."""
    checked = st.session_state.get(_CHECKED, {})
    for key in [key for key in checked if key.startswith(f"{name}-")]:
        del checked[key]
        st.session_state.pop(f"guess-{key}", None)


def seed_input(label: str, key: str, *, help_text: str = "") -> int:
    """Choose a seed that is in the link, also where a button has changed it."""
    return url.linked(
        key,
        range(MAX_SEED + 1),
        0,
        lambda: st.number_input(
            label, 0, MAX_SEED, step=1, key=key, persist_state="session", help=help_text, width=150
        ),
    )


def next_seed(key: str) -> None:
    """Take the next seed, for a button."""
    st.session_state[key] = (int(st.session_state.get(key, 0)) + 1) % (MAX_SEED + 1)


def figure(lesson: Lesson, *, x: str, y: str, height: int = 300) -> go.Figure:
    """Make an empty chart in the page's type."""
    return go.Figure(
        layout={
            "height": height + 8 * (lesson.font_px - 14),
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "font": {"size": lesson.font_px},
            "xaxis": {"title": x},
            "yaxis": {"title": y},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "uirevision": "kept",
        }
    )


def chart(drawn: go.Figure, key: str, alt: str) -> None:
    """Show the chart as wide as its place."""
    st.plotly_chart(drawn, width="stretch", key=key, config={"displayModeBar": False}, alt=alt)
