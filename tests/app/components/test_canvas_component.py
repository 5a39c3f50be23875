"""What a browser sends from the canvas is believed in nothing."""

import numpy as np
import pytest

from app.components.canvas.component import (
    MAX_POINTS,
    Panel,
    Picked,
    Prompts,
    read_pick,
    read_prompts,
)
from dino.canvas.content import Blob
from dino.errors import UserError
from dino.media.regions import from_label_runs, label_runs

PHOTO = Blob.of(b"")
PANELS = [
    Panel(photo=PHOTO, alt="", rows=4, columns=6, width=60, height=40),
    Panel(photo=PHOTO, alt="", rows=8, columns=3, width=30, height=80),
]
NOTHING = {"points": [], "box": None, "painted": []}


def test_a_pick_names_a_panel_and_a_patch():
    assert read_pick("0:3:5", PANELS) == Picked(0, 3, 5)
    assert read_pick("1:7:2", PANELS) == Picked(1, 7, 2)
    assert read_pick("clear", PANELS) is None


@pytest.mark.parametrize(
    "sent", ["0:4:0", "0:0:6", "2:0:0", "1:0:3", "-1:0:0", "0:0", "0:0:0:0", "", None, 3, ["0:0:0"]]
)
def test_a_patch_that_is_not_there_is_refused(sent):
    with pytest.raises(UserError, match="not there"):
        read_pick(sent, PANELS)


def test_points_and_a_box_are_read():
    sent = {"points": [[0, 0, 1], [3, 5, -1]], "box": [0, 1, 4, 6], "painted": []}
    assert read_prompts(sent, PANELS[0]) == Prompts(((0, 0, 1), (3, 5, -1)), (0, 1, 4, 6))
    assert read_prompts(NOTHING, PANELS[0]) == Prompts()


def test_paint_is_read_and_is_what_was_painted():
    labels = np.zeros((4, 6), dtype=np.uint8)
    labels[1, 2:5], labels[2, :3] = 1, 2
    runs = label_runs(labels)
    assert runs == (8, 0, 3, 1, 1, 0, 3, 2)
    assert read_prompts({**NOTHING, "painted": list(runs)}, PANELS[0], (4, 6), 2).painted == runs
    np.testing.assert_array_equal(from_label_runs(runs, (4, 6)), labels)
    assert label_runs(np.zeros((4, 6))) == ()
    assert label_runs(np.ones((2, 3), dtype=np.uint8)) == (6, 1)


@pytest.mark.parametrize(
    "painted",
    [
        None,
        "11",
        7,
        [1],
        [25, 1],
        [24, 1, 1, 1],
        [-1, 1],
        [0, 1],
        [1, 3],
        [1, -1],
        [1.0, 1],
        [True, 1],
    ],
)
def test_paint_that_does_not_fit_is_refused(painted):
    with pytest.raises(UserError, match="not there"):
        read_prompts({**NOTHING, "painted": painted}, PANELS[0], (4, 6), 2)


@pytest.mark.parametrize(
    "sent",
    [
        {"points": [[4, 0, 1]], "box": None, "painted": []},
        {"points": [[0, 6, 1]], "box": None, "painted": []},
        {"points": [[0, 0, 2]], "box": None, "painted": []},
        {"points": [[0, 0]], "box": None, "painted": []},
        {"points": [[0.5, 0, 1]], "box": None, "painted": []},
        {"points": [[True, 0, 1]], "box": None, "painted": []},
        {"points": ["001"], "box": None, "painted": []},
        {"points": [], "box": [0, 0, 5, 6], "painted": []},
        {"points": [], "box": [2, 0, 2, 6], "painted": []},
        {"points": [], "box": "0123", "painted": []},
        {"points": [], "box": [0, -1, 2, 2], "painted": []},
        {"points": 7, "box": None, "painted": []},
        {"box": None, "painted": []},
        {"points": [], "box": None},
        None,
        [],
    ],
)
def test_points_outside_are_refused(sent):
    with pytest.raises(UserError, match="not there"):
        read_prompts(sent, PANELS[0])


def test_too_many_points_are_said():
    sent = {**NOTHING, "points": [[0, 0, 1]] * (MAX_POINTS + 1)}
    with pytest.raises(UserError, match="undo some"):
        read_prompts(sent, PANELS[0])
