"""Open a weights file or a tree of tensors as a model that holds exactly its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dino.errors import WeightsError
from dino.system.files import parse_json
from dino.weights.architecture import LoadedModel, build, dimensions, filled, set_periods
from dino.weights.files import read
from dino.weights.hints import Hints, Triple, pair
from dino.weights.layouts import Canonical, Channels, as_float32, to_canonical
from dino.weights.locate import locate
from dino.weights.networks.heads import assumed_note, choose_heads
from dino.weights.networks.named import build_named, build_other, depth_note, search
from dino.weights.networks.structure import construct, create, empty, recipe
from dino.weights.saving import network_digest
from dino.weights.zoo import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from torch import nn

# How the weights of a patch embedding end, whoever wrote them.
_PATCH_WEIGHTS = (
    "patch_embed.proj.weight",
    "patch_embeddings.projection.weight",
    "patch_embedding.weight",
    "patch_embed.projection.weight",
    "conv_proj.weight",
)
# Widths of published DINOv3 and EUPE networks, whose heads are of 64 (of 128 in the largest).
_DINOV3_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 20, 4096: 32}


@dataclass(frozen=True)
class _Opened:
    """A model before it is described: its `layout` in words, and what was assumed."""

    model: nn.Module
    layout: str
    notes: tuple[str, ...] = ()
    mean: Triple | None = None
    std: Triple | None = None
    positions: Literal["timm", "dino"] = "dino"


def model_of_file(
    path: Path,
    *,
    key: str = "teacher",
    arch: str | None = None,
    num_heads: int | None = None,
    channels: Channels | None = None,
) -> LoadedModel:
    """Build the model of a weights file or folder.

    Args:
        key, arch, num_heads, channels: as in `dino.load`.
    Raises:
        WeightsError: no such file, an unsafe one, or an unknown or incomplete layout.
    """
    raw = read(path)
    hints = raw.hints if raw.hints.name else replace(raw.hints, name=path.stem)
    hints = replace(hints, config={**hints.config, **_adapter_settings(path)})
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


def _adapter_settings(path: Path) -> dict[str, Any]:
    """Read what PEFT writes beside weights with adapters in them; {} where there is none."""
    try:
        settings = parse_json(
            ((path if path.is_dir() else path.parent) / "adapter_config.json").read_bytes()
        )
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _grid_of_size(tree: Mapping[str, Any], hints: Hints) -> tuple[int, int] | None:
    """Find the grid of an image size that stands beside the weights, by the patch that the tensors show."""
    size = hints.config.get("image_size")
    sides = pair([size, size] if isinstance(size, int) else size)
    patches = {
        (value.shape[2], value.shape[3])
        for name, value in _leaves(tree)
        if name.endswith(_PATCH_WEIGHTS) and getattr(value, "ndim", 0) == 4
    }
    if sides is None or len(patches) != 1:
        return None
    height, width = patches.pop()
    return pair((sides[0] // height, sides[1] // width))


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        else:
            yield str(name), value


def model_of_tree(
    tree: Mapping[str, Any],
    hints: Hints,
    where: str,
    *,
    key: str,
    arch: str | None,
    num_heads: int | None,
    channels: Channels | None = None,
    kind: str | None = None,
) -> LoadedModel:
    """Build the model of a tree of tensors; errors are prefixed with where the weights came from."""
    hints = replace(hints, grid=hints.grid or _grid_of_size(tree, hints))
    try:
        if arch is not None:
            opened = _open_by_name(
                tree, hints, arch, key=key, num_heads=num_heads, channels=channels
            )
        elif "network" in hints.metadata:
            opened = _open_described(tree, hints, num_heads)
        else:
            opened = _open_by_tensors(tree, hints, key=key, num_heads=num_heads, channels=channels)
    except WeightsError as error:
        raise WeightsError(f"{where}: {error}") from error
    layout = opened.layout if kind is None else f"{opened.layout} ({kind})"
    described = hints.description or _unknown_description(opened.model, layout, hints)
    return LoadedModel(
        model=opened.model,
        name=hints.name or "state dict",
        description=" ".join((described, *opened.notes)),
        mean=hints.mean or opened.mean or IMAGENET_MEAN,
        std=hints.std or opened.std or IMAGENET_STD,
        weights_sha256=network_digest(opened.model),
        layout=layout,
        is_random=hints.is_random,
        notes=opened.notes,
        positions=opened.positions,
    )


def _open_described(tree: Mapping[str, Any], hints: Hints, num_heads: int | None) -> _Opened:
    """Open what `save_model` wrote: the network is described in the file.

    Raises:
        WeightsError: the description cannot be read, or the tensors are others.
    """
    import torch

    try:
        written = parse_json(hints.metadata["network"])
        periods = parse_json(hints.metadata.get("rope_periods", "null"))
        options = dict(written["options"])
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            "its description of the network cannot be read; save it again, or pass arch= (--arch)"
        ) from error
    notes: tuple[str, ...] = ()
    recorded = options.get("num_heads", hints.num_heads)
    if num_heads is not None and num_heads != recorded:
        notes = (
            f"{num_heads} heads are taken, as asked for; what stands beside the weights says "
            f"{recorded}.",
        )
        options["num_heads"] = num_heads
    written = {**written, "options": options}
    plain = str(written.get("class", "")) == "VisionTransformer"
    model = filled(lambda: construct(written), as_float32(tree), meta=plain)
    if periods is not None:
        set_periods(model, torch.tensor(periods, dtype=torch.float32))
    layout = "timm / original DINO ViT" if plain else f"timm's {type(model).__name__}"
    return _Opened(model, layout, notes, positions=_positions(model))


def _open_by_name(
    tree: Mapping[str, Any],
    hints: Hints,
    arch: str,
    *,
    key: str,
    num_heads: int | None,
    channels: Channels | None,
) -> _Opened:
    """Open weights as timm's `arch`."""
    network = empty(lambda: create(arch))
    is_vit = hasattr(network, "blocks") and hasattr(network, "patch_embed")
    try:
        canonical = to_canonical(
            tree, key=key, channels=channels, config=hints.config, grid=hints.grid, by_name=True
        )
    except WeightsError:
        if is_vit:
            raise
        canonical = None
    if canonical is None or (not is_vit and canonical.family not in ("vit", "dinov3")):
        model, words, _ = build_other(tree, arch, key=key)
        return _Opened(model, f"timm's {arch}" + "".join(f", {'.'.join(words)}" for _ in words[:1]))
    if canonical.family in ("resnet", "xcit"):
        model = filled(lambda: create(arch), canonical.tensors, meta=False)
        return _Opened(model, canonical.layout)
    model = build_named(arch, canonical, num_heads=num_heads, grid=hints.grid)
    positions, mean, std = _positions(model), canonical.mean, canonical.std
    if positions == "timm":  # no DINO, so that timm's own scale of the input is the likelier
        cfg = getattr(model, "pretrained_cfg", None) or {}
        mean, std = mean or cfg.get("mean"), std or cfg.get("std")
    notes = canonical.notes + depth_note(arch, canonical)
    return _Opened(model, canonical.layout, notes, mean, std, positions)


def _open_by_tensors(
    tree: Mapping[str, Any],
    hints: Hints,
    *,
    key: str,
    num_heads: int | None,
    channels: Channels | None,
) -> _Opened:
    """Open weights as what their tensors and what stands beside them show."""
    canonical = to_canonical(tree, key=key, channels=channels, config=hints.config, grid=hints.grid)
    if canonical.family in ("resnet", "xcit"):
        return _Opened(build(canonical, num_heads=num_heads), canonical.layout)
    heads, notes = choose_heads(canonical, hints, num_heads)
    notes = canonical.notes + notes
    mean, std = canonical.mean, canonical.std
    if canonical.family == "named":
        arch = hints.arch or search(canonical, grid=hints.grid)
        model = build_named(arch, canonical, num_heads=num_heads, grid=hints.grid)
        cfg = getattr(model, "pretrained_cfg", None) or {}
        mean, std = mean or cfg.get("mean"), std or cfg.get("std")
        layout = f"{canonical.layout}, timm's {arch}"
        return _Opened(model, layout, notes, mean, std, _positions(model))
    facts, found = _facts_of_name(canonical, hints)
    notes += found
    if isinstance(facts, _Named):
        return _Opened(facts.model, canonical.layout, notes, mean, std, _positions(facts.model))
    heads = heads or facts.get("num_heads")
    width = canonical.tensors["patch_embed.proj.weight"].shape[0]
    if heads is None and canonical.family == "dinov3":
        heads = _DINOV3_HEADS.get(width)
    act = hints.act or facts.get("act")
    if (
        canonical.family == "dinov3"
        and act == "silu"
        and "fc1_g" not in str(canonical.tensors.keys())
    ):
        raise WeightsError("a DINOv3 with the activation 'silu' and no gate, expected gelu")
    model = build(
        canonical,
        num_heads=heads,
        grid=hints.grid,
        norm_eps=hints.norm_eps or facts.get("norm_eps"),
        act=act,
        rope_theta=hints.rope_theta,
    )
    if heads is None:
        network: Any = model
        notes += (assumed_note(network.blocks[0].attn.num_heads, width),)
    if act is None and canonical.assumed_act is not None:
        notes += (canonical.assumed_act,)
    return _Opened(model, canonical.layout, notes, mean, std, _positions(model))


@dataclass(frozen=True)
class _Named:
    """A network that is exactly the one that the file names."""

    model: nn.Module


def _facts_of_name(
    canonical: Canonical, hints: Hints
) -> tuple[_Named | dict[str, Any], tuple[str, ...]]:
    """Take from the timm name beside the weights what the tensors do not show.

    Returns:
        The network itself where it is not of the plain kind and fits; else heads, eps and activation of
        the named network where it has this width; and a note where it has not the sizes of these weights.
    """
    if hints.arch is None:
        return {}, ()
    try:
        network: Any = empty(lambda: create(hints.arch or ""))
    except WeightsError:
        return {}, (f"The file names {hints.arch!r}, which timm does not know.",)
    kind = {"vit": "VisionTransformer", "dinov3": "Eva", "beit": "Beit"}[canonical.family]
    if type(network).__name__ != kind and not type(network).__name__.startswith(kind):
        return _Named(build_named(hints.arch, canonical, grid=hints.grid)), ()
    if canonical.family != "vit" or not hasattr(network.blocks[0], "attn"):
        return {}, ()
    block = network.blocks[0]
    options = (recipe(network) or {}).get("options", {})
    width = canonical.tensors["patch_embed.proj.weight"].shape[0]
    depth = len({name.split(".")[1] for name in canonical.tensors if name.startswith("blocks.")})
    notes: tuple[str, ...] = ()
    if width != network.embed_dim or depth != len(network.blocks):
        notes = (
            f"The file names {hints.arch}, of width {network.embed_dim} and {len(network.blocks)} "
            f"blocks, but its weights have {width} and {depth}; the weights were followed.",
        )
    facts = {"norm_eps": block.norm1.eps, "act": options.get("act")}
    if width == network.embed_dim:
        facts["num_heads"] = block.attn.num_heads
    return facts, notes


def _positions(model: nn.Module) -> Literal["timm", "dino"]:
    """Say how learned positions go to other sizes: as the original of DINO does it for a plain ViT."""
    from timm.models.vision_transformer import VisionTransformer

    network: Any = model
    if type(model) is not VisionTransformer or network.cls_token is None:
        return "timm"
    return "timm" if hasattr(network.norm_pre, "weight") else "dino"


def _unknown_description(model: nn.Module, layout: str, hints: Hints) -> str:
    """Describe weights that do not describe themselves."""
    facts = dimensions(model)
    what = type(model).__name__
    if "num_heads" in facts:
        kind = {"Eva": "ViT with rotary positions", "Beit": "BEiT"}.get(what, "ViT")
        what = (
            f"{kind}, patch {facts['patch_size']}, width {facts['embed_dim']}, "
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
        student, _, _ = locate(tree, key="student")
        teacher, _, _ = locate(tree, key="teacher")
    except WeightsError:
        return False
    return (student.path, student.prefix) != (teacher.path, teacher.prefix)
