"""The bundled sample photos: every file credited, small, readable, and free to use."""

import json
from pathlib import Path

import pytest
from PIL import Image

PHOTOS = Path(__file__).resolve().parents[2] / "app" / "photos"
CREDITS = json.loads((PHOTOS / "credits.json").read_text(encoding="utf-8"))
FIELDS = {"name", "file", "title", "author", "source", "license", "alt"}
LICENSES = {"CC0 1.0", "Public domain"}
MAX_SIDE_PX = 960
MAX_TOTAL_BYTES = 1_200_000

each_photo = pytest.mark.parametrize("credit", CREDITS, ids=lambda credit: credit["name"])


def test_every_photo_is_credited_once_and_every_credit_has_its_photo() -> None:
    files = sorted(path.name for path in PHOTOS.iterdir() if path.name != "credits.json")
    assert sorted(credit["file"] for credit in CREDITS) == files
    assert len({credit["name"] for credit in CREDITS}) == len(CREDITS)


def test_there_are_six_to_eight_photos_of_at_most_1200000_bytes_in_all() -> None:
    assert 6 <= len(CREDITS) <= 8
    assert sum((PHOTOS / credit["file"]).stat().st_size for credit in CREDITS) <= MAX_TOTAL_BYTES


@each_photo
def test_a_credit_has_every_field_and_a_free_license(credit: dict[str, str]) -> None:
    assert set(credit) == FIELDS
    assert all(value.strip() == value and value for value in credit.values())
    assert credit["license"] in LICENSES
    assert credit["file"] == f"{credit['name']}.jpg"


@each_photo
def test_the_alternative_text_is_one_sentence(credit: dict[str, str]) -> None:
    alt = credit["alt"]
    assert alt.endswith(".")
    assert alt.count(".") == 1


@each_photo
def test_a_photo_decodes_and_carries_no_metadata(credit: dict[str, str]) -> None:
    with Image.open(PHOTOS / credit["file"]) as photo:
        photo.load()
        assert (photo.format, photo.mode) == ("JPEG", "RGB")
        assert min(photo.size) >= 224
        assert max(photo.size) <= MAX_SIDE_PX
        assert len(photo.getexif()) == 0
        assert not {"exif", "xmp", "icc_profile", "photoshop", "comment"} & set(photo.info)
