"""What a run hands on: its backbone as weights that `dino.load` opens, and its head to start from."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dino.errors import UserError, WeightsError
from dino.training.runs import checkpoint


def export_weights(backbone: Any, path: Path, **description: Any) -> Path:
    """Write a backbone as safetensors that describe themselves: fp16, or fp32 where that is too narrow.

    Args:
        description: name, description, mean and std.
    Raises:
        UserError: the file cannot be written.
    """
    from dino.weights.saving import describe_network, save

    metadata = {**description, **describe_network(backbone, required=False)}
    try:
        return save(backbone.state_dict(), path, dtype="fp16", metadata=metadata)
    except WeightsError:  # a value too large for fp16; a full disk is another error
        return save(backbone.state_dict(), path, dtype="fp32", metadata=metadata)


def export_head(head: nn.Module, center: Tensor, path: Path) -> Path:
    """Write the teacher's head and the centre, for `init_head` of a later run."""
    from dino.weights.saving import save

    state = {**head.state_dict(), "center": center}
    return save(state, path, dtype="fp32", metadata={"name": "head"})


def read_head(path: Path) -> dict[str, Tensor]:
    """Read head and `center` from what `export_head` wrote, or from a run's checkpoint (the teacher's).

    Raises:
        UserError: neither of the two, or damaged.
    """
    try:
        if path.suffix == ".safetensors":
            return {
                k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()
            }
        saved = checkpoint.load(path)
    except (OSError, SafetensorError, WeightsError) as error:
        raise UserError(
            f"no head can be read from {path} ({error}); give a run's weights/head.safetensors or a "
            "checkpoint of it"
        ) from error
    state = {k.removeprefix("head."): v for k, v in saved.teacher.items() if k.startswith("head.")}
    return {**state, "center": torch.as_tensor(saved.loss.get("center", ()))}
