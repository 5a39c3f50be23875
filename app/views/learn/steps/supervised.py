"""Step 9: the same network, trained with labels and without, on one photo; a blind test."""

from dataclasses import replace

import numpy as np
import streamlit as st
import torch

from app.cache import backbones, pictures
from app.state import url, weights_menu
from app.state.selection import Choice, all_photos
from app.text import plain_text
from app.ui import layout
from app.views.learn.frame import SHOWN_PX, Lesson, Question, Step, explain, predict
from dino.attention import files
from dino.attention.mass import entropy
from dino.attention.photo import PhotoAttention
from dino.media import draw
from dino.model.backbone import Backbone

DINO, SUPERVISED = "dino_vitti16_imagenette", "supervised_vitti16_imagenette"
# Photos on which the two differ to the eye.
_PHOTOS = ("cat", "kingfisher")
# Measured by `python -m dino eval segmentation --size 224`: docs/evaluation.md.
_PROOF = (
    "over 523 outlined photos of Caltech-101 the best head's mask of 60% overlaps the object by a Jaccard "
    "index of 0.32 without labels and of 0.11 with them; random weights have 0.31, so these two are far from "
    "the paper's."
)


def show(lesson: Lesson) -> None:
    """Show two maps without names; after the prediction, which is which and what each has learned from."""
    explain(
        "The paper's surprise: attention of a transformer trained **without** labels lies on objects, that of "
        "the same transformer trained **with** labels much less so (section 4.2). The two here are small: one "
        "network, trained on the same photos of 10 classes, once without their labels and once with them. Do "
        "not expect the paper's pictures; on some photos neither finds the object."
    )
    here = weights_menu.weights_options(st.session_state)
    if missing := [name for name in (DINO, SUPERVISED) if name not in here]:
        st.info(
            f"This step needs the bundled weights {' and '.join(f'`{name}`' for name in missing)}, which are "
            "not in the checkpoints folder.",
            icon=":material/folder_off:",
        )
        return
    left, *columns = st.columns([4, 5, 5], gap="medium")
    with left:
        lesson = _on_photo(lesson)
        # Which stands first depends on the photo, so that a blind test stays one.
        first = int(lesson.choice.photo.id[-1], 16) % 2
        names = [DINO, SUPERVISED] if first else [SUPERVISED, DINO]
        sides = [_attend(lesson.choice, name) for name in names]
        shown = predict(lesson, _question(names, sides), name="supervised")
    for column, letter, name, (backbone, attention) in zip(
        columns, "AB", names, sides, strict=True
    ):
        with column:
            _side(lesson, attention, f"{letter}: {name}" if shown else letter)
            if shown:
                st.caption(
                    f"Entropy of a head {_bits(attention):.1f} bits. {plain_text(backbone.description)}"
                )


def _on_photo(lesson: Lesson) -> Lesson:
    """Set the lesson on one of two photos with something to see, or on the sidebar's."""
    photos = all_photos(st.session_state)
    own = lesson.choice.photo.name
    options = list(dict.fromkeys((*_PHOTOS, own)))
    chosen = url.linked(
        "pair_on",
        options,
        _PHOTOS[0],
        lambda: st.segmented_control(
            "Photo",
            options,
            key="pair_on",
            required=True,
            persist_state="session",
            help="The sidebar's photo is among them.",
        ),
    )
    return replace(lesson, choice=replace(lesson.choice, photo=photos[chosen]))


def _question(names: list[str], sides: list[tuple[Backbone, PhotoAttention]]) -> Question:
    by_name = dict(zip(names, (_bits(attention) for _, attention in sides), strict=True))
    return Question(
        "Which of the two was trained without labels?",
        ("A", "B"),
        names.index(DINO),
        f"Its heads spread over {by_name[DINO]:.1f} bits, the other's over {by_name[SUPERVISED]:.1f}. One "
        "explanation: a few telling patches are enough to name a class, but not to know a crop again. One "
        f"photo is no proof: {_PROOF}",
    )


def _attend(choice: Choice, name: str) -> tuple[Backbone, PhotoAttention]:
    backbone = backbones.open_weights(name, st.session_state)
    return backbone, pictures.attention(replace(choice, weights=name), backbone)[0]


def _bits(attention: PhotoAttention) -> float:
    return float(entropy(torch.from_numpy(attention.heads)).mean())


def _side(lesson: Lesson, attention: PhotoAttention, title: str) -> None:
    photo = lesson.choice.photo
    mean = attention.heads.mean(axis=0)
    scaled, _ = draw.normalize(np.asarray(mean)[None])
    picture = files.head_picture(
        scaled[0],
        attention.geometry,
        pictures.shown(photo, SHOWN_PX),
        files.Style(opacity=0.8),
        width=SHOWN_PX,
    )
    layout.picture(picture, alt=f"{title}: mean of heads over: {photo.alt}", caption=title)


STEP = Step(
    "With labels and without", show, controls={"pair_on": _PHOTOS[0]}, handed={"photo": "pair_on"}
)
