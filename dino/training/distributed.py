"""One process, or many started by `torchrun`: who this one is, and what all of them agree on.

torchrun --nproc-per-node 8 -m dino train …        # one machine
torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m dino train …
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from dino.errors import UserError


@dataclass(frozen=True)
class World:
    """`rank` of `size` processes, and which of its machine's devices is this one's."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's folder."""
        return self.rank == 0


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the processes torchrun started; alone without it.

    Args:
        device: as `dino.load` takes it; a GPU means NCCL, anything else gloo.
    Raises:
        UserError: more processes on this machine than it has GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    world = World(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    on_gpu = torch.cuda.is_available() and device in ("auto", "cuda")
    if on_gpu:
        if world.local_rank >= torch.cuda.device_count():
            raise UserError(
                f"process {world.local_rank} of this machine has no GPU, it has "
                f"{torch.cuda.device_count()}; lower --nproc-per-node, or use --device cpu"
            )
        torch.cuda.set_device(world.local_rank)
    # The first process may look at thousands of photos while the others wait.
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(hours=2))
    try:
        yield world
    finally:
        dist.destroy_process_group()


def mean_over_processes(tensor: Tensor) -> Tensor:
    """The mean of a tensor over all processes; itself where there is one."""
    if not (dist.is_available() and dist.is_initialized()):
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any process; every process must ask at the same step."""
    if not (dist.is_available() and dist.is_initialized()):
        return flag
    value = torch.tensor(float(flag), device=device)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return bool(value > 0)


def of_first_process(value: str) -> str:
    """The first process's word, in all of them."""
    if not (dist.is_available() and dist.is_initialized()):
        return value
    words = [value]
    dist.broadcast_object_list(words, src=0)
    return words[0]


def wait_for_all() -> None:
    """Hold until every process is here."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
