"""What the exports start from: the accepted photos of a session with their masks, one at a time."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from dino.annotation.overview import Overview
from dino.annotation.session import Session, SessionPhoto
from dino.annotation.states import ACCEPTED
from dino.errors import UserError
from dino.media import regions


@dataclass(frozen=True)
class AcceptedObject:
    """An object of an accepted photo: number of its class, mask [H,W] bool with something in it."""

    class_index: int
    mask: np.ndarray


@dataclass(frozen=True)
class AcceptedPhoto:
    """An accepted photo: its number in the session from 0, size (H, W), objects in their order; none
    is a photo that somebody said to hold none."""

    index: int
    photo: SessionPhoto
    size: tuple[int, int]
    objects: tuple[AcceptedObject, ...]


def accepted_indices(session: Session) -> list[int]:
    """Numbers from 0 of the accepted photos.

    Raises:
        UserError: none is accepted yet.
    """
    statuses = Overview(session).statuses
    found = [index for index, status in enumerate(statuses) if status == ACCEPTED]
    if not found:
        raise UserError(f"no photo of {session.name} is accepted yet; accept some to export them")
    return found


def accepted_photos(session: Session) -> Iterator[AcceptedPhoto]:
    """The accepted photos, in the session's order; objects whose mask is empty are left out.

    Raises:
        UserError: none is accepted, or a mask is damaged.
    """
    for index in accepted_indices(session):
        state, _ = session.load(index)
        if state.status != ACCEPTED or state.size is None:
            continue  # changed by another since they were counted
        photo = session.photos[index]
        objects = []
        for entry in state.objects:
            try:
                mask = regions.decode(entry.counts, state.size)
            except UserError as error:
                raise UserError(f"{photo.file}: {error}; reject or draw it again") from error
            if mask.any():
                objects.append(AcceptedObject(entry.class_index, mask))
        yield AcceptedPhoto(index, photo, state.size, tuple(objects))


def plain_names(session: Session) -> list[str]:
    """A name for the results of each photo: its path without suffix, or with it where two are alike."""
    stems = [str(PurePosixPath(photo.file).with_suffix("")) for photo in session.photos]
    times = Counter(stem.lower() for stem in stems)  # as file systems that ignore case see them
    return [
        stem if times[stem.lower()] == 1 else photo.file
        for stem, photo in zip(stems, session.photos, strict=True)
    ]
