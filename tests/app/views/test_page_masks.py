"""The Masks page without a browser: every control, references, and files read back."""

import io
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
from dino.attention import photo as attention_photo
from dino.masks.proposals import patch_masks, propose
from dino.masks.reference import score_heads
from dino.masks.settings import MaskSettings
from dino.media.draw import encode_png
from dino.media.regions import jaccard
from dino.system.files import results_name


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)


@pytest.fixture
def forwards(monkeypatch) -> list[str]:
    return count_calls(monkeypatch, (attention_photo, "attention_and_features"))


def opened(**params: str) -> AppTest:
    return open_page("masks", **{"size": "224", **params})


@pytest.fixture
def offered(monkeypatch) -> dict:
    return collect_downloads(monkeypatch)


def uploader(at: AppTest):
    return at.file_uploader(key=f"reference_{bundled_photos()['macaw'].id[:16]}")


def test_the_first_view_is_as_simple_as_the_command(forwards):
    at = opened()
    assert forwards == ["attention_and_features"]
    assert at.segmented_control(key="method").value == "mass"
    assert not at.slider(key="mass").disabled
    assert "--mass 0.6 --combine mean --out out" in command(at)


def test_every_control_changes_the_mask_and_its_command_without_a_forward(forwards):
    at = opened()
    for key, value, flag in (
        ("largest", True, "--largest"),
        ("holes", True, "--fill-holes"),
    ):
        at.toggle(key=key).set_value(value).run()
        assert flag in command(at)
    at.slider(key="min_area").set_value(2.5).run()
    assert "--min-area 0.025" in command(at)
    assert "then pieces below 2.5 % dropped, largest piece, holes filled" in text(at)
    for shown, name in (("guided filter", "guided"), ("GrabCut", "grabcut")):
        at.segmented_control(key="refine").set_value(shown).run()
        assert f"--refine {name}" in command(at)
        assert shown in text(at)
    at.toggle(key="before").set_value(True).run()
    assert "Shown before refinement" in text(at)
    at.segmented_control(key="view").set_value("outline").run()
    at.segmented_control(key="method").set_value("Otsu").run()
    assert "above Otsu's threshold" in text(at)
    assert "--method otsu" in command(at)
    assert "--mass" not in command(at)
    assert at.slider(key="mass").disabled
    assert not at.exception
    assert forwards == ["attention_and_features"]


def test_kmeans_takes_no_other_forward(forwards):
    at = opened()
    at.segmented_control(key="method").set_value("k-means").run()
    assert forwards == ["attention_and_features"]
    assert "in 4 groups by k-means" in text(at)
    at.slider(key="clusters").set_value(3).run()
    at.pills(key="heads").set_value(["1"]).run()
    at.segmented_control(key="refine").set_value("guided filter").run()
    at.segmented_control(key="method").set_value("mass").run()
    at.segmented_control(key="method").set_value("k-means").run()
    assert not at.exception
    assert "Head 1 in 3 groups by k-means" in text(at)
    assert "--method kmeans --clusters 3 --refine guided" in command(at)
    assert forwards == ["attention_and_features"]


def test_a_link_restores_every_control():
    at = opened(
        method="k-means",
        clusters="5",
        largest="true",
        holes="true",
        min_area="1.5",
        refine="GrabCut",
        before="true",
        heads="1",
        view="outline",
    )
    assert (
        "--combine mean --heads 1 --method kmeans --clusters 5 --min-area 0.015 --largest "
        "--fill-holes --refine grabcut"
    ) in command(at)
    assert at.toggle(key="before").value


@pytest.mark.parametrize(
    ("params", "settings"),
    [
        ({}, MaskSettings(size=224)),
        ({"mass": "80", "refine": "guided filter"}, MaskSettings(224, 0.8, refine="guided")),
        (
            {"method": "k-means", "largest": "true", "holes": "true", "refine": "GrabCut"},
            MaskSettings(224, method="kmeans", largest=True, fill_holes=True, refine="grabcut"),
        ),
    ],
)
def test_downloads_hold_the_mask_the_library_proposes(params, settings, offered, small_weights):
    opened(before="true", **params)
    photo = bundled_photos()["macaw"]
    rgb = dino.decode(photo.data)
    expected = propose(dino.load(small_weights), rgb, settings).pixels
    stem = results_name(photo.file_name, photo.id)
    mask = np.asarray(Image.open(io.BytesIO(offered[f"{stem}-mask.png"]())))
    assert set(np.unique(mask)) <= {0, 255}
    np.testing.assert_array_equal(mask > 0, expected)
    cutout = np.asarray(Image.open(io.BytesIO(offered[f"{stem}-cutout.png"]())))
    np.testing.assert_array_equal(cutout[..., 3] > 0, expected)
    np.testing.assert_array_equal(cutout[expected][:, :3], rgb[expected])
    view = np.asarray(Image.open(io.BytesIO(offered[f"{stem}-overlay.png"]())))
    assert view.shape == rgb.shape


def test_the_zip_holds_each_heads_own_mask_refined(offered, small_weights):
    opened(refine="guided filter", largest="true")
    photo = bundled_photos()["macaw"]
    rgb, backbone = dino.decode(photo.data), dino.load(small_weights)
    archive = zipfile.ZipFile(
        io.BytesIO(offered[f"{results_name(photo.file_name, photo.id)}-masks.zip"]())
    )
    names = {
        f"{head}{kind}.png"
        for head in ("", *(f"head-{i}-" for i in range(3)))
        for kind in ("mask", "cutout")
    }
    assert set(archive.namelist()) == names
    settings = MaskSettings(224, heads=(2,), refine="guided", largest=True)
    mask = np.asarray(Image.open(io.BytesIO(archive.read("head-2-mask.png")))) > 0
    np.testing.assert_array_equal(mask, propose(backbone, rgb, settings).pixels)


def test_the_copied_command_writes_the_downloaded_mask(offered, monkeypatch, tmp_path, capsys):
    from dino.cli.main import run

    at = opened(refine="guided filter", method="Otsu", holes="true")
    words = shlex.split(command(at))
    assert words[:3] == ["python", "-m", "dino"]
    words[-1] = str(tmp_path / "out")
    monkeypatch.setattr(sys, "argv", words[2:])
    with pytest.raises(SystemExit) as caught:
        run()
    assert not caught.value.code, capsys.readouterr().err
    photo = bundled_photos()["macaw"]
    stem = results_name(photo.file_name, photo.id)
    written = (tmp_path / "out" / stem / "mask.png").read_bytes()
    assert written == offered[f"{stem}-mask.png"]()


def test_a_reference_scores_heads_the_mask_and_the_best_union(small_weights):
    at = opened(refine="guided filter")
    rgb = dino.decode(bundled_photos()["macaw"].data)
    truth = np.zeros(rgb.shape[:2], bool)
    truth[100:500, 150:600] = True
    uploader(at).upload("drawn.png", encode_png(truth), "image/png").run()
    assert not at.exception
    backbone, settings = dino.load(small_weights), MaskSettings(size=224, refine="guided")
    attention = attention_photo.attend(backbone, rgb, size=224)
    scores = score_heads(patch_masks(attention.heads, settings), truth, attention.geometry)
    (table,) = (element.value for element in at.dataframe)
    values = dict(zip(table["Mask"], table["J"], strict=True))
    assert list(table["J"]) == sorted(table["J"], reverse=True)
    for head in range(3):
        assert values[f"Head {head}"] == pytest.approx(scores.heads[head])
        assert f"J {scores.heads[head]:.2f}" in text(at)
    refined = propose(backbone, rgb, settings).pixels
    assert values["This mask"] == pytest.approx(jaccard(refined, truth))
    plain = propose(backbone, rgb, MaskSettings(size=224)).pixels
    assert values["Before refinement"] == pytest.approx(jaccard(plain, truth))
    assert values["Oracle: best union"] == pytest.approx(scores.union)
    union = ", ".join(map(str, sorted(scores.union_heads)))
    heads = f"heads {union}" if len(scores.union_heads) > 1 else f"head {union} alone"
    assert f"The best union is of {heads}: an oracle" in text(at)
    at.slider(key="mass").set_value(90).run()
    assert list(at.dataframe[0].value["J"]) != list(table["J"])
    at.button(key="reference_remove").click().run()
    assert not at.dataframe
    assert "J 0" not in text(at)


def test_a_reference_of_the_photos_aspect_is_resized_and_others_are_refused():
    at = opened()
    height, width = dino.decode(bundled_photos()["macaw"].data).shape[:2]
    uploader(at).upload("wide.png", encode_png(np.ones((40, 400), bool)), "image/png").run()
    assert not at.exception
    assert f"wide.png: the reference mask is 400×40 px and the photo {width}×{height}" in text(at)
    assert not at.dataframe
    uploader(at).upload("black.png", encode_png(np.zeros((height, width), bool)), "image/png").run()
    assert "black.png: the reference mask marks nothing" in text(at)
    uploader(at).upload("notes.png", b"no picture", "image/png").run()
    assert "notes.png: got a text file" in text(at)
    double = np.ones((2 * height, 2 * width), bool)
    uploader(at).upload("double.png", encode_png(double), "image/png").run()
    assert not at.error
    assert f"Resized from {2 * width}×{2 * height} px" in text(at)
    assert at.dataframe


def test_a_reference_belongs_to_its_photo():
    at = opened()
    height, width = dino.decode(bundled_photos()["macaw"].data).shape[:2]
    uploader(at).upload("drawn.png", encode_png(np.ones((height, width), bool)), "image/png").run()
    assert at.dataframe
    at.sidebar.selectbox(key="photo").set_value("cat").run()
    assert not at.dataframe
    assert "drawn.png" not in text(at)
    at.sidebar.selectbox(key="photo").set_value("macaw").run()
    assert at.dataframe


def test_a_file_name_of_a_reference_is_never_markup():
    at = opened()
    uploader(at).upload("![x](https://example.invalid).png", b"no picture", "image/png").run()
    (error,) = (element.value for element in at.error)
    assert "![" not in error
    assert "](" not in error


def test_a_mask_with_nothing_left_is_shown_as_nothing():
    at = opened(min_area="10", mass="1")
    assert "0% of the photo" in text(at)
    assert not at.exception
