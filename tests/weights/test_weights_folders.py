"""Folders: which file of them is the weights, shards, the hub's cache, and what is refused by name."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dino.errors import WeightsError
from dino.weights.files import read

VALUES = torch.arange(6.0)


def write(path: Path, **tensors: torch.Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(tensors or {"a": VALUES}, path)
    else:
        torch.save(tensors or {"a": VALUES}, path)
    return path


def write_shards(folder: Path, suffix: str = ".safetensors", base: str = "model") -> Path:
    """Write two shards, and give the index."""
    names = [f"{base}-0000{i}-of-00002{suffix}" for i in (1, 2)]
    write(folder / names[0], a=VALUES)
    write(folder / names[1], b=VALUES + 1)
    index = folder / f"{base}{suffix}.index.json"
    weight_map = {"a": names[0], "b": names[1]}
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


@pytest.mark.parametrize(("suffix", "base"), [(".safetensors", "model"), (".bin", "pytorch_model")])
def test_shards_are_read_as_one(tmp_path: Path, suffix: str, base: str) -> None:
    index = write_shards(tmp_path / "net", suffix, base)
    (tmp_path / "net" / "config.json").write_text(json.dumps({"num_attention_heads": 3}))
    for source in (tmp_path / "net", index):
        raw = read(source)
        assert {name: t.tolist() for name, t in raw.tree.items()} == {
            "a": VALUES.tolist(),
            "b": (VALUES + 1).tolist(),
        }
        assert raw.hints.num_heads == 3
    assert read(tmp_path / "net").kind.startswith("folder with 2 shards of")


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"names model-00002-of-00002\.safetensors.*not there"):
        read(tmp_path)


def test_a_tensor_that_no_shard_holds_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path)
    write(tmp_path / "model-00002-of-00002.safetensors", other=VALUES)
    with pytest.raises(WeightsError, match=r"names 'b' and 0 more tensors that no shard holds"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["../secret.bin", "/etc/passwd", "a\\b.bin", "..", "sub/a.bin"])
def test_an_index_that_points_outside_its_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    write(tmp_path / "secret.bin")
    write(tmp_path / "net" / "sub" / "a.bin")
    index = tmp_path / "net" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(WeightsError, match="a file outside its folder"):
        read(tmp_path / "net")


@pytest.mark.parametrize("content", ["{}", '{"weight_map": []}', '{"weight_map": {}}'])
def test_an_index_without_shards_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(WeightsError, match="names no shards"):
        read(tmp_path)


def test_one_shard_alone_is_refused_with_what_to_give(tmp_path: Path) -> None:
    write_shards(tmp_path)
    with pytest.raises(WeightsError, match=r"one of 2 shards; give the folder, or model\.safet"):
        read(tmp_path / "model-00001-of-00002.safetensors")


# --- the hub's cache ----------------------------------------------------------------------------


def cached(hub: Path, *revisions: str, main: str | None = None) -> Path:
    """Write a network into a hub's cache, whose tensors tell the revision."""
    folder = hub / "models--org--a--net"
    for number, revision in enumerate(revisions):
        write(folder / "snapshots" / revision / "model.safetensors", a=VALUES + number)
    if main is not None:
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(f"{main}\n")
    return folder


def test_the_hubs_cache_is_read_at_the_revision_that_main_names(tmp_path: Path) -> None:
    folder = cached(tmp_path, "aaa", "bbb", main="bbb")
    snapshot = folder / "snapshots" / "bbb"
    for source in (
        tmp_path,
        folder,
        folder / "snapshots",
        snapshot,
        snapshot / "model.safetensors",
    ):
        raw = read(source)
        assert raw.tree["a"][0] == 1
        assert raw.hints.name == "org/a--net"


def test_one_snapshot_needs_no_name(tmp_path: Path) -> None:
    assert read(cached(tmp_path, "aaa")).tree["a"][0] == 0
    assert read(cached(tmp_path / "stale", "aaa", main="gone")).tree["a"][0] == 0


@pytest.mark.parametrize("main", [None, "../../..", "gone", ""])
def test_several_snapshots_of_which_none_is_named_are_listed(
    tmp_path: Path, main: str | None
) -> None:
    with pytest.raises(WeightsError, match=r"2 snapshots \(aaa, bbb\).*give the folder of one"):
        read(cached(tmp_path, "aaa", "bbb", main=main))


def test_a_cache_of_several_networks_lists_them(tmp_path: Path) -> None:
    cached(tmp_path, "aaa")
    write(tmp_path / "models--org--other" / "snapshots" / "aaa" / "model.safetensors")
    with pytest.raises(WeightsError, match=r"several networks \(org/a--net, org/other\)"):
        read(tmp_path)


# --- other folders ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["checkpoint.pth", "last.ckpt", "weights.safetensors", "net.pt"])
def test_the_only_file_of_a_folder_is_taken_and_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    torch.save({}, tmp_path / "optimizer.pt")
    torch.save({}, tmp_path / "training_args.bin")
    (tmp_path / "README").write_text("no weights")
    raw = read(tmp_path)
    assert raw.tree["a"].tolist() == VALUES.tolist()
    assert raw.kind.startswith(f"folder, of which {name} was taken, ")


def test_several_files_of_a_folder_are_listed(tmp_path: Path) -> None:
    write(tmp_path / "a.pth")
    write(tmp_path / "b.pth")
    with pytest.raises(WeightsError, match=r"several files of weights \(a\.pth, b\.pth\)"):
        read(tmp_path)


def test_the_standard_name_goes_first(tmp_path: Path) -> None:
    write(tmp_path / "a.pth", a=VALUES + 9)
    write(tmp_path / "pytorch_model.bin", a=VALUES + 8)
    write(tmp_path / "model.safetensors")
    assert read(tmp_path).tree["a"].tolist() == VALUES.tolist()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("diffusion_pytorch_model.safetensors",), "an image generator"),
        (("model_index.json",), "an image generator"),
        (("adapter_model.safetensors", "adapter_config.json"), "a PEFT adapter alone.*merge it"),
        (("__0_0.distcp", ".metadata"), "a distributed checkpoint of torch.*dcp_to_torch_save"),
        (("tf_model.h5",), "for TensorFlow or Flax"),
        (("flax_model.msgpack",), "for TensorFlow or Flax"),
        (("notes.txt",), "a folder without weights; expected model.safetensors"),
    ],
)
def test_folders_of_another_kind_are_named(
    tmp_path: Path, names: tuple[str, ...], sentence: str
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(WeightsError, match=sentence) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (b"\x89HDF\r\n\x1a\n", r"an HDF5 file \(Keras\)"),
        (b"GGUF\x03\x00\x00\x00", "a GGUF file"),
        (b"\x93NUMPY\x01\x00v\x00{", "one NumPy array"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00{", "a gzip archive"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path: Path, head: bytes, sentence: str) -> None:
    (tmp_path / "weights.pth").write_bytes(head + b"\0" * 64)
    with pytest.raises(WeightsError, match=f"this is {sentence}"):
        read(tmp_path / "weights.pth")
