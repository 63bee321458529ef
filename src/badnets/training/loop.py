"""The training loop, on Lightning Fabric (devices, precision, DDP).

The data lies on the device as uint8 when it fits and is streamed from its store otherwise, with the same results. All
randomness of an epoch (order, augmentation, dropout) is derived from the seed and the epoch's number, so a run that was
interrupted and resumed gives the same bits as one that was not.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from badnets.core.errors import BadInput, BadnetsError, CannotTell
from badnets.core.files import temporary_folder, whole_file
from badnets.core.seed import Seed, as_seed
from badnets.data.images import ImageData, Pixels, Splits
from badnets.data.splits import HoldsData, one_set
from badnets.networks.device import find_device, moved, own_stream, within_memory
from badnets.networks.inference import check_input
from badnets.networks.network import ImageNetwork, to_float
from badnets.networks.registry import build_network, parse_network
from badnets.training.augment import apply_augments
from badnets.training.bar import OnStep, shown
from badnets.training.hardware import make_fabric, quiet_fabric, resolve_precision
from badnets.training.norms import lonely_norms
from badnets.training.objectives import OBJECTIVES, MakeObjective, check_targets
from badnets.training.recipe import Recipe, recipe_for

BatchHook = Callable[[Pixels, NDArray[np.int64], np.random.Generator], tuple[Pixels, NDArray[np.int64]]]
ON_DEVICE_BYTES = 2 << 30


_DIGEST = hashlib.sha256().digest_size
_LOWER = "the batch (recipe.batch), the size of the pictures (size) or of the network"


@dataclass(frozen=True)
class Trained:
    """A trained network, one entry per epoch (``epoch``, ``loss``, ``accuracy``, ``seconds``), and the seconds of the
    loop alone, without loading or evaluation (an earlier, interrupted part included)."""

    network: ImageNetwork
    history: list[dict[str, float]]
    seconds: float
    precision: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything about one training but the network, on whose device it is done: picklable, so that several processes
    can share it (``devices``, of the same kind). ``on_step`` is called on the first process only, ``after_step()``
    after every change of the weights, to put right what must not move (one device only). ``objective`` takes the place
    of the network's own."""

    data: ImageData
    recipe: Recipe
    seed: Seed
    hooks: Sequence[BatchHook] = ()
    on_step: OnStep | None = None
    after_step: Callable[[], None] | None = None
    objective: MakeObjective | None = None
    checkpoint: Path | None = None
    devices: int = 1
    on_device_bytes: int = ON_DEVICE_BYTES
    history: list[dict[str, float]] = field(default_factory=list)


def fit(network: ImageNetwork, job: Job) -> Trained:
    """Train ``network`` in place, on its device. Raises ``CannotTell`` when the loss is no longer a number,
    ``BadInput`` when the data does not fit the network. With ``checkpoint`` the state is kept after every epoch and
    picked up again."""
    if not len(job.data):
        raise BadInput(f"{job.data.name}: expected pictures to train on, got none")
    if len(job.data) < job.devices:
        raise BadInput(f"{job.data.name}: expected a picture for each of {job.devices} devices, got {len(job.data)}")
    if job.after_step is not None and job.devices > 1:
        raise BadInput(f"expected one device for a training with held weights, got {job.devices}; leave --devices out")
    check_targets(network.task, job.data, network.architecture)
    check_input(network, job.data.shape, f"pictures of {job.data.name}")
    if job.data.classes != network.classes:
        raise BadInput(f"expected {network.classes} classes for this network, got {job.data.classes} in the data")
    device = network.device
    precision = resolve_precision(job.recipe.precision, device)
    fabric = make_fabric(precision, job.devices, device)
    if job.devices == 1:
        with within_memory(device, _LOWER):
            _Training(fabric, network, job).run()
    else:
        _train_in_several(fabric, network.to("cpu"), job)
    network.to(device).eval()
    return Trained(network, job.history, sum(epoch["seconds"] for epoch in job.history), precision)


class _Parcel:
    """Carries a job to another process: Fabric would take a frozen dataclass apart and try to put tensors into it."""

    def __init__(self, job: Job, home: Path) -> None:
        self.job, self.home, self.threads = job, home, max(1, torch.get_num_threads() // job.devices)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        quiet_fabric()


def _train_in_several(fabric: Any, network: ImageNetwork, job: Job) -> None:
    """The weights come home in a file: Fabric waits for its processes before it reads what they send."""
    with temporary_folder() as folder:
        home = folder / "weights.pt"
        history, error = fabric.launch(_train_elsewhere, network, _Parcel(job, home))
        if error is not None:
            raise error
        network.load_state_dict(torch.load(home, map_location="cpu", weights_only=True))
    job.history[:] = history


def _train_elsewhere(
    fabric: Any, network: ImageNetwork, parcel: _Parcel
) -> tuple[list[dict[str, float]], BadnetsError | None]:
    """In one of several processes; its threads are its share."""
    job = parcel.job
    torch.set_num_threads(parcel.threads)
    try:
        with within_memory(fabric.device, _LOWER):
            _Training(fabric, network, job).run()
    except BadnetsError as error:  # every process comes to the same one; raised here it would lose its type
        return [], error
    if fabric.is_global_zero:
        torch.save({name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}, parcel.home)
    return job.history, None


class _Training:
    """One process's part of a training."""

    def __init__(self, fabric: Any, network: ImageNetwork, job: Job) -> None:
        self.fabric, self.job, recipe = fabric, job, job.recipe
        self.batch = max(1, recipe.batch // fabric.world_size)
        self.steps = max(1, len(job.data) // (self.batch * fabric.world_size))
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this overload
        optimizer = _optimizer(network, recipe)
        # fabric.setup moves the network to the device and wraps it for precision and DDP; the weights stay shared.
        self.model, self.optimizer = fabric.setup(torch.compile(network) if recipe.compile else network, optimizer)
        self.scheduler = _scheduler(self.optimizer, recipe, self.steps)
        self.state = {"network": network, "optimizer": self.optimizer, "scheduler": self.scheduler}
        self.objective = (job.objective or OBJECTIVES[network.task])(job.data, recipe, fabric.device)
        fits = len(job.data) * int(np.prod(job.data.shape)) <= job.on_device_bytes
        self.pixels = torch.from_numpy(job.data.images()).to(fabric.device) if fits else None

    def run(self) -> None:
        """All epochs that are not done yet."""
        job = self.job
        for epoch in range(self.restore(), job.recipe.epochs):
            began = time.perf_counter()
            with lonely_norms(self.state["network"]):
                figures = self.epoch(epoch)
            seconds = time.perf_counter() - began
            job.history.append({"epoch": epoch + 1, **figures, "seconds": round(seconds, 3)})
            if self.fabric.is_global_zero and epoch + 1 < job.recipe.epochs:
                self.save(epoch + 1)

    def save(self, epochs: int) -> None:
        """What an interrupted training needs to go on after ``epochs``, in one file, behind its digest; nothing in it
        needs unpickling."""
        if self.job.checkpoint is None:
            return
        state = {name: part.state_dict() for name, part in self.state.items()}
        content = io.BytesIO()  # torch itself reports a full disk as an error of its own format
        torch.save({"epoch": epochs, "history": self.job.history, **state}, content)
        with whole_file(self.job.checkpoint) as unfinished:
            unfinished.write_bytes(hashlib.sha256(content.getbuffer()).digest() + content.getbuffer())

    def restore(self) -> int:
        """How many epochs are done; 0 without a checkpoint."""
        path = self.job.checkpoint
        if path is None or not path.exists():
            return 0
        content = path.read_bytes()
        if not _whole(content):
            raise BadInput(f"expected a checkpoint in {path}, got a damaged file; delete it")
        state = torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True)
        for name, part in self.state.items():
            part.load_state_dict(state[name])
        self.job.history[:] = state["history"]
        return int(state["epoch"])

    def images(self, rows: Tensor, numbers: Tensor) -> Tensor:
        """uint8 (n, h, w, c) on the device, from its memory when all pictures fit there, else from their store;
        ``numbers`` are ``rows`` on the CPU."""
        if self.pixels is not None:
            return self.pixels.index_select(0, rows)
        return moved(torch.from_numpy(self.job.data.images(numbers.numpy())), self.fabric.device)

    def epoch(self, epoch: int) -> dict[str, float]:
        """One pass; the mean loss, and of a classifier the accuracy on the (augmented) training pictures. Nothing waits
        for the device between reports: what a step needs lies there, and what it gives stays there."""
        fabric, job, batch, steps, all_labels = self.fabric, self.job, self.batch, self.steps, self.objective.labels
        seed = job.seed.derive("epoch", epoch)
        order = torch.from_numpy(seed.derive("order").rng.permutation(len(job.data)))
        order = order[fabric.global_rank :: fabric.world_size].contiguous()
        order_there = order.to(fabric.device)
        own = seed.derive("rank", fabric.global_rank)
        generator = torch.Generator().manual_seed(own.derive("augment").integer)
        hook_rng = own.derive("hooks").rng
        losses = torch.zeros((), device=fabric.device)
        right = torch.zeros((), dtype=torch.int64, device=fabric.device)
        self.model.train()
        with own_stream(own.derive("dropout").integer, fabric.device):  # dropout knows no generator of its own
            for step in range(steps):
                part = slice(step * batch, (step + 1) * batch)
                rows = order_there[part]
                images, labels = self.images(rows, order[part]), None if all_labels is None else all_labels[rows]
                for hook in job.hooks:
                    images, labels = _hooked(hook, images, labels, hook_rng)
                images, moves = apply_augments(job.recipe.augment, images, generator)
                self.optimizer.zero_grad(set_to_none=True)
                loss, correct = self.objective(self.model, to_float(images), rows, labels, moves)
                fabric.backward(loss)
                self.optimizer.step()
                if job.after_step is not None:
                    job.after_step()
                self.scheduler.step()
                losses += loss.detach()
                right += 0 if correct is None else correct
                if step % 20 == 19 or step == steps - 1:
                    # Over all processes, so that they all stop or none does.
                    _check_finite(fabric.all_reduce(losses.clone(), reduce_op="sum"), epoch, step, job.recipe)
                    if job.on_step and fabric.is_global_zero:
                        so_far = None if labels is None else float(right) / ((step + 1) * len(rows))
                        job.on_step(epoch, step + 1, steps, so_far)
        # A set smaller than one batch makes short batches; a longer one drops its last rows, others each epoch.
        totals = fabric.all_reduce(torch.stack([losses, right / min(batch, len(order))]) / steps, reduce_op="mean")
        accuracy = {} if all_labels is None else {"accuracy": float(totals[1])}
        return {"loss": float(totals[0]), **accuracy}


def drop_damaged(path: Path) -> bool:
    """Whether what was kept of a training was damaged; then it is removed, so that the training starts again."""
    damaged = path.exists() and not _whole(path.read_bytes())
    if damaged:
        path.unlink()
    return damaged


def _whole(content: bytes) -> bool:
    return hashlib.sha256(content[_DIGEST:]).digest() == content[:_DIGEST]


def _check_finite(losses: Tensor, epoch: int, step: int, recipe: Recipe) -> None:
    if not torch.isfinite(losses):
        raise CannotTell(
            f"expected a finite loss, got {float(losses)} in epoch {epoch + 1}, step {step + 1}; "
            f"lower the learning rate ({recipe.learning_rate:g}) or use precision fp32"
        )


def _hooked(hook: BatchHook, images: Tensor, labels: Tensor | None, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    if labels is None:
        raise BadInput("expected one class for each picture with a batch hook (warp noise), got pictures with boxes")
    new_images, new_labels = hook(images.cpu().numpy(), labels.cpu().numpy(), rng)
    return torch.from_numpy(new_images).to(images.device), torch.from_numpy(new_labels).to(labels.device)


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    weights = [p for p in network.parameters() if p.requires_grad]
    decayed = [p for p in weights if p.ndim > 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},  # biases and BatchNorm are not decayed
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=recipe.learning_rate, fused=True)


def _scheduler(optimizer: Any, recipe: Recipe, steps: int) -> Any:
    if recipe.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    total = recipe.epochs * steps
    if recipe.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    # Where the rise is one step exactly, torch divides by its length less one.
    rise = recipe.warmup * (1 + 1e-9) if recipe.warmup * total == 1 else recipe.warmup
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=total, pct_start=rise, cycle_momentum=False
    )


def train(
    network: str | ImageNetwork,
    data: ImageData | HoldsData | Splits,
    *,
    recipe: Recipe | None = None,
    seed: int | Seed = 0,
    hooks: Sequence[BatchHook] = (),
    device: str | torch.device = "auto",
    devices: int = 1,
    on_step: OnStep | None = None,
    progress: bool | None = None,
) -> ImageNetwork:
    """Train a network by name (a new one, its weights from the seed) or one that you built (in place), on ``data``, or
    on the training part of three sets.

    It is trained, and left, on ``device``: "cpu", "cuda", "cuda:1", "mps", or "auto", the best for a new network and
    the one where it is for yours. The default recipe is the architecture's own (``RECIPES``). With ``devices`` above 1
    a script must call this below ``if __name__ == "__main__":``, for each process imports the script. ``progress``:
    whether a bar is shown; by default where stderr is a terminal, and in a notebook (on one device, and not where
    ``on_step`` is given).
    """
    pictures = one_set(data, "train")
    stream = as_seed(seed)
    if isinstance(network, str):
        name, arguments = parse_network(network)
        h, w, c = pictures.shape
        names, weights = pictures.class_names, stream.derive("weights")
        network = build_network(
            name, class_names=names, input_size=(c, h, w), seed=weights, arguments=arguments, device=device
        )
    elif device != "auto":
        network.to(find_device(device))
    chosen = recipe or recipe_for(network.architecture)
    quiet = on_step is not None or devices > 1
    with shown(f"training {network.architecture}", chosen.epochs, progress=False if quiet else progress) as bar:
        tell = on_step or bar
        job = Job(data=pictures, recipe=chosen, seed=stream.derive("train"), hooks=hooks, devices=devices, on_step=tell)
        return fit(network, job).network
