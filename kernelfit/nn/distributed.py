"""Several processes that train one net: torchrun starts them, DistributedDataParallel averages their gradients.

The order of the single process is cut over them: of each step every process takes every `size`-th example, so a step
sees the same examples as in one process, whose weights come out but for rounding. Nothing is padded: each process
evaluates its own share of the examples, and the counts are added.
"""

import os

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.parallel import DistributedDataParallel

from kernelfit.common.errors import InputError
from kernelfit.nn import processes

_AGREED_EVERY = 32  # steps between questions whether a checkpoint is due, each of which waits for the devices


class Team:
    """One process alone, and what it must not forget where there are several.

    Attributes
    ----------
    size, rank : int
        How many processes there are, and which of them this is.
    is_root : bool
        Whether this is the one that writes files.
    dropout_seed : int
        Added to the seeds of dropout.
    """

    size, rank, is_root, dropout_seed = 1, 0, True, 0

    def device(self, device):
        """Return the device of this process, of the kind of a torch.device."""
        return device

    def wrap(self, net):
        """Return the net of the training steps, whose gradients are those of all processes."""
        return net

    def share(self, rows):
        """Return which of the rows, a tensor, this process works on."""
        return rows

    def batches(self, images, rows, size, offsets=None):
        """Yield this process's share of each batch, perhaps empty, as Images.batches does."""
        return images.batches(rows, size, offsets)

    def backward(self, loss):
        """Make the gradients of the sum, over the processes, of their losses."""
        loss.backward()

    def sum(self, tensor):
        """Return the sum of a tensor over the processes; of truth values, whether one is true."""
        return tensor

    def scattered(self, values, rows, n):
        """Return a tensor (n, ...) of all processes' values, each of which has some at its rows."""
        return values

    def agrees(self, due, step=0):
        """Return what the first process holds of `due`; within an epoch it is asked at some steps alone."""
        return due

    def go_on(self, history):
        """Leave what an unfinished epoch's checkpoint holds to the first process: it will be summed."""


ALONE = Team()


class Processes(Team):
    """The processes of torch.distributed's group, of which this is one."""

    def __init__(self):
        self.size, self.rank = distributed.get_world_size(), distributed.get_rank()
        self.is_root, self.dropout_seed = self.rank == 0, self.rank << 40

    def device(self, device):
        return torch.device("cuda", _local_rank()) if device.type == "cuda" else device

    def wrap(self, net):
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
        return rows[self.rank :: self.size]

    def batches(self, images, rows, size, offsets=None):
        if size % self.size:
            raise InputError(f"batch = {size} cannot be shared by {self.size} processes; take a multiple of them")
        mine = self.share(rows)
        yield from images.batches(mine, size // self.size, offsets)
        if len(rows) % size and not len(self.share(rows[-(len(rows) % size) :])):
            yield mine[:0], images.batch(mine[:0], None if offsets is None else offsets[mine[:0]])

    def backward(self, loss):
        (loss * self.size).backward()  # DistributedDataParallel averages

    def sum(self, tensor):
        truth = tensor.dtype == torch.bool
        total = tensor.to(torch.uint8 if truth else tensor.dtype, copy=True)
        distributed.all_reduce(total, distributed.ReduceOp.MAX if truth else distributed.ReduceOp.SUM)
        return total.to(tensor.dtype)

    def scattered(self, values, rows, n):
        whole = torch.zeros(n, *values.shape[1:], dtype=values.dtype, device=values.device)
        whole[rows] = values
        return self.sum(whole)

    def agrees(self, due, step=0):
        if step % _AGREED_EVERY:
            return False
        return bool(self.sum(torch.tensor(due and self.is_root, device=self._where)))

    def go_on(self, history):
        if not self.is_root:
            history.losses.zero_()
            history.correct.zero_()

    @property
    def _where(self):
        return self.device(torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu"))


def team_of(device):
    """Return the Team of the processes that torchrun started, or ALONE: gloo joins CPUs, nccl GPUs, one for each.

    They are joined once, and stay so until they end: a second group would meet the addresses of the first, and a
    process that fails must not wait for the others, which torchrun ends.
    """
    if processes() == 1:
        return ALONE
    if not distributed.is_initialized():
        if device.type == "cuda":
            if _local_rank() >= torch.cuda.device_count():
                raise InputError(
                    f"process {_local_rank()} of this machine finds {torch.cuda.device_count()} GPUs; start one "
                    "process for each: torchrun --nproc-per-node"
                )
            torch.cuda.set_device(_local_rank())
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes()


def _local_rank():
    return int(os.environ.get("LOCAL_RANK", "0"))
