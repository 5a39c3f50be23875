"""The command line: files written, sentences said, exit codes."""

import json
import threading
import time

import numpy as np
import pytest
from PIL import Image

import dino
import dino.masks.proposals
from dino.system.files import content_id


def folder_of(photo, tmp_path):
    return tmp_path / "out" / f"{photo.stem}-{content_id(photo.read_bytes())[:8]}"


def test_attend_writes_what_the_library_computes(cli, photo_file, small_weights, tmp_path):
    code, _, err = cli("attend", photo_file, "--size", 96, "--mass", 0.5, "--precision", "fp32")
    assert code == 0, err
    folder = folder_of(photo_file, tmp_path)
    names = {f"{kind}-{i}.png" for kind in ("head", "mask") for i in range(3)}
    assert {path.name for path in folder.iterdir()} == (
        names | {"mean.png", "max.png", "sheet.png", "attention.npz"}
    )
    backbone = dino.load(small_weights, precision="fp32")
    rgb = dino.decode(photo_file.read_bytes())
    image, geometry = dino.preprocess(
        rgb, size=96, patch_size=8, mean=backbone.mean, std=backbone.std
    )
    maps = backbone.attention(image).weights[0, 0, 0]
    with np.load(folder / "attention.npz") as arrays:
        np.testing.assert_allclose(arrays["weights"], maps, atol=1e-6)
        assert arrays["grid"].tolist() == list(geometry.grid) == [9, 12]
        assert arrays["original_hw"].tolist() == [120, 160]
        assert arrays["resized_hw"].tolist() == [72, 96]
        assert str(arrays["weights_sha256"]) == backbone.weights_sha256
        assert str(arrays["precision"]) == "fp32"
    expected = geometry.to_photo(dino.mass_mask(maps, 0.5).numpy())
    for head in range(3):
        pixels = np.asarray(Image.open(folder / f"mask-{head}.png"))
        np.testing.assert_array_equal(pixels > 0, expected[head])


def test_the_same_command_twice_writes_the_same_bytes(cli, photo_file, tmp_path):
    cli("attend", photo_file, "--size", 96)
    folder = folder_of(photo_file, tmp_path)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    cli("attend", photo_file, "--size", 96)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_segment_writes_masks_cutouts_and_one_coco_file(cli, photo_file, tmp_path):
    folder = tmp_path / "photos" / "sub"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(photo_file.read_bytes())
    Image.open(photo_file).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "b.jpg")
    code, _, err = cli("segment", tmp_path / "photos", "--size", 96, "--heads", "0,2")
    assert code == 0, err
    document = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["a.png", "b.jpg"]
    for image, annotation in zip(document["images"], document["annotations"], strict=True):
        data = (folder / image["file_name"]).read_bytes()
        results = tmp_path / "out" / f"{image['file_name'][0]}-{content_id(data)[:8]}"
        mask = np.asarray(Image.open(results / "mask.png")) > 0
        assert annotation["area"] == mask.sum() > 0
        alpha = np.asarray(Image.open(results / "cutout.png"))[..., 3]
        np.testing.assert_array_equal(alpha > 0, mask)


def test_segment_by_other_methods_writes_what_the_library_proposes(
    cli, photo_file, small_weights, tmp_path
):
    from dino.masks.proposals import propose
    from dino.masks.settings import MaskSettings

    settings = MaskSettings(
        size=96,
        method="kmeans",
        clusters=3,
        combine="union",
        largest=True,
        fill_holes=True,
        min_area=0.01,
        refine="grabcut",
    )
    code, _, err = cli(
        *("segment", photo_file, "--size", 96, "--method", "kmeans", "--clusters", 3),
        *("--combine", "union", "--largest", "--fill-holes", "--min-area", 0.01),
        *("--refine", "grabcut", "--precision", "fp32"),
    )
    assert code == 0, err
    backbone = dino.load(small_weights, precision="fp32")
    expected = propose(backbone, dino.decode(photo_file.read_bytes()), settings).pixels
    mask = np.asarray(Image.open(folder_of(photo_file, tmp_path) / "mask.png"))
    np.testing.assert_array_equal(mask > 0, expected)
    (annotation,) = json.loads((tmp_path / "out" / "coco.json").read_text())["annotations"]
    counts = annotation["segmentation"]["counts"]
    decoded = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(160, 120).T
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_project_writes_points_and_pictures(cli, photo_file, tmp_path, method):
    code, _, err = cli("project", photo_file, "--size", 96, "--method", method, "--dims", 3)
    assert code == 0, err
    folder = folder_of(photo_file, tmp_path)
    assert {path.name for path in folder.iterdir()} == {
        *("pca-rgb.png", "points.csv", "points.html", "projection.npz")
    }
    with np.load(folder / "projection.npz") as arrays:
        assert arrays["points"].shape == (9 * 12, 3)
        assert np.isfinite(arrays["points"]).all()
        assert str(arrays["method"]) == method


def test_a_broken_photo_is_named_and_the_others_go_on(cli, photo_file, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff not a picture")
    code, _, err = cli("attend", broken, photo_file, "--size", 64)
    assert code == 1
    assert "1 of 2 failed" in err
    assert "broken.jpg" in err
    assert (folder_of(photo_file, tmp_path) / "sheet.png").exists()
    assert "Traceback" not in err


def test_many_photos_side_by_side_are_named_and_listed_in_order(
    cli, photo_file, tmp_path, monkeypatch
):
    monkeypatch.setattr("dino.model.parallel.photos_at_once", lambda *_, **__: 3)
    real, threads = dino.masks.proposals.propose_objects, set()

    def slow_at_first(*given):
        threads.add(threading.get_ident())
        time.sleep(0.2 if len(threads) == 2 else 0)
        return real(*given)

    monkeypatch.setattr("dino.masks.proposals.propose_objects", slow_at_first)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(7):
        data = photo_file.read_bytes()
        (folder / f"{number}.jpg").write_bytes(b"no photo" if number == 4 else data)
    code, _, err = cli("segment", folder, "--size", 64)
    assert code == 1
    lines = [line for line in err.splitlines() if line.startswith("[")]
    assert [line.split("]")[0] for line in lines] == [f"[{number}/7" for number in range(1, 8)]
    assert [number for number, line in enumerate(lines) if "failed" in line] == [4]
    coco = json.loads((tmp_path / "out" / "coco.json").read_text())
    names = [image["file_name"] for image in coco["images"]]
    assert names == [f"{number}.jpg" for number in range(7) if number != 4]
    assert len(threads) > 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["attend", "missing.jpg"], "does not exist"),
        (["segment", "PHOTO", "--heads", "0,9"], "head 9 does not exist; there are 3"),
        (["weights", "fetch", "nosuch"], "not in the zoo"),
        (["weights", "convert", "random_vitt16", "out.pth"], "out.safetensors"),
        (["attend", "EMPTY"], "no photos in"),
        (["attend", "PHOTO", "--weights", "w" * 300], "too long"),
        (["attend", "PHOTO", "--device", "meta"], "expected auto, cpu, cuda"),
        (["attend", "PHOTO", "--mass", "1.5"], "mass is 1.5"),
        (["attend", "PHOTO", "--mass", "0"], "mass is 0"),
        (["attend", "PHOTO", "--weights", "dino_vits61"], "dino_vits16"),
        (["attend", "PHOTO", "--weights", "nowhere.pth"], "nowhere.pth"),
        (["attend", "PHOTO", "--device", "tpu9"], "expected auto, cpu, cuda"),
        (["attend", "PHOTO", "--opacity", "2"], "--opacity"),
        (["segment", "PHOTO", "--heads", "one"], "expected numbers such as"),
        (["segment", "PHOTO", "--clusters", "1"], "clusters is 1"),
        (["segment", "PHOTO", "--min-area", "1"], "min_area is 1"),
        (["segment", "PHOTO", "--method", "sam"], "--method"),
        (["segment", "PHOTO", "--refine", "snap"], "--refine"),
        (["project", "PHOTO", "--dims", "4"], "--dims"),
        (["weights", "fetch", "--nonsense"], "--nonsense"),
        (["weights", "info", "nowhere.pth"], "nowhere.pth"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(cli, photo_file, tmp_path, words, says):
    (tmp_path / "empty").mkdir()
    places = {"PHOTO": photo_file, "EMPTY": tmp_path / "empty"}
    code, _, err = cli(*[places.get(word, word) for word in words])
    assert code == 2
    assert says in err
    assert "Traceback" not in err


def test_a_size_that_does_not_fit_is_refused_with_one_that_does(cli, photo_file):
    code, _, err = cli("attend", photo_file, "--size", 8192)
    assert code == 1
    assert "the limit is 16,384" in err
    assert "px or less" in err


def test_no_weights_says_how_to_get_some(cli, photo_file, monkeypatch):
    monkeypatch.delenv("DINO_WEIGHTS")
    code, _, err = cli("attend", photo_file)
    assert code == 2
    assert "weights fetch default" in err


def test_random_weights_are_named_as_such(cli, photo_file):
    code, _, err = cli("attend", photo_file, "--weights", "random_vitt16", "--size", 64)
    assert code == 0
    assert "nothing learned" in err


def test_weights_convert_info_verify_and_list(cli, small_weights, tmp_path):
    code, out, _ = cli("weights", "convert", small_weights, tmp_path / "half.safetensors")
    assert code == 0
    assert "half.safetensors" in out
    code, out, _ = cli("weights", "info", tmp_path / "half.safetensors")
    assert code == 0
    facts = dict(line.split(maxsplit=1) for line in out.splitlines() if len(line.split()) > 1)
    assert (facts["embed_dim"], facts["patch_size"], facts["num_heads"]) == ("48", "8", "3")
    code, out, _ = cli("weights", "list")
    assert code == 0
    assert "dino_vits16" in out
    assert "not purely emergent" in out
    code, out, _ = cli("weights", "verify")
    assert (code, out.strip()) == (0, "nothing was fetched yet")


def test_weights_verify_finds_a_flipped_byte(cli, tmp_path):
    from dino.system.files import hash_file
    from dino.weights.download import record

    path = tmp_path / "some.safetensors"
    path.write_bytes(b"weights")
    record(path, hash_file(path))
    assert cli("weights", "verify", path)[0] == 0
    path.write_bytes(b"weighty")
    code, _, err = cli("weights", "verify", path)
    assert code == 1
    assert "changed or damaged" in err


def test_help_names_every_command_with_units_and_defaults(cli):
    code, out, _ = cli("--help")
    assert code == 0
    for verb in ("attend", "segment", "project", "weights"):
        assert verb in out
    out = " ".join(cli("attend", "--help")[1].split())
    assert "in px" in out
    assert "[default: 480" in out
    assert "[default: 0.6]" in out
