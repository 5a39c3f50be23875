"""The queue of a session: one photo after another in the editor, and what comes back from it.

What was painted is written to the photo's file before anything else happens, so the page may be
reloaded, and the server stopped, at any time. `?session=NAME&at=NUMBER` is a link to a photo.
"""

from typing import Any

import streamlit as st

from app.cache import annotation, pictures
from app.cache.annotation import Opened
from app.components.mask_editor.component import Edit, mask_editor, read_edit
from app.state import url
from app.state.problems import attempt, show_error, show_kept
from app.text import plain_text, sentence
from dino.annotation.editing import apply_paintings, edit_size, reduce
from dino.annotation.session import ACCEPTED, REJECTED, TODO, PhotoState, Session
from dino.errors import UserError
from dino.masks.settings import MaskSettings
from dino.media import regions
from dino.model.backbone import Backbone
from dino.system.words import counted

EDITOR, NUMBER = "annotate_editor", "annotate_number"
_AT, _PROBLEM, _VERSION = "annotate_at", "annotate_problem", "annotate_version"
# Masks as they were sent to the editor: what it paints since is its own, and need not be sent back.
_SENT = "annotate_given"
_VERDICTS = {"accept": ACCEPTED, "reject": REJECTED}
_WORDS = {TODO: "to do", ACCEPTED: "accepted", REJECTED: "rejected"}


def show(opened: Opened, proposer: Backbone | None) -> None:
    """Draw progress, the editor with the photo that is due, and the way to any other photo."""
    index = _photo_number(opened)
    _progress(opened)
    _problems(opened)
    try:
        _editor(opened, index, proposer)
    except UserError as error:
        show_error(error, "broken_image")
        _without_photo(opened, index)
    _beside(opened, index, proposer)


def read_masks_again() -> None:
    """Have the editor's masks read from their files, as a new editor needs them."""
    st.session_state.pop(_SENT, None)


def forget_place() -> None:
    """Begin at what is due, for another session."""
    st.session_state.pop(_AT, None)
    url.link("at", None)


def handle(name: str, event: Any) -> None:
    """Keep what the editor sent, and go where it says; what is wrong is kept for display."""

    def apply() -> None:
        opened = annotation.open_named(name)
        edit = read_edit(event, lambda index: edit_size(_size(opened.session, index)))
        _save(opened.session, edit)
        if edit.action != "save":
            opened.overview.refresh()
            _go(opened, edit)

    attempt(_PROBLEM, apply)


def _save(session: Session, edit: Edit) -> None:
    _check_index(session, edit.index)
    before, _ = session.load(edit.index)
    state = before
    if edit.objects is not None:
        size, num_classes = _size(session, edit.index), len(session.classes)
        state = apply_paintings(state, edit.objects, size=size, num_classes=num_classes)
    if edit.action in _VERDICTS:
        state = state.with_status(_VERDICTS[edit.action])
    if state != before:
        session.save(edit.index, state)


def _go(opened: Opened, edit: Edit) -> None:
    last = len(opened.session.photos) - 1
    if edit.action in _VERDICTS:
        following = opened.overview.next_todo(edit.index)
        place = edit.index if following is None else following
    else:
        place = min(last, max(0, edit.index + (1 if edit.action == "next" else -1)))
    st.session_state[_AT] = place


def _check_index(session: Session, index: int) -> None:
    if not 0 <= index < len(session.photos):
        raise UserError(f"there is no photo {index + 1}; reload the page")


def _size(session: Session, index: int) -> tuple[int, int]:
    """Find (H, W) of a photo, from its state where it was opened before."""
    _check_index(session, index)
    state, _ = session.load(index)
    if state.size is not None:
        return state.size
    height, width = annotation.photo_pixels(session, index).shape[:2]
    return height, width


def _photo_number(opened: Opened) -> int:
    """Find the number from 0 of the photo to show: where one was, else the link's, else the first to do."""
    last = len(opened.session.photos) - 1
    index = st.session_state.get(_AT)
    if index is None:
        asked = st.query_params.get("at", "")
        known = asked.isascii() and asked.isdigit()
        index = int(asked) - 1 if known else opened.overview.next_todo(-1) or 0
    index = min(last, max(0, index))
    st.session_state[_AT] = index
    url.link("at", str(index + 1))
    return index


def _progress(opened: Opened) -> None:
    counts, total = opened.overview.counts(), len(opened.session.photos)
    counted = " · ".join(f"{counts[status]:,} {word}" for status, word in _WORDS.items())
    st.progress(1 - counts[TODO] / total, f"{counted}, of {total:,} photos")
    if not counts[TODO]:
        st.success("Every photo is done; export them below.", icon=":material/check_circle:")


def _problems(opened: Opened) -> None:
    """List what is wrong, until the session is opened anew: a file that was mended stays listed."""
    show_kept(_PROBLEM)
    known = st.session_state.setdefault(f"annotate_problems:{opened.session.name}", {})
    known.update(opened.overview.problems)
    lines = [*known.values(), *opened.missing.values()]
    if lines:
        with st.expander(
            f"{counted(len(lines), 'photo')} with a problem", icon=":material/warning:"
        ):
            for line in lines[:50]:
                st.markdown(f"- {plain_text(line)}")


def _editor(opened: Opened, index: int, proposer: Backbone | None) -> None:
    session = opened.session
    photo_url = annotation.photo_url(session, index)
    state = _state(session, index, proposer)
    assert state.size is not None
    size = edit_size(state.size)
    photo, total = session.photos[index], len(session.photos)
    visit = f"{session.name}:{index}:{st.session_state.get(_VERSION, 0)}"
    sent = st.session_state.get(_SENT)
    if sent is None or sent[0] != visit:
        sent = st.session_state[_SENT] = (visit, _objects(state, size))
    data = {
        "visit": visit,
        "index": index,
        "photo": photo_url,
        "alt": f"Photo {photo.file} with its masks; paint on it to change the chosen one",
        "width": size[1],
        "height": size[0],
        "objects": sent[1],
        "classes": list(session.classes),
        "where": f"{index + 1:,} of {total:,} · {photo.file} · {_WORDS[state.status]}",
        "status": state.status,
        "has_previous": index > 0,
        "has_next": index < total - 1,
    }
    mask_editor(EDITOR, data, lambda event: handle(session.name, event))


def _objects(state: PhotoState, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Write objects as the editor takes them, at the size (h, w) that is painted on."""
    assert state.size is not None
    return [
        {
            "id": o.id,
            "class": o.class_index,
            "runs": regions.row_runs(reduce(regions.decode(o.counts, state.size), size)),
        }
        for o in state.objects
    ]


def _state(session: Session, index: int, proposer: Backbone | None) -> PhotoState:
    """Load the state of a photo, with a proposal where it is opened for the first time."""
    state, _ = session.load(index)
    if state.size is not None:
        return state
    rgb = annotation.photo_pixels(session, index)
    empty = PhotoState(state.status, (rgb.shape[0], rgb.shape[1]))
    if proposer is None:
        return empty
    try:
        with st.spinner("Proposing a mask …"):
            state = pictures.proposed(proposer, rgb, MaskSettings.from_dict(session.settings))
    except UserError as error:
        st.warning(
            plain_text(sentence(f"No mask could be proposed: {error}")), icon=":material/warning:"
        )
        return empty
    session.save(index, state)
    return state


def _without_photo(opened: Opened, index: int) -> None:
    """Offer the verdicts that are left where a photo cannot be shown."""
    name = opened.session.name
    with st.container(horizontal=True):
        for action, label, shortcut in (
            ("previous", "Previous", "p"),
            ("reject", "Reject", None),  # Streamlit keeps R to itself
            ("next", "Next", "n"),
        ):
            st.button(
                label,
                key=f"annotate_{action}",
                shortcut=shortcut,
                on_click=handle,
                args=(name, {"action": action, "index": index, "objects": None}),
            )


def _beside(opened: Opened, index: int, proposer: Backbone | None) -> None:
    """Offer to go to any photo, and to begin one again."""
    total = len(opened.session.photos)
    st.session_state[NUMBER] = index + 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(f"Photo, 1 to {total:,}", 1, total, key=NUMBER, on_change=_jump, width=170)
        st.button(
            "Next to do",
            icon=":material/skip_next:",
            on_click=_to_next,
            args=(opened, index),
            disabled=opened.overview.next_todo(index) is None,
        )
        st.button(
            "Propose again",
            icon=":material/restart_alt:",
            help="Drops this photo's objects for the mask that is proposed.",
            on_click=_propose_again,
            args=(opened.session, index),
            disabled=proposer is None,
        )


def _jump() -> None:
    st.session_state[_AT] = int(st.session_state[NUMBER]) - 1


def _to_next(opened: Opened, index: int) -> None:
    opened.overview.refresh()
    if (following := opened.overview.next_todo(index)) is not None:
        st.session_state[_AT] = following


def _propose_again(session: Session, index: int) -> None:
    attempt(_PROBLEM, session.save, index, PhotoState())
    st.session_state[_VERSION] = st.session_state.get(_VERSION, 0) + 1
