"""Containers: recognised by content, read without running code, refused in one sentence."""

import argparse
import io
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from helpers import weights_cases as cases
from helpers.weights_cases import State, assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from safetensors.torch import save_file

from dino.errors import UserError, WeightsError
from dino.weights import ZOO, convert, info, load, load_model
from dino.weights.files import read, sniff
from dino.weights.layouts import to_canonical
from dino.weights.saving import save
from dino.weights.zoo import IMAGENET_MEAN, IMAGENET_STD

PLAIN = cases.canonical_vit()
SCALED = cases.canonical_vit(layer_scale=True)


def canonical_of(path: Path) -> State:
    return to_canonical(read(path).tree).tensors


# --- ONNX ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("key", "value", "query"), ("query", "key", "value")])
@pytest.mark.parametrize("bias_first", [True, False])
def test_onnx_matrices_are_placed_by_the_graph_not_by_their_numbers(
    tmp_path: Path, order: tuple[str, ...], bias_first: bool
) -> None:
    cases.onnx_dinov2(SCALED, tmp_path / "export", order=order, bias_first=bias_first)
    assert read(tmp_path / "export").kind == "onnx"
    assert_same(canonical_of(tmp_path / "export"), SCALED)


def test_onnx_without_a_graph_is_read_in_the_documented_order(tmp_path: Path) -> None:
    cases.onnx_dinov2(SCALED, tmp_path / "export", order=("query", "key", "value"), graph=False)
    assert_same(canonical_of(tmp_path / "export"), SCALED)


def test_onnx_without_a_graph_and_with_a_matrix_short_is_refused(tmp_path: Path) -> None:
    cases.onnx_dinov2(SCALED, tmp_path / "export", graph=False)
    model = onnx.load(tmp_path / "export")
    kept = [t for t in model.graph.initializer if t.name != "onnx::MatMul_1006"]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([], "export", [value], [value], kept)
    (tmp_path / "export").write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(WeightsError, match="11 nameless matrices do not match the 12 layers"):
        read(tmp_path / "export")


def test_onnx_whose_matrix_meets_no_bias_is_refused(tmp_path: Path) -> None:
    cases.onnx_dinov2(SCALED, tmp_path / "export")
    model = onnx.load(tmp_path / "export")
    del model.graph.node[1]  # the first Add
    (tmp_path / "export").write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="does not say which layer onnx::MatMul_1000 belongs"):
        read(tmp_path / "export")


def test_onnx_scopes_place_a_matrix_without_bias(tmp_path: Path) -> None:
    """torch names nodes by module, which places the q, k, v of networks without qkv bias."""
    state = {name: t for name, t in SCALED.items() if "qkv.bias" not in name}
    cases.onnx_dinov2(SCALED, tmp_path / "export")
    model = onnx.load(tmp_path / "export")
    keep = []
    for product, total in zip(model.graph.node[::2], model.graph.node[1::2], strict=True):
        bias = next(name for name in total.input if name.endswith(".bias"))
        product.name = "/" + bias.removesuffix(".bias").replace(".", "/") + "/MatMul"
        product.name = product.name.replace("/layer/", "/layer.")  # a list's number stays attached
        keep += [product] if ".attention.attention." in bias else [product, total]
    initializers = [t for t in model.graph.initializer if ".attention.attention." not in t.name]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, cases.DIM])
    graph = helper.make_graph(keep, "export", [value], [value], initializers)
    (tmp_path / "export").write_bytes(helper.make_model(graph).SerializeToString())
    assert_same(canonical_of(tmp_path / "export"), state)


def test_onnx_parameters_that_the_exporter_merged_come_back(tmp_path: Path) -> None:
    state = SCALED | {"blocks.1.norm1.bias": SCALED["blocks.0.norm1.bias"]}
    cases.onnx_dinov2(state, tmp_path / "export")
    model = onnx.load(tmp_path / "export")
    first, second = (f"backbone.encoder.layer.{i}.norm1.bias" for i in (0, 1))
    kept = [tensor for tensor in model.graph.initializer if tensor.name != second]
    assert len(kept) == len(model.graph.initializer) - 1
    identity = helper.make_node("Identity", [first], [second])
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, cases.DIM])
    nodes = [identity, *model.graph.node]
    graph = helper.make_graph(nodes, "export", [value], [value], kept)
    (tmp_path / "export").write_bytes(helper.make_model(graph).SerializeToString())
    assert_same(canonical_of(tmp_path / "export"), state)


def test_onnx_with_its_data_in_another_file(tmp_path: Path) -> None:
    cases.onnx_dinov2(SCALED, tmp_path / "whole")
    model = onnx.load(tmp_path / "whole")
    onnx.save_model(
        model, tmp_path / "export.onnx", save_as_external_data=True, location="export.data"
    )
    assert_same(canonical_of(tmp_path / "export.onnx"), SCALED)
    (tmp_path / "export.data").unlink()
    with pytest.raises(WeightsError, match="external data cannot be read"):
        read(tmp_path / "export.onnx")


# --- kinds by content ---------------------------------------------------------------------------


def write_safetensors(state: State, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


def write_torch(state: State, path: Path) -> None:
    torch.save(state, path)


def write_legacy(state: State, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


WRITERS: dict[str, Callable[[State, Path], None]] = {
    "safetensors": write_safetensors,
    "torch": write_torch,
    "torch legacy": write_legacy,
    "onnx": cases.onnx_dinov2,
}


@pytest.mark.parametrize("suffix", ["", ".safetensors", ".onnx", ".jpg"])
@pytest.mark.parametrize("kind", WRITERS)
def test_the_kind_shows_in_the_content_whatever_the_name(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    WRITERS[kind](SCALED, path)
    assert sniff(path) == kind
    assert_same(canonical_of(path), SCALED)


def test_the_digest_does_not_depend_on_the_container(tmp_path: Path) -> None:
    digests = {load_model(SCALED).weights_sha256}
    for kind, write in WRITERS.items():
        write(SCALED, tmp_path / kind)
        digests.add(load_model(tmp_path / kind).weights_sha256)
    assert len(digests) == 1


def test_a_full_checkpoint_with_its_namespace_is_read(tmp_path: Path) -> None:
    other = cases.canonical_vit(seed=1)
    torch.save(cases.original_full(other, PLAIN), tmp_path / "full.pth")
    assert_same(canonical_of(tmp_path / "full.pth"), PLAIN)
    student = load_model(tmp_path / "full.pth", key="student")
    assert torch.equal(student.model.cls_token, other["cls_token"])
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_files_are_read_in_several_threads_at_once(tmp_path: Path) -> None:
    """torch's list of allowed types is one for the process."""
    torch.save(cases.original_full(PLAIN, PLAIN), tmp_path / "full.pth")
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(10):
                read(tmp_path / "full.pth")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_loaded_weights_do_not_depend_on_the_file_any_more(tmp_path: Path) -> None:
    """Full checkpoints are memory-mapped, and a file may be overwritten while the app runs."""
    path = tmp_path / "weights.pth"
    torch.save(PLAIN, path)
    loaded = load_model(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert_same(dict(loaded.model.state_dict()), PLAIN)


# --- refused pickles ----------------------------------------------------------------------------


class Bomb:
    """Unpickling this in the ordinary way creates a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("level", ["bare", "full", "in args", "in optimizer", "everything"])
def test_a_pickle_that_wants_to_run_code_is_refused(
    tmp_path: Path, level: str, legacy: bool
) -> None:
    canary, path = tmp_path / "canary", tmp_path / "evil.pth"
    bomb = Bomb(canary)
    full = cases.original_full(PLAIN, PLAIN)
    tree = {
        "bare": PLAIN | {"norm.bias": bomb},
        "full": full | {"epoch": bomb},
        "in args": full | {"args": argparse.Namespace(arch=bomb)},
        "in optimizer": full | {"optimizer": {"state": bomb}},
        "everything": bomb,
    }[level]
    torch.save(tree, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match="refused, because this pickle asks to import") as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert f"{os.system.__module__}.system" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not canary.exists()


def test_the_canary_would_sing_if_the_pickle_were_run(tmp_path: Path) -> None:
    """Proof that the test above could fail."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_plain_pickle_is_refused_too(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps({"a": Bomb(tmp_path / "canary")}, protocol=protocol))
    with pytest.raises(WeightsError, match=r"refused.*any code"):
        read(path)
    assert not (tmp_path / "canary").exists()


def test_a_pickled_module_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.linear\.Linear.*re-save only"):
        read(tmp_path / "model.pth")


# --- things that are no weights -----------------------------------------------------------------


def zipped(name: str) -> bytes:
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"text")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "a web page, not weights"),
        (b"\n  <html>404</html>", "a web page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\x89PNG\r\n\x1a\n0000000000", "not a kind of weights known here"),
        (b"hello, I am a text file", "not a kind of weights known here"),
        (zipped("readme.txt"), "a zip archive, but not a torch file"),
        (b"PK\x03\x04 and then nothing", "cut short"),
        (b"\x80\x02}q\x00.", "holds no tensors"),
        (b"\x08\x07" + b"\x00" * 40, "not ONNX, or cut short|without weights"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f{", "header is cut short"),
        ((9).to_bytes(8, "little") + b"{nonsense", "header is cut short"),
    ],
)
def test_other_files_are_reported_in_one_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=sentence) as caught:
        load_model(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_what_holds_no_dict_is_reported(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds a list, expected a dict"):
        read(tmp_path / "list.pth")


def test_a_missing_file_and_an_unreadable_one_are_reported(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        load(tmp_path / "nothing.pth")
    loop = tmp_path / "loop.pth"
    loop.symlink_to(loop)
    with pytest.raises(WeightsError, match=r"no such file|cannot be read"):
        load_model(loop)


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole file of each kind."""
    folder = tmp_path_factory.mktemp("containers")
    for kind, write in WRITERS.items():
        write(SCALED, folder / kind)
    return folder


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused_in_one_sentence(
    containers: Path, kind: str, share: float
) -> None:
    whole = (containers / kind).read_bytes()
    path = containers / f"cut {kind}"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(WeightsError) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, 3000), garbage=st.binary(min_size=1, max_size=40))
def test_a_damaged_file_ends_in_a_user_error_or_in_weights(
    containers: Path, kind: str, place: int, garbage: bytes
) -> None:
    whole = bytearray((containers / kind).read_bytes())
    whole[place : place + len(garbage)] = garbage
    path = containers / f"damaged {kind}"
    path.write_bytes(whole)
    try:
        loaded = load_model(path)
    except UserError:
        return
    assert len(loaded.model.blocks) == cases.DEPTH


# --- Hugging Face folders -----------------------------------------------------------------------


def hugging_face_folder(folder: Path, state: State, **config: Any) -> Path:
    folder.mkdir()
    write_safetensors(cases.hugging_face_vit(state), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "vit", **config}))
    return folder


def test_a_folder_tells_heads_grid_mean_and_std(tmp_path: Path) -> None:
    state = cases.canonical_vit(dim=96, grid=(2, 4))
    folder = hugging_face_folder(
        tmp_path / "dino-vits", state, num_attention_heads=3, image_size=[8, 16], patch_size=4
    )
    normalise = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(normalise))
    loaded = load_model(folder)
    assert loaded.model.blocks[0].attn.num_heads == 3
    assert loaded.model.patch_embed.grid_size == (2, 4)
    assert (loaded.mean, loaded.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert loaded.name == "dino-vits"
    assert_same(dict(loaded.model.state_dict()), state)
    assert load_model(folder, num_heads=4).model.blocks[0].attn.num_heads == 4


def test_a_named_architecture_goes_before_what_a_folder_says(tmp_path: Path) -> None:
    from dino.weights.initial import initial_tensors

    state = initial_tensors(ZOO["random_vitt16"])
    folder = hugging_face_folder(tmp_path / "tiny", state, num_attention_heads=12)
    assert load_model(folder).model.blocks[0].attn.num_heads == 12
    named = load_model(folder, arch="vit_tiny_patch16_224")
    assert named.model.blocks[0].attn.num_heads == 3


def test_a_folder_with_an_older_file_and_no_preprocessor(tmp_path: Path) -> None:
    folder = hugging_face_folder(tmp_path / "model", PLAIN, num_attention_heads=2)
    (folder / "model.safetensors").unlink()
    torch.save(cases.hugging_face_vit(PLAIN), folder / "pytorch_model.bin")
    loaded = load_model(str(folder))
    assert_same(dict(loaded.model.state_dict()), PLAIN)
    assert (loaded.mean, loaded.std) == (IMAGENET_MEAN, IMAGENET_STD)


def test_a_folder_without_weights_or_with_a_broken_config_is_reported(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="a folder without weights"):
        load_model(tmp_path)
    folder = hugging_face_folder(tmp_path / "model", PLAIN)
    (folder / "config.json").write_text("{broken")
    with pytest.raises(WeightsError, match="not readable as JSON"):
        load_model(folder)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(WeightsError, match="expected a JSON object"):
        load_model(folder)


# --- what belongs to weights, and back to a file --------------------------------------------------


def test_mean_and_std_come_with_the_weights(tmp_path: Path) -> None:
    torch.save(cases.own_run(PLAIN, PLAIN), tmp_path / "step-00000100.pt")
    loaded = load_model(tmp_path / "step-00000100.pt")
    assert (loaded.mean, loaded.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    convert(tmp_path / "step-00000100.pt", tmp_path / "teacher.safetensors")
    again = load_model(tmp_path / "teacher.safetensors")
    assert (again.mean, again.std) == (loaded.mean, loaded.std)
    assert load_model(PLAIN).mean == IMAGENET_MEAN


def test_unreadable_metadata_counts_as_none(tmp_path: Path) -> None:
    metadata = {"mean": "[1, 2", "std": "[1, 2]", "grid": "x", "num_heads": "many"}
    save_file(PLAIN, tmp_path / "file", metadata=metadata)
    loaded = load_model(tmp_path / "file")
    assert (loaded.mean, loaded.std) == (IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_convert_keeps_values_to_the_dtype_and_everything_known(tmp_path: Path, dtype: str) -> None:
    state = cases.canonical_vit(dim=96, grid=(2, 4), layer_scale=True)
    folder = hugging_face_folder(
        tmp_path / "wide",
        {name: t for name, t in state.items() if ".ls" not in name},
        num_attention_heads=3,
        image_size=[8, 16],
        patch_size=4,
    )
    before = load_model(folder)
    path = convert(folder, tmp_path / "deep" / "out.safetensors", dtype)
    after = load_model(path)
    kind = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[dtype]
    for name, tensor in before.model.state_dict().items():
        assert torch.equal(after.model.state_dict()[name], tensor.to(kind).float()), name
    assert after.model.blocks[0].attn.num_heads == 3
    assert after.model.patch_embed.grid_size == (2, 4)
    assert (after.name, after.description) == (before.name, before.description)
    assert (after.weights_sha256 == before.weights_sha256) == (dtype == "fp32")
    assert [p.name for p in path.parent.iterdir()] == ["out.safetensors"]


def test_convert_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="expected one of fp16, bf16, fp32"):
        convert(PLAIN, tmp_path / "out", dtype="int4")
    large = PLAIN | {"norm.bias": torch.full((cases.DIM,), 1e6)}
    with pytest.raises(WeightsError, match="too large for fp16"):
        convert(large, tmp_path / "out", dtype="fp16")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        convert(PLAIN, tmp_path / "file" / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_saving_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_text("the old file")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        save(PLAIN, path, dtype="fp32", metadata={})
    assert path.read_text() == "the old file"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_info_tells_what_weights_are() -> None:
    facts = info(cases.hugging_face_dinov2(SCALED, "dinov2."))
    assert facts["layout"] == "Hugging Face ViT or Dinov2, dinov2"
    assert (facts["embed_dim"], facts["depth"], facts["num_heads"]) == (cases.DIM, cases.DEPTH, 2)
    assert (facts["patch_size"], facts["grid"]) == (cases.PATCH, (cases.GRID, cases.GRID))
    assert (facts["num_registers"], facts["layer_scale"]) == (0, True)
    assert facts["parameters"] == sum(tensor.numel() for tensor in SCALED.values())
    assert facts["weights_sha256"] == load_model(SCALED).weights_sha256
    json.dumps(facts)


# --- the real thing, random weights, names ------------------------------------------------------


def test_the_real_weights_load_strictly(shared: Path) -> None:
    path = shared / "weights" / "vits14_dinov2_saliency.fp16.safetensors"
    if not path.exists():
        pytest.skip("the real weights (../shared/weights) are absent")
    facts = info(path)
    assert (facts["embed_dim"], facts["depth"], facts["num_heads"]) == (384, 12, 6)
    assert (facts["patch_size"], facts["grid"], facts["layer_scale"]) == (14, (37, 37), True)
    assert facts["parameters"] == 22_056_192
    named = load_model(path, arch="vit_small_patch14_dinov2")
    assert named.weights_sha256 == facts["weights_sha256"]


@pytest.mark.parametrize("name", [name for name in ZOO if name.startswith("random_")])
def test_random_weights_are_the_recipes(name: str) -> None:
    before = torch.random.get_rng_state()
    loaded, again = load_model(name), load_model(name)
    assert torch.equal(before, torch.random.get_rng_state())
    assert loaded.weights_sha256 == again.weights_sha256
    assert loaded.is_random
    assert "nothing learned" in loaded.description
    state, patch = loaded.model.state_dict(), ZOO[name].patch_size
    assert loaded.model.patch_embed.patch_size == (patch, patch)
    assert loaded.model.patch_embed.grid_size == (224 // patch, 224 // patch)
    for key in ("cls_token", "pos_embed", "blocks.3.attn.qkv.weight", "blocks.11.mlp.fc2.weight"):
        assert state[key].std().item() == pytest.approx(0.02, rel=0.12), key
        assert abs(state[key].mean().item()) < 0.003, key
    assert all((t == 0).all() for k, t in state.items() if k.endswith("bias") and "patch" not in k)
    assert all((t == 1).all() for k, t in state.items() if "norm" in k and k.endswith("weight"))
    bound = (3 * patch * patch) ** -0.5
    conv = state["patch_embed.proj.weight"]
    assert bound * 0.99 < conv.abs().max().item() <= bound
    assert conv.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_random_weights_in_a_file_stay_known_as_random(tmp_path: Path) -> None:
    path = convert("random_vitt16", tmp_path / "random.safetensors", "fp32")
    loaded = load_model(path)
    assert loaded.is_random
    assert "nothing learned" in loaded.description
    assert not load_model(convert(PLAIN, tmp_path / "plain.safetensors")).is_random


def test_load_wraps_what_load_model_loads() -> None:
    backbone = load("random_vitt16", device="cpu", precision="fp32")
    assert backbone.weights_sha256 == load_model("random_vitt16").weights_sha256
    assert (backbone.patch_size, backbone.embed_dim, backbone.num_heads) == (16, 192, 3)
    assert backbone.is_random
    assert backbone.tokens(torch.zeros(1, 3, 32, 32)).patches.shape == (1, 4, 192)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("dino_vits61", "did you mean dino_vits16"),
        ("vit_smal_patch16_224", "did you mean vit_small_patch16_224"),
        ("xyzzy", "zoo names: dino_vits16"),
        ("folder/file.pth", "no such file"),
        ("weights.safetensors", "no such file"),
        ("timm:no_such_model", "timm has no pretrained weights named 'no_such_model'"),
        ("timm:vit_tiny_patch16_224.no_such_tag", "timm has no pretrained weights"),
    ],
)
def test_unknown_names_are_reported_with_the_nearest(name: str, sentence: str) -> None:
    with pytest.raises(WeightsError, match=sentence):
        load_model(name)


def test_a_timm_name_is_reported_in_one_sentence_when_the_hub_is_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("timm:vit_small_patch16_224.dino", "vit_small_patch16_224.dino"):
        with pytest.raises(WeightsError, match="the Hugging Face hub cannot be reached"):
            load_model(name)
    with pytest.raises(WeightsError, match="leave arch= and num_heads= out"):
        load_model("timm:vit_small_patch16_224.dino", num_heads=6)


def test_a_timm_name_in_the_hub_cache_needs_no_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dino.weights.initial import initial_tensors

    state = initial_tensors(ZOO["random_vitt16"])
    classifier = {"head.weight": torch.ones(1000, 192), "head.bias": torch.ones(1000)}
    save_file(state | classifier, tmp_path / "model.safetensors")
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda repo, filename: str(tmp_path / "model.safetensors"),
    )
    loaded = load_model("timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    assert loaded.weights_sha256 == load_model("random_vitt16").weights_sha256
    assert loaded.mean == (0.5, 0.5, 0.5)  # timm's cfg of this one, not ImageNet's


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = ("torch", "timm", "onnx", "torchvision", "numpy")
    code = (
        "import sys, dino.weights, dino.weights.fetching, dino.weights.loading;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.strip() == "[]"
