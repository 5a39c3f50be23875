"""A widget for every setting of a run, made from the settings' own groups, types and help."""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import streamlit as st

from app.text import plain_text
from app.ui.jobs import default_threads
from dino.system.jobs import DEFAULT_NICE
from dino.training.config import CHOICES, GROUPS, TrainConfig

# What the user changed, by field; everything else follows the preset.
CHANGES = "train_changes"
_LABELS = {
    "arch": "Architecture",
    "patch_size": "Patch, px",
    "init_head": "Head to start from",
    "init_heads": "Heads of the weights",
    "init_arch": "Architecture of the weights",
    "init_channels": "Channels of the weights",
    "train_blocks": "Blocks that train",
    "drop_path": "Stochastic depth",
    "initial_positions": "Positions at the start",
    "global_size": "Global crops, px",
    "local_size": "Local crops, px",
    "num_locals": "Local crops a photo",
    "global_scale": "Area of global crops",
    "local_scale": "Area of local crops",
    "blur_radius": "Blur, px",
    "out_dim": "Prototypes K",
    "use_bn": "Batch norm in the head",
    "warmup_teacher_temp": "Teacher temperature at the start",
    "teacher_temp": "Teacher temperature",
    "student_temp": "Student temperature",
    "center_momentum": "Momentum of the centre",
    "momentum": "Momentum of the teacher",
    "momentum_end": "Momentum at the end",
    "base_lr": "Learning rate",
    "head_lr": "Learning rate of the head",
    "min_lr": "Learning rate at the end",
    "clip_grad": "Gradient clipping",
    "centering": "Centring",
    "momentum_teacher": "Momentum teacher",
}
_COLUMNS = 3
_MAIN = ("epochs", "batch_size", "global_size", "local_size")
_ENDS = ("from", "to")  # of a range
_THREADS, _NICE = "train_threads", "train_nice"
_FIELDS = {field.name: field for field in fields(TrainConfig)}
_HINTS = get_type_hints(TrainConfig)


def changes() -> dict[str, Any]:
    """Return what was changed from the preset."""
    return st.session_state.setdefault(CHANGES, {})


def forget_changes() -> None:
    """Go back to the preset; for callbacks."""
    st.session_state.pop(CHANGES, None)


def draw_settings(config: TrainConfig, *, from_scratch: bool) -> tuple[int, int]:
    """Draw the settings that matter most, all others behind an expander; return threads and niceness."""
    main = (*_MAIN, "arch") if from_scratch else _MAIN
    _grid(main, config, columns=len(main))
    with st.expander("Advanced", icon=":material/tune:"):
        groups = _by_group(without=(*main, "init", "arch"))
        *tabs, machine = st.tabs([*groups, "Machine"])
        for tab, names in zip(tabs, groups.values(), strict=True):
            with tab:
                _grid(names, config)
        with machine:
            result = _machine()
    if changed := changes():
        with st.container(horizontal=True, vertical_alignment="center"):
            labels = " · ".join(_label_of(name) for name in changed)
            st.caption(plain_text(f"Changed from the preset: {labels}"))
            st.button(
                "Back to the preset",
                type="tertiary",
                icon=":material/undo:",
                on_click=forget_changes,
            )
    return result


def _machine() -> tuple[int, int]:
    left, right = st.columns(2)
    st.session_state.setdefault(_THREADS, default_threads())
    st.session_state.setdefault(_NICE, DEFAULT_NICE)
    threads = left.number_input(
        "Threads",
        min_value=1,
        step=1,
        key=_THREADS,
        persist_state="session",
        help="Cores that compute. All but one by default, so that the app stays quick.",
    )
    nice = right.slider(
        "Niceness",
        0,
        19,
        key=_NICE,
        persist_state="session",
        help="How far the run stands back when something else wants the processor: 0 not at all, 19 "
        "takes only what is left over. On an idle machine it costs nothing.",
    )
    return threads, nice


def _widget(name: str, config: TrainConfig) -> None:
    """Draw the widget of one setting, showing the user's value, or else the config's."""
    value = changes().get(name, getattr(config, name))
    help_text = f"{_FIELDS[name].metadata['help']}. In files and on the command line: `{name}`"
    if isinstance(value, tuple):
        _range(name, value, help_text)
        return
    key, types, label = _key(name), _types(name), _label_of(name)
    if value is None and str in types:
        value = ""
    elif isinstance(value, int) and float in types:
        value = float(value)
    st.session_state[key] = value
    common: dict[str, Any] = {
        "key": key,
        "help": help_text,
        "on_change": _keep_change,
        "args": (name,),
    }
    if name in CHOICES:
        st.selectbox(label, CHOICES[name], **common)
    elif bool in types:
        st.toggle(label, **common)
    elif str in types:
        st.text_input(label, placeholder="none" if type(None) in types else None, **common)
    else:
        st.number_input(label, **_number_options(name), **common)


def _grid(names: Sequence[str], config: TrainConfig, *, columns: int = _COLUMNS) -> None:
    """Draw widgets side by side, in order also where they fall below each other on a phone."""
    places = [place for _ in names[::columns] for place in st.columns(columns)]
    for name, place in zip(names, places, strict=False):
        with place:
            _widget(name, config)


def _by_group(*, without: Sequence[str]) -> dict[str, list[str]]:
    """Sort the other settings by group; groups without any are left out."""
    names = [name for name in _FIELDS if name not in without]
    grouped = {g: [n for n in names if _FIELDS[n].metadata["group"] == g] for g in GROUPS}
    return {group: members for group, members in grouped.items() if members}


def _label_of(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def _range(name: str, value: tuple[float, float], help_text: str) -> None:
    """Draw the two ends of a range."""
    for place, end, bound in zip(st.columns(2), _ENDS, value, strict=True):
        key, first = _key(name, end), end == _ENDS[0]
        st.session_state[key] = float(bound)
        place.number_input(
            _label_of(name) if first else end,
            min_value=0.0,
            step=0.05,
            format="%g",
            key=key,
            help=help_text if first else None,
            on_change=_keep_change,
            args=(name,),
        )


def _keep_change(name: str) -> None:
    """Note what a widget says now; a value may be wrong, which the form then says."""
    if isinstance(_FIELDS[name].default, tuple):
        value: Any = tuple(st.session_state[_key(name, end)] for end in _ENDS)
    else:
        value = st.session_state[_key(name)]
        value = None if value == "" else value
    st.session_state[CHANGES] = {**changes(), name: value}


def _number_options(name: str) -> dict[str, Any]:
    """Choose the least, the step and the format of a number: whole ones go by one, others by one of their
    default's first digit."""
    types = _types(name)
    optional = {"value": None, "placeholder": "none"} if type(None) in types else {}
    if float not in types:
        return {"min_value": 0, "step": 1, **optional}
    default = abs(float(getattr(TrainConfig, name) or 0.001))
    step = 10.0 ** math.floor(math.log10(default)) if default < 1 else 0.1
    return {"min_value": 0.0, "step": step, "format": "%g", **optional}


def _types(name: str) -> tuple[type, ...]:
    return get_args(_HINTS[name]) or (_HINTS[name],)


def _key(*parts: str) -> str:
    return "_".join(("train_set", *parts))
