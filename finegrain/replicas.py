"""Several processes, started by torchrun, that train one network: each a share of every batch, the first one writes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Replicas:
    """The processes of one training, whose networks stay equal: with one, every method does nothing.

    Gradients are averaged as by DistributedDataParallel; by hand, as a GAN's networks are frozen in turns and called in
    several ways a step.
    """

    rank: int = 0
    """Number of this process."""
    count: int = 1
    """Of all processes."""

    @property
    def leads(self) -> bool:
        """Whether this process evaluates, saves and reports."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """Rows of a batch [B, ...] for this process; all of them where there are fewer than processes."""
        return rows[self.rank :: self.count] if len(rows) >= self.count else rows

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().float().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        parts = torch.split(flat / self.count, [tensor.numel() for tensor in tensors])
        with torch.no_grad():
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def largest(self, number: int, device: torch.device) -> int:
        """The largest of the processes' numbers."""
        if self.count == 1:
            return number
        value = torch.tensor(number, device=device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value)

    def as_first(self, values: Mapping[str, float], device: torch.device) -> dict[str, float]:
        """What the first process holds under the same names."""
        if self.count == 1:
            return dict(values)
        told = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
        dist.broadcast(told, 0)
        return dict(zip(values, told.tolist(), strict=True))

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            dist.barrier()


ALONE = Replicas()


def join() -> Replicas:
    """This process among those that torchrun started; on CUDA each takes the device of its number."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return ALONE
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    return Replicas(rank=dist.get_rank(), count=count)
