"""Training: one loop, which reads from top to bottom.

What is drawn (weights, order, crops, dropout) depends on the seed, the epoch and the index of an example or of a step
alone, so a run that was killed and goes on from its checkpoint ends with the same bits on a CPU. Nothing in a step
waits for the device.
"""

import math
import time

import torch
from torch import nn
from torch.nn import functional

from kernelfit.backend import keep_freed_memory
from kernelfit.common.errors import InputError, ScratchError
from kernelfit.common.progress import Progress, duration
from kernelfit.nn import draws
from kernelfit.nn.checkpoints import load_checkpoint, save_checkpoint
from kernelfit.nn.distributed import ALONE
from kernelfit.nn.evaluation import count_wrong, says_something, true_float32
from kernelfit.nn.history import History
from kernelfit.nn.layers import slow_in_bfloat16
from kernelfit.nn.settings import Settings

_FINITE_EVERY = 50  # steps between looks at whether the loss is a number
_SHOWN_EVERY = 1.0  # seconds between looks at loss and accuracy, each of which waits for the device


def train(
    net,
    images,
    labels,
    settings=None,
    *,
    seed=0,
    corrupted=None,
    test=None,
    checkpoint=None,
    identity="",
    resume=False,
    progress=None,
    team=ALONE,
):
    """Train a net in place by SGD on the cross-entropy; return its History.

    Parameters
    ----------
    net : nn.Module
        Inputs (n, *images.input_shape) to logits (n, classes). Moved to the device of the images.
    images : Images
    labels : int64 tensor, shape (n,)
        On the device of the images.
    settings : Settings
    seed : int
        Of order, crops and dropout.
    corrupted : bool tensor, shape (n,), optional
        Examples whose label is not the true one; curves tell their accuracy apart.
    test : pair of Images and labels, optional
        For the test accuracy along the way.
    checkpoint, identity, resume : path, str, bool
        File for checkpoints, written every settings.checkpoint_every seconds and at the end; what names the run in it;
        whether to go on with the checkpoint of a run of this name, if there is one.
    progress : Progress, optional
    team : Team
        The processes that train the net together (see kernelfit.nn.distributed); this one alone unless given.

    Raises
    ------
    InputError
        The net does not take these inputs, or has too few outputs.
    ScratchError
        The checkpoint is damaged, another run's, or of other code of the net.
    """
    settings, progress = settings or Settings(), progress or Progress()
    device, n = images.device, len(images)
    corrupted = torch.zeros(n, dtype=torch.bool, device=device) if corrupted is None else corrupted.to(device)
    if settings.precision == "bfloat16" and slow_in_bfloat16(device):
        progress.note("this CPU has no instructions for bfloat16: float32 is many times quicker here")
    if device.type == "cpu":
        keep_freed_memory()  # gradients come and go with every step: taking new pages was a third of a step of an MLP
    net.to(device, memory_format=images.layout)
    if settings.augment and not any(images.room):
        raise InputError(
            f"augment: examples {images.input_shape} have no room for random crops. Choose a smaller `crop`, or leave "
            "augment out"
        )
    _check_net(net, images, labels, settings)
    # fused: one pass over the memory instead of four
    optimizer = torch.optim.SGD(_decay_groups(net, settings), lr=settings.lr, momentum=settings.momentum, fused=True)
    steps_per_epoch = math.ceil(n / settings.batch)
    history = History(torch.zeros(steps_per_epoch, device=device), torch.zeros(n, dtype=torch.bool, device=device))
    state = load_checkpoint(checkpoint, identity=identity, device=device) if resume and checkpoint else None
    if state:
        history = _taken_up(state, net, optimizer, history, checkpoint)
        if history.stopped_by is None:
            history.resumed.append(history.steps)
            if not team.is_root:  # what the unfinished epoch holds will be summed
                history.losses.zero_()
                history.correct.zero_()
            progress.note(f"going on after {history.steps:,} steps, in epoch {history.epoch + 1}")
    stepped = team.wrap(net)
    stepped = torch.compile(stepped) if settings.compile else stepped
    last_step = min(settings.epochs * steps_per_epoch, settings.steps or math.inf)
    allowed = math.floor((1 - settings.target) * n + 1e-9)  # wrong examples of a fitted training set
    may_end_early = settings.stop_when_fitted or settings.loss_below is not None
    clock, dropout_bits = _Clock(history, team, steps_per_epoch, last_step, progress.note), _generator(device)

    def save():
        if checkpoint:
            clock.read()
            whole = {"losses": team.sum(history.losses), "correct": team.sum(history.correct)}
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "history": vars(history) | whole}
            if team.is_root:
                try:
                    save_checkpoint(checkpoint, state, identity=identity)
                except OSError as error:  # a full disk may have room again before what was learnt is lost
                    progress.note(f"no checkpoint was written: {error}")
            clock.saved = clock.begin = time.perf_counter()

    training = progress.phase("training", last_step, done=history.steps, at_most=may_end_early)
    # Each step seeds PyTorch's generator; the process has its random state back afterwards.
    own_randomness = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with own_randomness, true_float32(device), training as advance:
        while history.stopped_by is None:
            epoch = history.epoch
            rows = torch.from_numpy(draws.order(seed, epoch, n)).to(device)
            offsets, first_seed = None, draws.torch_seed(seed, "epoch", epoch)
            if settings.augment:
                offsets = torch.from_numpy(draws.crop_offsets(seed, epoch, n, images.room)).to(device)
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * settings.lr_decay**epoch
            if history.step == 0:
                history.correct.zero_()
            net.train()
            clock.begin = time.perf_counter()
            for part, x in team.batches(images, rows[history.step * settings.batch :], settings.batch, offsets):
                dropout_bits.manual_seed(first_seed + history.step + (team.rank << 40))
                in_step = min(settings.batch, n - history.step * settings.batch)
                y = labels[part]
                with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                    logits = stepped(x)
                loss = functional.cross_entropy(logits.float(), y, reduction="sum") / in_step
                optimizer.zero_grad()
                team.backward(loss)
                optimizer.step()
                history.add_step(part, logits.detach(), y, loss.detach(), in_step)
                advance(1, clock.shown(part))
                if history.steps == last_step or _is_lost(history, team):
                    break
                if history.step < steps_per_epoch and team.agrees(clock.due(settings), history.step):
                    save()

            history.losses, history.correct = team.sum(history.losses), team.sum(history.correct)
            seen = rows[: history.step * settings.batch]
            finite = history.close_epoch(seen, settings.batch, corrupted, optimizer.param_groups[0]["lr"])
            clock.read()
            history.curve["seconds"][-1] = history.train_seconds
            _measure(net, images, labels, settings, history, test, allowed, team)
            clock.begin = time.perf_counter()
            history.stopped_by = _stop_reason(settings, history, finite)
            if history.stopped_by and not says_something(net, images):
                history.stopped_by = "diverged"  # in the last step, whose loss was that of the weights before
            if history.stopped_by or team.agrees(clock.due(settings)):
                save()
    return history


def _taken_up(state, net, optimizer, history, checkpoint):
    """Return the History of a checkpoint's state, whose weights net and optimizer have then."""
    try:
        if set(state["history"]) != set(vars(history)):
            raise ValueError(f"its history holds {', '.join(sorted(state['history']))}")
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        told = " ".join(str(error).split())
        raise ScratchError(
            f"{checkpoint} does not fit this net ({told}); was its code changed since? Remove the file, or leave out "
            "`resume`"
        ) from error
    return History(**state["history"])


def _is_lost(history, team):
    """Whether the loss of some process is no number, asked now and then: the rest of the epoch would teach nothing."""
    return history.steps % _FINITE_EVERY == 0 and not team.sum(history.losses[history.step - 1]).isfinite()


def _measure(net, images, labels, settings, history, test, allowed, team):
    """Ask whether the training set is fitted, where that is not known, and measure the test accuracy where asked."""
    begin, curve = time.perf_counter(), history.curve
    if history.time_to_fit is None:
        wrong = count_wrong(net, images, labels, likely_wrong=~history.correct, allowed=allowed, team=team)
        if wrong is not None:
            curve["train_accuracy"][-1] = 1 - wrong / len(images)
            seconds = history.train_seconds
            history.time_to_fit = {"epochs": history.epoch, "steps": history.steps, "seconds": seconds}
    if test and settings.test_every and history.epoch % settings.test_every == 0:
        curve["test_accuracy"][-1] = 1 - count_wrong(net, *test, team=team) / len(test[0])
    history.evaluate_seconds += time.perf_counter() - begin


def _stop_reason(settings, history, finite):
    """Return why training ends after the epoch that has ended, or None."""
    if not finite:
        return "diverged"
    if settings.stop_when_fitted and history.time_to_fit:
        return "accuracy"
    if settings.loss_below is not None and history.curve["loss"][-1] < settings.loss_below:
        return "loss"
    if history.steps == settings.steps:
        return "steps"
    return "epochs" if history.epoch == settings.epochs else None


def _decay_groups(net, settings):
    """Return the parameters in two groups for SGD: those that decay, and biases, normalisations and the rest."""
    kinds = nn.Linear if settings.decay_layers == "fc" else nn.Module
    layers = [module for module in net.modules() if isinstance(module, kinds)]
    decayed = {id(p) for layer in layers for p in layer.parameters(recurse=False) if p.ndim > 1}
    groups = [[p for p in net.parameters() if p.requires_grad and (id(p) in decayed) == way] for way in (True, False)]
    return [{"params": groups[0], "weight_decay": settings.weight_decay}, {"params": groups[1], "weight_decay": 0.0}]


def _check_net(net, images, labels, settings):
    """Raise InputError unless the net takes these inputs, in evaluation and training, and has what can be trained."""
    x, classes = images.batch(torch.arange(min(2, len(images)), device=images.device)), int(labels.max()) + 1
    _try(net, x, classes, training=False, inputs=f"inputs {images.input_shape}")
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise InputError("the net has no parameters to train")
    if settings.batch > 1 and len(images) > 1:
        _try(net, x, classes, training=True, inputs=f"inputs {images.input_shape} in training")
    if settings.batch == 1 or len(images) % settings.batch == 1:
        one = f"a batch of one example, which batch = {settings.batch} leads to"
        _try(net, x[:1], classes, training=True, inputs=one)


def _try(net, x, classes, *, training, inputs):
    """Raise InputError unless a net returns logits for inputs x that can be trained. The net stays as it was."""
    before = net.training
    held = [(module, name, buffer) for module in net.modules() for name, buffer in module._buffers.items()]
    held = [(*each, each[2].clone()) for each in held if each[2] is not None]
    try:
        with torch.set_grad_enabled(training), torch.random.fork_rng(devices=[]):
            made = net.train(training)(x)
    except Exception as error:  # a user's net may fail in any way
        raise InputError(f"the net does not take {inputs}: {type(error).__name__}: {error}") from error
    finally:
        net.train(before)
        for module, name, buffer, value in held:
            buffer.copy_(value)
            module._buffers[name] = buffer  # a net may put another in its place
    if not isinstance(made, torch.Tensor) or not made.is_floating_point():
        found = f"{made.dtype}" if isinstance(made, torch.Tensor) else type(made).__name__
        raise InputError(f"the net returns {found} for {inputs}; expected one tensor of floating-point logits")
    if made.ndim != 2 or len(made) != len(x) or made.shape[1] < classes:
        raise InputError(
            f"the net returns {tuple(made.shape)} for {len(x)} examples; expected logits for {classes} classes"
        )
    if training and not made.requires_grad:
        raise InputError("what the net returns has no gradient: is its forward pass detached, or under no_grad?")


def _generator(device):
    """Return PyTorch's own generator of a device; torch.manual_seed would note its caller each time, a step's worth."""
    if device.type != "cuda":
        return torch.default_generator
    return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]


class _Clock:
    """Times the steps, looks at how they go once a second, and tells early how long all of them will take."""

    def __init__(self, history, team, steps_per_epoch, last_step, tell):
        self.history, self.team = history, team
        self.steps_per_epoch, self.last_step, self.tell = steps_per_epoch, last_step, tell
        self.begin = self.saved = self.looked = time.perf_counter()
        self.steps, self.images, self.looks = history.steps, history.images, 0

    def read(self):
        """Add the time since `begin` to the history, and begin anew."""
        now = time.perf_counter()
        self.history.train_seconds += now - self.begin
        self.begin = now

    def due(self, settings):
        """Whether it is time for a checkpoint."""
        return time.perf_counter() - self.saved >= settings.checkpoint_every

    def shown(self, rows):
        """Return loss, accuracy and images per second of late in words, or "" within a second of the last time."""
        if time.perf_counter() - self.looked < _SHOWN_EVERY:
            return ""
        history = self.history
        loss = self.team.size * float(history.losses[history.step - 1])
        right = float(history.correct[rows].float().mean())
        now = time.perf_counter()  # after the wait for the device
        seconds, left = (now - self.looked) / (history.steps - self.steps), self.last_step - history.steps
        rate = (history.images - self.images) / (now - self.looked)
        self.looked, self.steps, self.images, self.looks = now, history.steps, history.images, self.looks + 1
        if self.looks == 2 and left:  # the first look sees what is loaded and compiled once
            epochs = math.ceil(left / self.steps_per_epoch)
            some = f"{epochs:,} epoch{'s' * (epochs > 1)}"
            self.tell(f"about {duration(left * seconds)} for {some} at {rate:,.0f} images/s, tests apart")
        return f"epoch {history.epoch + 1}, loss {loss:.3g}, accuracy {100 * right:.0f} %, {rate:,.0f} images/s"
