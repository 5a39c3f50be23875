"""Files from a browser: taken from an uploader, and read by what reads files only."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import streamlit as st

from app.state.problems import attempt
from app.state.selection import Session
from dino.errors import UserError


def uploaded(session: Session, key: str) -> Any | None:
    """Find the file that an uploader's or camera's key holds, for callbacks; None also for one that the
    server no longer has, as after a restart with the page still open."""
    file = session.get(key)
    return file if hasattr(file, "getvalue") else None


def take_upload(key: str, problem: str, keep: Callable[[str, bytes], Any]) -> None:
    """Hand an uploader's file to `keep` as name and bytes, in its callback; what is wrong with it is kept
    in the session under the key `problem`, and what was wrong before is forgotten."""
    st.session_state.pop(problem, None)
    if (file := uploaded(st.session_state, key)) is not None:
        attempt(problem, keep, file.name, file.getvalue())


@contextmanager
def temporary_file(data: bytes, file_name: str) -> Iterator[Path]:
    """Write an upload to a file that has nothing of the name it came with and is gone afterwards.

    Raises:
        UserError: from within, naming the upload instead of the file.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            yield Path(file.name)
        except UserError as error:
            raise type(error)(str(error).replace(file.name, file_name)) from error
