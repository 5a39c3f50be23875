"""Learn: DINO in ten short steps, each one idea on the chosen photo and weights, each with a prediction."""

from collections.abc import Callable
from typing import Any

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
_TITLES = [f"{number}. {step.title}" for number, step in enumerate(STEPS, start=1)]
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
    number = _step_number()
    answers, projector = _navigation(number)
    st.html(_CSS + (_PROJECTOR_CSS if projector else ""))
    step = STEPS[number]
    _body(number, Lesson(choice, backbone, step.name, answers=answers, projector=projector))
    if number == len(STEPS) - 1:
        st.success(
            "That was all of it. Now try a photo of your own: **Attention** to look around, **Masks** for a "
            "cut-out, **Training** to teach a network of your own.",
            icon=":material/flag:",
        )
    with st.container(horizontal=True):
        _turn_button("learn_previous", -1, number, "Previous")
        _turn_button("learn_next", 1, number, "Next", type="primary")
        st.button(
            "Start this step over", on_click=_reset, args=(step, backbone), key="learn_reset",
            icon=":material/restart_alt:",
        )  # fmt: skip
        if open_attention and st.button(
            "Open this in Attention", key="learn_open", icon=":material/visibility:"
        ):
            open_attention(**_attention_link(choice, backbone, step))
    step_keys("learn_keys", _turn, page=number)
    _footer(choice, backbone)


def _step_number() -> int:
    """Find the number of the step, from 0, by the session or the link."""
    if st.session_state.get(_KEY) not in _TITLES:
        text = st.query_params.get(_KEY, "1")
        known = text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= len(STEPS)
        st.session_state[_KEY] = _TITLES[int(text) - 1 if known else 0]
    return _TITLES.index(st.session_state[_KEY])


def _navigation(number: int) -> tuple[bool, bool]:
    """Draw the row above a step; return whether all answers are shown, and whether type is large."""
    large = st.session_state.get("projector", st.query_params.get("projector") == "true")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _turn_button("learn_back", -1, number, help="Previous step")
        st.selectbox(
            f"Step {number + 1} of {len(STEPS)}",
            _TITLES,
            key=_KEY,
            persist_state="session",
            width=380 if large else 280,
        )
        _turn_button("learn_on", 1, number, help="Next step")
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
    with st.container(key="learn_head"):
        st.subheader(_TITLES[number], anchor=False)
    try:
        STEPS[number].show(lesson)
    except UserError as error:
        st.info(plain_text(sentence(str(error))), icon=":material/info:")


def _turn_button(key: str, by: int, number: int, label: str = "", **details: Any) -> None:
    """Draw a button to the step after or before."""
    st.button(
        label,
        key=key,
        icon=":material/arrow_forward:" if by > 0 else ":material/arrow_back:",
        on_click=_turn,
        args=(by,),
        disabled=not 0 <= number + by < len(STEPS),
        **details,
    )


def _turn(by: int) -> None:
    """Go to the step after or before; only before the widgets are drawn."""
    number = _TITLES.index(st.session_state[_KEY]) + by
    if 0 <= number < len(STEPS):
        st.session_state[_KEY] = _TITLES[number]


def _reset(step: Step, backbone: Backbone) -> None:
    """Take the answer back and set the step's controls as they were at first."""
    forget_answers(step.name)
    for key, value in step.controls.items():
        st.session_state[key] = value(backbone) if callable(value) else value
        st.query_params.pop(key, None)


def _attention_link(choice: Choice, backbone: Backbone, step: Step) -> dict[str, str]:
    """Collect photo, weights, and what this step looks at; the size goes along by itself."""
    handed = {
        name: str(st.session_state[key])
        for name, key in step.handed.items()
        if key in st.session_state
    }
    link = {k: v for k, v in step.link.items() if (k, v) != ("query", "cls") or backbone.num_class}
    return {"photo": choice.photo.name, "weights": choice.weights, **link, **handed}


def _footer(choice: Choice, backbone: Backbone) -> None:
    st.divider()
    st.caption(
        f"After Caron et al. 2021, “Emerging Properties in Self-Supervised Vision Transformers” (arXiv "
        f"2104.14294) · weights sha256 `{backbone.weights_sha256[:16]}` · photo sha256 "
        f"`{choice.photo.id[:16]}`" + layout.credit(choice.photo)
    )
