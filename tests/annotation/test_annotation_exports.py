"""Exports read back with the readers others use: pycocotools, PIL, numpy; and the command line."""

import io
import json

import numpy as np
import pytest
from helpers.annotation_cases import area, begin, disc, ring, state_of, write_photos
from PIL import Image

from dino.annotation.exports import export_files, join_polygons
from dino.annotation.session import open_session
from dino.errors import UserError
from dino.media.regions import jaccard, rasterize

COCO = pytest.importorskip("pycocotools.coco").COCO
BIG, SMALL, EMPTY = disc((60, 60), 40), disc((60, 110), 30), np.zeros((120, 160), bool)
PARTS = disc((30, 30), 20) | disc((80, 120), 25)


@pytest.fixture
def session(tmp_path):
    """Photo 0: overlapping objects of two classes; 1: holes, parts, an empty one; 2: rejected;
    3: accepted without objects; 4: to do."""
    session = begin(tmp_path / "sessions" / "pets", write_photos(tmp_path / "photos", 5))
    session.save(0, state_of(BIG, SMALL))
    session.save(1, state_of(ring(), PARTS, EMPTY))
    session.save(2, state_of(BIG, status="rejected"))
    session.save(3, state_of())
    return session


def read_coco(content: bytes, tmp_path) -> "COCO":
    path = tmp_path / "annotations.json"
    path.write_bytes(content)
    return COCO(str(path))


def masks_of(coco, image_id: int) -> list[np.ndarray]:
    return [coco.annToMask(a) > 0 for a in coco.loadAnns(coco.getAnnIds(imgIds=image_id))]


def test_coco_run_lengths_are_exact(session, tmp_path):
    coco = read_coco(
        dict(export_files(session, "coco", polygons=None))["annotations.json"], tmp_path
    )
    assert [i["file_name"] for i in coco.dataset["images"]] == [
        "photo-0000.png",
        "photo-0001.png",
        "photo-0003.png",
    ]
    for image_id, expected in ((1, [BIG, SMALL]), (2, [ring(), PARTS]), (4, [])):
        found = masks_of(coco, image_id)
        assert len(found) == len(expected)
        for ours, theirs in zip(expected, found, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for annotation in coco.dataset["annotations"]:
        mask = coco.annToMask(annotation)
        assert annotation["iscrowd"] == 0
        assert annotation["area"] == mask.sum()
        rows, columns = np.nonzero(mask)
        left, top, width, height = annotation["bbox"]
        assert (left, top) == (columns.min(), rows.min())
        assert (left + width - 1, top + height - 1) == (columns.max(), rows.max())
    assert coco.dataset["categories"] == [
        {"id": 1, "name": "cat", "supercategory": ""},
        {"id": 2, "name": "dog", "supercategory": ""},
    ]
    assert [a["category_id"] for a in coco.dataset["annotations"]] == [1, 2, 1, 2]


def test_coco_polygons_keep_98_percent_and_holes_are_run_lengths(session, tmp_path):
    coco = read_coco(dict(export_files(session, "coco", polygons=1))["annotations.json"], tmp_path)
    kinds = [type(a["segmentation"]).__name__ for a in coco.dataset["annotations"]]
    assert kinds == ["list", "list", "dict", "list"]
    assert len(coco.dataset["annotations"][3]["segmentation"]) == 2
    for image_id, expected in ((1, [BIG, SMALL]), (2, [ring(), PARTS])):
        for ours, theirs in zip(expected, masks_of(coco, image_id), strict=True):
            assert jaccard(ours, theirs) >= 0.98
    np.testing.assert_array_equal(masks_of(coco, 2)[0], ring())
    exact = read_coco(dict(export_files(session, "coco", polygons=0))["annotations.json"], tmp_path)
    for ours, theirs in zip([BIG, SMALL], masks_of(exact, 1), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def read_yolo(text: str, size: tuple[int, int]) -> list[tuple[int, np.ndarray]]:
    found = []
    for line in text.splitlines():
        kind, *numbers = line.split()
        shares = np.array(numbers, float).reshape(-1, 2)
        assert ((shares >= 0) & (shares <= 1)).all()
        found.append((int(kind), rasterize([shares * (size[1], size[0])], size)))
    return found


def test_yolo_lines_are_the_masks_without_holes(session):
    files = {name: content.decode() for name, content in export_files(session, "yolo")}
    assert sorted(files) == [
        "data.yaml",
        "labels/photo-0000.txt",
        "labels/photo-0001.txt",
        "labels/photo-0003.txt",
    ]
    assert files["labels/photo-0003.txt"] == ""
    (kind, big), (other, small) = read_yolo(files["labels/photo-0000.txt"], BIG.shape)
    assert (kind, other) == (0, 1)
    assert jaccard(big, BIG) >= 0.98
    assert jaccard(small, SMALL) >= 0.98
    (_, filled), (_, parts) = read_yolo(files["labels/photo-0001.txt"], BIG.shape)
    assert jaccard(filled, disc((60, 80), 40)) >= 0.98
    assert jaccard(parts, PARTS) >= 0.98
    assert '\n  0: "cat"\n  1: "dog"\n' in files["data.yaml"]


def test_yolo_parts_are_joined_by_bridges_of_no_width():
    squares = [np.array([[x, 0], [x + 1, 0], [x + 1, 1], [x, 1]], float) for x in (0, 3, 6)]
    whole = join_polygons(squares)
    assert area(whole) == 3
    assert len(whole) == 4 + 2 * (4 + 2)


def test_yolo_refuses_two_photos_of_one_label(tmp_path):
    folder = write_photos(tmp_path / "twins", 1)
    Image.open(folder / "photo-0000.png").convert("RGB").save(folder / "photo-0000.jpg")
    session = begin(tmp_path / "twins-session", folder)
    session.save(0, state_of(BIG))
    with pytest.raises(UserError, match="suffix only"):
        list(export_files(session, "yolo"))
    assert sorted(dict(export_files(session, "png"))) == [
        "classes.txt",
        "labels/photo-0000.jpg.png",
    ]


def test_label_pictures_hold_class_numbers_and_later_objects_win(session):
    files = dict(export_files(session, "png"))
    picture = Image.open(io.BytesIO(files["labels/photo-0000.png"]))
    assert picture.mode == "P"
    labels = np.asarray(picture)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels == 2, SMALL)
    np.testing.assert_array_equal(labels == 1, BIG & ~SMALL)
    assert (BIG & SMALL).any()
    assert np.asarray(Image.open(io.BytesIO(files["labels/photo-0003.png"]))).max() == 0
    assert files["classes.txt"] == b"background\ncat\ndog\n"
    assert picture.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]


def test_cutouts_are_the_photo_inside_and_clear_outside(session, tmp_path):
    files = dict(export_files(session, "cutouts"))
    assert sorted(files) == [
        f"cutouts/photo-{photo:04}-{number}-{kind}.png"
        for photo in (0, 1)
        for number, kind in ((1, "cat"), (2, "dog"))
    ]
    pixels = np.asarray(Image.open(io.BytesIO(files["cutouts/photo-0001-1-cat.png"])))
    np.testing.assert_array_equal(pixels[..., 3] == 255, ring())
    photo = np.asarray(Image.open(session.photo_path(1)))
    np.testing.assert_array_equal(pixels[ring()][:, :3], photo[ring()])
    session.photo_path(0).unlink()
    failed = []
    assert len(dict(export_files(session, "cutouts", failed=failed.append))) == 2
    assert "photo-0000.png cannot be read" in failed[0]
    with pytest.raises(UserError, match=r"photo-0000\.png"):
        list(export_files(session, "cutouts"))


def test_nothing_accepted_and_wrong_wishes_are_refused(session):
    for index in range(5):
        session.save(index, state_of(BIG, status="todo"))
    for kind in ("coco", "yolo", "png", "cutouts"):
        with pytest.raises(UserError, match="no photo of pets is accepted yet"):
            list(export_files(session, kind))
    with pytest.raises(UserError, match="expected one of"):
        export_files(session, "voc")
    with pytest.raises(UserError, match="YOLO has polygons only"):
        export_files(session, "yolo", polygons=None)
    with pytest.raises(UserError, match="tolerance"):
        export_files(session, "coco", polygons=-1)


def test_the_command_line_begins_lists_and_exports(cli, tmp_path, small_weights):
    import dino
    from dino.masks.proposals import propose
    from dino.masks.settings import MaskSettings
    from dino.media import regions

    write_photos(tmp_path / "photos", 2)
    code, _, err = cli(
        *("annotate", "new", tmp_path / "photos", "--name", "pets", "--classes", "cat,dog"),
        *("--size", 96, "--mass", 0.5, "--heads", "0,2", "--propose", "--precision", "fp32"),
    )
    assert code == 0, err
    session = open_session(tmp_path / "checkpoints" / "annotations" / "pets")
    backbone = dino.load(small_weights, precision="fp32")
    assert session.weights == str(small_weights)
    assert session.weights_sha256 == backbone.weights_sha256
    state, _ = session.load(1)
    settings = MaskSettings(size=96, mass=0.5, heads=(0, 2))
    mask = propose(backbone, dino.decode(session.read_photo(1)), settings).pixels
    np.testing.assert_array_equal(regions.decode(state.objects[0].counts, state.size), mask)
    assert (state.status, state.objects[0].made) == ("todo", "proposed")

    assert cli("annotate", "export", "pets")[::2] == (
        2,
        "error: no photo of pets is accepted yet; accept some to export them\n",
    )
    session.save(1, state.with_status("accepted"))
    assert "2 photos (1 todo, 1 accepted, 0 rejected), cat, dog" in cli("annotate", "list")[1]
    for kind, count in (("coco", 1), ("yolo", 2), ("png", 2), ("cutouts", 1)):
        code, _, err = cli("annotate", "export", "pets", "--format", kind, "--out", kind)
        assert code == 0, err
        assert len([p for p in (tmp_path / kind).rglob("*") if p.is_file()]) == count
    code, _, err = cli("annotate", "export", "pets", "--rle", "--out", "exact")
    assert code == 0, err
    document = json.loads((tmp_path / "exact" / "annotations.json").read_text())
    assert isinstance(document["annotations"][0]["segmentation"]["counts"], str)
    assert cli("annotate", "export", "pets", "--rle", "--polygons", 2)[0] == 2
    assert cli("annotate", "export", "none")[0] == 2
