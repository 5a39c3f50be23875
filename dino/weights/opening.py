"""Open a weights file or a tree of tensors as a model that holds exactly its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dino.errors import WeightsError
from dino.weights.architecture import LoadedModel, build, dimensions
from dino.weights.files import read
from dino.weights.hints import Hints
from dino.weights.layouts import to_canonical
from dino.weights.locate import locate
from dino.weights.saving import digest
from dino.weights.zoo import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from torch import nn


def model_of_file(
    path: Path,
    *,
    key: str = "teacher",
    arch: str | None = None,
    num_heads: int | None = None,
    channels: Literal["mean", "first"] | None = None,
) -> LoadedModel:
    """Build the model of a weights file or folder.

    Args:
        key, arch, num_heads, channels: as in `dino.load`.
    Raises:
        WeightsError: no such file, an unsafe one, or an unknown or incomplete layout.
    """
    raw = read(path)
    hints = raw.hints if raw.hints.name else replace(raw.hints, name=path.stem)
    return model_of_tree(
        raw.tree,
        hints,
        str(path),
        key=key,
        arch=arch,
        num_heads=num_heads,
        channels=channels,
        kind=raw.kind,
    )


def model_of_tree(
    tree: Mapping[str, Any],
    hints: Hints,
    where: str,
    *,
    key: str,
    arch: str | None,
    num_heads: int | None,
    channels: Literal["mean", "first"] | None = None,
    kind: str | None = None,
) -> LoadedModel:
    """Build the model of a tree of tensors; errors are prefixed with where the weights came from."""
    try:
        canonical = to_canonical(tree, key=key)
        heads = num_heads
        if heads is None and arch is None and canonical.family == "vit":
            heads = hints.num_heads
        model = build(canonical, arch=arch, num_heads=heads, grid=hints.grid)
    except WeightsError as error:
        raise WeightsError(f"{where}: {error}") from error
    layout = canonical.layout if kind is None else f"{canonical.layout} ({kind})"
    return LoadedModel(
        model=model,
        name=hints.name or "state dict",
        description=hints.description or _unknown_description(model, layout, hints),
        mean=hints.mean or IMAGENET_MEAN,
        std=hints.std or IMAGENET_STD,
        weights_sha256=digest(model.state_dict()),
        layout=layout,
        is_random=hints.is_random,
    )


def _unknown_description(model: nn.Module, layout: str, hints: Hints) -> str:
    """Describe weights that do not describe themselves."""
    facts = dimensions(model)
    what = type(model).__name__
    if "num_heads" in facts:
        what = (
            f"ViT, patch {facts['patch_size']}, width {facts['embed_dim']}, "
            f"depth {facts['depth']}, {facts['num_heads']} heads"
        )
    origin = hints.metadata.get("source")
    training = f"source: {origin}" if origin else "how it was trained is not recorded"
    return f"{what}; read as {layout}; {training}."


def holds_student_and_teacher(path: str | Path) -> bool:
    """Tell whether `load(path, key=)` gives two different networks for "student" and "teacher".

    A file that cannot be read holds neither; what is wrong with it is `load`'s to say.
    """
    try:
        tree = read(path).tree
        student, _ = locate(tree, key="student")
        teacher, _ = locate(tree, key="teacher")
    except WeightsError:
        return False
    return (student.path, student.prefix) != (teacher.path, teacher.prefix)
