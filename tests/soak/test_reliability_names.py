"""Row 4: names from outside, of runs, uploads and members of archives, never lead out of their folder.

Members of ZIPs one by one, links and bombs among them, are in test_archive.py; names of runs in
test_training_jobs.py; folders typed into the app in test_app_training.py and test_app_gallery.py.
"""

import io
import os
import zipfile
from pathlib import Path

import pytest
from helpers import annotation_cases
from helpers.training_cases import TINY, write_photos

from app.state import data_root
from app.state.selection import add_photo, own_photos
from dino.annotation.session import find_session, open_session
from dino.errors import UserError
from dino.media.archive import unpack_photos
from dino.system.jobs import check_name
from dino.training.runs.jobs import delete, start

pytestmark = pytest.mark.reliability

# Names that lead elsewhere, that no file can have, or that some systems keep for devices.
HOSTILE = (
    "..", "../evil", "a/../../evil", "..\\evil", "/etc/evil", "\\\\server\\share", "C:\\evil", "a\0b",
    "", ".", ".hidden", "~", "~root", "-rf", "CON", "con.png", "nul", "LPT1", "x" * 300, "ü" * 200,
    "a\nb", "a\rb", "\x1b[31m", "\u202egnp.exe", "\u2024\u2024/evil", "\uff0e\uff0e\uff0fevil",
    "$(touch evil)", "`touch evil`", "a;b", "a|b", "a b", "%2e%2e%2fevil", "*", "?", "<script>",
)  # fmt: skip
# Of these, what a run may well be called.
HARMLESS = ("-rf",)


def everything_in(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def test_no_run_is_made_or_deleted_by_a_name_that_leads_elsewhere(tmp_path, figure):
    (tmp_path / "photos").mkdir()
    photos = write_photos(tmp_path / "photos", 4)
    (tmp_path / "runs").mkdir()
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "config.json").write_text("{}")
    before = everything_in(tmp_path)
    names = [name for name in HOSTILE if name not in HARMLESS]
    for name in names:
        with pytest.raises(UserError):
            check_name(name)
        with pytest.raises(UserError):
            delete(tmp_path / "runs" / name, root=tmp_path / "runs")
        run = f"{tmp_path}/runs/{name}"
        if (
            Path(run).name == name
        ):  # else the path is of another name, which is the caller's to check
            with pytest.raises(UserError):
                start(TINY, photos, run)
    assert everything_in(tmp_path) - before <= {str(tmp_path / "runs" / ".launching")}
    figure(
        4,
        f"{len(names)} names for runs: ../, absolute, NUL, Unicode, CON, 300 characters",
        "all refused by name; nothing made, nothing deleted",
    )


def test_no_session_of_annotation_is_made_or_found_elsewhere(tmp_path):
    photos = annotation_cases.write_photos(tmp_path / "photos", 1)
    root = tmp_path / "annotations"
    good = annotation_cases.begin(root / "good", photos)
    before = everything_in(tmp_path)
    for name in HOSTILE:
        if name in HARMLESS:
            continue
        with pytest.raises(UserError):
            find_session(name, root)
        if Path(f"{root}/{name}").name == name:
            with pytest.raises(UserError):
                annotation_cases.begin(Path(f"{root}/{name}"), photos)
    assert everything_in(tmp_path) == before
    # A session.json that somebody else wrote must not name photos outside either.
    path = good.folder / "session.json"
    for name in ("../secret.png", "/etc/passwd", "a/../../secret.png"):
        path.write_text(path.read_text().replace(good.photos[0].file, name))
        with pytest.raises(UserError, match="leads out of its folder"):
            open_session(good.folder)
        path.write_text(path.read_text().replace(name, good.photos[0].file))


def test_names_of_uploads_stay_names(tmp_path, photo_file, monkeypatch, figure):
    monkeypatch.chdir(tmp_path)
    for name in HOSTILE:
        session: dict = {}
        photo = add_photo(session, name, photo_file.read_bytes())
        assert set(photo.name) <= set(photo.name) - set("/\\\0\n.%<>$`*?|;")
        assert len(photo.name) <= 40
        assert list(own_photos(session)) == [photo.name]
    assert everything_in(tmp_path) == set()
    figure(
        4,
        f"{len(HOSTILE)} names for uploads",
        "kept as text; nothing of them in a path or a link but letters, digits and dashes",
    )


def test_weights_and_masks_with_any_name_are_read_and_leave_nothing(
    tmp_path, small_weights, photo_file, monkeypatch
):
    import tempfile

    import numpy as np

    from app.cache import backbones
    from app.cache.video import uploaded_mask
    from dino.media.label_maps import indexed_png

    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    mask = indexed_png(np.eye(8, dtype=np.uint8))
    for name in HOSTILE:
        for suffix in ("", ".safetensors", f".{'x' * 300}", ".a/b", ".\0"):
            session: dict = {}
            try:
                kept = backbones.add_weights(session, name + suffix, small_weights.read_bytes())
                assert backbones.open_weights(kept, session).num_heads == 3
            except UserError as error:
                assert "\n" not in str(error)  # noqa: PT017
            try:
                assert uploaded_mask(name + suffix, mask, (8, 8)).any()
            except UserError as error:
                assert "\n" not in str(error)  # noqa: PT017
    assert everything_in(tmp_path) == {str(place)}


def test_folders_typed_into_the_app_stay_below_the_root(tmp_path, monkeypatch):
    monkeypatch.setenv("DINO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("ALLOW_TRAINING", "1")
    root = tmp_path / "root"
    (root / "photos").mkdir(parents=True)
    (tmp_path / "evil").mkdir()
    (root / "link").symlink_to(tmp_path / "evil")
    for name in (*HOSTILE, "link", "photos/../../evil", str(tmp_path / "evil")):
        for text in (name, f"upload:{name}"):
            try:
                found = data_root.resolve(text, root)
            except UserError:
                continue
            assert found.resolve().is_relative_to(root)


def test_members_of_archives_stay_inside(tmp_path, figure):
    refused = 0
    for number, name in enumerate(HOSTILE):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("good.png", b"x")
            archive.writestr(f"{name}.png", b"x")
            archive.writestr(f"{name}/in.png", b"x")
        out = tmp_path / "out" / str(number)
        try:
            unpack_photos(packed, out)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
            assert not out.exists()
            continue
        inside = [Path(folder, file) for folder, _, files in os.walk(out) for file in files]
        assert all(path.resolve().is_relative_to(out) for path in inside)
        assert not any(path.is_symlink() for path in inside)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(tmp_path / "out") for path in written)
    assert not list(tmp_path.rglob(".unfinished-*"))
    figure(
        4,
        f"{len(HOSTILE)} names for members of ZIPs; links, devices and bombs in tests/media/test_archive.py",
        f"never outside the folder: {refused} archives refused, the others unpacked inside; nothing "
        "left of a refused one",
    )


@pytest.mark.parametrize("stem", ["x" * 250, "ü" * 120, "a b; $(touch evil)", "-rf", "con"])
def test_photos_of_any_name_get_a_folder_of_results(
    command, tmp_path, small_weights, photo_file, stem
):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / f"{stem}.png").write_bytes(photo_file.read_bytes())
    words = ("attend", photos, "--weights", small_weights, "--size", 64, "--out", tmp_path / "out")
    code, _, err = command(*words)
    assert code == 0, err
    (made,) = (tmp_path / "out").iterdir()
    assert (made / "attention.npz").exists()
    assert not (tmp_path / "evil").exists()
