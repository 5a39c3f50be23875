"""The Gallery and the joint part of Features, driven without a browser; embeddings as real processes."""

import csv
import io
import json
import os
import re
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.app_cases import open_page, start_afresh, text
from PIL import Image
from streamlit.testing.v1 import AppTest

import dino
from app.cache.gallery import find_gallery
from app.state.selection import Choice, bundled_photos
from app.views.gallery import map, sorting
from dino.errors import UserError
from dino.features.figures import photo_scatter
from dino.features.folder import Preparation, embed_photos, jobs, read_features
from dino.features.folder.sorting import choose_places, copy_sorted, zip_sorted
from dino.features.projections import project
from dino.weights.saving import save

COLOURS = {"blue": (40, 60, 210), "green": (50, 190, 60), "red": (210, 50, 40)}


def opened(name: str = "gallery", **params: str) -> AppTest:
    return open_page(name, **params)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path, small_weights):
    """Set up small weights, empty folders, and 18 photos of three classes below the data root."""
    start_afresh(monkeypatch, tmp_path, small_weights)
    monkeypatch.setenv("DINO_DATA_ROOT", str(tmp_path / "data"))
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        folder = tmp_path / "data" / "paint" / name
        folder.mkdir(parents=True)
        for number in range(6):
            rgb = np.clip(np.array(colour) + rng.normal(0, 12, (40, 40, 3)), 0, 255)
            Image.fromarray(rgb.astype(np.uint8)).save(folder / f"{number}.png")


@pytest.fixture
def paint(tmp_path) -> Path:
    return tmp_path / "data" / "paint"


@pytest.fixture
def embedded(paint, small_weights):
    """Embed the folder of photos where the page looks for its features."""
    return embed(paint, small_weights)


def embed(folder: Path, weights: Path, name: str = "small"):
    backbone = dino.load(weights)
    gallery = find_gallery(folder, name, backbone, 96)
    embed_photos(backbone, folder, gallery.out, preparation=Preparation(size=96), workers=0)
    return find_gallery(folder, name, backbone, 96)


def wait_for(out: Path, *statuses: str) -> None:
    deadline = time.monotonic() + 120
    while (job := jobs.read_job(out)).status not in statuses:
        assert time.monotonic() < deadline, job
        time.sleep(0.1)


# --- Embedding as a process ---------------------------------------------------------------------


def test_photos_are_embedded_by_a_process_and_shown(paint, small_weights):
    at = opened(folder="paint", crop="96")
    assert "The features of 18 photos are not there yet" in text(at)
    at.button(key="embed_start").click().run()
    assert not at.exception
    gallery = find_gallery(paint, "small", dino.load(small_weights), 96)
    assert jobs.read_job(gallery.out).status in ("starting", "running", "finished")
    wait_for(gallery.out, "finished")
    at.run()
    assert "18 photos as seen by small" in text(at)
    assert "The axes hold" in text(at)
    assert len(read_features(gallery.out)) == 18


def test_an_embedding_is_paused_and_resumed(paint, small_weights, tmp_path):
    out = tmp_path / "out"
    options = {"weights": str(small_weights), "size": 96, "batch_size": 1, "workers": 0}
    for number in range(400):
        (paint / "red" / f"more-{number}.png").write_bytes((paint / "red" / "0.png").read_bytes())
    jobs.start(paint, out, **options)
    with pytest.raises(UserError, match="being embedded already"):
        jobs.start(paint, out, **options)
    wait_for(out, "running")
    jobs.stop(out)
    wait_for(out, "stopped")
    job = jobs.read_job(out)
    assert job.progress.total == 418
    assert 0 < job.progress.done < 418
    assert not job.done
    with pytest.raises(UserError, match="nothing to stop"):
        jobs.stop(out)
    jobs.start(paint, out, **{**options, "batch_size": 64})
    wait_for(out, "finished")
    job = jobs.read_job(out)
    pid = json.loads((out / "launch.json").read_text())["pid"]
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    assert str(pid) not in children  # a child of ours would stay as a zombie
    assert (job.done, job.progress.done) == (True, 418)


def test_an_embedding_that_cannot_begin_says_why(tmp_path, small_weights):
    (tmp_path / "empty").mkdir()
    jobs.start(tmp_path / "empty", tmp_path / "out", weights=str(small_weights), size=96)
    wait_for(tmp_path / "out", "failed")
    assert "holds no photos" in jobs.read_job(tmp_path / "out").reason


# --- The page -----------------------------------------------------------------------------------


def test_no_folder_and_a_folder_outside_are_said(tmp_path):
    assert "is not below" in text(opened(folder="../.."))
    assert "there is no folder" in text(opened(folder="nowhere"))


def test_groups_are_chosen_without_a_mouse_and_listed(embedded):
    at = opened(folder="paint", crop="96")
    at.multiselect(key="pick").set_value(["green"]).run()
    said = text(at)
    assert "6 photos chosen" in said
    assert said.count("data:image/jpeg") == 6
    assert 'alt="green/0.png"' in said
    (command,) = (code.value for code in at.code)
    assert "python -m dino embed" in command
    assert "--size 96" in command


def test_colours_by_cluster_and_date_and_tsne(embedded):
    at = opened(folder="paint", crop="96", tint="cluster")
    at.slider(key="clusters").set_value(3).run()
    assert "cluster 2" in at.multiselect(key="pick").options
    at.segmented_control(key="tint").set_value("date").run()
    assert "0% of the dates are from the cameras" in text(at)
    at.segmented_control(key="map").set_value("t-SNE").run()
    assert "distances between them little" in text(at)
    assert not at.exception


def test_the_neighbours_are_the_library_s(embedded):
    at = opened(folder="paint", crop="96", see="Neighbours", like="red/3.png")
    from dino.features.neighbours import nearest

    row = embedded.photos.paths.index("red/3.png")
    found = nearest(embedded.photos.features, row, k=17)
    said = text(at)
    positions = [said.index(f'alt="{embedded.photos.paths[r]}"') for r in found.rows.tolist()]
    assert positions == sorted(positions)
    assert f"cosine {found.cosines[0]:.3f}" in said


def test_near_duplicates_are_found(embedded, paint, small_weights):
    (paint / "blue" / "copy.png").write_bytes((paint / "red" / "1.png").read_bytes())
    embed(paint, small_weights)
    at = opened(folder="paint", crop="96", see="Near-duplicates", alike="0.99")
    said = text(at)
    assert re.search(r"Group 1: \d photos, cosine up to 1\.000", said)
    (first, *_) = (html.value for html in at.get("html") if "dx-thumbs" in html.value)
    assert first.index('alt="blue/copy.png"') < first.index('alt="red/1.png"')
    assert "green" not in first


def test_a_photo_that_went_away_is_said_in_a_sentence(embedded, paint):
    (paint / "blue" / "0.png").unlink()
    at = opened(folder="paint", crop="96", size="224", see="Neighbours", like="blue/0.png")
    assert "blue/0.png cannot be read" in at.error[0].value.replace("\\", "")
    assert "Whole, at 224 px" in text(at)  # the neighbour is there


def test_before_and_after_are_put_beside_each_other(embedded, paint, tmp_path, small_weights):
    import torch
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(4)
    model = VisionTransformer(
        img_size=64, patch_size=8, embed_dim=48, depth=1, num_heads=3, num_classes=0
    )
    other = tmp_path / "checkpoints" / "other.safetensors"
    save(model.state_dict(), other, dtype="fp32", metadata={"name": "other", "num_heads": 3})
    at = opened(folder="paint", crop="96", see="Before and after", against="other")
    assert not at.exception
    assert "are not there yet for other" in text(at)
    embed(paint, other, "other")
    at.run()
    metrics = {metric.label: metric.value for metric in at.metric}
    from dino.features.folder import folder_accuracy

    expected = folder_accuracy(embedded.photos, k=20).accuracy.top1
    assert metrics["k-NN, small"] == f"{expected:.2f} %"
    assert set(metrics) == {"k-NN, small", "k-NN, other", "Neighbours in common"}
    assert text(at).count("this photo") == 2


# --- What is exported ---------------------------------------------------------------------------


def test_the_csv_tells_every_photo(embedded, small_weights):
    photos = embedded.photos
    drawn = map.Map(
        embedded,
        project(photos.features),
        photos.labels,
        "sub-folder",
        Choice(bundled_photos()["cat"], "small", 224),
        dino.load(small_weights),
    )
    lines = list(csv.DictReader(io.StringIO(map.photos_csv(drawn, np.array([0, 7])).decode())))
    assert [line["path"] for line in lines] == [photos.paths[0], photos.paths[7]]
    assert lines[1]["group"] == "green"
    assert float(lines[1]["x"]) == pytest.approx(float(drawn.projection.points[7, 0]), rel=1e-5)
    assert lines[0]["sha256"] == photos.sha256[0]


def test_a_point_leads_back_to_its_photo():
    points = project(np.random.default_rng(0).standard_normal((50, 4)))
    names = [f"{n}.png" for n in range(50)]
    groups = [f"g{n % 25}" for n in range(50)]  # more groups than colours
    figure = photo_scatter(points, names, groups=groups)
    assert len(figure.data) == 21
    seen = {}
    for trace in figure.data:
        for row, x, name in zip(trace.customdata, trace.x, trace.text, strict=True):
            seen[int(row)] = (float(x), name)
    assert seen == {n: (float(points.points[n, 0]), names[n]) for n in range(50)}
    dates = np.array(["2020-01-01", "2020-06-01"] * 25, dtype="datetime64[s]")
    (trace,) = photo_scatter(points, names, dates=dates).data
    assert trace.marker.colorbar.ticktext[0] == "2020-01-01"
    assert trace.type == "scattergl"


def test_photos_are_sorted_into_folders_and_the_originals_stay(paint, tmp_path):
    wanted = choose_places(
        ["red/0.png", "blue/0.png", "red-0.png"], ["cluster 1", "../x", "cluster 1"]
    )
    assert wanted == {
        "red/0.png": "cluster 1/red-0.png",
        "blue/0.png": "-x/blue-0.png",
        "red-0.png": "cluster 1/red-0-2.png",
    }
    assert copy_sorted(paint, wanted, tmp_path / "sorted") == 2  # the third is not there
    copied = (tmp_path / "sorted" / "cluster 1" / "red-0.png").read_bytes()
    assert copied == (paint / "red" / "0.png").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        copy_sorted(paint, wanted, tmp_path / "sorted")
    with pytest.raises(UserError, match="none of the photos"):
        copy_sorted(paint, {"no.png": "a/no.png"}, tmp_path / "other")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".copying")) == []
    with zipfile.ZipFile(io.BytesIO(zip_sorted(paint, wanted))) as archive:
        assert archive.namelist() == ["cluster 1/red-0.png", "-x/blue-0.png"]
        assert archive.read("cluster 1/red-0.png") == copied


@pytest.mark.parametrize("name", ["..", "../x", "/etc/x", "", ".", "a\0b"])
def test_nothing_is_copied_outside_the_data_root(tmp_path, name):
    with pytest.raises(UserError, match="is not a folder below"):
        sorting.target_below(tmp_path, name)


def test_the_page_copies_below_the_data_root(embedded, tmp_path):
    at = opened(folder="paint", crop="96")
    at.multiselect(key="pick").set_value(["blue", "red"]).run()
    (copy,) = (button for button in at.button if button.label == "Copy on the server")
    copy.click().run()
    assert "12 photos copied" in "\n".join(element.value for element in at.success)
    assert len(list((tmp_path / "data" / "paint-sorted" / "blue").iterdir())) == 6


# --- Features: several photos -------------------------------------------------------------------


def test_several_photos_are_painted_in_one_basis():
    at = opened("features", size="224", patches="Several photos", joint="macaw,cat")
    said = text(at)
    assert "the three components hold" in said
    at.toggle(key="front").set_value(True).run()
    assert not at.exception
    (command,) = (code.value for code in at.code)
    assert "joint app/photos/macaw.jpg" in command
    assert "--foreground 0.6" in command
    fewer, more = (
        int(re.search(r"([\d,]+) patches; the three", each)[1].replace(",", ""))
        for each in (text(at), said)
    )
    assert fewer < more
    at.multiselect(key="joint").set_value([]).run()
    assert "Choose photos to paint" in text(at)
