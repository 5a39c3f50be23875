"""Step 7: centring and sharpening, and what happens without: a tiny DINO that trains here and now."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from app.cache import learn
from app.views.learn.frame import (
    Lesson,
    Question,
    Step,
    chart,
    control,
    explain,
    figure,
    predict,
    seed_control,
)
from dino.media.palettes import CHART_COLORS
from dino.system.words import bits
from dino.training.teaching.demonstration import KINDS, OUT_DIM, Demonstration, Outcome, Point

_ONE, _BATCH = CHART_COLORS[:2]
# The case the question is about.
_AT_FIRST = {"centring": False, "sharpening": True}
# Points between two drawings of the growing curve: a chart is redrawn as a whole.
_DRAWN_EVERY = 6


def show(lesson: Lesson) -> None:
    """Show the switches, the curves while they grow, and what all runs so far came to."""
    explain(
        f"Nothing so far stops both networks from saying the same of every photo, which would be a perfect "
        f"score. Two ways lead there: **one of the {OUT_DIM} outputs wins always**, or **all outputs are "
        "always equal**. Centring subtracts the teacher's running mean and works against the first; "
        "sharpening, a low teacher temperature, works against the second. The curves are entropies: 0 is "
        "one output certain, the top all alike. Here a real DINO of two blocks "
        "trains on drawings of 12×12 px, with the loss and the metrics of our training engine."
    )
    left, right = st.columns([2, 3], gap="medium")
    with left:
        if not predict(lesson, _QUESTION):
            st.caption("Predict first; then it trains, in a few seconds.")
            return
        settings = _switches()
        if settings.centering == _AT_FIRST["centring"] and settings.sharpening:
            st.caption("This is the case you were asked about. Then switch centring on.")
    with right:
        outcome = _train(lesson, settings)
        st.image(
            learn.drawings(settings.seed),
            caption=f"What it learns from: {', '.join(KINDS)}, here two of each; below each another view "
            "of the same.",
            alt="Two rows of small noisy drawings",
            output_format="PNG",
        )
    with left:
        _verdict(outcome)
    _table()


def _switches() -> Demonstration:
    """Choose what is on, and the seed."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        centering, sharpening = _switch("Centring"), _switch("Sharpening")
    seed = seed_control(
        "training_seed",
        help_text="Of the weights and the pictures.",
        another="Another seed",
        another_key="learn_train_again",
    )
    return Demonstration(centering=centering, sharpening=sharpening, seed=seed)


def _switch(label: str) -> bool:
    key = label.lower()
    return control(key, (True, False), _AT_FIRST[key], st.toggle, label)


def _train(lesson: Lesson, settings: Demonstration) -> Outcome:
    """Draw the curve while it grows; at once where the session has it."""
    place = st.empty()
    bar = st.empty()

    def grow(points: list[Point]) -> None:
        if len(points) % _DRAWN_EVERY != 1:
            return
        done = points[-1].step + 1
        bar.progress(done / settings.steps, text=f"Step {done} of {settings.steps}")
        drawn = _curves(lesson, points, settings)
        with place:
            chart(drawn, f"learn_grow_{len(points)}", "The curves so far.")

    outcome = learn.demonstration(settings, grow)
    bar.empty()
    last = outcome.points[-1]
    with place:
        chart(
            _curves(lesson, outcome.points, settings),
            "learn_curves",
            f"At the end: entropy of one answer {_bits(last, 'teacher_entropy'):.2f}, of the mean answer "
            f"{_bits(last, 'batch_mean_entropy'):.2f} bits, at most {math.log2(OUT_DIM):.2f}.",
        )
    return outcome


def _curves(lesson: Lesson, points: Sequence[Point], settings: Demonstration) -> go.Figure:
    most = math.log2(OUT_DIM)
    drawn = figure(lesson, x="step", y="entropy, bits")
    steps = [point.step for point in points]
    for key, name, colour, dash in (
        ("teacher_entropy", "one answer", _ONE, "solid"),
        ("batch_mean_entropy", "mean answer of a batch", _BATCH, "dash"),
    ):
        drawn.add_scatter(
            x=steps,
            y=[_bits(point, key) for point in points],
            name=name,
            mode="lines",
            line={"color": colour, "width": 3, "dash": dash},
        )
    drawn.add_hline(
        y=most,
        line={"color": "rgba(128,128,128,0.9)", "width": 1},
        annotation={
            "text": f"all {OUT_DIM} alike: log₂ {OUT_DIM} = {most:.2f}",
            "yanchor": "bottom",
        },
    )
    drawn.update_xaxes(range=[0, settings.steps])
    drawn.update_yaxes(range=[-0.1, most * 1.15])
    return drawn


def _bits(point: Point, key: str) -> float:
    return bits(point.values[key])


def _verdict(outcome: Outcome) -> None:
    last = outcome.points[-1]
    verdict = (last.verdict or "").split(":")[0]
    found = {
        "uniform collapse": "**Uniform collapse**: every answer is flat, both lines lie at the top.",
        "one-dimensional collapse": "**One-dimensional collapse**: every picture gets the same answer, the "
        "dashed line lies at 0.",
    }.get(verdict, "**No collapse**: each answer is sharp, and together they use many outputs.")
    st.markdown(
        f"{found} The teacher's features tell the four kinds of drawing apart for "
        f"{outcome.knn_after:.0f}% of {outcome.asked} fresh ones by k-NN, before training "
        f"{outcome.knn_before:.0f}%; chance is 25%."
    )


def _table() -> None:
    """List all runs of this session."""
    made = learn.demonstrations()
    if len(made) < 2:
        st.caption("Flip a switch: another run starts, and the runs are listed here.")
        return
    st.dataframe(
        [
            {
                "Centring": settings.centering,
                "Sharpening": settings.sharpening,
                "Seed": settings.seed,
                "One answer, bits": _bits(outcome.points[-1], "teacher_entropy"),
                "Mean answer, bits": _bits(outcome.points[-1], "batch_mean_entropy"),
                "k-NN, %": outcome.knn_after,
                "Ended in": (outcome.points[-1].verdict or "no collapse").split(":")[0],
            }
            for settings, outcome in reversed(made.items())
        ],
        hide_index=True,
        key="learn_runs",
        column_config={
            name: st.column_config.NumberColumn(format="%.2f")
            for name in ("One answer, bits", "Mean answer, bits")
        },
    )


_QUESTION = Question(
    "Centring is off, sharpening on. What becomes of the teacher's answers?",
    (
        "Every picture gets the same sharp answer",
        "Every answer becomes flat",
        "Nothing much, training only takes longer",
    ),
    0,
    "One output wins, and sharpening helps it. With centring alone every answer becomes flat instead; "
    "each of the two prevents the other's collapse (section 5.3 of the paper).",
)

STEP = Step(
    "Centring and sharpening",
    show,
    controls={**_AT_FIRST, "training_seed": 0},
)
