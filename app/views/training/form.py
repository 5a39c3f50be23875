"""New run: photos, preset, weights to start from, settings, and what is wrong with them in a sentence."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from app.state import data_root, weights_menu
from app.state.problems import show_error
from app.ui import photo_folders, training_request, weights_field
from app.ui.photo_folders import ChosenFolder
from app.ui.sidebar import Selection
from app.ui.training_request import SCRATCH, Request
from app.ui.weights_field import Found
from app.views.training import settings
from dino.errors import UserError
from dino.system.files import read_json
from dino.system.jobs import MAX_NAME, check_name
from dino.system.words import counted
from dino.training.config import TrainConfig
from dino.training.presets import PRESETS
from dino.training.runs import jobs
from dino.training.runs.jobs import runs_folder

PRESET, WEIGHTS, NAME = "train_preset", "train_weights", "train_name"
_SUGGESTED, _CHECKED = "train_suggested", "train_checked"
_DEFAULT_PRESET = "small"
_SOME_PHOTOS = 1000  # what presets are fitted to while none are chosen
_ABOUT_PRESETS = {
    "small": "ViT-Tiny, small crops: for some thousand photos on a CPU or a small GPU",
    "finetune": "goes on from trained weights, in small steps",
    "vanilla": "the paper's ViT-S/16, 100 epochs: for a GPU and many photos",
    "boosted": "the paper's longer recipe, 300 epochs",
    "supervised": "learns the classes of labelled photos, to compare with",
}


def show(selection: Selection, started: Callable[[str], None]) -> None:
    """Draw the form; `started` is called with the name of a run that was started."""
    data, knn, masks = _choose_photos()
    preset, weights, name = _choose_recipe(data)
    weights, missing = _find_weights(weights)
    try:
        config, problem = _make_config(preset, weights, data), missing
    except UserError as error:
        config, problem = TrainConfig.from_dict(PRESETS[preset]), str(error)
    threads, nice = settings.draw_settings(config, from_scratch=weights is None)
    if problem := problem or _name_problem(name):
        show_error(problem, "rule")
    if data.folder is None or data.facts is None:
        st.info("Choose the photos to learn from.", icon=":material/photo_library:")
        return
    photo = selection.choice.photo if selection.choice else None
    request = Request(
        name=name,
        config=config,
        data=data.folder,
        knn=knn.folder,
        masks=masks.folder,
        film=training_request.film_photos(photo, data.facts.examples),
        threads=threads,
        nice=nice,
    )
    _actions(
        request,
        data.facts.num_photos,
        ready=not (problem or knn.problem or masks.problem),
        started=started,
    )


def fill_from(run: Path) -> None:
    """Fill the form with a run's settings; for a callback, before the form is drawn.

    Raises:
        UserError: they cannot be read, or the weights it started from are gone.
    """
    inputs, launch = read_json(run / "data.json") or {}, read_json(run / "launch.json") or {}
    config = TrainConfig.from_dict(
        read_json(run / "config.json") or read_json(run / "requested.json") or {}
    )
    preset, changed = training_request.differences(config, launch.get("num_photos") or _SOME_PHOTOS)
    session = st.session_state
    session[PRESET], session[settings.CHANGES] = preset, changed
    session[WEIGHTS] = config.init or SCRATCH
    for name, key in (
        ("data", photo_folders.DATA),
        ("knn", photo_folders.KNN),
        ("masks", photo_folders.MASKS),
    ):
        folder = inputs.get(name)
        session[key] = data_root.name_of(Path(folder), data_root.data_root()) if folder else None
    session[photo_folders.KNN_FOR] = inputs.get("data")
    session[NAME] = training_request.free_name(re.sub(r"-\d+$", "", run.name))


def _choose_photos() -> tuple[ChosenFolder, ChosenFolder, ChosenFolder]:
    """Choose what to learn from, and what to measure features and attention on."""
    photo_folders.suggest_first()
    left, right = st.columns(2, gap="medium")
    with left:
        data = photo_folders.choose_folder(
            "Photos to learn from",
            photo_folders.DATA,
            help="A folder of photos, searched with its sub-folders.",
            placeholder="Choose or type a folder",
        )
    with right:
        photo_folders.suggest_labelled(data)
        knn = photo_folders.choose_folder(
            "Labelled photos to measure on (optional)",
            photo_folders.KNN,
            help="With them, every epoch is measured by k-NN: the share of photos whose class their "
            "nearest neighbours tell. Nothing is learned from the labels. A folder with a sub-folder "
            "for each class, or with train/ and val/.",
            placeholder="None: nothing will say whether it gets better",
            measure="knn",
        )
    with st.expander("Photos with masks to measure attention on", icon=":material/content_cut:"):
        masks = photo_folders.choose_folder(
            "Photos with masks (optional)",
            photo_folders.MASKS,
            help="With them, J of the attention masks is measured too: how well the best head's mask "
            "covers each outlined object. A folder with images/ and masks/, VOC 2012, or COCO.",
            placeholder="None",
            measure="masks",
        )
    photo_folders.upload()
    return data, knn, masks


def _choose_recipe(data: ChosenFolder) -> tuple[str, str | None, str]:
    """Choose preset, weights to start from (None: from scratch) and name."""
    left, middle, right = st.columns(3, gap="medium")
    session = st.session_state
    session.setdefault(PRESET, _DEFAULT_PRESET)
    preset = left.selectbox(
        "Preset",
        list(PRESETS),
        key=PRESET,
        on_change=settings.forget_changes,
        persist_state="session",
        help="Settings that belong together:  \n"
        + "  \n".join(f"**{name}**: {_ABOUT_PRESETS.get(name, '')}" for name in PRESETS),
    )
    session.setdefault(WEIGHTS, SCRATCH)
    # Random ones are what SCRATCH stands for.
    options = [w for w in weights_menu.weights_options(session) if not w.startswith("random")]
    weights = middle.selectbox(
        "Start from",
        list(dict.fromkeys([SCRATCH, *options, session[WEIGHTS] or SCRATCH])),
        key=WEIGHTS,
        accept_new_options=True,
        persist_state="session",
        help=f"Weights to go on from, also those of a run. {weights_field.HELP}",
    )
    suggested = training_request.free_name(preset, data.folder.name if data.folder else "run")
    if session.get(NAME) in (None, "", session.get(_SUGGESTED)):
        session[NAME] = suggested
    session[_SUGGESTED] = suggested
    name = right.text_input(
        "Name of the run",
        key=NAME,
        max_chars=MAX_NAME,
        persist_state="session",
        help=f"Its folder in `{runs_folder()}`: letters, digits, - and _, dots inside.",
    )
    return preset, None if weights in (SCRATCH, None) else weights, name


def _find_weights(text: str | None) -> tuple[str | None, str]:
    """Find the weights to start from; why there are none, after drawing what can be done, else nothing."""
    if text is None:
        return None, ""
    found = weights_field.look_up(text)
    weights_field.show(Found(offer=found.offer), "train_weights")
    if found.offer is not None:
        return None, f"{text} has to be fetched before a run can start from it"
    return found.name, found.problem


def _make_config(preset: str, weights: str | None, data: ChosenFolder) -> TrainConfig:
    """Make the settings as they stand.

    Raises:
        UserError: settings that cannot be, or photos that they cannot be used with.
    """
    facts = data.facts
    config = training_request.make_config(
        preset,
        num_photos=facts.num_photos if facts else _SOME_PHOTOS,
        weights=weights,
        changes=settings.changes(),
    )
    if facts and config.method == "supervised" and facts.num_classes < 2:
        raise UserError(
            f"these photos have {counted(facts.num_classes, 'class', 'classes')}; to learn with labels, put the photos of "
            "each class in a sub-folder of its own"
        )
    return config


def _name_problem(name: str) -> str:
    try:
        check_name(name)
    except UserError as error:
        return str(error)
    taken = (runs_folder() / name).exists()
    return f"there is a run named {name} already; choose another name" if taken else ""


def _actions(
    request: Request, num_photos: int, *, ready: bool, started: Callable[[str], None]
) -> None:
    """Offer Check and Start, and show what came of them."""
    steps = num_photos // request.config.batch_size
    total = min(steps * request.config.epochs, request.config.max_steps or sys.maxsize)
    st.caption(f"{counted(steps, 'step')} an epoch, {total:,} in all.")
    with st.container(horizontal=True):
        check = st.button(
            "Check",
            icon=":material/speed:",
            disabled=not ready,
            help="Times two steps and says what the run would take: memory, disk, hours. About 15 s.",
        )
        start = st.button("Start", type="primary", icon=":material/play_arrow:", disabled=not ready)
    if start:
        try:
            request.start()
        except UserError as error:
            show_error(error)
            return
        for key in (NAME, _SUGGESTED, _CHECKED):
            st.session_state.pop(key, None)
        started(request.name)
    settings_checked = (request.config.to_json(), str(request.data), request.threads)
    if check:
        st.session_state[_CHECKED] = (settings_checked, _check(request))
    of_settings, answer = st.session_state.get(_CHECKED, (None, ""))
    if of_settings != settings_checked:
        return
    if isinstance(answer, UserError):
        show_error(answer)
    else:
        st.code(answer, language=None, wrap_lines=True)


def _check(request: Request) -> str | UserError:
    """Time the run and say what it would take, or what cannot work."""
    with st.spinner("Timing two steps …"):
        try:
            lines = jobs.check(
                request.config,
                request.data,
                place=runs_folder() / request.name,
                threads=request.threads,
                nice=request.nice,
            )
        except UserError as error:
            return error
    return "\n".join(lines)
