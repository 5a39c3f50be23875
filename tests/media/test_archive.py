"""A ZIP of photos is unpacked whole or not at all, and never outside its folder."""

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from dino.errors import UserError
from dino.media.archive import unpack_photos


def packed(*files: tuple[str | zipfile.ZipInfo, bytes], **options) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        for name, data in files:
            archive.writestr(name, data)
    out.seek(0)
    return out


def written(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def refused(zip_file, tmp_path: Path, match: str, **options) -> None:
    """The archive is refused in one sentence, and nothing is left of it, inside or outside."""
    home = tmp_path / "home"
    with pytest.raises(UserError, match=match) as caught:
        unpack_photos(zip_file, home / "photos", **options)
    assert "\n" not in str(caught.value)
    assert not home.exists() or not list(home.iterdir())
    assert {p.name for p in tmp_path.iterdir()} <= {"home"}


def test_classes_stay_and_one_common_top_folder_goes(tmp_path):
    archive = packed(
        ("photos/cat/1.png", b"a"), ("photos/dog/2.JPG", b"b"), ("photos/dog/deep/3.webp", b"c")
    )
    found = unpack_photos(archive, tmp_path / "new" / "pets")
    assert found.folder == tmp_path / "new" / "pets"
    assert written(found.folder) == ["cat/1.png", "dog/2.JPG", "dog/deep/3.webp"]
    assert (found.folder / "dog/2.JPG").read_bytes() == b"b"
    assert (found.num_photos, found.num_skipped) == (3, 0)
    assert [p.name for p in found.folder.parent.iterdir()] == ["pets"]


def test_several_top_folders_and_loose_photos_stay_as_they_are(tmp_path):
    unpack_photos(packed(("a/1.png", b""), ("b/2.png", b"")), tmp_path / "two")
    assert written(tmp_path / "two") == ["a/1.png", "b/2.png"]
    unpack_photos(packed(("a/1.png", b""), ("2.png", b"")), tmp_path / "loose")
    assert written(tmp_path / "loose") == ["2.png", "a/1.png"]


def test_names_from_windows_are_paths(tmp_path):
    unpack_photos(packed(("cat\\1.png", b""), ("dog\\2.png", b"")), tmp_path / "pets")
    assert written(tmp_path / "pets") == ["cat/1.png", "dog/2.png"]


def test_what_is_no_photo_is_counted_and_left_out(tmp_path):
    archive = packed(
        ("1.png", b"x"),
        ("run.sh", b"echo"),
        ("__MACOSX/._1.png", b""),
        (".hidden/2.png", b""),
        ("png", b""),
    )
    found = unpack_photos(archive, tmp_path / "photos")
    assert written(tmp_path / "photos") == ["1.png"]
    assert (found.num_photos, found.num_skipped) == (1, 4)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("../evil.png", "leads out of the folder"),
        ("a/../../evil.png", "leads out of the folder"),
        ("a\\..\\..\\evil.png", "leads out of the folder"),
        ("/evil.png", "absolute path"),
        ("\\evil.png", "absolute path"),
        ("C:\\evil.png", "absolute path"),
        (f"{'n' * 252}.png", "longer than 255 bytes"),
        (f"{'ü' * 126}.png", "longer than 255 bytes"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name, match):
    refused(packed(("good.png", b"x"), (name, b"evil")), tmp_path, match)


def test_a_null_byte_in_a_name_is_refused(tmp_path):
    archive = packed(("good.png", b"x"), ("evil.pngXexe", b"evil"))
    data = archive.getvalue().replace(b"evil.pngXexe", b"evil.png\0exe")
    refused(io.BytesIO(data), tmp_path, "null byte")


@pytest.mark.parametrize(
    ("kind", "match"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "no plain file")]
)
def test_links_and_devices_are_refused(tmp_path, kind, match):
    entry = zipfile.ZipInfo("link.png")
    entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
    refused(packed(("good.png", b"x"), (entry, b"/etc/passwd")), tmp_path, match)


def test_a_link_cannot_be_a_folder_for_the_next_file(tmp_path):
    entry = zipfile.ZipInfo("out")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    refused(packed((entry, b"/tmp"), ("out/evil.png", b"evil")), tmp_path, "is a link")


def test_too_many_photos_are_refused(tmp_path):
    archive = packed(*[(f"{n}.png", b"") for n in range(4)])
    refused(archive, tmp_path, "holds 4 photos; at most 3", max_files=3)
    archive = packed(("1.png", b""), *[(f"{n}.txt", b"") for n in range(20)])
    refused(archive, tmp_path, "lists 21 files", max_files=3)


def test_size_is_counted_while_reading(tmp_path):
    archive = packed(("1.png", b"x" * 700), ("2.png", b"x" * 700))
    refused(archive, tmp_path, "unpacks to more than", max_bytes=1000)


def test_a_header_that_lies_about_the_size_does_not_help(tmp_path):
    size = 3_000_000
    archive = packed(("1.png", bytes(size)), compression=zipfile.ZIP_DEFLATED).getvalue()
    noted = struct.pack("<L", size)
    assert archive.count(noted) == 2  # beside the file, and in the list at the end
    refused(io.BytesIO(archive.replace(noted, struct.pack("<L", 10))), tmp_path, "ZIP")


def test_a_bomb_is_refused_by_its_ratio(tmp_path):
    bomb = packed(("1.png", bytes(70 * 2**20)), compression=zipfile.ZIP_DEFLATED)
    refused(bomb, tmp_path, "100 times its own size")


def test_flat_pictures_in_small_archives_are_taken(tmp_path):
    archive = packed(("1.bmp", bytes(2**20)), compression=zipfile.ZIP_DEFLATED)
    assert unpack_photos(archive, tmp_path / "photos").num_photos == 1


def test_a_name_that_comes_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        archive = packed(("1.png", b"a"), ("1.png", b"b"))
    refused(archive, tmp_path, "twice")
    refused(packed(("a.png", b""), ("a.png/b.png", b"")), tmp_path, "both file and folder")


def test_damaged_encrypted_and_foreign_files_are_refused(tmp_path):
    refused(io.BytesIO(b"no zip at all"), tmp_path, "cannot be read")
    refused(io.BytesIO(b""), tmp_path, "cannot be read")
    whole = packed(("1.png", b"x" * 5000)).getvalue()
    refused(io.BytesIO(whole[:-100]), tmp_path, "cannot be read")
    refused(io.BytesIO(whole.replace(b"xxxx", b"xyxx", 1)), tmp_path, "cannot be read")
    locked = packed(("1.png", b"x"))
    data = bytearray(locked.getvalue())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    refused(io.BytesIO(bytes(data)), tmp_path, "encrypted")


def test_an_archive_without_photos_is_refused(tmp_path):
    refused(packed(("notes.txt", b"x")), tmp_path, "holds no photos among 1 file;")
    refused(packed(), tmp_path, "holds no photos")


def test_a_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="exists already"):
        unpack_photos(packed(("1.png", b"")), tmp_path / "photos")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="exists already"):
        unpack_photos(packed(("1.png", b"")), tmp_path / "link")
