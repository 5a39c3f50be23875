"""Means of weights: by hand, weighted, and refused where there is none."""

import pytest
import torch
from safetensors.torch import load_file

import dino
from dino.errors import UserError, WeightsError
from dino.weights import load_model
from dino.weights.conversion import average


@pytest.fixture
def moved(small_weights, tmp_path):
    """The small weights with 1 added to every number."""
    state = {k: v + 1 for k, v in load_model(small_weights).model.state_dict().items()}
    path = tmp_path / "moved.pth"
    torch.save(state, path)
    return path


def test_the_mean_lies_between_as_the_shares_say(small_weights, moved, tmp_path):
    first = load_model(small_weights).model.state_dict()
    half = load_file(
        average([small_weights, moved], tmp_path / "a.safetensors", dtype="fp32", num_heads=3)
    )
    most = load_file(
        average(
            [small_weights, moved],
            tmp_path / "b.safetensors",
            shares=[1, 3],
            dtype="fp32",
            num_heads=3,
        )
    )
    assert half.keys() == first.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(half[name], tensor + 0.5)
        torch.testing.assert_close(most[name], tensor + 0.75)


def test_the_file_opens_and_says_what_it_is(small_weights, moved, tmp_path):
    path = average([small_weights, moved], tmp_path / "between.safetensors", num_heads=3)
    backbone = dino.load(path)
    assert backbone.name == "between"
    assert "50% of" in backbone.description
    assert str(tmp_path) not in backbone.description


def test_other_shapes_and_single_sources_are_refused(small_weights, tmp_path):
    state = load_model(small_weights).model.state_dict()
    torch.save(
        {k: v for k, v in state.items() if not k.startswith("blocks.1.")}, tmp_path / "short.pth"
    )
    with pytest.raises(WeightsError, match=r"differs from .*blocks\.1"):
        average([small_weights, tmp_path / "short.pth"], tmp_path / "x.safetensors", num_heads=3)
    with pytest.raises(UserError, match="two or more"):
        average([small_weights], tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="positive share"):
        average([small_weights] * 2, tmp_path / "x.safetensors", shares=[1, 0])
    assert not (tmp_path / "x.safetensors").exists()


def test_the_command_writes_the_same(command, small_weights, tmp_path):
    out = ("--out", tmp_path / "same.safetensors", "--dtype", "fp32", "--shares", "1,1")
    code, _, err = command("weights", "average", small_weights, small_weights, *out)
    assert code == 0, err
    one, same = (
        load_model(path).weights_sha256 for path in (small_weights, tmp_path / "same.safetensors")
    )
    assert one == same
