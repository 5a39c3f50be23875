"""Step 9: the same network, trained with labels and without, on one photo; a blind test."""

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
import torch

from app.cache import backbones, pictures
from app.state import weights_menu
from app.state.selection import Choice, all_photos
from app.text import plain_text
from app.ui import layout
from app.views.learn.frame import Lesson, Question, Step, control, explain, map_over_photo, predict
from dino.attention.mass import entropy
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


@dataclass(frozen=True)
class Side:
    """One of the two networks and its heads' attention on the photo, `heads` [A,h,w]."""

    name: str
    backbone: Backbone
    heads: np.ndarray

    @property
    def bits(self) -> float:
        """Average the heads' entropy."""
        return float(entropy(torch.from_numpy(self.heads)).mean())


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
        shown = predict(lesson, _question(sides))
    for column, letter, side in zip(columns, "AB", sides, strict=True):
        title = f"{letter}: {side.name}" if shown else letter
        with column:
            layout.picture(
                map_over_photo(lesson.choice, side.backbone, side.heads.mean(axis=0)),
                alt=f"{title}: mean of heads over: {lesson.choice.photo.alt}",
                caption=title,
            )
            if shown:
                about = plain_text(side.backbone.description)
                st.caption(f"Entropy of a head {side.bits:.1f} bits. {about}")


def _on_photo(lesson: Lesson) -> Lesson:
    """Set the lesson on one of two photos with something to see, or on the sidebar's."""
    photos = all_photos(st.session_state)
    own = lesson.choice.photo.name
    options = list(dict.fromkeys((*_PHOTOS, own)))
    chosen = control(
        "pair_on", options, _PHOTOS[0], st.segmented_control, "Photo", options, required=True,
        help="The sidebar's photo is among them.",
    )  # fmt: skip
    return replace(lesson, choice=replace(lesson.choice, photo=photos[chosen]))


def _question(sides: list[Side]) -> Question:
    bits = {side.name: side.bits for side in sides}
    return Question(
        "Which of the two was trained without labels?",
        ("A", "B"),
        int(sides[1].name == DINO),
        f"Its heads spread over {bits[DINO]:.1f} bits, the other's over {bits[SUPERVISED]:.1f}. One "
        "explanation: a few telling patches are enough to name a class, but not to know a crop again. One "
        f"photo is no proof: {_PROOF}",
    )


def _attend(choice: Choice, name: str) -> Side:
    backbone = backbones.open_weights(name, st.session_state)
    attention, _ = pictures.attention(replace(choice, weights=name), backbone)
    return Side(name, backbone, attention.heads)


STEP = Step(
    "With labels and without", show, controls={"pair_on": _PHOTOS[0]}, handed={"photo": "pair_on"}
)
