"""Bound what a row can show on a machine: the plain way over the multiplications that the result needs.

multiplying = Multiplying(("fp32", "bf16"), tiny=False)
times = in_turns({**ways, **multiplying.ways}, repeats)
multiplying.rate("bf16", times), multiplying.most(times, "plain, fp32", work)
"""

from collections.abc import Callable, Iterable, Mapping

import torch

from bench.machine import products
from bench.timing import Times

# Numbers that stay, with their exponentials, in two cores' own caches.
_IN_CACHE = 2**18


def exponentials(count: float) -> Callable[[], None]:
    """Build what computes so many exponentials in float32, where torch is quickest: in the caches."""
    logits, raised = torch.randn(2, _IN_CACHE)

    def run() -> None:
        for _ in range(max(round(count / _IN_CACHE), 1)):
            torch.exp2(logits, out=raised)

    return run


class Multiplying:
    """Matrix products on the CPU in some precisions, timed in turns with what they bound."""

    def __init__(self, precisions: Iterable[str], *, tiny: bool) -> None:
        cpu = torch.device("cpu")
        self._products = {name: products(name, cpu, tiny=tiny) for name in precisions}

    @property
    def ways(self) -> dict[str, Callable[[], None]]:
        """List what to time, by name."""
        return {
            name: multiply
            for found in self._products.values()
            for name, (multiply, _) in found.items()
        }

    def rate(self, precision: str, times: Mapping[str, Times], *, fastest: bool = False) -> float:
        """Compute the GFLOP/s of the quickest shape, by its median or its fastest turn."""
        return max(
            done / (min(times[name].seconds) if fastest else times[name].median)
            for name, (_, done) in self._products[precision].items()
        )

    def most(self, times: Mapping[str, Times], plain: str, work: float) -> str:
        """Say how many times as fast as `plain` the `work` in GFLOP alone would be."""
        bounds = []
        for precision in self._products:
            rate = self.rate(precision, times)
            ratio = times[plain].median * rate / work
            bounds.append(f"{ratio:.2f}× in {precision} ({rate:.0f} GFLOP/s)")
        return (
            f"Were the {work:.3g} GFLOP that are needed all there is, this machine would reach "
            f"{' and '.join(bounds)} of plain: nothing that computes the same gains more."
        )
