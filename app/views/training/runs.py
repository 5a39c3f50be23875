"""Runs: a table of them, what can be done with one, and the chosen ones live below."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from app.state import url, weights_menu
from app.state.problems import attempt, show_kept
from app.text import plain_text
from app.ui import sidebar
from app.ui.jobs import default_threads
from app.views.training import form, monitor
from app.views.training.charts import MAX_RUNS
from dino.errors import UserError
from dino.training.runs import jobs
from dino.training.runs.jobs import runs_folder
from dino.training.runs.listing import RunSummary, has_checkpoint, list_runs

SELECTED = "train_runs"
POLL_S = 3.0
_TURN, _FOCUS, _PROBLEM = "train_table_turn", "train_focus", "train_problem"
# A sign before each word, for those who do not see the colour.
_STATES = {
    "starting": ("… starting", "blue"),
    "running": ("▶ running", "blue"),
    "stopping": ("… stopping", "orange"),
    "finished": ("✓ finished", "green"),
    "stopped": ("■ stopped", "gray"),
    "failed": ("✕ failed", "red"),
}


def show(open_weights: Callable[[str], None], show_form: Callable[[], None]) -> None:
    """Draw the part.

    Args:
        open_weights: opens the Attention page with weights of a name.
        show_form: shows the form, in a callback.
    """
    runs = list_runs(runs_folder())
    show_kept(_PROBLEM)
    if not runs:
        st.info(f"There are no runs in `{runs_folder()}` yet.", icon=":material/science:")
        return
    chosen = _chosen(runs)
    names = [run.name for run in chosen]
    st.fragment(_table, run_every=_poll(runs))(_states(runs), names)
    if not chosen:
        st.info("Choose a run in the table to see how it is doing.", icon=":material/touch_app:")
        return
    focus = _focus(chosen)
    _actions(focus, open_weights, show_form)
    st.fragment(monitor.show, run_every=_poll(chosen))(names, focus.name)


def _poll(runs: Sequence[RunSummary]) -> float | None:
    """Return the seconds after which runs are drawn again; None while none is at work."""
    return POLL_S if any(run.active for run in runs) else None


def select(names: Sequence[str]) -> None:
    """Choose runs from outside the table."""
    st.session_state[SELECTED] = list(names)
    st.session_state[_TURN] = st.session_state.get(_TURN, 0) + 1


def _chosen(runs: Sequence[RunSummary]) -> list[RunSummary]:
    """Find the chosen runs that exist; the newest where nobody has chosen yet."""
    names = st.session_state.get(SELECTED, [runs[0].name])
    existing = {run.name for run in runs}
    kept = [name for name in dict.fromkeys(names) if name in existing][:MAX_RUNS]
    st.session_state[SELECTED] = kept
    return [run for run in runs if run.name in kept]


def _states(runs: Sequence[RunSummary]) -> list[tuple[str, str]]:
    return [(run.name, run.status) for run in runs]


def _table(states: list[tuple[str, str]], chosen: list[str]) -> None:
    """Draw the table; a run that appears, goes or changes its state redraws the page around it."""
    runs = list_runs(runs_folder())
    names = [run.name for run in runs]
    key = f"train_table_{st.session_state.get(_TURN, 0)}_{hash(tuple(names))}"
    st.dataframe(
        _columns(runs),
        key=key,
        hide_index=True,
        on_select=lambda: _take_selection(key, names),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [names.index(n) for n in chosen if n in names]}},
        height=min(35 * (len(runs) + 1) + 3, 283),
        placeholder="–",
        column_config=_column_config(),
        alt="Training runs",
    )
    if _states(runs) != states or set(st.session_state[SELECTED]) != set(chosen):
        st.rerun()


def _take_selection(key: str, names: Sequence[str]) -> None:
    rows = st.session_state[key].selection.rows
    st.session_state[SELECTED] = [names[row] for row in rows]
    if len(rows) > MAX_RUNS:
        st.session_state[_PROBLEM] = f"{len(rows)} runs are chosen; {MAX_RUNS} fit over each other"


def _columns(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    return {
        "Run": [run.name for run in runs],
        "State": [[_STATES[run.status][0]] for run in runs],
        "Done": [100 * run.progress for run in runs],
        "Step": [_steps(run) for run in runs],
        "Loss": [run.loss for run in runs],
        "k-NN": [_knn(run) for run in runs],
        "Photos/s": [run.images_per_s for run in runs],
        "Started": [datetime.fromtimestamp(run.started) for run in runs],
    }


def _column_config() -> dict[str, Any]:
    column = st.column_config
    words, colours = zip(*_STATES.values(), strict=True)
    return {
        "Run": column.TextColumn(pinned=True),
        "State": column.MultiselectColumn(options=words, color=colours, width="small"),
        "Done": column.ProgressColumn(format="%d %%", min_value=0, max_value=100, width="small"),
        "Loss": column.NumberColumn(format="%.3f", width="small"),
        "k-NN": column.TextColumn(help="At the start → now, in percent."),
        "Photos/s": column.NumberColumn(format="%.1f", width="small"),
        "Started": column.DatetimeColumn(format="D MMM YYYY, HH:mm"),
    }


def _steps(run: RunSummary) -> str:
    return f"{run.step:,} / {run.total_steps:,}" if run.total_steps else f"{run.step:,}"


def _knn(run: RunSummary) -> str:
    if run.knn_start is None:
        return ""
    return f"{run.knn_start:.1f}" + (f" → {run.knn:.1f}" if run.knn is not None else "")


def _focus(chosen: Sequence[RunSummary]) -> RunSummary:
    """Choose the one run that buttons, pictures and log are of."""
    if len(chosen) == 1:
        return chosen[0]
    runs = {run.name: run for run in chosen}
    url.forget_unknown(_FOCUS, runs)
    name = st.pills(
        "Buttons, pictures and log of",
        list(runs),
        default=chosen[0].name,
        format_func=plain_text,
        key=_FOCUS,
        required=True,
    )
    return runs[name]


def _actions(
    run: RunSummary, open_weights: Callable[[str], None], show_form: Callable[[], None]
) -> None:
    """Offer what can be done with a run in its state."""
    with st.container(horizontal=True):
        weights = f"{weights_menu.RUN}{run.name}"
        if st.button(
            "Open in Attention",
            icon=":material/visibility:",
            disabled=weights not in weights_menu.run_weights(),
            help="Looks at your photo with what this run has learned so far.",
        ):
            sidebar.choose_weights(weights)
            open_weights(weights)
        st.button(
            "Duplicate with changes",
            icon=":material/content_copy:",
            on_click=_duplicate,
            args=(run, show_form),
            help="Fills the form with this run's settings.",
        )
        _stop_or_resume(run)
        if not run.active:
            _delete(run)


def _stop_or_resume(run: RunSummary) -> None:
    """Show one button or the other; they come last, so that nothing moves below a pointer."""
    if run.active:
        st.button(
            "Stop",
            icon=":material/stop:",
            on_click=attempt,
            args=(_PROBLEM, jobs.stop, run.folder),
            disabled=run.status == "stopping",
            help="Saves first, after the step it is in; Resume goes on from there.",
        )
        return
    st.button(
        "Resume",
        icon=":material/play_arrow:",
        on_click=attempt,
        args=(_PROBLEM, jobs.resume, run.folder),
        kwargs={"threads": default_threads()},
        disabled=run.status == "finished" or not has_checkpoint(run.folder),
        help="Goes on from the newest checkpoint, where there is one and the run is not finished.",
    )


def _delete(run: RunSummary) -> None:
    with st.popover("Delete", icon=":material/delete:"):
        st.markdown(
            f"Delete **{plain_text(run.name)}** with its checkpoints, weights and pictures? "
            "This cannot be undone."
        )
        st.button(
            f"Delete {plain_text(run.name)}",
            key="train_delete",
            type="primary",
            on_click=_delete_for_good,
            args=(run,),
        )


def _delete_for_good(run: RunSummary) -> None:
    attempt(_PROBLEM, jobs.delete, run.folder)
    # The sidebar would miss the weights that its link names.
    if (
        st.query_params.get("weights") == f"{weights_menu.RUN}{run.name}"
        and not run.folder.exists()
    ):
        del st.query_params["weights"]


def _duplicate(run: RunSummary, show_form: Callable[[], None]) -> None:
    try:
        form.fill_from(run.folder)
    except UserError as error:
        st.session_state[_PROBLEM] = f"{run.name} cannot be duplicated: {error}"
    else:
        show_form()
