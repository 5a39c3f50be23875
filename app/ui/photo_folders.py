"""Choose photos to work on: a folder below the data root, or a ZIP from the browser."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from app.cache import folders
from app.state import data_root
from app.state.data_root import PhotoFacts
from app.state.problems import show_error
from app.state.uploads import uploaded
from app.text import plain_text, sentence
from dino.errors import UserError
from dino.media.archive import unpack_photos
from dino.system.jobs import MAX_NAME, check_name
from dino.system.words import counted

DATA, KNN, MASKS = "train_data", "train_knn", "train_masks"
# The photos that the labelled ones were suggested for.
KNN_FOR = "train_knn_for"
MAX_ZIP_MB = 2048
_ZIP, _ZIP_NAME, _ZIP_RESULT = "train_zip", "train_zip_name", "train_zip_result"


@dataclass(frozen=True)
class ChosenFolder:
    """A folder of photos, the `contents` in words, or the `problem` with it; all empty where none was
    chosen."""

    folder: Path | None = None
    facts: PhotoFacts | None = None
    problem: str = ""
    contents: str = ""


def choose_folder(
    label: str, key: str, *, help: str, placeholder: str, measure: str = ""
) -> ChosenFolder:
    """Draw a select box of folders that also takes a typed path, and below it what is in there.

    Args:
        measure: take only what can be measured on, by "knn" or by "masks".
    """
    root = data_root.data_root()
    found, chosen = folders.photo_folders(str(root)), st.session_state.get(key)
    text = st.selectbox(
        label,
        list(dict.fromkeys([*found, *([chosen] if chosen else [])])),
        index=None,
        key=key,
        help=f"{help} Choose, or type the path of any other folder below `{root}`. "
        "`make app DATA=…` or the variable DINO_DATA_ROOT make that another place.",
        placeholder=placeholder,
        accept_new_options=True,
        persist_state="session",
    )
    result = _look_into(text, root, measure=measure) if text else ChosenFolder()
    if result.problem:
        show_error(result.problem, "folder_off")
    elif result.contents:
        st.caption(result.contents)
    return result


def _look_into(text: str, root: Path, *, measure: str) -> ChosenFolder:
    try:
        folder = data_root.resolve(text, root)
        if measure == "masks":
            count = folders.count_masked(str(folder))
            return ChosenFolder(folder, contents=f"{counted(count, 'photo')} with masks")
        facts = folders.photo_facts(str(folder))
    except UserError as error:
        return ChosenFolder(problem=str(error))
    problem = facts.unfit_for_knn if measure == "knn" else ""
    classes = (
        f" in {counted(facts.num_classes, 'class', 'classes')}"
        if facts.num_classes
        else ", without classes"
    )
    return ChosenFolder(folder, facts, problem, f"{counted(facts.num_photos, 'photo')}{classes}")


def suggest_first() -> None:
    """Choose the first folder there is, once in a session."""
    if DATA not in st.session_state:
        found = folders.photo_folders(str(data_root.data_root()))
        st.session_state[DATA] = found[0] if found else None


def suggest_labelled(data: ChosenFolder) -> None:
    """Choose what k-NN can be measured on where photos were chosen anew: the train/ and val/ they lie in,
    or the photos themselves, or nothing."""
    if data.folder is None or st.session_state.get(KNN_FOR) == str(data.folder):
        return
    st.session_state[KNN_FOR] = str(data.folder)
    st.session_state[KNN] = labelled_for(data.folder)


def labelled_for(data: Path) -> str | None:
    """Name a folder that k-NN can be measured on, for photos to learn from."""
    root = data_root.data_root()
    for folder in [data.parent, data] if data.name == "train" else [data]:
        name = data_root.name_of(folder, root)
        if name and not _look_into(name, root, measure="knn").problem:
            return name
    return None


def upload(chosen: str = DATA) -> None:
    """Draw the widgets that unpack a ZIP of photos and choose it, in the session under the key `chosen`."""
    with st.expander("Upload a ZIP of photos", icon=":material/upload:"):
        file = st.file_uploader(
            "ZIP",
            type=["zip"],
            key=_ZIP,
            max_upload_size=MAX_ZIP_MB,
            help="Up to 2 GB and 20,000 photos. Sub-folders become classes. The photos stay on the "
            "machine that runs this app, in checkpoints/data.",
        )
        if file is not None:
            st.text_input(
                "Name",
                data_root.free_name(
                    data_root.uploads_folder(), Path(file.name).stem, otherwise="photos"
                ),
                max_chars=MAX_NAME,
                key=_ZIP_NAME,
            )
            st.button("Unpack", icon=":material/unarchive:", on_click=_unpack, args=(chosen,))
        if result := st.session_state.pop(_ZIP_RESULT, None):
            show = st.error if isinstance(result, UserError) else st.success
            show(plain_text(sentence(str(result))))


def _unpack(chosen: str) -> None:
    file, name = uploaded(st.session_state, _ZIP), st.session_state[_ZIP_NAME]
    if file is None:
        return
    try:
        done = unpack_photos(file, data_root.uploads_folder() / check_name(name))
    except UserError as error:
        st.session_state[_ZIP_RESULT] = error
        return
    left_out = f"; {counted(done.num_skipped, 'other file')} left out" if done.num_skipped else ""
    st.session_state[_ZIP_RESULT] = f"{counted(done.num_photos, 'photo')} unpacked{left_out}"
    st.session_state[chosen] = f"{data_root.UPLOAD}{name}"
    folders.photo_folders.clear()
