"""Learn: DINO in ten short steps, each one idea on the chosen photo and weights, each with a prediction."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from app.components.step_keys.component import step_keys
from app.state import url
from app.state.selection import Choice
from app.text import plain_text, sentence
from app.ui import layout
from app.views.learn.frame import Lesson, Step, forget_answers
from app.views.learn.steps import (
    cls_token,
    collapse,
    crops,
    limits,
    many_heads,
    momentum,
    neighbours,
    one_head,
    patches,
    supervised,
)
from dino.errors import UserError
from dino.model.backbone import Backbone

STEPS: tuple[Step, ...] = (
    patches.STEP,
    one_head.STEP,
    many_heads.STEP,
    cls_token.STEP,
    crops.STEP,
    momentum.STEP,
    collapse.STEP,
    neighbours.STEP,
    supervised.STEP,
    limits.STEP,
)
_KEY = "step"
_CSS = """<style>
.st-key-learn_text p, .st-key-learn_text li { font-size: 1.08rem; line-height: 1.55; max-width: 62rem; }
.katex-display { overflow-y: hidden !important; padding: 0.2em 0.25em; }
.st-key-learn_head h3 { font-size: 1.4rem; padding: 0; }
</style>"""
# Everything Streamlit draws is measured in rem.
_PROJECTOR_CSS = """<style>
html { font-size: 22px !important; }
[data-testid="stSidebar"], [data-testid="stExpandSidebarButton"], .dx-head { display: none; }
</style>"""


def show(
    choice: Choice, backbone: Backbone, *, open_attention: Callable[..., None] | None = None
) -> None:
    """Draw the page; `open_attention` opens Attention with the parameters it is given."""
    layout.header("Learn", choice, backbone)
    number = _asked()
    answers, projector = _navigation(number)
    st.html(_CSS + (_PROJECTOR_CSS if projector else ""))
    lesson = Lesson(
        choice, backbone, answers=answers, projector=projector, open_attention=open_attention
    )
    _body(number, lesson)
    _turning(number, lesson)
    _traces(choice, backbone)


def _asked() -> int:
    """Find the number of the step, from 0, by the session or the link."""
    names = _names()
    if st.session_state.get(_KEY) not in names:
        text = st.query_params.get(_KEY, "1")
        known = text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= len(STEPS)
        st.session_state[_KEY] = names[int(text) - 1 if known else 0]
    return names.index(st.session_state[_KEY])


def _names() -> list[str]:
    return [f"{number}. {step.title}" for number, step in enumerate(STEPS, start=1)]


def _navigation(number: int) -> tuple[bool, bool]:
    """Draw the row above a step; return whether all answers are shown, and whether type is large."""
    large = st.session_state.get("projector", st.query_params.get("projector") == "true")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _turner("learn_back", -1, number)
        st.selectbox(
            f"Step {number + 1} of {len(STEPS)}",
            _names(),
            key=_KEY,
            persist_state="session",
            width=380 if large else 280,
        )
        _turner("learn_on", 1, number)
        answers = st.toggle(
            "Answers", key="answers", bind="query-params", help="Show them without being asked."
        )
        projector = st.toggle(
            "Projector",
            key="projector",
            bind="query-params",
            help="Large type, no sidebar. Arrow keys and a presenter's clicker turn the steps.",
        )
    _drop_links(number)
    url.link(_KEY, str(number + 1), "1")
    return answers, projector


def _drop_links(number: int) -> None:
    """Take parameters of other steps out of the link; what they were set to is kept."""
    own = STEPS[number].controls
    for key in {key for step in STEPS for key in step.controls} - set(own):
        st.query_params.pop(key, None)


@st.fragment
def _body(number: int, lesson: Lesson) -> None:
    """Draw the step; its controls run nothing but itself."""
    step = STEPS[number]
    with st.container(key="learn_head"):
        st.subheader(f"{number + 1}. {step.title}", anchor=False)
    try:
        step.show(lesson)
    except UserError as error:
        st.info(plain_text(sentence(str(error))), icon=":material/info:")


def _turning(number: int, lesson: Lesson) -> None:
    """Offer to go back, on, to start the step over, and the way to Attention."""
    if number == len(STEPS) - 1:
        st.success(
            "That was all of it. Now try a photo of your own: **Attention** to look around, **Masks** for a "
            "cut-out, **Training** to teach a network of your own.",
            icon=":material/flag:",
        )
    with st.container(horizontal=True):
        st.button(
            "Previous", on_click=partial(_turn, -1), disabled=number == 0, key="learn_previous",
            icon=":material/arrow_back:",
        )  # fmt: skip
        st.button(
            "Next", on_click=partial(_turn, 1), disabled=number == len(STEPS) - 1, type="primary",
            key="learn_next", icon=":material/arrow_forward:",
        )  # fmt: skip
        st.button(
            "Start this step over", on_click=partial(_reset, number, lesson.backbone), key="learn_reset",
            icon=":material/restart_alt:",
        )  # fmt: skip
        if lesson.open_attention and st.button(
            "Open this in Attention", key="learn_open", icon=":material/visibility:"
        ):
            lesson.open_attention(**_view(lesson, STEPS[number]))
    step_keys("learn_keys", _turn, page=number)


def _turner(key: str, by: int, number: int) -> None:
    """Draw a small button above a step."""
    st.button(
        "",
        key=key,
        icon=":material/arrow_forward:" if by > 0 else ":material/arrow_back:",
        help="Next step" if by > 0 else "Previous step",
        on_click=partial(_turn, by),
        disabled=not 0 <= number + by < len(STEPS),
    )


def _turn(by: int) -> None:
    """Go to the step after or before; only before the widgets are drawn."""
    names = _names()
    number = names.index(st.session_state[_KEY]) + by
    if 0 <= number < len(names):
        st.session_state[_KEY] = names[number]


def _reset(number: int, backbone: Backbone) -> None:
    """Take the answer back and set the step's controls as they were at first."""
    step = STEPS[number]
    forget_answers(_module(step))
    for key, value in step.controls.items():
        st.session_state[key] = value(backbone) if callable(value) else value
        st.query_params.pop(key, None)


def _module(step: Step) -> str:
    """Return the name a step's question is kept by: that of its module."""
    return step.show.__module__.rpartition(".")[2]


def _view(lesson: Lesson, step: Step) -> dict[str, str]:
    """Collect photo, weights, and what this step looks at; the size goes along by itself."""
    kept = {
        name: str(st.session_state[key])
        for name, key in step.handed.items()
        if key in st.session_state
    }
    return {
        "photo": lesson.choice.photo.name,
        "weights": lesson.choice.weights,
        **step.link,
        **kept,
    }


def _traces(choice: Choice, backbone: Backbone) -> None:
    st.divider()
    st.caption(
        f"After Caron et al. 2021, “Emerging Properties in Self-Supervised Vision Transformers” (arXiv "
        f"2104.14294) · weights sha256 `{backbone.weights_sha256[:16]}` · photo sha256 "
        f"`{choice.photo.id[:16]}`" + layout.credit(choice.photo)
    )
