"""Step 8: nearest neighbours: what features are worth without training anything on top."""

import numpy as np
import streamlit as st

from app.cache import learn
from app.ui import layout
from app.ui.layout import Tile
from app.ui.networks import summary_words
from app.views.learn.frame import Lesson, Question, Step, control, explain, predict

_SHOWN = 5


def show(lesson: Lesson) -> None:
    """Show a crop and those the network takes for most alike; after the prediction, the vote's accuracy."""
    found = learn.labelled_crops(lesson.choice.photo, lesson.backbone)
    count, num_crops = len(found.labels), learn.CROPS_OF_A_PHOTO
    summary = summary_words(lesson.backbone)
    explain(
        "How good are features nobody has trained a classifier on? **k-NN** asks the k nearest others to vote. "
        f"As a small test, {num_crops} crops of each of {len(found.names)} photos, {count} in all, look for each "
        "other; the class is the photo a crop was cut from. It is a demonstration, not a benchmark: the "
        "paper's k-NN votes over the classes of ImageNet, for which there is `python -m dino eval knn`."
    )
    shown = predict(lesson, _question(found, summary))
    if shown:
        k = control("neighbours", range(1, 11), 5, st.slider, "Neighbours k", 1, 10, width=260)
        ours, plain = found.accuracy(found.features, k), found.accuracy(found.pixels, k)
        left, middle, right = st.columns(3)
        left.metric(f"k-NN of {summary}", f"{ours:.0f}%")
        middle.metric("k-NN of 8×8 px", f"{plain:.0f}%")
        right.metric(
            "Share of right neighbours by chance", f"{100 * (num_crops - 1) / (count - 1):.0f}%"
        )
    _examples(found, shown=shown)


def _question(found: learn.LabelledCrops, summary: str) -> Question:
    ours, plain = found.accuracy(found.features, 5), found.accuracy(found.pixels, 5)
    right = 2 if abs(ours - plain) < 5 else int(plain > ours)
    return Question(
        f"With k = 5, which finds more crops of the same photo: {summary}, or the crop shrunk to 8×8 px?",
        (f"T{summary[1:]}", "8×8 px", "Within 5% the same"),
        right,
        f"By {summary} {ours:.0f}% of the crops find the right photo here, by the 8×8 px {plain:.0f}%. Crops are "
        "recoloured and may show different parts, which pixels do not see through.",
    )


def _examples(found: learn.LabelledCrops, *, shown: bool) -> None:
    """Show one crop of the chosen photo and its nearest others."""
    cosines = found.features @ found.features[0]
    nearest = np.argsort(-cosines[1:])[:_SHOWN] + 1  # not itself
    tiles = [
        Tile(found.pictures[0], "This crop", found.names[0], "A crop of the chosen photo", True)
    ]
    for place, index in enumerate(nearest, start=1):
        label = found.labels[index]
        verdict = "right" if label == found.labels[0] else "wrong"
        tiles.append(
            Tile(
                picture=found.pictures[index],
                title=f"{place}. cosine {cosines[index]:.2f}",
                note=f"{found.names[label]}: {verdict}" if shown else "whose crop?",
                alt=f"Neighbour {place}: a crop of {found.names[label]}",
            )
        )
    layout.gallery(tiles)


STEP = Step("k-NN without labels", show, controls={"neighbours": 5})
