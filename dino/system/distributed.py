"""One process, or many started by `torchrun`: which one this is, and what all of them agree on.

torchrun --nproc-per-node 8 -m dino train …        # one machine
torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m dino train …
torchrun --nproc-per-node 8 -m dino eval knn …     # each takes a share of the photos

A share of something is every n-th of it: `World.rows` says which rows are this process's, and
`gathered_rows` and `gathered` give all processes what each has found, in the order of one process.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from dino.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """`rank` of `size` processes, and which device of its machine is its own."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def rows(self, count: int) -> range:
        """Choose this process's share of `count` things; all where it is alone."""
        return range(self.rank, count, self.size)

    def gathered(self, found: Mapping[int, T]) -> dict[int, T]:
        """Gather what every process has found, by row and in the order of rows; every process must ask.

        Args:
            found: row → anything small that can be pickled; `gathered_rows` is for features.
        """
        shares = [dict(found)]
        if self.size > 1:
            shares = [{} for _ in range(self.size)]
            dist.all_gather_object(shares, dict(found))
        everything = {row: value for share in shares for row, value in share.items()}
        return dict(sorted(everything.items()))

    def gathered_rows(
        self, rows: Sequence[int], values: Tensor | None
    ) -> tuple[list[int], Tensor | None]:
        """Gather rows and their values of every process, in the order of rows; every process must ask.

        Args:
            rows: distinct numbers.
            values: [len(rows), …] on the CPU, alike in all processes but for the first size; None
                where there is no row.
        """
        if self.size == 1:
            return list(rows), values
        mine = None if values is None else (list(rows), values.shape[1:], values.dtype)
        offers = [mine] * self.size
        dist.all_gather_object(offers, mine)
        known = [offer for offer in offers if offer is not None]
        if not known:
            return [], None
        _, shape, dtype = known[0]
        padded = torch.zeros(max(len(offer[0]) for offer in known), *shape, dtype=dtype)
        if values is not None:
            padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in offers]
        dist.all_gather(parts, padded)
        pairs = [(offer[0], part) for offer, part in zip(offers, parts, strict=True) if offer]
        everything = torch.tensor([row for some, _ in pairs for row in some], dtype=torch.long)
        order = everything.argsort()
        found = torch.cat([part[: len(some)] for some, part in pairs])
        return everything[order].tolist(), found[order]


@contextmanager
def joined(device: str, *, exchange_on: str = "device") -> Iterator[World]:
    """Join the processes torchrun started; without it this one is alone.

    Within or after another `joined` they are the same ones: a group that was destroyed cannot be joined a
    second time.

    Args:
        device: as `dino.load` takes it; a GPU means NCCL, anything else gloo.
        exchange_on: "device", or "cpu" for gloo in any case: what is exchanged then lies in memory.
    Raises:
        UserError: more processes on this machine than it has GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    world = World(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    if is_joined():
        yield world
        return
    on_gpu = torch.cuda.is_available() and device in ("auto", "cuda")
    if on_gpu:
        if world.local_rank >= torch.cuda.device_count():
            raise UserError(
                f"process {world.local_rank} of this machine has no GPU, it has "
                f"{torch.cuda.device_count()}; lower --nproc-per-node, or use --device cpu"
            )
        torch.cuda.set_device(world.local_rank)
    # The first process may look at thousands of photos while the others wait.
    by_nccl = on_gpu and exchange_on == "device"
    dist.init_process_group("nccl" if by_nccl else "gloo", timeout=timedelta(hours=2))
    try:
        yield world
        # No process leaves while another still sends.
        dist.barrier()
    finally:
        # A group of gloo ends with its process: destroyed on a busy machine, it waited for its own threads
        # without end (torch 2.6: 2 of 3 times beside three busy processes; left alone, in 0 of 13).
        if by_nccl:
            dist.destroy_process_group()


def is_joined() -> bool:
    """Tell whether there are other processes."""
    return dist.is_available() and dist.is_initialized()


def mean_over_processes(tensor: Tensor) -> Tensor:
    """Average a tensor over all processes; itself where there is one."""
    if not is_joined():
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def any_process(flag: bool, device: torch.device) -> bool:
    """Tell whether the flag is set in any process; every process must ask at the same step."""
    if not is_joined():
        return flag
    value = torch.tensor(float(flag), device=device)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return bool(value > 0)


def from_first_process(value: str) -> str:
    """Hand the first process's word to all of them."""
    if not is_joined():
        return value
    words = [value]
    dist.broadcast_object_list(words, src=0)
    return words[0]


def wait_for_all() -> None:
    """Wait until every process is here."""
    if is_joined():
        dist.barrier()
