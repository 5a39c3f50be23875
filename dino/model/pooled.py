"""Read tokens of networks that are no plain ViT: a feature map, or a sequence of unread blocks."""

from typing import Any

from torch import Tensor

from dino.errors import UserError

# CLS [B,D] (the mean of the patches where there is none), registers [B,R,D], patches [B,N,D], grid.
Pooled = tuple[Tensor, Tensor, Tensor, tuple[int, int]]


def pooled_tokens(
    model: Any, images: Tensor, *, patch_size: int, embed_dim: int, name: str
) -> Pooled:
    """Split what `forward_features` gives: a feature map [B,D,h,w], or a sequence with a CLS token.

    Raises:
        UserError: a network of one input size only, or one whose tokens do not fit its grid.
    """
    try:
        features = model.forward_features(images).float()
    except AssertionError as error:  # how timm refuses another size than the trained one
        raise UserError(
            f"{name} takes one input size only ({error}); resize to it, or choose a ViT"
        ) from error
    if features.ndim == 4:
        if features.shape[1] != embed_dim:  # some networks put the channels last
            features = features.permute(0, 3, 1, 2)
        grid = (features.shape[2], features.shape[3])
        patches = features.flatten(2).transpose(1, 2)
        return patches.mean(dim=1), patches[:, :0], patches, grid
    grid = (images.shape[2] // patch_size, images.shape[3] // patch_size)
    prefix = int(getattr(model, "num_prefix_tokens", features.shape[1] - grid[0] * grid[1]))
    if features.shape[1] - prefix != grid[0] * grid[1]:
        raise UserError(
            f"{name} gives {features.shape[1]} tokens, expected {grid[0]}×{grid[1]} patches "
            f"and {prefix} others; this kind of network is not supported, so choose a ViT"
        )
    patches = features[:, prefix:]
    registers = int(getattr(model, "num_reg_tokens", max(prefix - 1, 0)))
    cls = features[:, 0] if prefix > registers else patches.mean(dim=1)
    return cls, features[:, prefix - registers : prefix], patches, grid


def reduction(model: Any) -> int:
    """Find the input px per feature-map cell of a network that is not a plain ViT."""
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if patch is not None:
        return int(patch[0] if isinstance(patch, tuple | list) else patch)
    return int(model.feature_info[-1]["reduction"])
