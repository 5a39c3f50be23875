"""Open weights once for all sessions: those of the menu, uploaded ones, and both networks of a checkpoint."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from app import access
from app.state import weights_menu
from app.state.selection import Session, plain_stem
from app.state.uploads import temporary_file
from app.state.weights_fetch import WeightsFetch
from app.state.weights_menu import (
    NAMED,
    OPENED,
    RUN,
    Reading,
    reading_of,
    set_reading,
    stamp,
    weights_location,
)
from dino.errors import WeightsError
from dino.model.backbone import Backbone
from dino.system.files import content_id
from dino.system.folders import checkpoints_folder
from dino.training.presets import preset_config
from dino.training.runs.checkpoint import list_checkpoints
from dino.weights.opening import holds_student_and_teacher

RANDOM_WEIGHTS = "random_vits16"


@st.cache_resource(max_entries=4, show_spinner="Loading the weights …")
def _backbone(source: str, stamp: str, reading: tuple[tuple[str, Any], ...] = ()) -> Backbone:
    from dino.weights import load

    return load(source, **dict(reading))


@st.cache_resource(max_entries=2, show_spinner="Reading your weights …")
def _uploaded_backbone(
    file_name: str, sha256: str, reading: tuple[tuple[str, Any], ...], _data: bytes
) -> Backbone:
    """Read weights from a browser; errors and the name speak of the file that was uploaded."""
    from dino.weights import load

    with temporary_file(_data, file_name) as path:
        backbone = load(path, **dict(reading))
    return replace(backbone, name=Path(file_name).stem) if backbone.name == path.stem else backbone


@st.cache_resource(show_spinner=False)
def weights_fetch() -> WeightsFetch:
    """Give the one fetch of weights of this server."""
    return WeightsFetch(checkpoints_folder() / "downloads" / "fetch.log")


def open_weights(name: str, session: Session) -> Backbone:
    """Open the backbone of a name from `weights_options`.

    Raises:
        WeightsError: the file is gone, damaged, or not weights; or they would have to be fetched first.
    """
    return _open(name, reading_of(name, session), session)


def open_as(name: str, reading: Reading, session: Session) -> None:
    """Open weights as a user says they are to be read, and have them read so from now on.

    Raises:
        WeightsError: they cannot be; then they are read as before.
    """
    _open(name, reading, session)
    set_reading(name, reading, session)


def _open(name: str, reading: Reading, session: Session) -> Backbone:
    opened = session.get(OPENED, {})
    if name in opened:
        file_name, sha256, data = opened[name]
        return _uploaded_backbone(file_name, sha256, reading.frozen, data)
    location = weights_location(name, session)
    if weights_menu.is_to_fetch(location):
        raise WeightsError(
            f"{name} is not on this machine; whoever runs it can fetch it (`python -m dino weights fetch`)"
        )
    return _backbone(location, stamp(location), reading.frozen)


def start_sizes(init: str) -> dict[str, int]:
    """Find patch and crops in px that fit weights to start from, as the preset for fine-tuning does.

    Raises:
        WeightsError: they cannot be read.
    """
    return _start_sizes(init, stamp(init))


@st.cache_data(max_entries=16, show_spinner="Reading the weights …")
def _start_sizes(init: str, stamp: str) -> dict[str, int]:
    config = preset_config("finetune", num_photos=1, init=init)
    return {name: getattr(config, name) for name in ("patch_size", "global_size", "local_size")}


def add_weights(session: Session, file_name: str, data: bytes) -> str:
    """Load uploaded weights, keep them in the session, and give their name in the menu.

    Raises:
        WeightsError: too large, not weights, an unknown layout, or a pickle that wants to run code.
    """
    limits = access.session_limits()
    if len(data) > limits.weights_mb * 2**20:
        raise WeightsError(
            f"{file_name} has {len(data) / 2**20:,.0f} MB; at most {limits.weights_mb} MB are taken, so "
            "keep only the backbone (`python -m dino weights convert`)"
        )
    digest, name = content_id(data), upload_name(file_name, data)
    _uploaded_backbone(file_name, digest, reading_of(name, session).frozen, data)
    others = {k: v for k, v in session.get(OPENED, {}).items() if k != name}
    session[OPENED] = {
        name: (file_name, digest, data),
        **dict(list(others.items())[: limits.opened_weights - 1]),
    }
    return name


def upload_name(file_name: str, data: bytes) -> str:
    """Name uploaded weights as the menu does."""
    return f"{plain_stem(file_name, 40) or 'weights'}-{content_id(data)[:8]}"


def checkpoint_of(name: str, session: Session) -> str | None:
    """Find the checkpoint that holds both student and teacher of chosen weights.

    Returns:
        The newest of a run's, or the uploaded file's own name; None where there is one network only.
    """
    if reading_of(name, session).key is not None:
        return None  # one of its networks was asked for
    if name in session.get(OPENED, {}):
        file_name, sha256, data = session[OPENED][name]
        return file_name if _upload_holds_both(sha256, data) else None
    if name in session.get(NAMED, ()):
        return name if _path_holds_both(name) else None
    path = weights_menu.run_weights().get(name) if name.startswith(RUN) else None
    found = list_checkpoints(path.parents[1] / "checkpoints") if path is not None else []
    newest = str(found[0]) if found else ""
    return newest if found and _file_holds_both(newest, stamp(newest)) else None


def open_network(name: str, key: str, session: Session) -> Backbone:
    """Open the "student" or "teacher" of weights for which `checkpoint_of` names a checkpoint.

    Raises:
        WeightsError: the file is gone or damaged.
    """
    reading = reading_of(name, session)
    if name in session.get(OPENED, {}):
        file_name, sha256, data = session[OPENED][name]
        return _uploaded_network(sha256, key, reading.frozen, file_name, data)
    path = checkpoint_of(name, session)
    if path is None:
        raise WeightsError(f"{name} holds one network only; there is no {key} to choose")
    return _network(path, stamp(path), key, reading.frozen)


def _path_holds_both(text: str) -> bool:
    path = Path(text).expanduser()
    return path.is_file() and _file_holds_both(str(path), stamp(str(path)))


@st.cache_resource(max_entries=2, show_spinner="Loading the network …")
def _network(path: str, stamp: str, key: str, reading: tuple[tuple[str, Any], ...]) -> Backbone:
    from dino.weights import load

    backbone = load(Path(path).expanduser(), key=key, **dict(reading))
    return replace(backbone, name=f"{backbone.name} ({key})")


@st.cache_resource(max_entries=2, show_spinner="Loading the network …")
def _uploaded_network(
    sha256: str, key: str, reading: tuple[tuple[str, Any], ...], _file_name: str, _data: bytes
) -> Backbone:
    from dino.weights import load

    with temporary_file(_data, _file_name) as path:
        opened = load(path, key=key, **dict(reading))
        return replace(opened, name=f"{Path(_file_name).stem} ({key})")


@st.cache_data(max_entries=16, show_spinner=False)
def _file_holds_both(path: str, stamp: str) -> bool:
    return holds_student_and_teacher(path)


@st.cache_data(max_entries=8, show_spinner=False)
def _upload_holds_both(sha256: str, _data: bytes) -> bool:
    with temporary_file(_data, "the upload") as path:
        return holds_student_and_teacher(path)
