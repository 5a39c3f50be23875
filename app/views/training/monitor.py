"""How chosen runs are doing: progress, verdict, warnings, charts, what the attention became, the log."""

import re
from collections.abc import Sequence
from statistics import median

import streamlit as st

from app.text import plain_text, sentence
from app.views.training import charts, film
from app.views.training.charts import COLOURS, Curve
from app.views.training.verdict import verdict
from dino.system.files import read_json
from dino.system.words import duration
from dino.training.runs.folder import METRICS, PROBES, read_lines
from dino.training.runs.jobs import runs_folder
from dino.training.runs.listing import RunSummary, is_run, summarize

_LOOKS = "train_looks"
_LOG_LINES = 200
_SPEEDS = 10  # lines of metrics that the time left is told from
_COLLAPSE = re.compile(r"^(\S+ \S+) ((?:uniform|one-dimensional) collapse: .*)$", re.MULTILINE)


def show(names: Sequence[str], focus: str) -> None:
    """Draw it; polled while one of the runs is at work."""
    folders = [runs_folder() / name for name in names]
    runs = [summarize(folder) for folder in folders if is_run(folder)]
    looks = _choose_looks(names)
    curves = [_curve(run, looks[run.name]) for run in runs]
    for run, curve in zip(runs, curves, strict=True):
        if run.active:
            _progress(run, curve)
        else:
            _outcome(run, curve)
        _collapse(run)
        if curve.damaged:
            st.caption(
                plain_text(f"{run.name}: {curve.damaged:,} of its lines are damaged, and left out.")
            )
    charts.show(curves)
    for run in runs:
        if run.name == focus:
            film.show(run.folder)
            _log(run)


def time_left(run: RunSummary, curve: Curve) -> str:
    """How long a run still takes at its speed, in words; empty where it cannot be known."""
    speeds = [m["images_per_s"] for m in curve.metrics[-_SPEEDS:] if m.get("images_per_s")]
    if not speeds or not run.total_steps:
        return ""
    last = curve.metrics[-1]
    photos = (run.total_steps - run.step) * last.get("images_seen", 0) / max(last["step"], 1)
    return f"{duration(photos / median(speeds))} left"


def told(run: RunSummary, *further: str) -> str:
    """A run at work in a line of words."""
    words = {"starting": "starting: reads photos and weights", "stopping": "saves and stops"}
    return " · ".join([run.name, words.get(run.status, steps_of(run)), *filter(None, further)])


def steps_of(run: RunSummary) -> str:
    """Where a run is."""
    return f"step {run.step:,}" + (f" of {run.total_steps:,}" if run.total_steps else "")


def _progress(run: RunSummary, curve: Curve) -> None:
    epoch = f"epoch {run.epoch + 1} of {run.epochs}" if run.step else ""
    st.progress(run.progress, plain_text(told(run, epoch, time_left(run, curve))))


def _outcome(run: RunSummary, curve: Curve) -> None:
    """How a run ended, and what came of it."""
    said = f"{run.name} {run.status}" + (
        f": {run.reason}" if run.reason else f" at {steps_of(run)}"
    )
    if run.status == "failed":
        st.error(plain_text(sentence(said)), icon=":material/error:")
    if not run.step:
        return
    result = verdict(curve.probes)
    better = " got better " in result and " got worse " not in result
    box, icon = (st.success, "trending_up") if better else (st.info, "balance")
    start = f"{run.name}:" if run.status == "failed" else sentence(said)
    box(plain_text(f"{start} {result}"), icon=f":material/{icon}:")


def _collapse(run: RunSummary) -> None:
    """The latest collapse in the log."""
    path = run.folder / "log.txt"
    found = _COLLAPSE.findall(path.read_text(errors="replace")) if path.exists() else []
    if found:
        when, said = found[-1]
        st.error(plain_text(sentence(f"{run.name}, {when}: {said}")), icon=":material/warning:")


def _curve(run: RunSummary, look: int) -> Curve:
    config = read_json(run.folder / "config.json") or {}
    metrics, probes = (read_lines(run.folder / name) for name in (METRICS, PROBES))
    return Curve(
        name=run.name,
        look=look,
        metrics=metrics.lines,
        probes=probes.lines,
        damaged=metrics.damaged + probes.damaged,
        out_dim=config.get("out_dim", 1),
    )


def _choose_looks(names: Sequence[str]) -> dict[str, int]:
    """A colour for each chosen run; it keeps the one it had, unless another has that now."""
    had: dict[str, int] = st.session_state.setdefault(_LOOKS, {})
    looks: dict[str, int] = {}
    for name in sorted(names, key=lambda name: name not in had):
        free = [look for look in range(len(COLOURS)) if look not in looks.values()]
        looks[name] = had[name] if had.get(name) in free else free[0]
    st.session_state[_LOOKS] = {**had, **looks}
    return looks


def _log(run: RunSummary) -> None:
    with st.expander(f"Log of {plain_text(run.name)}", icon=":material/receipt_long:"):
        shown = False
        for file in ("log.txt", "console.txt"):
            path = run.folder / file
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
            if lines:
                st.caption(file)
                st.code("\n".join(lines[-_LOG_LINES:]), language=None, wrap_lines=True, height=220)
                shown = True
        if not shown:
            st.caption("Nothing was said yet.")
