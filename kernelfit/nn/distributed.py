"""Several processes that train one net: torchrun starts them, DistributedDataParallel averages their gradients.

The order of the single process is cut over them: of each step every process takes every `size`-th example, so a step
sees the same examples as in one process, whose weights come out but for rounding. Nothing is padded: each process
evaluates its own share of the examples, and the counts are added.
"""

import atexit
import dataclasses
import os

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.parallel import DistributedDataParallel

from kernelfit.common.errors import InputError
from kernelfit.nn import processes

_AGREED_EVERY = 32  # steps between questions whether a checkpoint is due, each of which waits for the devices


@dataclasses.dataclass(frozen=True)
class Team:
    """The processes that train a net, of which this is one; each method is that of any number of them.

    Attributes
    ----------
    size, rank : int
        How many processes there are, and which of them this is.
    """

    size: int = 1
    rank: int = 0

    @property
    def is_root(self):
        """Whether this is the process that writes files."""
        return self.rank == 0

    def wrap(self, net):
        """Return the net of the training steps, whose gradients are those of all processes."""
        if self.size == 1:
            return net
        where = next(net.parameters()).device
        if any(isinstance(module, BatchNorm) for module in net.modules()):
            if where.type != "cuda":
                raise InputError(
                    "batch normalisation needs the statistics of the whole batch, which PyTorch gathers from several "
                    "processes on GPUs alone. Train this net in one process, or one without it"
                )
            net = nn.SyncBatchNorm.convert_sync_batchnorm(net)  # replaces the layers in place, their tensors stay
        return DistributedDataParallel(net, device_ids=[where.index] if where.type == "cuda" else None)

    def share(self, rows):
        """Return which of the rows, a tensor, this process works on."""
        return rows[self.rank :: self.size]

    def batches(self, images, rows, size, offsets=None):
        """Yield this process's share of each batch, perhaps empty, as Images.batches does."""
        if size % self.size:
            raise InputError(f"batch = {size} cannot be shared by {self.size} processes; take a multiple of them")
        mine = self.share(rows)
        yield from images.batches(mine, size // self.size, offsets)
        if len(rows) % size and not len(self.share(rows[-(len(rows) % size) :])):
            yield mine[:0], images.batch(mine[:0], None if offsets is None else offsets[mine[:0]])

    def backward(self, loss):
        """Make the gradients of the sum, over the processes, of their losses."""
        (loss * self.size if self.size > 1 else loss).backward()  # DistributedDataParallel averages

    def sum(self, tensor):
        """Return the sum of a tensor over the processes; of truth values, whether one is true."""
        if self.size == 1:
            return tensor
        truth = tensor.dtype == torch.bool
        total = tensor.to(torch.uint8 if truth else tensor.dtype, copy=True)
        distributed.all_reduce(total, distributed.ReduceOp.MAX if truth else distributed.ReduceOp.SUM)
        return total.to(tensor.dtype)

    def scattered(self, values, rows, n):
        """Return a tensor (n, ...) of all processes' values, each of which has some at its rows."""
        whole = torch.zeros(n, *values.shape[1:], dtype=values.dtype, device=values.device)
        whole[rows] = values
        return self.sum(whole)

    def agrees(self, due, step=0):
        """Return what the first process holds of `due`; within an epoch it is asked at some steps alone."""
        if self.size == 1:
            return due
        if step % _AGREED_EVERY:
            return False
        where = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        return bool(self.sum(torch.tensor(due and self.is_root, device=where)))


ALONE = Team()


def team_of(device):
    """Return the Team of the processes that torchrun started, or ALONE: gloo joins CPUs, nccl GPUs, one for each.

    They are joined once, and stay so until they end: a second group would meet the addresses of the first, and a
    process that fails must not wait for the others, which torchrun ends. A GPU is the present one from then on.
    """
    if processes() == 1:
        return ALONE
    if not distributed.is_initialized():
        if device.type == "cuda":
            local = int(os.environ.get("LOCAL_RANK", "0"))
            if local >= torch.cuda.device_count():
                raise InputError(
                    f"process {local} of this machine finds {torch.cuda.device_count()} GPUs; start one process for "
                    "each: torchrun --nproc-per-node"
                )
            torch.cuda.set_device(local)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        if device.type == "cpu":  # threads of gloo that outlive the interpreter may abort the process; waits for nobody
            atexit.register(distributed.destroy_process_group)
    return Team(distributed.get_world_size(), distributed.get_rank())
