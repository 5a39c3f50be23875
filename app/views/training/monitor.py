"""Show how chosen runs are doing: progress, verdict, warnings, charts, what the attention became, the log."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import streamlit as st

from app.state.problems import show_error
from app.text import plain_text, sentence
from app.views.training import charts
from app.views.training.charts import COLOURS, Curve
from dino.system.files import read_json
from dino.system.words import duration
from dino.training.runs.folder import METRICS, PROBES, read_lines
from dino.training.runs.jobs import runs_folder
from dino.training.runs.listing import RunSummary, is_run, summarize

_STYLES = "train_looks"
_MEASURES = {"knn": "k-NN", "jaccard": "J of the attention masks"}
# 1,000 test photos give ±1.5 points: less than that is no difference.
_NOTICEABLE_POINTS = 1.5
_EPOCH = re.compile(r"epoch-(\d+)$")
_LOG_LINES = 200
_SPEEDS = 10  # lines of metrics that the time left is estimated from
_COLLAPSE = re.compile(r"^(\S+ \S+) ((?:uniform|one-dimensional) collapse: .*)$", re.MULTILINE)


def show(names: Sequence[str], focus: str) -> None:
    """Draw how runs are doing; polled while one of them is at work."""
    folders = [runs_folder() / name for name in names]
    runs = [summarize(folder) for folder in folders if is_run(folder)]
    styles = _choose_styles(names)
    curves = [_curve(run, styles[run.name]) for run in runs]
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
            _filmstrip(run.folder)
            _log(run)


def _progress(run: RunSummary, curve: Curve) -> None:
    doing = {"starting": "starting: reads photos and weights", "stopping": "saves and stops"}
    words = [
        run.name,
        doing.get(run.status, _step(run)),
        f"epoch {run.epoch + 1} of {run.epochs}" if run.step else "",
        _time_left(run, curve),
    ]
    st.progress(run.progress, plain_text(" · ".join(filter(None, words))))


def _step(run: RunSummary) -> str:
    return f"step {run.step:,}" + (f" of {run.total_steps:,}" if run.total_steps else "")


def _time_left(run: RunSummary, curve: Curve) -> str:
    """Estimate how long a run still takes at its speed, in words; empty where it cannot be known."""
    speeds = [m["images_per_s"] for m in curve.metrics[-_SPEEDS:] if m.get("images_per_s")]
    if not speeds or not run.total_steps:
        return ""
    last = curve.metrics[-1]
    photos = (run.total_steps - run.step) * last.get("images_seen", 0) / max(last["step"], 1)
    return f"{duration(photos / median(speeds))} left"


def _outcome(run: RunSummary, curve: Curve) -> None:
    """Say how a run ended, and what came of it."""
    reason = f": {run.reason}" if run.reason else f" at {_step(run)}"
    ending = f"{run.name} {run.status}{reason}"
    if run.status == "failed":
        show_error(ending)
    if not run.step:
        return
    result = verdict(curve.probes)
    better = " got better " in result and " got worse " not in result
    box, icon = (st.success, "trending_up") if better else (st.info, "balance")
    start = f"{run.name}:" if run.status == "failed" else sentence(ending)
    box(plain_text(f"{start} {result}"), icon=f":material/{icon}:")


def _collapse(run: RunSummary) -> None:
    """Show the latest collapse in the log."""
    if found := _COLLAPSE.findall(_read(run.folder / "log.txt")):
        when, collapse = found[-1]
        show_error(f"{run.name}, {when}: {collapse}", "warning")


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _curve(run: RunSummary, style: int) -> Curve:
    config = read_json(run.folder / "config.json") or {}
    metrics, probes = (read_lines(run.folder / name) for name in (METRICS, PROBES))
    return Curve(
        name=run.name,
        style=style,
        metrics=metrics.lines,
        probes=probes.lines,
        damaged=metrics.damaged + probes.damaged,
        out_dim=config.get("out_dim", 1),
    )


def _choose_styles(names: Sequence[str]) -> dict[str, int]:
    """Choose a colour for each chosen run; it keeps the one it had, unless another has that now."""
    had: dict[str, int] = st.session_state.setdefault(_STYLES, {})
    styles: dict[str, int] = {}
    for name in sorted(names, key=lambda name: name not in had):
        free = [style for style in range(len(COLOURS)) if style not in styles.values()]
        styles[name] = had[name] if had.get(name) in free else free[0]
    st.session_state[_STYLES] = {**had, **styles}
    return styles


def _log(run: RunSummary) -> None:
    with st.expander(f"Log of {plain_text(run.name)}", icon=":material/receipt_long:"):
        logs = {file: _read(run.folder / file) for file in ("log.txt", "console.txt")}
        for file, log in logs.items():
            if log:
                st.caption(file)
                lines = log.splitlines()[-_LOG_LINES:]
                st.code("\n".join(lines), language=None, wrap_lines=True, height=220)
        if not any(logs.values()):
            st.caption("Nothing was said yet.")


def verdict(probes: Sequence[Mapping[str, Any]]) -> str:
    """Say whether what was measured got better than at the start, and by how many points."""
    found = [line for name in _MEASURES if (line := _compare(probes, name))]
    if found:
        return " ".join(found)
    if any(probe.get("knn") is not None for probe in probes):
        return "k-NN was measured once only, so nothing says yet whether it got better."
    return "No labelled folder was given, so nothing says whether it got better."


def _compare(probes: Sequence[Mapping[str, Any]], name: str) -> str:
    """Compare a measure's last value with the one before any step; empty where one is missing."""
    found = [probe for probe in probes if probe.get(name) is not None]
    if len(found) < 2 or found[0]["step"] != 0:
        return ""
    start, end = (_percent(name, probe[name]) for probe in (found[0], found[-1]))
    label, step, points = _MEASURES[name], found[-1]["step"], end - start
    if abs(points) < _NOTICEABLE_POINTS:
        return (
            f"{label} is no different from the start: {start:.1f} % before, {end:.1f} % at step "
            f"{step:,}, and less than {_NOTICEABLE_POINTS:g} points may be chance."
        )
    better = "better" if points > 0 else "worse"
    return (
        f"{label} got {better} by {abs(points):.1f} points: from {start:.1f} % at the start to "
        f"{end:.1f} % at step {step:,}."
    )


def _percent(name: str, value: float) -> float:
    """Turn a measure into percent: J is written as a share."""
    return 100 * value if name == "jaccard" and value <= 1 else value


def _filmstrip(run: Path) -> None:
    """Show a slider over epochs and a choice of photos; nothing where the run drew none."""
    strip = run / "filmstrip"
    epochs = sorted(int(m[1]) for p in strip.glob("epoch-*") if (m := _EPOCH.match(p.name)))
    photos = sorted(strip.glob("photo-*.png"), key=lambda p: int(p.stem.removeprefix("photo-")))
    if not epochs or not photos:
        return
    st.markdown("**Attention** :small[each head's map, over the epochs]")
    left, right = st.columns([1, 3], gap="medium")
    with left:
        number = _choose_photo(run, len(photos))
        st.image(photos[number].read_bytes(), width="stretch", alt=_photo_alt(run, number))
    with right:
        epoch = _choose_epoch(run, epochs)
        picture = strip / f"epoch-{epoch:04d}" / f"photo-{number}.png"
        if picture.exists():
            st.image(
                picture.read_bytes(),
                width="stretch",
                alt=f"Attention maps of all heads, side by side, at epoch {epoch}",
            )
        st.caption(f"Last block, from the first head to the last, at epoch {epoch}.")


def _choose_photo(run: Path, num_photos: int) -> int:
    options = [str(number + 1) for number in range(num_photos)]
    key = f"train_film_photo_{run.name}"
    return int(st.pills("Photo", options, default="1", key=key, required=True)) - 1


def _choose_epoch(run: Path, epochs: list[int]) -> int:
    """Choose an epoch; the newest, as more of them come, until another is chosen."""
    chosen = f"train_film_chosen_{run.name}"
    key = f"train_film_epoch_{run.name}_{len(epochs)}"

    def keep() -> None:
        epoch = st.session_state[key]
        st.session_state[chosen] = None if epoch == epochs[-1] else epoch

    shown = st.session_state.get(chosen)
    shown = shown if shown in epochs else epochs[-1]
    if len(epochs) == 1:
        return shown
    return st.select_slider("Epoch", epochs, value=shown, key=key, on_change=keep)


def _photo_alt(run: Path, number: int) -> str:
    files = (read_json(run / "data.json") or {}).get("film") or []
    name = Path(files[number]).name if number < len(files) else f"photo {number + 1}"
    return plain_text(f"The photo {name}, as the network sees it")
