"""ViTs of every family timm builds, with random weights, and the attention their own forward computes."""

import copy

import timm
import torch
from torch import Tensor, nn

from dino.model.backbone import Backbone, wrap

# name → what makes it small; a patch count instead of `img_size`, since patches differ
TINY = {"depth": 2, "embed_dim": 96, "num_heads": 3}
SMALL = {"depth": 2}
# One of each family, and of each part that may differ: the first column is what is particular.
FAMILIES = {
    "plain": ("vit_tiny_patch16_224", TINY),
    "registers": ("vit_small_patch14_reg4_dinov2", TINY),
    "DeiT III, positions of patches alone": ("deit3_small_patch16_224", TINY),
    "distillation token": ("deit_tiny_distilled_patch16_224", TINY),
    "no CLS": ("vit_base_patch16_siglip_224", TINY),
    "no CLS, global average": ("vit_base_patch16_siglip_gap_224", TINY),
    "registers without CLS": ("vit_little_patch16_reg4_gap_256", TINY),
    "norm before the blocks": ("vit_base_patch16_clip_224", TINY),
    "quick GELU": ("vit_base_patch16_clip_quickgelu_224", TINY),
    "query-key norms": ("vit_intern300m_patch14_448", TINY | {"qk_norm": True}),
    "RMS norm and SwiGLU": ("aimv2_large_patch14_224", TINY),
    "packed SwiGLU": ("vit_giant_patch14_dinov2", TINY),
    "norm after": ("vit_base_patch16_rpn_224", TINY),
    "attention beside MLP": ("vit_base_patch16_xp_224", TINY),
    "parallel blocks": ("vit_small_patch16_18x2_224", TINY),
    "differential": ("vit_dlittle_patch16_reg1_gap_256", TINY | {"num_heads": 2}),
    "differential beside MLP": ("vit_dpwee_patch16_reg1_gap_256", TINY | {"num_heads": 2}),
    "DINOv3": ("vit_small_patch16_dinov3", TINY),
    "DINOv3 with biases": ("vit_small_patch16_dinov3_qkvb", TINY),
    "DINOv3 SwiGLU": ("vit_small_plus_patch16_dinov3", TINY),
    "EVA": ("eva_giant_patch14_224", TINY),
    "EVA-02": ("eva02_tiny_patch14_224", TINY),
    "EVA-02 CLIP": ("eva02_base_patch16_clip_224", TINY),
    "EVA-02 norm after": ("eva02_enormous_patch14_clip_224", TINY),
    "Perception Encoder": ("vit_pe_core_tiny_patch16_384", TINY),
    "Perception Encoder spatial": ("vit_pe_spatial_tiny_patch16_512", TINY),
    "rotary": ("vit_base_patch16_rope_224", TINY),
    "rotary and absolute": ("vit_base_patch16_rope_ape_224", TINY),
    "rotary, learned": ("vit_base_patch16_rope_mixed_224", TINY),
    "grouped keys": ("vit_base_patch16_sapiens2", TINY | {"num_heads": 4, "num_kv_heads": 2}),
    "BEiT": ("beit_base_patch16_224", TINY),
    "BEiT v2": ("beitv2_base_patch16_224", TINY),
    "relative, MLP": ("vit_relpos_base_patch16_224", TINY),
    "relative, CLS": ("vit_relpos_base_patch16_cls_224", TINY),
    "relative, norm after": ("vit_relpos_base_patch16_rpn_224", TINY),
    "relative, shared": ("vit_srelpos_small_patch16_224", TINY),
    "convolutions before": ("vit_small_r26_s32_224", SMALL),
    "NaFlexViT": ("naflexvit_base_patch16_gap", SMALL | {"embed_dim": 96, "num_heads": 3}),
}
_WITHOUT_SIZE = ("convolutions before", "NaFlexViT")


def family_model(case: str, grid: tuple[int, int] = (4, 4)) -> nn.Module:
    """Build the small network of a case of `FAMILIES`, trained on `grid` as far as its kind has one."""
    name, options = FAMILIES[case]
    if case not in _WITHOUT_SIZE:
        patch = int(name.split("patch")[1].split("_")[0])
        options = options | {"img_size": (grid[0] * patch, grid[1] * patch)}
    return randomised(timm.create_model(name, pretrained=False, num_classes=0, **options))


def randomised(model: nn.Module) -> nn.Module:
    """Draw weights whose attention is neither flat nor all on one token, the same each time.

    Norms after a branch are drawn small: with large ones each block amplifies rounding tenfold, and twelve
    of them differ between any two orders of the same sums.
    """
    generator = torch.Generator().manual_seed(1)
    norm_last = any("Post" in type(block).__name__ for block in model.blocks)
    with torch.no_grad():
        for name, values in model.named_parameters():
            is_projection = any(
                part in name for part in ("qkv.w", "q_proj.w", "k_proj.w", "in_proj.w")
            )
            if is_projection:
                values.normal_(0, 0.12 * (192 / values.shape[-1]) ** 0.5, generator=generator)
            elif name.endswith("bias"):
                values.normal_(0, 0.05, generator=generator)
            elif "bias_table" in name or "rel_pos" in name:
                values.normal_(0, 0.5, generator=generator)
            elif "gamma" in name:
                values.uniform_(0.3, 1, generator=generator)
            elif norm_last and (".norm1." in name or ".norm2." in name):
                values.uniform_(0.1, 0.3, generator=generator)
            elif "norm" in name:
                values.uniform_(0.7, 1.3, generator=generator)
            elif values.ndim == 3:
                values.normal_(0, 0.5, generator=generator)
    return model.eval()


def wrapped_family(model: nn.Module, precision: str = "fp32") -> Backbone:
    """Wrap a copy as `dino.load` wraps a module that is given to it."""
    return wrap(
        copy.deepcopy(model),
        name="case",
        description="",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        device="cpu",
        precision=precision,
        positions="timm",
    )


def own_attention(
    model: nn.Module, images: Tensor, grid: tuple[int, int]
) -> tuple[list[Tensor], Tensor]:
    """Run timm's own forward, its fused attention off, at any size.

    Returns:
        The softmax of each block [B,A,N,N], as it enters timm's dropout, and what `forward_features` gives.
    """
    model = copy.deepcopy(model)
    if hasattr(model, "set_input_size"):
        model.set_input_size(img_size=(images.shape[-2], images.shape[-1]))
    seen: dict[int, list[Tensor]] = {}
    for index, block in enumerate(model.blocks):
        parts = [part.attn for part in block.attns] if hasattr(block, "attns") else None
        for attention in parts or [getattr(block, "attn", block)]:
            attention.fused_attn = False
            attention.attn_drop.register_forward_pre_hook(
                lambda _, inputs, index=index: seen.setdefault(index, []).append(inputs[0])
            )
    with torch.no_grad():
        features = model.forward_features(images)
    return [torch.cat(seen[index], dim=1) for index in range(len(model.blocks))], features
