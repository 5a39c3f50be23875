"""Objects found without labels on the Masks page: controls, files read back, links and commands."""

import io
import json
import shlex
import sys
import zipfile

import numpy as np
import pytest
from helpers.app_cases import collect_downloads, command, count_calls, open_page, start_afresh, text
from PIL import Image
from streamlit.testing.v1 import AppTest

import dino
from app.state.selection import bundled_photos
from dino.attention import photo
from dino.masks.discovery import keys, methods
from dino.masks.discovery.methods import MAX_PATCHES, METHODS
from dino.masks.proposals import propose, propose_objects
from dino.masks.settings import MaskSettings
from dino.media.palettes import object_color
from dino.media.regions import jaccard
from dino.system.files import results_name

PHOTO = bundled_photos()["macaw"]
STEM = results_name(PHOTO.file_name, PHOTO.id)
# With the small weights: several objects.
SEVERAL = {"method": "MaskCut", "objects": "4", "keys": "as they are", "heads": "1"}
SETTINGS = MaskSettings(size=224, method="maskcut", objects=4, keys="plain", heads=(1,))


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)


@pytest.fixture
def forwards(monkeypatch) -> list[str]:
    return count_calls(monkeypatch, (photo, "attention_and_features"), (keys, "photo_keys"))


@pytest.fixture
def offered(monkeypatch) -> dict:
    return collect_downloads(monkeypatch)


def opened(**params: str) -> AppTest:
    return open_page("masks", **{"size": "224", **params})


def mask_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data))) > 0


def expected_masks(small_weights, settings=SETTINGS):
    return propose_objects(dino.load(small_weights), dino.decode(PHOTO.data), settings)


def test_methods_share_one_forward_and_say_what_they_do(forwards):
    at = opened()
    for shown, caption in (
        ("LOST", "Siméoni et al. 2021"),
        ("TokenCut", "Wang et al. 2022"),
        ("MaskCut", "MaskCut of CutLER, Wang et al. 2023"),
    ):
        at.segmented_control(key="method").set_value(shown).run()
        assert not at.exception
        assert caption in text(at)
        assert f"--method {shown.lower()}" in command(at)
        assert "--mass" not in command(at)
        assert "--combine" not in command(at)
    assert forwards == ["attention_and_features", "photo_keys"]
    at.slider(key="objects").set_value(2).run()
    at.segmented_control(key="keys").set_value("about their mean").run()
    at.toggle(key="holes").set_value(True).run()
    at.pills(key="heads").set_value(["0", "2"]).run()
    assert "--heads 0,2 --method maskcut --objects 2 --keys centered --fill-holes" in command(at)
    assert "MaskCut in heads 0, 2" in text(at)
    assert forwards == ["attention_and_features", "photo_keys"]
    at.segmented_control(key="method").set_value("mass").run()
    assert "--mass 0.6 --combine mean --heads 0,2" in command(at)


def test_a_link_restores_the_objects():
    at = opened(**SEVERAL, refine="guided filter")
    assert "--heads 1 --method maskcut --objects 4 --keys plain --refine guided" in command(at)
    assert "Object 2" in text(at)


@pytest.mark.parametrize("refine", ["patches", "GrabCut"])
def test_each_object_is_offered_as_a_mask(refine, offered, small_weights):
    opened(**SEVERAL, refine=refine, holes="true")
    edge = "none" if refine == "patches" else "grabcut"
    settings = MaskSettings(**{**vars(SETTINGS), "refine": edge, "fill_holes": True})
    expected = expected_masks(small_weights, settings)
    assert len(expected) > 1
    for number, mask in enumerate(expected, start=1):
        np.testing.assert_array_equal(
            mask_of(offered[f"{STEM}-object-{number}.png"]()), mask.pixels
        )
    assert f"{STEM}-object-{len(expected) + 1}.png" not in offered
    whole = np.any([mask.pixels for mask in expected], axis=0)
    np.testing.assert_array_equal(mask_of(offered[f"{STEM}-mask.png"]()), whole)
    document = json.loads(offered[f"{STEM}-coco.json"]())
    assert [a["area"] for a in document["annotations"]] == [m.pixels.sum() for m in expected]
    assert document["images"][0]["file_name"] == PHOTO.file_name
    archive = zipfile.ZipFile(io.BytesIO(offered[f"{STEM}-objects.zip"]()))
    names = {f"object-{number}.png" for number in range(1, len(expected) + 1)}
    assert set(archive.namelist()) == names | {"mask.png", "cutout.png", "coco.json"}


def test_objects_have_colours_of_their_own(offered, small_weights):
    opened(**SEVERAL, view="overlay")
    expected = [mask.pixels for mask in expected_masks(small_weights)]
    view = np.asarray(Image.open(io.BytesIO(offered[f"{STEM}-overlay.png"]()))).astype(int)
    rgb = dino.decode(PHOTO.data).astype(int)
    for number, mask in enumerate(expected):
        tint = 0.45 * rgb[mask] + 0.55 * np.array(object_color(number))
        assert np.abs(view[mask] - tint).max() <= 1
    outside = ~np.any(expected, axis=0)
    assert np.abs(view[outside] - 0.55 * rgb[outside]).max() <= 1


def test_the_numbers_are_those_of_the_discovery(offered, small_weights):
    opened(**SEVERAL)
    kept = keys.photo_keys(dino.load(small_weights), dino.decode(PHOTO.data), size=224)
    found = methods.discover(
        kept.last.joined((1,), kind="plain"), kept.geometry.grid, method="maskcut", objects=4
    )
    with np.load(io.BytesIO(offered[f"{STEM}-objects.npz"]())) as arrays:
        for name in ("masks", "scores", "seeds", "boxes", "grid"):
            np.testing.assert_array_equal(arrays[name], getattr(found, name))
        assert MaskSettings.from_json(str(arrays["settings"])) == SETTINGS


@pytest.mark.parametrize("method", METHODS)
def test_the_copied_command_writes_the_downloaded_files(
    method, offered, monkeypatch, tmp_path, capsys
):
    from dino.cli.main import run

    shown = {"lost": "LOST", "tokencut": "TokenCut", "maskcut": "MaskCut"}[method]
    at = opened(**{**SEVERAL, "method": shown, "largest": "true"})
    words = shlex.split(command(at))
    words[-1] = str(tmp_path / "out")
    monkeypatch.setattr(sys, "argv", words[2:])
    with pytest.raises(SystemExit) as caught:
        run()
    assert not caught.value.code, capsys.readouterr().err
    assert (tmp_path / "out" / "coco.json").read_bytes() == offered[f"{STEM}-coco.json"]()
    for path in (tmp_path / "out" / STEM).iterdir():
        if path.name != "cutout.png" and not (method != "maskcut" and "object" in path.name):
            assert path.read_bytes() == offered[f"{STEM}-{path.name}"]()


def test_a_reference_scores_each_object(small_weights):
    at = opened(**SEVERAL)
    expected = [mask.pixels for mask in expected_masks(small_weights)]
    buffer = io.BytesIO()
    Image.fromarray(expected[1]).save(buffer, "PNG")
    uploader = at.file_uploader(key=f"reference_{PHOTO.id[:16]}")
    uploader.upload("drawn.png", buffer.getvalue(), "image/png").run()
    assert not at.exception
    (table,) = (element.value for element in at.dataframe)
    values = dict(zip(table["Mask"], table["J"], strict=True))
    assert values["Object 2"] == pytest.approx(1.0)
    assert values["Object 1"] == pytest.approx(jaccard(expected[0], expected[1]))
    whole = propose(dino.load(small_weights), dino.decode(PHOTO.data), SETTINGS).pixels
    assert values["This mask"] == pytest.approx(jaccard(whole, expected[1]))
    assert "The best union is of object 2 alone" in text(at)
    assert "J 1.00" in text(at)


def test_objects_too_small_are_left_out_of_every_file(offered, small_weights):
    opened(**SEVERAL, min_area="10")
    settings = MaskSettings(**{**vars(SETTINGS), "min_area": 0.1})
    expected = expected_masks(small_weights, settings)
    assert len(expected) < len(expected_masks(small_weights))
    document = json.loads(offered[f"{STEM}-coco.json"]())
    assert len(document["annotations"]) == len(expected)
    assert len(document["images"]) == 1


def test_nothing_found_is_said(monkeypatch, offered):
    from app.cache import masks
    from dino.masks.discovery.methods import build_discovery

    monkeypatch.setattr(
        masks.proposals,
        "discover_objects",
        lambda kept, settings: build_discovery("tokencut", [], kept.geometry.grid),
    )
    at = opened(method="TokenCut", refine="guided filter")
    assert not at.exception
    assert "TokenCut, no object: 0 of" in text(at)
    assert "to these weights all patches are alike" in text(at)
    assert not mask_of(offered[f"{STEM}-mask.png"]()).any()
    assert json.loads(offered[f"{STEM}-coco.json"]())["annotations"] == []


def test_too_many_patches_are_refused_in_a_sentence():
    at = opened(method="TokenCut", size="1024")
    assert not at.exception
    assert f"sought among up to {MAX_PATCHES:,}" in text(at)


def test_heads_can_be_left_out_until_there_is_none():
    at = opened(method="LOST")
    at.pills(key="heads").set_value([]).run()
    assert "Choose at least one head" in text(at)
    assert not at.exception
