"""Build a timm model that holds exactly the canonical tensors it is given.

    model = build(canonical, num_heads=None)     # timm VisionTransformer, strict

A ViT is built from the dimensions its tensors show, or from timm's own by name (`networks/named.py`); nothing is
loaded that does not fit key by key and shape by shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from dino.errors import WeightsError
from dino.weights.hints import Triple
from dino.weights.layouts import Canonical
from dino.weights.locate import first_three
from dino.weights.naming.kinds import fits_grid
from dino.weights.naming.others import seems
from dino.weights.networks.heads import check_heads
from dino.weights.networks.structure import activation, construct, create, empty, exact_ratio

if TYPE_CHECKING:
    from torch import Tensor, nn

_XCIT_SIZES = {128: "nano", 192: "tiny", 384: "small", 512: "medium", 768: "large"}
_DEFAULT_EPS = 1e-6
_ROPE_BASE = 100.0  # of every published DINOv3


@dataclass(frozen=True)
class LoadedModel:
    """A timm model and what belongs to its weights.

    `mean` and `std` per RGB channel (0..1), `weights_sha256` over the canonical float32 tensors,
    `layout` in words, `is_random` where nothing was learned, `notes` whole sentences on what was
    assumed, `positions` how learned positions go to other sizes: as timm or as the originals do it.
    """

    model: nn.Module
    name: str
    description: str
    mean: Triple
    std: Triple
    weights_sha256: str
    layout: str
    is_random: bool = False
    notes: tuple[str, ...] = ()
    positions: Literal["timm", "dino"] = "dino"


@dataclass(frozen=True)
class VitShape:
    """Dimensions of a ViT: `patch_size` px, `grid` (rows, columns) of the position embedding,
    `mlp_hidden` rows of fc1, `prefix_in_positions` how many positions are not patches."""

    embed_dim: int
    depth: int
    num_heads: int
    patch_size: int
    grid: tuple[int, int]
    num_registers: int
    layer_scale: bool
    mlp_hidden: int
    swiglu: bool
    qkv_bias: bool
    prefix_in_positions: int


def build(
    canonical: Canonical,
    *,
    num_heads: int | None = None,
    grid: tuple[int, int] | None = None,
    norm_eps: float | None = None,
    act: str | None = None,
    rope_theta: float | None = None,
) -> nn.Module:
    """Build the network of `canonical` in timm and load every tensor, strictly.

    Args:
        num_heads: heads of a ViT, where they do not follow from the width (64 per head is assumed).
        grid: (rows, columns) of the position embedding where known; else it must be square.
        norm_eps, act, rope_theta: what stands beside the weights; else what the project uses.
    Returns:
        Model in eval mode on the CPU, float32, without a classifier.
    Raises:
        WeightsError: heads or grid do not show, or parts that timm's network does not have.
    """
    tensors = canonical.tensors
    if canonical.family in ("vit", "dinov3", "beit"):
        shape = vit_shape(tensors, num_heads=num_heads, grid=grid)
        eps = norm_eps or canonical.norm_eps or _DEFAULT_EPS
        chosen = act or canonical.act or "gelu"
        activation(chosen)
        make = {"vit": _vit, "dinov3": _dinov3, "beit": _beit}[canonical.family]
        written = make(shape, tensors, eps, chosen)
        if canonical.family == "dinov3" and rope_theta is not None:
            written["options"]["rope_temperature"] = float(rope_theta)
        # positions that are computed, not loaded, need a real device
        model = filled(lambda: construct(written), tensors, meta=canonical.family == "vit")
        if canonical.periods is not None:
            set_periods(model, canonical.periods)
        return model
    if num_heads is not None:
        raise WeightsError(f"num_heads={num_heads} fits only a ViT; this is {canonical.layout}")
    if canonical.family == "resnet":
        _check_resnet_50(tensors)
        return filled(lambda: create("resnet50"), tensors, meta=False)
    from timm.models.xcit import checkpoint_filter_fn

    xcit = create(_xcit_name(tensors))
    return filled(lambda: xcit, checkpoint_filter_fn(dict(tensors), xcit), meta=False)


def vit_shape(
    tensors: Mapping[str, Tensor],
    *,
    num_heads: int | None = None,
    grid: tuple[int, int] | None = None,
) -> VitShape:
    """Read a ViT's dimensions off its canonical tensors.

    Raises:
        WeightsError: a tensor of the wrong rank, heads or grid that do not show.
    """
    _check_ranks(tensors)
    projection = tensors["patch_embed.proj.weight"]
    gate = "blocks.0.mlp.fc1_g.weight"
    fc1 = tensors[gate if gate in tensors else "blocks.0.mlp.fc1.weight"]
    fc2 = tensors["blocks.0.mlp.fc2.weight"]
    embed_dim, channels, height, width = projection.shape
    if channels != 3 or height != width:
        raise WeightsError(
            f"the patch embedding takes {channels} channels and {height}×{width} px; expected "
            "3 channels (RGB) and square patches"
        )
    registers = tensors["reg_token"].shape[1] if "reg_token" in tensors else 0
    grid, prefix = _grid_of(tensors, registers, grid)
    return VitShape(
        embed_dim=embed_dim,
        depth=1 + max(int(n.split(".")[1]) for n in tensors if n.startswith("blocks.")),
        num_heads=check_heads(embed_dim, num_heads),
        patch_size=height,
        grid=grid,
        num_registers=registers,
        layer_scale="blocks.0.ls1.gamma" in tensors or "blocks.0.gamma_1" in tensors,
        mlp_hidden=fc1.shape[0],
        swiglu=gate in tensors or fc1.shape[0] == 2 * fc2.shape[1],
        qkv_bias="blocks.0.attn.qkv.bias" in tensors or "blocks.0.attn.q_bias" in tensors,
        prefix_in_positions=prefix,
    )


def dimensions(model: nn.Module) -> dict[str, Any]:
    """List the sizes of a model as plain values: every field of `VitShape` for a ViT, less for others."""
    state = model.state_dict()
    network: Any = model
    try:
        block, patches = network.blocks[0], network.patch_embed
        heads, grid = block.attn.num_heads, tuple(patches.grid_size)
        shape = vit_shape(state, num_heads=heads, grid=grid)
    except (AttributeError, KeyError, TypeError, IndexError, WeightsError):
        return {"embed_dim": int(getattr(model, "num_features", 0))}
    return asdict(shape)


def _vit(shape: VitShape, tensors: Mapping[str, Tensor], eps: float, act: str) -> dict[str, Any]:
    """Write the recipe of a plain ViT, with or without CLS and distillation token."""
    distilled = "dist_token" in tensors
    gated = "swiglu" if "blocks.0.mlp.fc1_g.weight" in tensors else "swiglu packed"
    fc_norm = "norm.weight" not in tensors
    has_cls = "cls_token" in tensors
    options = {
        **_common(shape),
        "mlp_ratio": exact_ratio(shape.mlp_hidden, shape.embed_dim),
        "qk_norm": "blocks.0.attn.q_norm.weight" in tensors,
        "no_embed_class": shape.prefix_in_positions == 0,
        "reg_tokens": shape.num_registers,
        "pre_norm": "norm_pre.weight" in tensors,
        "fc_norm": fc_norm,
        "global_pool": "token" if has_cls and not fc_norm else "avg",
        "norm_eps": eps,
        "mlp": gated if shape.swiglu else "plain",
        "act": act,
    }
    if not distilled:
        options["class_token"] = has_cls
    kind = "VisionTransformerDistilled" if distilled else "VisionTransformer"
    return {"class": kind, "options": options}


def _dinov3(shape: VitShape, tensors: Mapping[str, Tensor], eps: float, act: str) -> dict[str, Any]:
    """Write the recipe of a DINOv3, timm's Eva with its kind of rotary positions.

    Raises:
        WeightsError: an activation that timm's Eva has not.
    """
    split = "blocks.0.mlp.fc1_g.weight" in tensors
    if act != "gelu" and not (shape.swiglu and act == "silu"):
        raise WeightsError(
            f"a DINOv3 with the activation {act!r}, expected gelu, or silu with a gate"
        )
    hidden = shape.mlp_hidden // 2 if shape.swiglu and not split else shape.mlp_hidden
    options = {
        **_common(shape),
        "mlp_ratio": exact_ratio(hidden, shape.embed_dim),
        "swiglu_mlp": shape.swiglu,
        "swiglu_align_to": 1 if split else 0,
        "num_reg_tokens": shape.num_registers,
        "dynamic_img_size": True,
        "use_abs_pos_emb": False,
        "use_rot_pos_emb": True,
        "rope_type": "dinov3",
        "rope_temperature": _ROPE_BASE,
        "rope_rotate_half": True,
        "use_fc_norm": "norm.weight" not in tensors,
        "global_pool": "token",
        "norm_eps": eps,
    }
    return {"class": "Eva", "options": options}


def _beit(shape: VitShape, tensors: Mapping[str, Tensor], eps: float, act: str) -> dict[str, Any]:
    """Write the recipe of a BEiT.

    Raises:
        WeightsError: an activation that timm's Beit has not.
    """
    if act != "gelu":
        raise WeightsError(f"a BEiT with the activation {act!r}, expected gelu")
    options = {
        **_common(shape),
        "mlp_ratio": exact_ratio(shape.mlp_hidden, shape.embed_dim),
        "use_abs_pos_emb": "pos_embed" in tensors,
        "use_rel_pos_bias": "blocks.0.attn.relative_position_bias_table" in tensors,
        "use_shared_rel_pos_bias": "rel_pos_bias.relative_position_bias_table" in tensors,
        "use_fc_norm": "norm.weight" not in tensors,
        "norm_eps": eps,
    }
    return {"class": "Beit", "options": options}


def _common(shape: VitShape) -> dict[str, Any]:
    """List the options that timm's ViT, Eva and Beit share."""
    return {
        "img_size": [side * shape.patch_size for side in shape.grid],
        "patch_size": shape.patch_size,
        "embed_dim": shape.embed_dim,
        "depth": shape.depth,
        "num_heads": shape.num_heads,
        "qkv_bias": shape.qkv_bias,
        "init_values": 1e-5 if shape.layer_scale else None,
    }


def set_periods(model: nn.Module, periods: Tensor) -> None:
    """Give a DINOv3 the periods its file records, in place: they may be rounded, or of another base.

    Raises:
        WeightsError: not one for each frequency.
    """
    rope: Any = model.rope
    if periods.shape != rope.periods.shape or not (periods > 0).all():
        raise WeightsError(
            f"rope_embed.periods has shape {tuple(periods.shape)}, expected "
            f"{tuple(rope.periods.shape)} positive numbers"
        )
    rope.periods.copy_(periods)


def own_periods(model: nn.Module) -> Tensor | None:
    """Return the periods of a DINOv3's rotary positions where timm would compute others; else None."""
    import torch

    rope: Any = getattr(model, "rope", None)
    if rope is None or not hasattr(rope, "_compute_periods"):
        return None
    held: Tensor = rope.periods.detach().cpu().float()
    return None if torch.equal(held, rope._compute_periods().float()) else held


def _check_resnet_50(tensors: Mapping[str, Tensor]) -> None:
    """Refuse a ResNet of another depth, which opens by its name alone."""
    deep = "layer1.0.conv3.weight" in tensors and "layer3.5.conv1.weight" in tensors
    if not deep or "layer3.6.conv1.weight" in tensors:
        raise WeightsError(f"a ResNet, but not ResNet-50: {seems(tensors)}")


def _xcit_name(tensors: Mapping[str, Tensor]) -> str:
    """Name an XCiT as timm does, by width, depth and the number of stride-2 convolutions."""
    width = tensors["cls_token"].shape[-1] if "cls_token" in tensors else 0
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    patch = 16 if "patch_embed.proj.6.0.weight" in tensors else 8
    if width not in _XCIT_SIZES or depth not in (12, 24):
        raise WeightsError(
            f"an XCiT of width {width} and depth {depth} is not one timm knows; pass arch="
        )
    return f"xcit_{_XCIT_SIZES[width]}_{depth}_p{patch}_224"


def filled(
    make: Callable[[], nn.Module], tensors: Mapping[str, Tensor], *, meta: bool = True
) -> nn.Module:
    """Call `make` and put exactly `tensors` into the model, in eval mode.

    `meta=False` for networks with buffers that are computed, not loaded.
    """
    model = empty(make) if meta else make()
    expected = model.state_dict()
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = sorted(expected.keys() - tensors.keys() - counters)
    extra = sorted(tensors.keys() - expected.keys())
    if missing or extra:
        lists = {"missing": missing, "not known": extra}
        odd = "; ".join(f"{word} {first_three(names)}" for word, names in lists.items() if names)
        raise WeightsError(
            f"the weights do not fit timm's {type(model).__name__} of their size: {odd}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"{name!r} has shape {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}"
            )
    complete = {name: expected[name] for name in counters} | dict(tensors)
    model.load_state_dict(complete, strict=True, assign=True)
    return model.eval()


def _check_ranks(tensors: Mapping[str, Tensor]) -> None:
    ranks = {"patch_embed.proj.weight": 4, "pos_embed": 3, "cls_token": 3, "reg_token": 3}
    ranks |= {"blocks.0.mlp.fc1.weight": 2, "blocks.0.mlp.fc2.weight": 2, "dist_token": 3}
    ranks |= {"blocks.0.mlp.fc1_g.weight": 2}
    for name, rank in ranks.items():
        if name in tensors and tensors[name].ndim != rank:
            shown = tuple(tensors[name].shape)
            raise WeightsError(f"{name!r} has shape {shown}, expected {rank} dimensions")


def _grid_of(
    tensors: Mapping[str, Tensor], registers: int, known: tuple[int, int] | None
) -> tuple[tuple[int, int], int]:
    """Find the grid that the positions of a network are for, and how many of them are not patches."""
    if "pos_embed" in tensors:
        prefixes = _prefixes(tensors, registers)
        return _grid(tensors["pos_embed"].shape[1], prefixes, known)
    table = next(
        (t for n, t in tensors.items() if n.endswith("relative_position_bias_table")), None
    )
    if table is not None:  # (2 rows - 1) · (2 columns - 1) distances, and 3 to and from CLS
        count = table.shape[0] - 3
        if known is not None and (2 * known[0] - 1) * (2 * known[1] - 1) == count:
            return known, 0
        side = math.isqrt(max(count, 0))
        if side * side != count or side % 2 == 0:
            raise WeightsError(
                f"a table of {table.shape[0]} relative positions is not one of a square grid; "
                f"{_GRID_REMEDY}"
            )
        return ((side + 1) // 2, (side + 1) // 2), 0
    return known or (14, 14), 0  # rotary positions fit any size; 14 rows as at 224 px


_GRID_REMEDY = "give it in a folder with a config.json whose image_size is [height, width]"


def _prefixes(tensors: Mapping[str, Tensor], registers: int) -> tuple[int, ...]:
    """List how many positions may be of CLS, distillation and register tokens, the likeliest first.

    Without registers the CLS row is there (original, timm); with them it has been folded into the
    token, or timm keeps a row for every prefix token.
    """
    if "dist_token" in tensors:
        return (2,)
    if "cls_token" in tensors or not tensors.keys() & {"norm.weight", "fc_norm.weight"}:
        return (1, 0) if registers == 0 else (0, 1 + registers)
    return (0, registers) if registers else (0,)


def _grid(
    count: int, prefixes: tuple[int, ...], known: tuple[int, int] | None
) -> tuple[tuple[int, int], int]:
    """Find the grid of a position embedding of `count` rows, and how many rows are no patches."""
    for prefix in prefixes:
        if known is not None and known[0] * known[1] == count - prefix:
            return known, prefix
    for prefix in prefixes:
        if fits_grid(count - prefix, None):
            side = math.isqrt(count - prefix)
            return (side, side), prefix
    raise WeightsError(
        f"a position embedding of {count} rows is not a square grid, so its shape does not show; "
        f"{_GRID_REMEDY}"
    )
