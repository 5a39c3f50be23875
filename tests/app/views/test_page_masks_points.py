"""Masks by pointing: what a point makes, its link, several objects, and files."""

import numpy as np
import pytest
from helpers.app_cases import open_page, start_afresh, text
from helpers.prompt_cases import prompted_mask

import dino
from app.components.canvas.component import Prompts
from app.state.selection import bundled_photos
from app.ui.pointing import marks_text, read_marks, without_overlap
from dino.attention import photo
from dino.masks.prompts import Prompt, prompted_objects
from dino.masks.refine import refine_mask

POINTING = "by pointing"
GRID = (21, 28)  # of the cat at 224 px in patches of 8


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)


def expected(small_weights, *points: tuple[int, int, int]) -> np.ndarray:
    rgb = dino.decode(bundled_photos()["cat"].data)
    features = photo.features(dino.load(small_weights), rgb, size=224)
    return prompted_mask(features.patches, features.geometry.grid, points=points)


def test_a_link_has_the_points_and_makes_the_librarys_mask(small_weights):
    at = open_page("masks", photo="cat", size="224", by=POINTING, points="8:10:+,0:0:-")
    share = expected(small_weights, (8, 10, 1), (0, 0, -1)).mean()
    assert f"Object 1: 1 on it, 1 off it; {share:.0%} of the photo" in text(at)


def test_nothing_pointed_at_says_what_to_do():
    at = open_page("masks", photo="cat", size="224", by=POINTING)
    assert "Point at an object" in text(at)
    assert at.button[0].label == "Another object"


def test_objects_are_added_and_removed(small_weights):
    at = open_page("masks", photo="cat", size="224", by=POINTING, points="8:10:+")
    buttons = {button.label: button for button in at.button}
    buttons["Another object"].click().run()
    assert "Object 2: 0 on it" in text(at)
    next(b for b in at.button if b.label == "Remove it").click().run()
    assert "Object 2" not in text(at)
    assert "Object 1: 1 on it" in text(at)
    next(b for b in at.button if b.label == "Remove it").click().run()
    assert not at.exception
    assert "Point at an object" in text(at)


def test_two_objects_share_nothing(small_weights):
    at = open_page("masks", photo="cat", size="224", by=POINTING, points="8:10:+|0:0:+")
    rgb = dino.decode(bundled_photos()["cat"].data)
    features = photo.features(dino.load(small_weights), rgb, size=224)
    prompts = [Prompt([(8, 10, 1)]), Prompt([(0, 0, 1)])]
    masks = prompted_objects(features.patches, features.geometry.grid, prompts)
    for number, mask in enumerate(masks, start=1):
        assert f"Object {number}: 1 on it, 0 off it; {mask.mean():.0%} of the photo" in text(at)
    at.segmented_control(key="edges").set_value("guided filter").run()
    assert not at.exception


def test_edges_follow_the_points_and_the_share_said_is_of_what_is_drawn(small_weights):
    """As the library draws them, for one set of points and then for another."""
    rgb = dino.decode(bundled_photos()["cat"].data)
    features = photo.features(dino.load(small_weights), rgb, size=224)
    shares = []
    for points in ([(8, 10, 1)], [(2, 3, 1), (10, 14, -1)]):
        painted = ",".join(
            f"{row}:{column}:{'+' if sign > 0 else '-'}" for row, column, sign in points
        )
        at = open_page(
            "masks", photo="cat", size="224", by=POINTING, points=painted, edges="GrabCut"
        )
        grids = prompted_mask(features.patches, GRID, points=points)[None]
        said = {sign: np.zeros((1, *GRID), dtype=bool) for sign in (1, -1)}
        for row, column, sign in points:
            said[sign][0, row, column] = True
        to_photo = features.geometry.to_photo
        mask = refine_mask(
            rgb, to_photo(grids)[0], "grabcut", on=to_photo(said[1])[0], off=to_photo(said[-1])[0]
        )
        shares.append(f"{mask.mean():.0%} of the photo")
        assert shares[-1] in text(at)
    assert shares[0] != shares[1]


def test_a_link_to_a_photo_of_another_session_does_not_bring_its_points_to_this_one():
    at = open_page("masks", photo="holiday-12345678", size="224", by=POINTING, points="8:10:+")
    assert "holiday-12345678" in text(at)
    assert "Point at an object" in text(at)


def test_points_go_to_a_link_and_back():
    objects = [Prompts(((12, 7, 1), (3, 4, -1)), (2, 1, 9, 8)), Prompts(((5, 5, 1),))]
    assert marks_text(objects, GRID) == "12:7:+,3:4:-,b2:1:9:8|5:5:+"
    assert read_marks(marks_text(objects, GRID), GRID) == objects
    assert read_marks("", GRID) == [Prompts()]


def test_paint_goes_to_a_link_and_back_on_its_own_grid():
    objects = [Prompts(((5, 5, 1),), painted=(30, 0, 3, 1, 7, 0, 2, 2))]
    assert marks_text(objects, GRID) == "5:5:+,p21:28:30_3+7_2-"
    assert read_marks(marks_text(objects, GRID), GRID) == objects
    assert read_marks(marks_text(objects, GRID), (28, 21)) == [Prompts(((5, 5, 1),))]


def test_a_link_s_paint_makes_the_librarys_mask(small_weights):
    at = open_page("masks", photo="cat", size="224", by=POINTING, points="p21:28:234_2+352-")
    painted = np.zeros(GRID, dtype=np.int8)
    painted.ravel()[234:236], painted.ravel()[236:588] = 1, -1
    rgb = dino.decode(bundled_photos()["cat"].data)
    features = photo.features(dino.load(small_weights), rgb, size=224)
    share = prompted_mask(features.patches, GRID, painted=painted).mean()
    assert f"Object 1: 2 on it, 352 off it; {share:.0%} of the photo" in text(at)


@pytest.mark.parametrize(
    "damaged",
    [
        *("x", "1:2", "1:2:*", "b1:2:3", "1:2:+:3", "9999:1:+"),
        *("p21:28:", "p21:28:589+", "p21:28:0+", "p21:28:3*", "p21:28:-3+"),
    ],
)
def test_what_a_link_garbles_is_left_out(damaged):
    assert read_marks(f"{damaged},1:2:+", GRID) == [Prompts(((1, 2, 1),))]


def test_a_link_may_point_outside_the_grid_of_another_size():
    at = open_page("masks", photo="cat", size="224", by=POINTING, points="900:900:+,b0:0:900:900")
    assert not at.exception
    assert "Point at an object" in text(at)


def test_what_two_refined_objects_have_goes_to_whose_patch_it_is():
    first = np.array([[[1, 1, 0, 0]], [[0, 0, 1, 0]]], dtype=bool)
    masks = np.array([[[1, 1, 1, 1]], [[0, 1, 1, 1]]], dtype=bool)
    alone = without_overlap(masks, first)
    assert alone.astype(int).tolist() == [[[1, 1, 0, 1]], [[0, 0, 1, 0]]]
