"""A full disk: what was there stays as it was, nothing half written is left, and one sentence says so."""

import contextlib
import hashlib
import http.server
import json
import os
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.annotation_cases import begin, disc, state_of
from helpers.annotation_cases import write_photos as write_discs
from helpers.report_cases import knn_report
from helpers.training_cases import TINY, write_photos
from helpers.video_cases import colored, scene

from dino.errors import UserError
from dino.evaluation.report import write_report
from dino.media.video_writing import write_mp4
from dino.training.loop import fit
from dino.training.runs import checkpoint
from dino.training.runs.folder import read_run
from dino.weights import ZOO
from dino.weights.download import download

pytestmark = pytest.mark.reliability

SIZE_BYTES = 8 << 20
_PAGE = 4096


class Disk:
    """A file system of a few MB in memory, which can be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ballast = folder, folder.parent / "disk" / ".ballast"

    def fill(self, free_bytes: int = 0) -> None:
        """Leave room for so much."""
        self.empty()
        left = os.statvfs(self.folder).f_bavail * _PAGE - free_bytes
        with self._ballast.open("wb") as file:
            file.truncate(0)
            os.posix_fallocate(file.fileno(), 0, max(left // _PAGE, 1) * _PAGE)

    def empty(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink(missing_ok=True)

    def files(self) -> dict[str, bytes]:
        """Everything on it but what keeps it full."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in found
            if path != self._ballast
        }


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(folder)]
    if (
        shutil.which("mount") is None
        or subprocess.run(words, check=False, capture_output=True).returncode
    ):
        pytest.skip("no small disk can be mounted here (needs root)")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), 12)


@pytest.fixture(scope="module")
def run(tmp_path_factory, photos, small_weights) -> Path:
    """A finished run, on a disk with room."""
    config = replace(TINY, init=str(small_weights), patch_size=8, epochs=1)
    return fit(
        config, photos, tmp_path_factory.mktemp("runs") / "run", workers=0, say=lambda line: None
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Path:
    """The folder of sessions, one of which has three photos done."""
    place = tmp_path_factory.mktemp("annotations")
    begun = begin(place / "discs", write_discs(place / "photos", 3))
    for index in range(3):
        begun.save(index, state_of(disc((60, 80), 25)))
    return place


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_mp4((colored(scene(number), rng) for number in range(4)), path, fps=4)
    return path


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_report(knn_report(), folder)
    return folder


Words = Callable[[pytest.FixtureRequest, Path], list[object]]
COMMANDS: dict[str, Words] = {
    "convert weights": lambda ask, out: [
        *("weights", "convert", ask("small_weights"), out / "mine.safetensors")
    ],
    "attend": lambda ask, out: [
        *("attend", ask("photo_file"), "--size", 96, "--out", out),
        *("--weights", ask("small_weights")),
    ],
    "segment": lambda ask, out: [
        *("segment", ask("photo_file"), "--size", 96, "--out", out),
        *("--weights", ask("small_weights")),
    ],
    "project": lambda ask, out: [
        *("project", ask("photo_file"), "--size", 96, "--out", out),
        *("--weights", ask("small_weights")),
    ],
    "match": lambda ask, out: [
        *("match", ask("photo_file"), ask("photo_file"), "--size", 96, "--out", out),
        *("--weights", ask("small_weights")),
    ],
    "joint": lambda ask, out: [
        *("joint", ask("photo_file"), ask("photo_file"), "--size", 96, "--out", out),
        *("--weights", ask("small_weights")),
    ],
    "embed": lambda ask, out: [
        *("embed", ask("photos"), "--size", 32, "--out", out, "--workers", 0),
        *("--weights", ask("small_weights")),
    ],
    "film attention": lambda ask, out: [
        *("film", ask("clip"), "--attention", "--size", 64, "--out", out),
        *("--weights", ask("small_weights")),
    ],
    "annotate export coco": lambda ask, out: [
        *("annotate", "export", "discs", "--sessions", ask("session"), "--out", out)
    ],
    "annotate export png": lambda ask, out: [
        *("annotate", "export", "discs", "--format", "png"),
        *("--sessions", ask("session"), "--out", out),
    ],
    "annotate new": lambda ask, out: [
        *("annotate", "new", ask("session") / "photos", "--name", "new", "--sessions", out),
        *("--weights", ask("small_weights"), "--size", 96),
    ],
    "eval knn": lambda ask, out: [
        *("eval", "knn", "--train", ask("photos"), "--val", ask("photos"), "--size", 32),
        *("--weights", ask("small_weights"), "--out", out, "--workers", 0),
    ],
    "eval report": lambda ask, out: ["eval", "report", ask("results"), "--out", out],
    "train": lambda ask, out: [
        *("train", "--data", ask("photos"), "--out", out / "run", "--workers", 0),
        *("--config", ask("run") / "config.json"),
    ],
}


def complain(said: str) -> list[str]:
    """The lines that say what went wrong."""
    return [line for line in said.splitlines() if "error: " in line or "failed: " in line]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_on_a_full_disk_says_so_and_leaves_nothing(name, disk, command, request, figure):
    """With no byte free, and with room for half of what it writes."""
    words = COMMANDS[name](request.getfixturevalue, disk.folder / "out")
    code, _, said = command(*words)
    assert code == 0, said
    size = sum(len(data) for data in disk.files().values())
    shutil.rmtree(disk.folder / "out")
    for free in (0, size // 2):
        disk.fill(free)
        code, _, said = command(*words)
        assert code == 1, f"{free} bytes free: {said}"
        assert "Traceback" not in said
        assert "No space left" in said or "disk is full" in said, said
        assert len(complain(said)) >= 1, said
        assert [name for name in disk.files() if is_unfinished(name)] == []
        disk.empty()
        shutil.rmtree(disk.folder / "out", ignore_errors=True)
    figure(
        8,
        f"{len(COMMANDS)} commands that write, with no byte free and with half the room (tmpfs)",
        "all end with one sentence and an exit code, and leave no temporary",
    )


@pytest.fixture
def largest_file():
    """`largest_file(1000)`: no file may grow beyond so many bytes, on whatever disk (RLIMIT_FSIZE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size or soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_whose_files_may_not_grow_says_so(
    name, largest_file, tmp_path, command, request, figure
):
    """The same without a disk of our own, which only root can have."""
    out = tmp_path / "out"
    words = COMMANDS[name](request.getfixturevalue, out)
    code, _, said = command(*words)
    assert code == 0, said
    size = max(path.stat().st_size for path in out.rglob("*") if path.is_file())
    shutil.rmtree(out)
    largest_file(size // 2)
    code, _, said = command(*words)
    largest_file(None)
    assert code == 1, said
    assert "Traceback" not in said
    assert "File too large" in said or "disk is full" in said, said
    assert len(complain(said)) >= 1, said
    left = [str(path.relative_to(tmp_path)) for path in out.rglob("*") if path.is_file()]
    assert [name for name in left if is_unfinished(name)] == []
    figure(
        8,
        f"{len(COMMANDS)} commands that may write half of their largest file (RLIMIT_FSIZE)",
        "all end with one sentence and an exit code, and leave no temporary",
    )


def is_unfinished(name: str) -> bool:
    """Whether a file looks like one that is being written."""
    return Path(name).name.startswith(".") and Path(name).name not in (".lock", ".gitignore")


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"annotate new", "train", "embed"}))
def test_what_a_command_wrote_before_outlives_a_full_disk(name, disk, command, request, figure):
    words = COMMANDS[name](request.getfixturevalue, disk.folder / "out")
    code, _, said = command(*words)
    assert code == 0, said
    before = disk.files()
    disk.fill()
    code, _, said = command(*words)
    assert code == 1, said
    after = disk.files()
    disk.empty()
    for told in ("out/progress.json", "out/preview.jpg"):  # of the film that was not finished
        before.pop(told, None)
        after.pop(told, None)
    assert after == before
    figure(
        8,
        "the same commands once more, where their files are already, with no byte free",
        "every file as it was, byte for byte",
    )


def test_a_run_on_a_full_disk_keeps_its_checkpoints_and_goes_on(
    disk, photos, run, tmp_path, figure
):
    config = replace(read_run(run).config, epochs=8, save_every=1, keep=2)
    quiet = {"workers": 0, "say": lambda line: None}
    whole = fit(config, photos, tmp_path / "whole", **quiet)
    broken = disk.folder / "run"
    fit(replace(config, max_steps=3), photos, broken, **quiet)
    (broken / "config.json").write_text(config.to_json())
    for free in (0, 5_000, 700_000):  # of the 1.2 MB that a checkpoint takes
        disk.fill(free)
        kept = [path.read_bytes() for path in checkpoint.list_checkpoints(broken / "checkpoints")]
        with pytest.raises(UserError, match="No space left"):
            fit(config, photos, broken, resume=True, **quiet)
        disk.empty()
        assert checkpoint.load_newest(broken / "checkpoints")[1] == []
        assert not [name for name in disk.files() if is_unfinished(name)]
        if free == 0:
            now = checkpoint.list_checkpoints(broken / "checkpoints")
            assert [path.read_bytes() for path in now] == kept
    fit(config, photos, broken, resume=True, **quiet)
    assert read_run(broken).state == "finished"
    ours, theirs = (checkpoint.load_newest(folder / "checkpoints")[0] for folder in (broken, whole))
    assert all((ours.teacher[name] == value).all() for name, value in theirs.teacher.items())
    steps = [line["step"] for line in read_run(broken).metrics]
    assert steps == list(range(1, len(steps) + 1))
    assert json.loads((broken / "state.json").read_text())["status"] == "finished"
    figure(
        8,
        "a run, its disk full at three places of a save",
        "checkpoints before stay; resumed, it ends with the weights of the unbroken run",
    )


def test_a_download_on_a_full_disk_is_told_and_goes_on(
    disk, command, tmp_path, monkeypatch, figure
):
    """What has arrived is kept on purpose: with room again, only the rest is asked for."""
    body = np.random.default_rng(0).bytes(3_000_000)
    website = Website(body)
    entry = replace(ZOO["dino_vits16"], url=website.url, sha256=hashlib.sha256(body).hexdigest())
    monkeypatch.setitem(ZOO, "dino_vits16", entry)
    monkeypatch.setenv("DINO_CHECKPOINTS", str(disk.folder))
    disk.fill(1_000_000)
    code, _, said = command("weights", "fetch", "dino_vits16")
    assert code == 1
    assert "the disk is full; free space and run again, which goes on from here" in said
    (name,) = disk.files().keys() - {name for name in disk.files() if not name.endswith(".part")}
    assert 0 < len(disk.files()[name]) <= 1_000_000
    disk.empty()
    path = disk.folder / name.removesuffix(".part")
    download(website.url, path, sha256=entry.sha256)
    assert path.read_bytes() == body
    assert website.starts[0] == 0
    assert website.starts[-1] > 0
    assert not [name for name in disk.files() if ".part" in name]
    website.close()
    figure(
        8,
        "a download that fills the disk",
        "one sentence, exit code 1; with room again it goes on where it stopped",
    )


class Website:
    """One file on this machine, given from where it is asked for."""

    def __init__(self, body: bytes) -> None:
        starts = self.starts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                asked = self.headers.get("Range", "bytes=0-")
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                starts.append(start)
                self.send_response(206 if start else 200)
                self.send_header("ETag", '"one"')
                self.send_header("Content-Length", str(len(body) - start))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body[start:])

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/weights.pth"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
