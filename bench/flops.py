"""Arithmetic of a ViT in GFLOP: matrix products, a multiplication and an addition counted as two."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Width D, MLP ratio 4, blocks, side of a patch in px."""

    dim: int = 384
    depth: int = 12
    patch: int = 8

    def tokens(self, height: int, width: int) -> int:
        """Patches and the CLS token."""
        return 1 + (height // self.patch) * (width // self.patch)


def block(shape: Shape, tokens: int) -> float:
    """One block: q, k, v and projection (4 D² a token), MLP (8 D²), attention (2 N D)."""
    return 2e-9 * tokens * shape.dim * (12 * shape.dim + 2 * tokens)


def embedding(shape: Shape, tokens: int) -> float:
    """The patch convolution."""
    return 2e-9 * (tokens - 1) * 3 * shape.patch**2 * shape.dim


def maps(shape: Shape, side: int) -> float:
    """What the last block's CLS maps of one square image need: all blocks but the last, its keys and
    one query."""
    tokens = shape.tokens(side, side)
    keys = 2e-9 * (tokens + 1) * shape.dim**2
    row = 2e-9 * tokens * shape.dim
    return embedding(shape, tokens) + (shape.depth - 1) * block(shape, tokens) + keys + row


def attention(shape: Shape, side: int) -> float:
    """q·kᵀ and the sum over values in all blocks but the last, of one square image."""
    tokens = shape.tokens(side, side)
    return (shape.depth - 1) * 4e-9 * tokens**2 * shape.dim


def forward(shape: Shape, side: int) -> float:
    """All blocks on one square image."""
    tokens = shape.tokens(side, side)
    return embedding(shape, tokens) + shape.depth * block(shape, tokens)


def head(dim: int, out_dim: int, hidden: int = 2048, bottleneck: int = 256) -> float:
    """The DINO head on one view."""
    return 2e-9 * (dim * hidden + hidden * hidden + hidden * bottleneck + bottleneck * out_dim)


def training_image(
    shape: Shape, *, global_side: int, local_side: int, num_locals: int, out_dim: int
) -> float:
    """A step's work on one image: the student forward and twice that backward, the teacher forward."""
    big = forward(shape, global_side) + head(shape.dim, out_dim)
    small = forward(shape, local_side) + head(shape.dim, out_dim)
    return 3 * (2 * big + num_locals * small) + 2 * big
