"""Write the line that makes the same files again, as every page offers it: "Copy as command"."""

import shlex
from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.state import weights_menu
from app.state.selection import DEFAULT_SIZE, Choice, Photo


def photo_argument(photo: Photo) -> str:
    """Name a photo's file: one that came with the app by its place in the project."""
    return f"app/photos/{photo.file_name}" if photo.credit else photo.file_name


def flags(**settings: Any) -> list[str]:
    """Write settings as a command's options: `min_area=0.01` becomes --min-area 0.01.

    None, False and the default size are left out, True is an option alone, and sequences have commas.
    """
    words: list[str] = []
    for name, value in settings.items():
        if value is None or value is False or (name == "size" and value == DEFAULT_SIZE):
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(_word(value))
    return words


def line(
    verb: str,
    *subjects: str,
    weights: str | None = None,
    options: Sequence[str] = (),
    out: str = "out",
) -> str:
    """Write a command.

    Args:
        verb: one word, or two such as "eval report".
        subjects: what it works on, such as photos.
        weights: a name from `weights_menu.weights_options`.
    """
    words = ["python", "-m", "dino", *verb.split(), *subjects]
    if weights is not None:
        words += ["--weights", weights_menu.weights_location(weights, st.session_state)]
        words += flags(**weights_menu.reading_of(weights, st.session_state).said)
    return shlex.join([*words, *options, "--out", out])


def expander(*, expanded: bool = False) -> DeltaGenerator:
    """Draw the place that a page's command is in."""
    return st.expander("Copy as command", icon=":material/terminal:", expanded=expanded)


def code(text: str) -> None:
    """Show lines of a shell with a copy button.

    (Without a language: the colours of one are too pale to read.)
    """
    st.code(text, language=None, wrap_lines=True)


def show(verb: str, *subjects: str, **details: Any) -> None:
    """Offer one command; `details` as those of `line`."""
    with expander():
        code(line(verb, *subjects, **details))


def show_of_photo(verb: str, choice: Choice, options: Sequence[str]) -> None:
    """Offer the command of a page about the chosen photo, weights and size."""
    every = [*flags(size=choice.size), *options]
    show(verb, photo_argument(choice.photo), weights=choice.weights, options=every)


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
