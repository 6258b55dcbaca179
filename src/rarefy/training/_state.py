"""State of a training: everything that changes, saved and loaded."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.config import Training
from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.errors import RarefyError
from rarefy.shards import gather_tree, is_sharded, shard_tree_like
from rarefy.sparsity import Sparsity
from rarefy.training.optimizers import OptimizerRule
from rarefy.training.schedules import Schedule


class Event(enum.Enum):
    """When a callback is called: STOP between two steps before training ends early, END always and last.

    Example:
        >>> Event("epoch")
        <Event.EPOCH: 'epoch'>
    """

    START = "start"
    STEP = "step"
    EPOCH = "epoch"
    STOP = "stop"
    END = "end"


class NonFiniteLoss(RarefyError, ValueError):
    """The loss became infinite or NaN; the message names the step."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Values of `rarefy.config.Training` and the optimizer and schedule that they name.

    Args:
        values: The plain values.
        optimizer: The optimizer rule.
        schedule: The learning-rate schedule.

    Example:
        >>> from rarefy.training import OPTIMIZERS, SCHEDULES
        >>> Settings(Training(epochs=2), OPTIMIZERS.build("sgd"), SCHEDULES.build("step")).values.epochs
        2
    """

    values: Training
    optimizer: OptimizerRule
    schedule: Schedule


@dataclasses.dataclass
class Totals:
    """Sums over the current epoch; tensors stay on the device, so that a step needs no synchronisation."""

    loss: Tensor
    correct: Tensor
    seen: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0

    @classmethod
    def zero(cls, device: torch.device) -> Totals:
        """Returns the sums before the first batch."""
        return cls(
            torch.zeros((), dtype=torch.float64, device=device), torch.zeros((), dtype=torch.int64, device=device)
        )

    @property
    def mean_loss(self) -> float:
        """Mean training loss so far; synchronises with the device."""
        return self.loss.item() / max(self.seen, 1)

    @property
    def accuracy(self) -> float:
        """Training accuracy so far; synchronises with the device."""
        return self.correct.item() / max(self.seen, 1)


class State:
    """Model, masks, optimizer and position in the training.

    Args:
        model: The model, on its device.
        sparsity: The model's sparsity; the state attaches its own optimizer to it.
        settings: Options, optimizer and schedule.
        steps_per_epoch: Batches per epoch.
        world: The processes that train together; their states are the same.

    Example:
        >>> import rarefy
        >>> from rarefy.training import OPTIMIZERS, SCHEDULES
        >>> model = nn.Linear(8, 4)
        >>> settings = Settings(Training(epochs=2), OPTIMIZERS.build("sgd"), SCHEDULES.build("step"))
        >>> state = State(model, rarefy.sparsify(model, density=0.5), settings, steps_per_epoch=10)
        >>> state.step, state.lr
        (0, 0.1)
    """

    def __init__(
        self,
        model: nn.Module,
        sparsity: Sparsity,
        settings: Settings,
        *,
        steps_per_epoch: int,
        world: World = SINGLE_PROCESS,
    ) -> None:
        values = settings.values
        self.model, self.sparsity, self.settings = model, sparsity, settings
        self.steps_per_epoch, self.world = steps_per_epoch, world
        first = next(model.parameters())
        self.device, self.sharded = first.device, is_sharded(first)
        groups = sparsity.param_groups(
            lr=values.lr,
            weight_decay=values.weight_decay,
            eps=getattr(settings.optimizer, "eps", None),
            optimizer=getattr(settings.optimizer, "kind", None),
            decays_vectors=values.norm_weight_decay,
        )
        self.optimizer = settings.optimizer(groups, values.lr)
        steps = values.epochs * steps_per_epoch
        self.sparsity.attach(self.optimizer, steps=steps, diagnostics=values.diagnostics)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=values.precision == "fp16")
        self.epoch = 0
        self.batch = 0
        self.totals = Totals.zero(self.device)
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.is_consistent = True  # False during a step

    @property
    def step(self) -> int:
        """Steps done since the start."""
        return self.epoch * self.steps_per_epoch + self.batch

    @property
    def lr(self) -> float:
        """Learning rate of the next step: the schedule's, rising linearly in the warm-up."""
        values = self.settings.values
        warmup = values.warmup_epochs * self.steps_per_epoch
        rising = min(1.0, (self.step + 1) / warmup) if warmup else 1.0
        return values.lr * rising * self.settings.schedule(self.step, values.epochs, self.steps_per_epoch)

    def require_finite(self) -> None:
        """Raises NonFiniteLoss if any loss of this epoch was infinite or NaN (a sum never recovers from one)."""
        if not math.isfinite(self.totals.loss.item()):
            raise NonFiniteLoss(
                f"The loss became {self.totals.loss.item()} at or before step {self.step} (epoch {self.epoch + 1}, "
                f"batch {self.batch} of {self.steps_per_epoch}). Try a lower --lr, --warmup or --clip-norm."
            )

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that a run needs to continue bit for bit, as tensors, numbers and strings.

        It does not depend on the number of processes or on sharding. With sharded weights all ranks have to call it,
        and only rank 0 receives the weights.
        """
        state = {
            "epoch": self.epoch,
            "batch": self.batch,
            "totals": dict(vars(self.totals)),
            "history": self.history,
            "best": self.best,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "sparsity": self.sparsity.state_dict(),
            "rng": torch.get_rng_state(),
            "ranks": self.world.ranks,
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        return gather_tree(state, keep=self.world.is_rank0) if self.sharded else state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Loads what `state_dict` returned."""
        self.epoch, self.batch = state["epoch"], state["batch"]
        totals: dict[str, Any] = {
            name: v.to(self.device) if isinstance(v, Tensor) else v for name, v in state["totals"].items()
        }
        self.totals = Totals(**totals)
        self.history, self.best = list(state["history"]), state["best"]
        self._load_model(state["model"])
        self._load_optimizer(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.sparsity.load_state_dict(state["sparsity"])
        torch.set_rng_state(state["rng"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.device)

    def update_best(self, accuracy: float) -> None:
        """Stores a copy of model and masks if this epoch's validation accuracy is the highest so far."""
        if self.best is None or accuracy > self.best["accuracy"]:
            model = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
            self.best = {
                "accuracy": accuracy,
                "epoch": self.epoch,
                "model": model,
                "sparsity": self.sparsity.state_dict(),
            }

    def load_best(self) -> int:
        """Loads the best epoch's model and masks; returns its number, or the last epoch's if there is none."""
        if self.best is None:
            return self.epoch
        self._load_model(self.best["model"])
        self.sparsity.load_state_dict(self.best["sparsity"])
        return int(self.best["epoch"])

    @contextlib.contextmanager
    def use_best(self) -> Iterator[int]:
        """Context with the best epoch's model and masks; yields its number and restores the last ones on exit."""
        model = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        sparsity = self.sparsity.state_dict()
        try:
            yield self.load_best()
        finally:
            self.model.load_state_dict(model)
            self.sparsity.load_state_dict(sparsity)

    def _load_model(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(shard_tree_like(state, self.model.state_dict()))

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        """Loads an optimizer's state, which numbers parameters in the order of the groups."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        likes = {n: dict.fromkeys(values, parameters[n]) for n, values in state["state"].items()}
        sharded = {n: shard_tree_like(values, likes[n]) for n, values in state["state"].items()}
        self.optimizer.load_state_dict(state | {"state": sharded})


Callback = Callable[[Event, State], None]
"""Called with each event and the state; it must not change the state."""
