"""Weights of the Hugging Face hub, from a hub of this machine: what is fetched, said, kept and refused."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import weights_cases as cases
from helpers.hub_server import Hub, running_hub
from safetensors.torch import save
from typer import Exit

import dino
from dino.errors import DownloadError, WeightsError
from dino.weights import ZOO, fetch, load_model
from dino.weights.fetching import is_here
from dino.weights.hub import Repository, fetch_repository, find
from dino.weights.initial import initial_tensors

PLAIN = cases.canonical_vit()
REPOSITORY = "lab/small-vit"
TOKEN = "hf_secretsecretsecret"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the hub, no token, no proxy, and an empty folder to stand in."""
    cache = tmp_path / "hub-cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    for name in (
        "https_proxy",
        "HTTPS_PROXY",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DINO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.chdir(tmp_path)
    return cache


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        running.repositories[REPOSITORY] = small_repository()
        yield running


def small_repository() -> dict[str, bytes]:
    """A repository with weights, what describes them, and much that is not needed."""
    return {
        "model.safetensors": save(PLAIN),
        "config.json": json.dumps({"model_type": "vit", "num_attention_heads": 2}).encode(),
        "preprocessor_config.json": json.dumps(
            {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
        ).encode(),
        "pytorch_model.bin": b"never asked for",
        "tf_model.h5": b"never asked for",
        "README.md": b"never asked for",
    }


@pytest.mark.parametrize("text", [REPOSITORY, f"hf-hub:{REPOSITORY}", f" {REPOSITORY}/ "])
def test_a_name_with_one_slash_is_fetched_from_the_hub(
    hub: Hub, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    loaded = load_model(text)
    assert loaded.weights_sha256 == load_model(PLAIN).weights_sha256
    assert (loaded.name, loaded.mean, loaded.std) == ("small-vit", (0.5,) * 3, (0.25,) * 3)
    assert loaded.model.blocks[0].attn.num_heads == 2  # of config.json
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"looking for {REPOSITORY} on {hub.address[7:]}"
    assert lines[1].startswith(f"fetching {REPOSITORY} from {hub.address[7:]} (model.safetensors")
    names = {path.rpartition("/")[2] for path in hub.fetched()}
    assert names == {"model.safetensors", "config.json", "preprocessor_config.json"}


def test_what_is_in_the_cache_is_not_asked_for_again(hub: Hub) -> None:
    first = load_model(REPOSITORY)
    hub.asked.clear()
    assert load_model(REPOSITORY).weights_sha256 == first.weights_sha256
    assert hub.asked == []


@pytest.mark.parametrize("way", ["away", "HF_HUB_OFFLINE"])
def test_the_cache_is_enough_without_a_network(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    load_model(REPOSITORY)
    if way == "away":
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    else:
        monkeypatch.setenv(way, "1")
    hub.asked.clear()
    assert is_here(REPOSITORY)
    assert load_model(REPOSITORY).model.blocks[0].attn.num_heads == 2
    assert hub.asked == []


@pytest.mark.parametrize("way", ["away", "HF_HUB_OFFLINE"])
def test_without_a_network_both_readings_of_a_name_are_given_at_once(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    if way != "away":
        monkeypatch.setenv(way, "1")
    started = time.perf_counter()
    with pytest.raises(DownloadError) as caught:
        load_model(REPOSITORY)
    assert time.perf_counter() - started < 5
    said = str(caught.value)
    assert said.startswith(
        f"there is no file or folder {REPOSITORY}, and as a name on 127.0.0.1:9: "
    )
    assert ("cannot be reached" if way == "away" else "HF_HUB_OFFLINE is set") in said
    assert "give a file" in said
    assert "\n" not in said


def test_an_unknown_name_gives_both_readings(hub: Hub) -> None:
    with pytest.raises(
        WeightsError, match=r"no file or folder lab/nothing, and as a name on.*no such rep"
    ):
        load_model("lab/nothing")
    with pytest.raises(
        WeightsError, match=r"^lab/nothing: .*has no such repository, or it is private"
    ):
        load_model("hf-hub:lab/nothing")
    with pytest.raises(WeightsError, match=r"has no version v9 of lab/small-vit"):
        load_model(f"{REPOSITORY}@v9")


def test_a_folder_of_that_name_goes_first(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / REPOSITORY
    folder.mkdir(parents=True)
    other = cases.canonical_vit(seed=1)
    (folder / "model.safetensors").write_bytes(save(other))
    assert load_model(REPOSITORY).weights_sha256 == load_model(other).weights_sha256
    assert hub.asked == []


def test_a_gate_is_named_with_the_page_and_the_places_of_a_token(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.gated[REPOSITORY] = TOKEN
    with pytest.raises(DownloadError) as caught:
        load_model(f"hf-hub:{REPOSITORY}")
    said = str(caught.value)
    for words in ("licence", f"{hub.address}/{REPOSITORY}", "HF_TOKEN", "huggingface-cli login"):
        assert words in said
    monkeypatch.setenv("HF_TOKEN", "hf_wrongwrongwrong")
    with pytest.raises(DownloadError, match="accepted its licence") as caught:
        load_model(REPOSITORY)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    loaded = load_model(REPOSITORY)
    assert loaded.name == "small-vit"
    captured = capsys.readouterr()
    assert "hf_" not in captured.err + captured.out + str(caught.value) + loaded.description


def test_a_download_that_was_cut_goes_on_from_there(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 16)  # else 10 MB
    hub.cut_once.add("model.safetensors")
    assert load_model(REPOSITORY).weights_sha256 == load_model(PLAIN).weights_sha256
    ranges = [
        {name.lower(): value for name, value in headers.items()}.get("range")
        for method, path, headers in hub.asked
        if method == "GET" and path.endswith("model.safetensors")
    ]
    size = len(hub.repositories[REPOSITORY]["model.safetensors"])
    assert ranges == [None, f"bytes={(size // 2) >> 16 << 16}-"]


def test_shards_are_fetched_by_their_index_and_no_others(hub: Hub) -> None:
    names = sorted(PLAIN)
    halves = names[::2], names[1::2]
    files = {f"model-0000{i}-of-00002.safetensors": half for i, half in enumerate(halves, 1)}
    index = {
        "metadata": {"total_size": 123_456_789},
        "weight_map": {name: file for file, half in files.items() for name in half},
    }
    hub.repositories["lab/shards"] = {
        "model.safetensors.index.json": json.dumps(index).encode(),
        "other.safetensors": b"never asked for",
        **{file: save({n: PLAIN[n] for n in half}) for file, half in files.items()},
    }
    said: list[str] = []
    path = fetch_repository(Repository("lab/shards"), say=said.append)
    assert "(model.safetensors.index.json, 2 files, about 123 MB)" in said[-1]
    assert {p.name for p in path.parent.iterdir()} == {"model.safetensors.index.json", *files}
    assert find(Repository("lab/shards")) == path
    for file in files:
        assert (path.parent / file).is_file()
    (path.parent / next(iter(files))).unlink()
    assert find(Repository("lab/shards")) is None


def test_an_index_cannot_name_files_elsewhere(hub: Hub) -> None:
    index = {"weight_map": {"a": "../../../outside.safetensors"}}
    hub.repositories["lab/bad"] = {"model.safetensors.index.json": json.dumps(index).encode()}
    with pytest.raises(WeightsError, match="which is not beside it"):
        load_model("lab/bad")


def test_one_file_of_a_repository_can_be_named(hub: Hub) -> None:
    other = cases.canonical_vit(seed=3)
    hub.repositories["lab/odd"] = {"sub/teacher.safetensors": save(other)}
    with pytest.raises(
        WeightsError, match=r"name the one that is meant, as hf-hub:lab/odd/sub/teacher"
    ):
        load_model("lab/odd")
    for text in (
        "hf-hub:lab/odd/sub/teacher.safetensors",
        f"{hub.address}/lab/odd/blob/main/sub/teacher.safetensors",
        f"{hub.address}/lab/odd/resolve/main/sub/teacher.safetensors?download=true",
    ):
        assert load_model(text).weights_sha256 == load_model(other).weights_sha256
    with pytest.raises(WeightsError, match=r"no such file in lab/odd"):
        load_model("hf-hub:lab/odd/sub/student.safetensors")


def test_a_fault_of_the_hub_is_one_sentence(hub: Hub) -> None:
    hub.status = 503
    started = time.perf_counter()
    with pytest.raises(DownloadError, match=r"answered with status 503; try again later"):
        load_model(f"hf-hub:{REPOSITORY}")
    assert time.perf_counter() - started < 20


def test_a_timm_name_is_announced_and_built_by_timm(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    state = initial_tensors(ZOO["random_vitt16"])
    classifier = {"head.weight": torch.ones(1000, 192), "head.bias": torch.ones(1000)}
    tag = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    hub.repositories[f"timm/{tag}"] = {"model.safetensors": save(state | classifier)}
    assert not is_here(f"timm:{tag}")
    loaded = load_model(f"timm: {tag}")
    assert loaded.weights_sha256 == load_model("random_vitt16").weights_sha256
    assert (loaded.mean, loaded.positions) == ((0.5,) * 3, "timm")
    assert "licence: apache-2.0" in capsys.readouterr().err
    assert is_here(f"timm:{tag}")


def test_a_zoo_name_of_the_hub_says_its_licence_before_anything_is_fetched(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    tag = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    entry = replace(ZOO["dinov3_vits16"], repository=f"timm/{tag}", arch="vit_tiny_patch16_224")
    monkeypatch.setitem(ZOO, "dinov3_vits16", entry)
    state = initial_tensors(ZOO["random_vitt16"])
    classifier = {"head.weight": torch.ones(1000, 192), "head.bias": torch.ones(1000)}
    hub.repositories[f"timm/{tag}"] = {"model.safetensors": save(state | classifier)}
    said: list[tuple[str, int]] = []
    result = fetch("dinov3_vits16", say=lambda line: said.append((line, len(hub.fetched()))))
    assert result.path is not None
    assert "DINOv3 License" in said[-1][0]
    assert "dinov3-license" in said[-1][0]
    assert [fetched for _, fetched in said] == [0] * len(said)
    assert fetch("dinov3_vits16").source == "downloaded before"
    backbone = dino.load("DINOv3_ViTS16 ", device="cpu")
    assert (backbone.name, backbone.description) == ("dinov3_vits16", entry.description)


@pytest.mark.parametrize("name", ["vit_small_patch16_dinov3", "beitv2_base_patch16_224"])
def test_a_repository_that_timm_wrote_is_built_by_timm(hub: Hub, name: str) -> None:
    import timm

    sizes = {"img_size": 64, "embed_dim": 64, "depth": 2, "num_heads": 2}
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=4, **sizes).eval()
    cfg = {
        "tag": "mine",
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 0.6, 0.7],
        "input_size": [3, 64, 64],
    }
    config = {"architecture": name, "num_classes": 4, "model_args": sizes, "pretrained_cfg": cfg}
    repository = {"config.json": json.dumps(config).encode()}
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    hub.repositories["lab/own"] = {"model.safetensors": save(state), **repository}
    backbone = dino.load("lab/own", device="cpu", precision="fp32")
    assert (backbone.name, backbone.mean, backbone.std) == ("own", (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(
        backbone.module.forward_features(image), model.forward_features(image), atol=1e-6, rtol=0
    )


def test_a_hub_that_never_answers_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.perf_counter()
        with pytest.raises(DownloadError, match=r"was cut or fell silent .*; run again"):
            load_model(f"hf-hub:{REPOSITORY}")
        assert time.perf_counter() - started < 15


def test_files_of_the_cache_are_verified_by_the_hash_in_their_name(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    from dino.cli import weights

    entry = replace(ZOO["dinov3_vits16"], repository=REPOSITORY)
    monkeypatch.setitem(ZOO, "dinov3_vits16", entry)
    path = fetch("dinov3_vits16").path
    assert path is not None
    weights.verify(["dinov3_vits16"])
    assert "dinov3_vits16: as recorded" in capsys.readouterr().out
    path.resolve().write_bytes(b"changed")
    with pytest.raises(Exit):
        weights.verify(["dinov3_vits16"])
    assert "was changed or damaged" in capsys.readouterr().err
