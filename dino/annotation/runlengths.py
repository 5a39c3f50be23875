"""Masks as text: COCO's compressed run lengths, and plain runs for the browser.

A mask is read column by column; its runs alternate between 0 and 1, starting with the zeros. From the
fourth run on, each is written as its difference from the run two before, in base 32, lowest digit
first, one printable character a digit: 5 bits of the number, one bit that says more follow, plus 48.
That is what `pycocotools.mask.decode` reads.
"""

from collections.abc import Sequence

import numpy as np

from dino.errors import UserError

_DIGIT_BITS, _SIGN, _MORE, _FIRST = 5, 0x10, 0x20, 48
# Digits of the largest difference between two runs in a photo of 40 megapixels, and one to spare.
_MAX_DIGITS = 7


def encode(mask: np.ndarray) -> str:
    """COCO's compressed `counts` of a mask [H,W] bool."""
    from dino.attention.files import run_lengths

    return compress(run_lengths(mask))


def decode(counts: str, size: tuple[int, int]) -> np.ndarray:
    """The mask [H,W] bool that compressed `counts` stand for; `size` is (H, W).

    Raises:
        UserError: they are damaged, or of a mask of another size.
    """
    height, width = size
    runs = decompress(counts)
    if (runs < 0).any() or runs.sum() != height * width:
        raise UserError(
            f"the run lengths hold {int(runs.sum()):,} pixels, expected {height}·{width}; the mask "
            "is of another photo, or damaged"
        )
    ones = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(ones, runs).reshape(width, height).T)


def compress(runs: Sequence[int]) -> str:
    """Run lengths → the characters COCO writes for them."""
    values = np.asarray(runs, dtype=np.int64)
    values = np.concatenate([values[:3], values[3:] - values[1:-2]])
    digits = np.zeros((len(values), _MAX_DIGITS), np.uint8)
    used = np.zeros(digits.shape, bool)
    open_ = np.ones(len(values), bool)
    for place in range(_MAX_DIGITS):
        low = values & 0x1F
        values = values >> _DIGIT_BITS
        # Done where the rest is only the sign, and the digit's own top bit tells that sign.
        more = open_ & (values != np.where(low & _SIGN, -1, 0))
        digits[:, place] = (low | np.where(more, _MORE, 0)) + _FIRST
        used[:, place] = open_
        open_ = more
    assert not open_.any()
    return digits[used].tobytes().decode("ascii")


def decompress(counts: str) -> np.ndarray:
    """The inverse of `compress`, int64.

    Raises:
        UserError: characters that are none of these digits, or a number cut short.
    """
    codes = np.frombuffer(counts.encode("ascii", errors="replace"), np.uint8).astype(np.int64)
    codes = codes - _FIRST
    if not len(codes) or codes.min() < 0 or codes.max() > 0x3F or codes[-1] & _MORE:
        raise UserError("the run lengths are damaged; the mask cannot be read")
    last = (codes & _MORE) == 0
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if place.max() >= _MAX_DIGITS:
        raise UserError("the run lengths are damaged; the mask cannot be read")
    parts = (codes & 0x1F) << (_DIGIT_BITS * place)
    values = np.add.reduceat(parts, starts)
    negative = (codes[ends] & _SIGN) != 0
    values = values - np.where(negative, np.int64(1) << (_DIGIT_BITS * (place[ends] + 1)), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def row_runs(mask: np.ndarray) -> list[int]:
    """Runs of a mask [h,w] read row by row, starting with the zeros: what the browser paints from."""
    from dino.attention.files import run_lengths

    return run_lengths(mask.T)


def from_row_runs(runs: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The mask [h,w] bool of runs read row by row.

    Raises:
        UserError: not whole numbers of pixels that fill the size.
    """
    height, width = size
    whole = all(type(run) is int and 0 <= run <= height * width for run in runs)
    if not whole or sum(runs) != height * width:
        raise UserError(f"the runs do not fill a mask of {width}×{height} px; draw it again")
    ones = np.arange(len(runs)) % 2 == 1
    return np.repeat(ones, runs).reshape(height, width)
