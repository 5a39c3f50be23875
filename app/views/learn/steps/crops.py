"""Step 5: multi-crop, on the chosen photo, by the training engine's own augmentation."""

import streamlit as st

from app.cache import learn
from app.ui import layout
from app.ui.layout import Tile
from app.views.learn.frame import Lesson, Question, Step, explain, predict, seed_control


def show(lesson: Lesson) -> None:
    """Show the crops of one draw, who sees which, and where they lie."""
    photo = lesson.choice.photo
    explain(
        "Without labels, DINO learns from the photo itself: **two large crops and several small ones** of one "
        "photo should be described alike, by a **student** that learns and a **teacher** that shows the way "
        "(step 6). Each crop is also flipped, recoloured, blurred or turned grey by "
        "chance, so that colour alone cannot give the answer. These are crops as our training draws them, "
        "here of your photo."
    )
    left, right = st.columns([2, 3], gap="medium")
    with left:
        seed = seed_control(
            "crop_seed",
            help_text="The same seed draws the same crops.",
            another="Re-roll",
            another_key="learn_reroll",
        )
        found = learn.crops(photo, seed)
        shown = predict(lesson, _question(len(found)))
        layout.picture(
            learn.draw_frames(photo, found),
            alt="The photo with frames where its crops were cut",
            caption="Orange: two global crops, 40 to 100% of the area. White: local ones, 5 to 40%.",
        )
    with right:
        layout.gallery([_tile(crop, index, shown=shown) for index, crop in enumerate(found)])


def _tile(crop: learn.Crop, index: int, *, shown: bool) -> Tile:
    kind = f"Global {index + 1}" if crop.is_global else f"Local {index - 1}"
    seen = "teacher and student" if crop.is_global else "student only"
    height, width = crop.pixels.shape[:2]
    return Tile(
        picture=crop.pixels,
        title=kind,
        note=seen if shown else f"{width}×{height} px",
        alt=f"{kind} crop of the photo",
        chosen=shown and crop.is_global,
    )


def _question(count: int) -> Question:
    return Question(
        "Which crops does the teacher see?",
        ("All of them", "Only the two global ones", "Only the local ones"),
        1,
        f"The student sees all {count} and must guess from a small piece what the teacher says of the large "
        "view: from local to global (section 3.1 of the paper). No view is compared with itself. The paper "
        "puts the border at 50% of the area, the default of its code at 40%.",
    )


STEP = Step("Multi-crop", show, controls={"crop_seed": 0})
