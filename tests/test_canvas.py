"""What a browser sends from the canvas is believed in nothing."""

import pytest

from app.components.canvas import MAX_POINTS, Panel, Picked, Prompts, read_pick, read_prompts
from dino.errors import UserError

PANELS = [
    Panel(photo="", alt="", rows=4, columns=6, width=60, height=40),
    Panel(photo="", alt="", rows=8, columns=3, width=30, height=80),
]


def test_a_pick_names_a_panel_and_a_patch():
    assert read_pick("0:3:5", PANELS) == Picked(0, 3, 5)
    assert read_pick("1:7:2", PANELS) == Picked(1, 7, 2)
    assert read_pick("clear", PANELS) is None


@pytest.mark.parametrize(
    "told", ["0:4:0", "0:0:6", "2:0:0", "1:0:3", "-1:0:0", "0:0", "0:0:0:0", "", None, 3, ["0:0:0"]]
)
def test_a_patch_that_is_not_there_is_refused(told):
    with pytest.raises(UserError, match="not there"):
        read_pick(told, PANELS)


def test_points_and_a_box_are_read():
    told = {"points": [[0, 0, 1], [3, 5, -1]], "box": [0, 1, 4, 6]}
    assert read_prompts(told, PANELS[0]) == Prompts(((0, 0, 1), (3, 5, -1)), (0, 1, 4, 6))
    assert read_prompts({"points": [], "box": None}, PANELS[0]) == Prompts()


@pytest.mark.parametrize(
    "told",
    [
        {"points": [[4, 0, 1]], "box": None},
        {"points": [[0, 6, 1]], "box": None},
        {"points": [[0, 0, 2]], "box": None},
        {"points": [[0, 0]], "box": None},
        {"points": [[0.5, 0, 1]], "box": None},
        {"points": [[True, 0, 1]], "box": None},
        {"points": ["001"], "box": None},
        {"points": [], "box": [0, 0, 5, 6]},
        {"points": [], "box": [2, 0, 2, 6]},
        {"points": [], "box": "0123"},
        {"points": [], "box": [0, -1, 2, 2]},
        {"points": 7, "box": None},
        {"box": None},
        None,
        [],
    ],
)
def test_points_outside_are_refused(told):
    with pytest.raises(UserError, match="not there"):
        read_prompts(told, PANELS[0])


def test_too_many_points_are_said():
    told = {"points": [[0, 0, 1]] * (MAX_POINTS + 1), "box": None}
    with pytest.raises(UserError, match="undo some"):
        read_prompts(told, PANELS[0])
