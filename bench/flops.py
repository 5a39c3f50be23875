"""Count a ViT's arithmetic in GFLOP: matrix products, a multiplication and an addition as two."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Sizes of a ViT: width D, blocks, side of a patch in px; the MLP is 4 D wide."""

    dim: int = 384
    depth: int = 12
    patch: int = 8

    def tokens(self, height: int, width: int) -> int:
        """Count patches and the CLS token."""
        return 1 + (height // self.patch) * (width // self.patch)


def block(shape: Shape, tokens: int) -> float:
    """Count one block: q, k, v and projection (4 D² a token), MLP (8 D²), attention (2 N D)."""
    return 2e-9 * tokens * shape.dim * (12 * shape.dim + 2 * tokens)


def embedding(shape: Shape, tokens: int) -> float:
    """Count the patch convolution."""
    return 2e-9 * (tokens - 1) * 3 * shape.patch**2 * shape.dim


def block_for_cls(shape: Shape, tokens: int) -> float:
    """Count one block of which only the CLS token is read: keys and values of all, the rest of one."""
    keys_and_values = 4e-9 * tokens * shape.dim**2
    return keys_and_values + 2e-9 * shape.dim * (10 * shape.dim + 2 * tokens)


def maps(shape: Shape, side: int, width: int | None = None) -> float:
    """Count what the last block's CLS maps of one image need: all blocks but the last, its keys and one query.

    The image is square, or `side` px high and `width` px wide.
    """
    tokens = shape.tokens(side, side if width is None else width)
    keys = 2e-9 * (tokens + 1) * shape.dim**2
    row = 2e-9 * tokens * shape.dim
    return embedding(shape, tokens) + (shape.depth - 1) * block(shape, tokens) + keys + row


def attention(shape: Shape, side: int) -> float:
    """Count q·kᵀ and the sum over values in all blocks but the last, of one square image."""
    tokens = shape.tokens(side, side)
    return (shape.depth - 1) * 4e-9 * tokens**2 * shape.dim


def softmax_entries(shape: Shape, side: int, heads: int) -> float:
    """Count entries of the N×N maps, each an exponential, in all blocks but the last."""
    return (shape.depth - 1) * heads * shape.tokens(side, side) ** 2


def forward(shape: Shape, side: int) -> float:
    """Count all blocks on one square image."""
    tokens = shape.tokens(side, side)
    return embedding(shape, tokens) + shape.depth * block(shape, tokens)


def head(dim: int, out_dim: int) -> float:
    """Count the DINO head on one view."""
    hidden, bottleneck = 2048, 256
    return 2e-9 * (dim * hidden + hidden * hidden + hidden * bottleneck + bottleneck * out_dim)


def training_image(
    shape: Shape,
    *,
    global_side: int,
    local_side: int,
    num_locals: int,
    out_dim: int,
    only_cls: bool = False,
) -> float:
    """Count a step's work on one image: the student forward and twice that backward, the teacher forward.

    With `only_cls` without what the last block would compute for tokens that nothing reads.
    """
    views = []
    for side in (global_side, local_side):
        tokens = shape.tokens(side, side)
        saved = block(shape, tokens) - block_for_cls(shape, tokens) if only_cls else 0.0
        views.append(forward(shape, side) - saved + head(shape.dim, out_dim))
    big, small = views
    return 3 * (2 * big + num_locals * small) + 2 * big
