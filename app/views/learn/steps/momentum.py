"""Step 6: the teacher is the moving average of the student."""

import numpy as np
import streamlit as st

from app.views.learn.frame import Lesson, Question, Step, chart, control, explain, figure, predict
from dino.media.palettes import CHOSEN_COLOR, OTHERS_COLOR
from dino.training.teaching.lag import example_path, memory_steps, teacher_path

_STEPS = 2000
_MOMENTA = (0.0, 0.5, 0.9, 0.98, 0.99, 0.996, 0.999)
_FORMULA = r"\theta_{\mathrm{teacher}} \leftarrow m\,\theta_{\mathrm{teacher}} + (1-m)\,\theta_{\mathrm{student}}"
_STUDENT, _TEACHER = OTHERS_COLOR, CHOSEN_COLOR


def show(lesson: Lesson) -> None:
    """Show one weight of a student that shakes on its way, and a teacher that lags behind."""
    explain(
        "Student and teacher are the same network with different weights. The **student** learns by gradient; "
        "the **teacher** never does: after each step it becomes m parts of itself and 1 − m parts of the "
        "student. The momentum m rises from 0.996 to 1 in the paper's training. The teacher is steadier than "
        "the student, and with m = 0 it is simply a copy."
    )
    left, right = st.columns([2, 3], gap="medium")
    momentum: float | None = None
    with left:
        st.latex(_FORMULA)
        if predict(lesson, _QUESTION):
            momentum = control(
                "momentum", _MOMENTA, 0.996, st.select_slider, "Momentum m", _MOMENTA
            )
    with right:
        _paths(lesson, momentum)


def _paths(lesson: Lesson, momentum: float | None) -> None:
    """Draw the student's weight, and the teacher's once it is predicted."""
    student = example_path(_STEPS, seed=0)
    drawn = figure(lesson, x="step", y="one weight")
    drawn.add_scatter(y=student, name="student", mode="lines", line={"color": _STUDENT, "width": 1})
    if momentum is None:
        chart(drawn, "learn_lag", "A weight of the student, which rises from 0 to 1 and shakes.")
        return
    teacher = teacher_path(student, momentum=momentum)
    drawn.add_scatter(y=teacher, name="teacher", mode="lines", line={"color": _TEACHER, "width": 3})
    chart(drawn, "learn_lag", "The student's weight, and the teacher's, which follows it.")
    st.caption(
        f"m = {momentum:g}: the teacher remembers about 1/(1 − m) = {memory_steps(momentum):,.0f} steps. "
        f"It passes one half at step {_crossing(teacher)}, the student at step {_crossing(student)}; from "
        f"step to step the student moves by {_shake(student):.3f} on average, the teacher by "
        f"{_shake(teacher):.5f}. The student's path is an example; the teacher's follows exactly from it."
    )


def _crossing(path: np.ndarray) -> str:
    above = np.flatnonzero(path > 0.5)
    return f"{above[0]:,}" if len(above) else "(not yet)"


def _shake(path: np.ndarray) -> float:
    return float(np.abs(np.diff(path)).mean())


_QUESTION = Question(
    "At m = 0.996, over about how many of the student's last steps does the teacher average?",
    ("4", "25", "250", "1,000"),
    2,
    "The weight of a step falls by the factor m with each step after it; 1/(1 − 0.996) = 250 steps later "
    "1/e ≈ 37% of it is left.",
)

STEP = Step("Student and teacher", show, controls={"momentum": 0.996})
