"""What goes to the browser, and what is believed of what comes back."""

import hashlib
from dataclasses import asdict, replace

import numpy as np
import pytest

from dino.attention.files import LOOKS, NEWEST_LOOK
from dino.canvas.content import Blob, MapSet, Panel, Picked, content, map_values, read_pick
from dino.canvas.look import FORMER, Look, read_look
from dino.errors import UserError

HEADS = ["0", "1", "mean", "max"]
PANEL = Panel(photo=Blob.of(b"jpeg"), alt="a photo", rows=4, columns=6, width=60, height=40)


def test_a_look_is_read_with_what_it_does_not_name_as_it_was():
    sent = {"head": "1", "opacity": 0.25, "outline": 60, "fill": True, "number": 3}
    assert read_look(sent, HEADS) == Look("1", opacity=0.25, outline=60, fill=True)
    assert read_look({"head": "max"}, HEADS, FORMER) == replace(FORMER, head="max")
    assert read_look(asdict(Look()), HEADS) == Look()


@pytest.mark.parametrize(
    "sent",
    [
        {"head": "2"},
        {"head": 1},
        {"scale": "huge"},
        {"smooth": ["sharp"]},
        {"colours": "jet"},
        {"opacity": 1.5},
        {"opacity": float("nan")},
        {"opacity": True},
        {"opacity": "1"},
        {"outline": 101},
        {"outline": 3.5},
        {"outline": True},
        {"fill": 1},
        {"greys": "true"},
        {"beside": None},
        None,
        [],
        "look",
    ],
)
def test_a_look_that_is_not_offered_is_refused(sent):
    with pytest.raises(UserError, match="reload the page"):
        read_look(sent, HEADS)


def test_the_canvas_and_the_command_line_have_the_same_look_by_default():
    line, look = LOOKS[NEWEST_LOOK], Look()
    assert (line.opacity, line.colormap, line.interpolation) == (
        look.opacity,
        look.colours,
        look.smooth,
    )
    assert (line.scale, line.under == "grey") == (look.scale, look.greys)


def test_maps_are_their_own_numbers():
    maps = np.random.default_rng(0).random((3, 4, 6)).astype(np.float32)
    blob = map_values(maps)
    np.testing.assert_array_equal(np.frombuffer(blob.data, "<f4").reshape(maps.shape), maps)
    assert blob.id == hashlib.sha256(blob.data).hexdigest()


def test_a_head_that_is_not_among_the_maps_becomes_the_first():
    maps = MapSet(map_values(np.zeros((1, 4, 6))), ("rollout",), ("Rollout",))
    assert maps.message(Look(head="5"), 0)["look"]["head"] == "rollout"
    assert maps.message(Look(head="rollout"), 7)["heard"] == 7


def test_a_panel_names_its_bytes_and_does_not_hold_them():
    told = content([PANEL], hint="", help_text="")["panels"][0]
    assert told["photo"] == hashlib.sha256(b"jpeg").hexdigest()
    assert told["features"] is None
    assert (told["rows"], told["columns"]) == (4, 6)


def test_a_pick_is_a_patch_of_a_panel():
    assert read_pick("0:3:5", [PANEL]) == Picked(0, 3, 5)
    with pytest.raises(UserError):
        read_pick("0:3:6", [PANEL])
