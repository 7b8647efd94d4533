"""Many MLPs trained as one: corruption levels, seeds and learning rates side by side, on the same images.

Their weights lie in one tensor for each layer, (members, out, in), so that a step is a few large products instead of
many small ones. Members of one seed see the images in one order: their first layers are one product. All else (draws,
steps of SGD, stop rules, measures) is that of the single run, whose outcome each member has but for rounding.
"""

import dataclasses
import math
import time

import torch
from torch import nn
from torch.nn import functional

from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.nn import draws
from kernelfit.nn.checkpoints import load_checkpoint, save_checkpoint
from kernelfit.nn.evaluation import true_float32
from kernelfit.nn.history import History
from kernelfit.nn.images import Images
from kernelfit.nn.models import MLP
from kernelfit.nn.settings import Settings
from kernelfit.nn.training import check_outputs, measure, parameter_groups, stop_reason

OWN = ("lr", "lr_decay", "weight_decay", "momentum")  # settings that each member may have of its own
_SHOWN_EVERY = 1.0  # seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
    """One of the nets that are trained together: the arguments of kernelfit.nn.training.train."""

    net: nn.Module
    images: Images
    labels: torch.Tensor
    settings: Settings
    seed: int = 0
    corrupted: torch.Tensor | None = None
    test: tuple | None = None


def train_many(members, *, checkpoint=None, identity="", resume=False, progress=None):
    """Train the nets of several Members in place, together; return a History for each.

    A member that has reached its stop rule is frozen, and costs nothing from then on. The seconds of a History are
    those of all members that trained at the time. Checkpoints are written at the ends of epochs.

    Raises
    ------
    InputError
        The members cannot be trained together: they are not MLPs of one shape without dropout, or differ in a setting
        other than lr, lr_decay, weight_decay and momentum, or in the number or the shape of their images.
    ScratchError
        The checkpoint is damaged or another run's.
    """
    _check(members)
    progress, shared = progress or Progress(), members[0].settings
    device, n = members[0].images.device, len(members[0].images)
    for member in members:
        member.net.to(device)
        check_outputs(member.net, member.images, member.labels)
    optimizer, rates = _optimizer(members)
    steps_per_epoch = math.ceil(n / shared.batch)
    histories = [
        History(torch.zeros(steps_per_epoch, device=device), torch.zeros(n, dtype=torch.bool, device=device))
        for _ in members
    ]
    state = load_checkpoint(checkpoint, identity=identity, device=device) if resume and checkpoint else None
    if state:
        optimizer.load_state_dict(state["optimizer"])
        histories = [History(**each) for each in state["histories"]]
        for member, history, weights in zip(members, histories, state["nets"], strict=True):
            member.net.load_state_dict(weights)
            if history.stopped_by is None:
                history.resumed.append(history.steps)
    last_step = min(shared.epochs * steps_per_epoch, shared.steps or math.inf)
    allowed = math.floor((1 - shared.target) * n + 1e-9)  # wrong examples of a fitted training set
    stack, saved = None, time.perf_counter()

    done = max(history.steps for history in histories)
    name = f"training {len(members)} nets"
    with true_float32(device), progress.phase(name, last_step, done=done, at_most=True) as advance:
        if state:
            progress.note(f"going on after {done:,} steps")
        while running := [pair for pair in zip(members, histories, strict=True) if pair[1].stopped_by is None]:
            begin = shown = time.perf_counter()
            if stack is None or len(stack.members) > len(running):
                stack = _Stack(running)
            epoch = running[0][1].epoch
            for group, (lr, decay) in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = lr * decay**epoch
            orders = stack.orders(epoch)
            for step, (rows, inputs) in enumerate(stack.batches(epoch, orders)):
                y = stack.labels.gather(1, rows)
                with torch.autocast(device.type, torch.bfloat16, enabled=shared.precision == "bfloat16"):
                    logits = stack.logits(inputs)
                losses = functional.cross_entropy(logits.float().flatten(0, 1), y.flatten(), reduction="none")
                losses = losses.view(y.shape).mean(1)
                stack.backward(losses.sum())
                optimizer.step()
                stack.add_step(step, rows, logits.detach(), y, losses.detach())
                words = ""
                if time.perf_counter() - shown >= _SHOWN_EVERY:
                    shown, words = time.perf_counter(), stack.words(step)
                advance(1, words)
                if stack.histories[0].steps == last_step:
                    break

            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds = time.perf_counter() - begin
            for member, history in zip(stack.members, stack.histories, strict=True):
                history.train_seconds += seconds
                seen = orders[stack.stream_of(member)][: history.step * shared.batch]
                finite = history.close_epoch(
                    seen,
                    shared.batch,
                    torch.zeros_like(history.correct) if member.corrupted is None else member.corrupted,
                    member.settings.lr * member.settings.lr_decay**epoch,
                )
                measure(member.net, member.images, member.labels, shared, history, member.test, allowed)
                history.stopped_by = stop_reason(shared, history, finite)
                if history.stopped_by:
                    stack.release(member, history)
            ended = all(history.stopped_by for history in histories)
            if checkpoint and (ended or time.perf_counter() - saved >= shared.checkpoint_every):
                state = {"nets": [member.net.state_dict() for member in members], "optimizer": optimizer.state_dict()}
                save_checkpoint(
                    checkpoint, state | {"histories": [history.state() for history in histories]}, identity=identity
                )
                saved = time.perf_counter()
    return histories


class _Stack:
    """The members that still train: their parameters, labels and histories as views of shared tensors.

    The nets of the members go on to be whole nets, whose parameters lie in the shared ones: the optimiser and the
    evaluation know nothing of the stack.
    """

    def __init__(self, running):
        streams = {_stream(member): None for member, _ in running}
        self.streams = list(streams)
        running = sorted(running, key=lambda pair: self.streams.index(_stream(pair[0])))
        self.members, self.histories = [member for member, _ in running], [history for _, history in running]
        self.counts = [sum(_stream(member) == stream for member in self.members) for stream in self.streams]
        self.images = [next(m.images for m in self.members if _stream(m) == stream) for stream in self.streams]
        self.which = torch.tensor([self.stream_of(member) for member in self.members], device=self.images[0].device)
        self.labels = torch.stack([member.labels for member in self.members])
        self.losses = torch.stack([history.losses for history in self.histories])
        self.correct = torch.stack([history.correct for history in self.histories])
        for history, losses, correct in zip(self.histories, self.losses, self.correct, strict=True):
            history.losses, history.correct = losses, correct
        self.own = list(zip(*(list(member.net.parameters()) for member in self.members), strict=True))
        self.shared = [torch.stack([parameter.detach() for parameter in own]) for own in self.own]
        for own, shared in zip(self.own, self.shared, strict=True):
            for parameter, row in zip(own, shared.unbind(0), strict=True):
                parameter.data = row
            shared.requires_grad_()

    def stream_of(self, member):
        """Return the number of the stream of images that a member sees."""
        return self.streams.index(_stream(member))

    def orders(self, epoch):
        """Return the order of each stream in an epoch."""
        n, device = len(self.images[0]), self.images[0].device
        return [torch.from_numpy(draws.order(seed, epoch, n)).to(device) for _, seed in self.streams]

    def batches(self, epoch, orders):
        """Yield rows (members, batch) and the inputs of each stream, (batch, ...)."""
        settings, parts = self.members[0].settings, []
        for images, (_, seed), order in zip(self.images, self.streams, orders, strict=True):
            offsets = None
            if settings.augment:
                offsets = torch.from_numpy(draws.crop_offsets(seed, epoch, len(images), images.room)).to(order.device)
            parts.append(images.batches(order, settings.batch, offsets))
        for step in zip(*parts, strict=True):
            yield torch.stack([rows for rows, _ in step])[self.which], [x for _, x in step]

    def logits(self, inputs):
        """Return the logits of all members, (members, batch, classes)."""
        weight, bias, *rest = self.shared
        weights, biases = ([each] if len(inputs) == 1 else each.split(self.counts) for each in (weight, bias))
        hidden = [
            functional.linear(x.flatten(1), w.flatten(0, 1), b.flatten()).unflatten(1, b.shape).transpose(0, 1)
            for x, w, b in zip(inputs, weights, biases, strict=True)
        ]
        out = hidden[0] if len(hidden) == 1 else torch.cat(hidden)
        for weight, bias in zip(rest[::2], rest[1::2], strict=True):
            out = torch.baddbmm(bias[:, None], functional.relu(out), weight.mT)
        return out

    def backward(self, loss):
        """Give the parameters of all members their gradients of the sum of their losses."""
        for own, gradient in zip(self.own, torch.autograd.grad(loss, self.shared), strict=True):
            for parameter, part in zip(own, gradient.contiguous().unbind(0), strict=True):
                parameter.grad = part

    def add_step(self, step, rows, logits, labels, losses):
        """Note a step in all histories, without waiting for the device."""
        self.losses[:, step] = losses
        self.correct.scatter_(1, rows, logits.argmax(2) == labels)
        for history in self.histories:
            history.count_step(rows.shape[1])

    def words(self, step):
        """Return how it goes in words; waits for the device."""
        low, high = self.losses[:, step].aminmax()
        return f"epoch {self.histories[0].epoch + 1}, {len(self.members)} nets left, losses {low:.3g} to {high:.3g}"

    def release(self, member, history):
        """Let a member that has ended keep what is its own, not the whole stack."""
        for parameter in member.net.parameters():
            parameter.data, parameter.grad = parameter.data.clone(), None
        history.losses, history.correct = history.losses.clone(), history.correct.clone()


def _stream(member):
    return id(member.images), member.seed


def _optimizer(members):
    """Return SGD for all members, where equal settings share a group, and (lr, lr_decay) of each group."""
    groups = {}
    for member in members:
        settings = member.settings
        for group in parameter_groups(member.net, settings):
            key = (settings.lr, settings.lr_decay, settings.momentum, group["weight_decay"])
            groups.setdefault(key, []).extend(group["params"])
    listed = [
        {"params": parameters, "lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        for (lr, _, momentum, weight_decay), parameters in groups.items()
    ]
    return torch.optim.SGD(listed, fused=True), [key[:2] for key in groups]


def _check(members):
    """Refuse what cannot be trained together."""
    if not members:
        raise InputError("no nets were given to train together")
    first = members[0]
    shapes = [parameter.shape for parameter in first.net.parameters()]
    for member in members:
        if not isinstance(member.net, MLP) or any(isinstance(module, nn.Dropout) for module in member.net.modules()):
            raise InputError("only MLPs without dropout can be trained together; train the others one by one")
        if [parameter.shape for parameter in member.net.parameters()] != shapes:
            raise InputError("nets that are trained together must have layers of the same sizes")
        images, others = ((len(each.images), each.images.input_shape, each.images.device) for each in (first, member))
        if images != others:
            raise InputError(
                f"nets that are trained together need images of one number and shape; got {images}, {others}"
            )
        own = dataclasses.replace(member.settings, **{name: getattr(first.settings, name) for name in OWN})
        if own != first.settings or own.compile:
            raise InputError(
                f"nets that are trained together may differ in {', '.join(OWN)}, seed and labels alone, and are not "
                "compiled; train them one by one"
            )
