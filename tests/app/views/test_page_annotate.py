"""The Annotate page without a browser, and what it makes of messages from the editor."""

import io
import json
import zipfile

import numpy as np
import pytest
from helpers.annotation_cases import begin, disc, state_of, write_photos
from helpers.app_cases import TIMEOUT_S, count_calls, open_page, page, start_afresh, text
from streamlit.testing.v1 import AppTest

import dino
from app.components.mask_editor.component import read_edit
from app.views.annotate import queue
from dino.annotation.session import annotations_folder, open_session
from dino.attention import photo
from dino.errors import UserError
from dino.masks.proposals import propose
from dino.masks.settings import MaskSettings
from dino.media import regions

SIZE = (120, 160)


@pytest.fixture
def forwards(monkeypatch) -> list[str]:
    return count_calls(monkeypatch, (photo, "attend"))


def opened(**params: str) -> AppTest:
    return open_page("annotate", **params)


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path, small_weights):
    """Set up small weights, photos below the data root, and an empty checkpoints folder."""
    start_afresh(monkeypatch, tmp_path, small_weights)
    monkeypatch.setenv("DINO_DATA_ROOT", str(tmp_path / "data"))
    write_photos(tmp_path / "data" / "pets", 3)


@pytest.fixture
def session(tmp_path, small_weights):
    """Begin a session whose proposals come from the small weights."""
    digest = dino.load(small_weights).weights_sha256
    folder = annotations_folder() / "pets"
    return begin(
        folder, tmp_path / "data" / "pets", weights=str(small_weights), weights_sha256=digest
    )


def event(action: str, index: int, *masks: np.ndarray) -> dict:
    """Write what the editor sends, by way of JSON."""
    objects = [
        {"id": number, "class": 0, "runs": regions.row_runs(mask)}
        for number, mask in enumerate(masks, start=1)
    ]
    return json.loads(json.dumps({"action": action, "index": index, "objects": objects or None}))


def test_a_session_begins_from_a_folder_and_its_first_photo_is_proposed(forwards, small_weights):
    at = opened()
    assert at.button[-1].label == "Begin"
    at.selectbox(key="annotate_folder").set_value("pets").run()
    at.text_input(key="annotate_classes").set_value("cat, dog").run()
    at.slider(key="annotate_mass").set_value(50).run()
    next(b for b in at.button if b.label == "Begin").click().run()
    assert not at.exception
    assert "3 to do · 0 accepted · 0 rejected, of 3 photos" in text(at)
    assert at.query_params["session"] == "pets"
    assert len(forwards) == 1
    session = open_session(annotations_folder() / "pets")
    assert session.classes == ("cat", "dog")
    backbone = dino.load(small_weights)
    assert session.weights_sha256 == backbone.weights_sha256
    state, _ = session.load(0)
    rgb = dino.decode(session.read_photo(0))
    mask = propose(backbone, rgb, MaskSettings(size=480, mass=0.5)).pixels
    np.testing.assert_array_equal(regions.decode(state.objects[0].counts, SIZE), mask)
    before = len(forwards)
    at.run()
    assert len(forwards) == before


def test_a_session_begins_from_a_zip(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in (tmp_path / "data" / "pets").iterdir():
            archive.write(path, path.name)
    at = opened()
    at.segmented_control(key="annotate_from").set_value("ZIP").run()
    at.file_uploader(key="annotate_zip").upload("my photos.zip", buffer.getvalue()).run()
    next(b for b in at.button if b.label == "Begin").click().run()
    assert not at.exception
    session = open_session(annotations_folder() / "my-photos")
    assert len(session.photos) == 3
    assert session.source == session.folder / "photos"


def test_a_folder_outside_the_data_root_cannot_be_chosen(tmp_path):
    write_photos(tmp_path / "secret", 1)
    at = AppTest.from_function(page, args=("annotate",), default_timeout=TIMEOUT_S)
    at.session_state["annotate_folder"] = "../secret"  # as if typed
    at.run()
    assert "is not below" in text(at)
    assert next(b for b in at.button if b.label == "Begin").disabled


def test_next_takes_one_forward_and_going_back_none(session, forwards):
    at = opened(session="pets")
    assert len(forwards) == 1
    at.number_input(key="annotate_number").set_value(2).run()
    assert len(forwards) == 2
    assert at.query_params["at"] == "2"
    at.number_input(key="annotate_number").set_value(1).run()
    assert len(forwards) == 2


def test_a_link_opens_its_photo_and_a_strange_one_says_so(session):
    at = opened(session="pets", at="3")
    assert at.number_input(key="annotate_number").value == 3
    at = opened(session="pets", at="99")
    assert at.number_input(key="annotate_number").value == 3
    assert "not on this machine" in text(opened(session="../pets"))


@pytest.fixture
def page_state(monkeypatch):
    """Return the page's session state, for `handle` outside of a run."""
    kept: dict = {}
    monkeypatch.setattr(queue.st, "session_state", kept)
    return kept


def test_what_comes_back_is_kept_and_the_next_photo_due(session, page_state):
    painted = disc((60, 40), 20)
    queue.handle("pets", event("save", 0, painted))
    state, _ = session.load(0)
    assert (state.status, state.size) == ("todo", SIZE)
    np.testing.assert_array_equal(regions.decode(state.objects[0].counts, SIZE), painted)
    assert page_state == {}
    both = (painted, disc((60, 120), 20))
    queue.handle("pets", event("accept", 0, *both))
    assert session.load(0)[0].status == "accepted"
    assert len(session.load(0)[0].objects) == 2
    assert page_state == {"annotate_at": 1}
    queue.handle("pets", event("reject", 2))
    assert session.load(2)[0].status == "rejected"
    assert page_state == {"annotate_at": 1}
    queue.handle("pets", event("next", 1))
    assert page_state == {"annotate_at": 2}
    queue.handle("pets", event("previous", 0))
    assert page_state == {"annotate_at": 0}
    assert open_session(session.folder) == session


@pytest.mark.parametrize(
    "message",
    [
        None,
        {},
        {"action": "delete", "index": 0, "objects": None},
        {"action": "save", "index": "0", "objects": None},
        {"action": "save", "index": 7, "objects": []},
        {"action": "save", "index": -1, "objects": None},
        {"action": "accept", "index": 0, "objects": [{"id": 1, "class": 0, "runs": [5]}]},
        {"action": "accept", "index": 0, "objects": [{"id": 1, "class": 9, "runs": [19200]}]},
        {"action": "accept", "index": 0, "objects": [{"id": True, "class": 0, "runs": [19200]}]},
        {"action": "accept", "index": 0, "objects": [{"id": 1, "class": 0, "runs": "19200"}]},
        {"action": "accept", "index": 0, "objects": [{"id": 1}] * 10},
    ],
)
def test_a_message_that_is_none_changes_nothing_and_is_said(session, page_state, message):
    before = state_of(disc((60, 40), 20), status="todo")
    session.save(0, before)
    queue.handle("pets", message)
    assert list(page_state) == ["annotate_problem"]
    assert session.load(0) == (before, "")


def test_read_edit_takes_masks_at_the_size_that_was_painted_on():
    mask = disc((3, 4), 2, (6, 8))
    edit = read_edit(event("save", 4, mask), lambda index: (6, 8))
    assert (edit.action, edit.index) == ("save", 4)
    np.testing.assert_array_equal(edit.objects[0].mask, mask)
    with pytest.raises(UserError, match="8×6"):
        read_edit(event("save", 4, mask.T[:3]), lambda index: (6, 8))


def test_problems_with_files_and_photos_are_listed_and_the_rest_goes_on(session):
    session.state_path(1).write_text("{")
    session.photo_path(0).unlink()
    at = opened(session="pets")
    said = text(at)
    assert "photo-0001.png: 00002.json is damaged" in said
    assert "photo-0000.png cannot be read" in said
    next(b for b in at.button if b.key == "annotate_reject").click().run()
    assert session.load(0)[0].status == "rejected"
    assert at.number_input(key="annotate_number").value == 2
    assert session.load(1) == (session.load(1)[0], "")  # opened, proposed and whole again
    assert "00002.json is damaged" in text(at)


def test_classes_are_renamed_and_added_on_the_page(session):
    at = opened(session="pets")
    at.text_input(key="annotate_class:pets:0:cat").set_value("kitten").run()
    at.text_input(key="annotate_class:pets:2:").set_value("bird").run()
    assert open_session(session.folder).classes == ("kitten", "dog", "bird")
    at.text_input(key="annotate_class:pets:2:bird").set_value("dog").run()
    assert "two classes are named" in text(at)


def test_exports_are_offered_once_something_is_accepted(session):
    at = opened(session="pets")
    assert "nothing is yet" in text(at)
    session.save(0, state_of(disc((60, 40), 20)))
    at.run()
    labels = [button.proto.label for button in at.get("download_button")]
    assert labels == ["COCO (JSON)", "YOLO (ZIP)", "Label PNGs (ZIP)", "Cut-outs (ZIP)"]
    (command,) = (code.value for code in at.code)
    expected = "python -m dino annotate export pets --format coco --polygons 1 --out out"
    assert command == expected
    at.segmented_control(key="annotate_outlines").set_value("run lengths").run()
    (command,) = (code.value for code in at.code)
    assert command == expected.replace("--polygons 1", "--rle")


def test_other_weights_are_not_taken_unasked(tmp_path, small_weights, forwards):
    folder = annotations_folder() / "foreign"
    session = begin(folder, tmp_path / "data" / "pets", weights="elsewhere.pth")
    at = opened(session="foreign")
    assert "made with elsewhere.pth" in text(at)
    assert forwards == []
    assert session.load(0)[0].size is None
    next(b for b in at.button if b.label.startswith("Go on with")).click().run()
    assert len(forwards) == 1
    assert open_session(folder).weights_sha256 == dino.load(small_weights).weights_sha256
    assert len(session.load(0)[0].objects) == 1
