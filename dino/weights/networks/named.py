"""Open networks of timm by name: one that is named, or the one whose tensors these are.

model = build_named("eva02_base_patch14_224", canonical, grid=None, num_heads=None)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dino.errors import WeightsError
from dino.weights.architecture import filled, set_periods, vit_shape
from dino.weights.layouts import Canonical, as_float32
from dino.weights.locate import first_three, locate_keys
from dino.weights.networks.structure import create, empty, signature

if TYPE_CHECKING:
    from torch import Tensor, nn

# Modules of timm whose networks are searched when the tensors alone do not show the settings: by parts of
# names that only some of them have, since each network that is made costs some 30 ms.
_SEARCHED_BY_NAME = (
    (("rel_pos.", "shared_rel_pos"), ("vision_transformer_relpos",)),
    ((".q_bias", ".q_proj.", ".gamma_1", "rope."), ("eva", "beit")),
)
_SEARCHED = ("vision_transformer", "deit", "eva", "beit")


def build_named(
    arch: str,
    canonical: Canonical,
    *,
    num_heads: int | None = None,
    grid: tuple[int, int] | None = None,
) -> nn.Module:
    """Make timm's own `arch` at the size and depth of these weights and fill it, strictly.

    Raises:
        WeightsError: `arch` is no ViT, or the weights have other dimensions: each one named.
    """
    model: Any = empty(lambda: create(arch))
    if not hasattr(model, "blocks"):
        raise WeightsError(f"arch={arch!r} is no ViT, but the weights are; leave arch= out")
    tensors = dict(canonical.tensors)
    expected = model.state_dict()
    if type(model).__name__ == "VisionTransformer" and "pos_embed" in tensors:
        _check_shape(arch, model, tensors, num_heads, grid)
    options = _sizes(model, expected, tensors, grid)
    depth = _depth(tensors)
    if depth != len(model.blocks):
        options["depth"] = depth
    if num_heads is not None and num_heads != _heads(model):
        options["num_heads"] = num_heads
    if getattr(model, "attn_pool", None) is not None and not any(
        name.startswith("attn_pool.") for name in tensors
    ):
        pooled = "avg" if getattr(model, "cls_token", None) is None else "token"
        options |= {"global_pool": pooled, "fc_norm": False}
        if type(model).__name__ == "Eva":
            options["use_fc_norm"] = options.pop("fc_norm")
    rotary = getattr(model, "rope", None) is not None or type(model).__name__ != "VisionTransformer"
    made = empty(lambda: create(arch, **options)).state_dict()
    tensors = _without_idle_biases(_fit_head(tensors, made), made)
    filled_model = filled(lambda: create(arch, **options), tensors, meta=not rotary)
    if canonical.periods is not None and hasattr(filled_model, "rope"):
        set_periods(filled_model, canonical.periods)
    return filled_model


def _fit_head(tensors: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the last norm as the network does: `norm`, or `fc_norm` where it comes after pooling."""
    names = {"norm.": "fc_norm.", "fc_norm.": "norm."}
    for old, new in names.items():
        if (
            f"{old}weight" in tensors
            and f"{old}weight" not in expected
            and f"{new}weight" in expected
        ):
            return {
                (new + name.removeprefix(old) if name.startswith(old) else name): value
                for name, value in tensors.items()
            }
    return tensors


def _without_idle_biases(
    tensors: dict[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Drop biases of queries and values that are 0 where the network has none, as of most DINOv3."""
    return {
        name: value
        for name, value in tensors.items()
        if name in expected or not name.endswith((".q_bias", ".v_bias")) or value.any()
    }


def _check_shape(
    arch: str,
    model: Any,
    tensors: Mapping[str, Tensor],
    num_heads: int | None,
    grid: tuple[int, int] | None,
) -> None:
    """Say in which dimensions the weights are not those of `arch`."""
    block = model.blocks[0]
    width = tensors["patch_embed.proj.weight"].shape[0]
    heads = num_heads or _heads(model)
    if width != model.embed_dim:
        heads = 1  # of a network of another width the heads say nothing
    try:
        shape = vit_shape(tensors, num_heads=heads, grid=grid)
        wanted = {
            "embed_dim": model.embed_dim,
            "patch_size": model.patch_embed.patch_size[0],
            "num_registers": model.num_reg_tokens,
            "layer_scale": hasattr(block.ls1, "gamma"),
            "mlp_hidden": block.mlp.fc1.out_features,
        }
    except (
        AttributeError,
        KeyError,
        IndexError,
    ):  # blocks of another kind: only the keys are compared
        return
    differing = [
        f"{k} {getattr(shape, k)} instead of {v}"
        for k, v in wanted.items()
        if getattr(shape, k) != v
    ]
    if differing:
        raise WeightsError(
            f"the weights are not a {arch}: they have {', '.join(differing)}; leave arch= out or "
            "name another"
        )


def depth_note(arch: str, canonical: Canonical) -> tuple[str, ...]:
    """Say in a sentence that weights have another number of blocks than `arch`; nothing where they agree."""
    network: Any = empty(lambda: create(arch))
    depth = _depth(canonical.tensors)
    if depth == len(network.blocks):
        return ()
    return (f"{arch} has {len(network.blocks)} blocks, and these weights have {depth}.",)


def _depth(tensors: Mapping[str, Tensor]) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})


def _heads(model: Any) -> int | None:
    return getattr(getattr(model.blocks[0], "attn", None), "num_heads", None)


def _sizes(
    model: Any,
    expected: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    grid: tuple[int, int] | None,
) -> dict[str, object]:
    """Choose the image size at which the network's learned positions have as many rows as these."""
    patches = getattr(model, "patch_embed", None)
    if patches is None or not hasattr(patches, "grid_size"):
        return {}
    side, own = patches.patch_size[0], tuple(patches.grid_size)
    if "pos_embed" in tensors and "pos_embed" in expected:
        prefix = expected["pos_embed"].shape[1] - own[0] * own[1]
        count = tensors["pos_embed"].shape[1] - prefix
        if grid is None or grid[0] * grid[1] != count:
            root = round(max(count, 0) ** 0.5)
            grid = (root, root) if root * root == count else None
        if grid is None:
            return {}
    elif any(name.endswith("relative_position_bias_table") for name in tensors):
        shape = vit_shape(tensors, num_heads=_heads(model), grid=grid)
        grid = shape.grid
    if grid is None or grid == own:
        return {}
    return {"img_size": (grid[0] * side, grid[1] * side)}


def search(canonical: Canonical, *, grid: tuple[int, int] | None = None) -> str:
    """Find the name in timm whose network has exactly these tensors.

    Raises:
        WeightsError: none, or several that compute different things; they are named.
    """
    import timm

    fitting: dict[str, list[str]] = {}
    for module in _modules(canonical.tensors):
        for arch in timm.list_models(module=module):
            if not _fits(_made(arch, depth=1), canonical.tensors, blocks=1):  # a tenth of the time
                continue
            model = _made(arch)
            if _fits(model, canonical.tensors):
                fitting.setdefault(_arithmetic(model), []).append(arch)
    if len(fitting) == 1:
        return next(iter(fitting.values()))[0]
    names = [group[0] for group in fitting.values()]
    if names:
        raise WeightsError(
            f"the tensors fit {len(names)} kinds of network that compute different things "
            f"({', '.join(names)}); pass the one that is meant as arch= (--arch)"
        )
    raise WeightsError(
        f"a network whose settings its tensors do not show (keys such as "
        f"{first_three(sorted(canonical.tensors))}), and none that timm knows has these sizes; pass "
        "arch= (--arch) with the name of the nearest, or a config.json beside the weights"
    )


def _modules(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Choose the modules of timm in which a network of such names can be."""
    for parts, modules in _SEARCHED_BY_NAME:
        if any(part in name for name in tensors for part in parts):
            return modules
    return _SEARCHED


def _made(arch: str, **options: object) -> nn.Module | None:
    """Make a network without weights; None where it cannot be made so."""
    try:
        return empty(lambda: create(arch, **options))
    except Exception:  # a network that cannot be made here is not the one looked for
        return None


def _fits(model: Any, tensors: Mapping[str, Tensor], *, blocks: int | None = None) -> bool:
    """Tell whether keys and shapes are the same, positions aside, whose number follows the size.

    Args:
        blocks: only so many of the blocks are compared.
    """
    if model is None:
        return False
    expected = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith("attn_pool.")
    }
    given = _fit_head(dict(tensors), expected)
    if blocks is not None:
        later = tuple(f"blocks.{i}." for i in range(blocks))
        given = {
            k: v for k, v in given.items() if not k.startswith("blocks.") or k.startswith(later)
        }
    if expected.keys() != given.keys():
        return False
    free = ("pos_embed", "relative_position_bias_table", "rope.freqs")
    return all(
        name.endswith(free) or value.shape == given[name].shape for name, value in expected.items()
    )


def _arithmetic(model: Any) -> str:
    """Describe what a network computes, at whatever size it was made."""
    sizes = ("img_size", "grid_size", "num_patches", "feat_shape", "window_size", "window_area",
             "num_relative_distance", "dynamic_img_size", "strict_img_size", "pool_include_prefix")  # fmt: skip
    rows = [
        (name, kind, tuple(fact for fact in facts if fact[0] not in sizes))
        for name, kind, facts in signature(model)
        if not name.startswith(("attn_pool", "fc_norm", "norm"))
    ]
    return repr(rows)


def build_other(
    tree: Mapping[str, Any], arch: str, *, key: str
) -> tuple[nn.Module, tuple[str, ...], Mapping[str, Any]]:
    """Open a network that is no ViT as timm's `arch`: its names must be timm's, or timm's reader know them.

    Returns:
        The model, the containers and prefixes on the way to it, and the tensors as they were.
    Raises:
        WeightsError: the tensors are not those of `arch`.
    """
    model = create(arch)
    expected = model.state_dict()
    found, state = locate_keys(tree, set(expected), key=key)
    tensors = as_float32({name: value for name, value in state.items() if name in expected})
    return filled(lambda: model, tensors, meta=False), found.words, state
