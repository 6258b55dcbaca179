"""Corrects the steps of young weights under optimizers that divide their moments by a count of steps (Adam).

Adam's averages start at 0, and after ``k`` steps hold ``1 - beta**k`` of what they would hold in the long run: the
coefficients in ``m_k = (1 - beta) * sum(beta**(k - i) * g_i for i in 1..k)`` add up to ``1 - beta**k``, and Adam
divides by that.
A weight that grows after step ``s`` has averages that start at 0 there, so at step ``t`` they hold
``1 - beta**(t - s)``, but the optimizer, which counts steps for the whole tensor, divides by ``1 - beta**t``: nearly 1.
With beta 0.9 and 0.999 the first step is ``0.1 * g / sqrt(0.001 * g**2)`` = 3.2 learning rates instead of one, and more
after that.

So the step of a weight of age ``a = t - s`` is computed again from the averages after the optimizer's step, by the
optimizer's own formula, with ``a`` instead of ``t``. The averages themselves need no correction: they start at 0 when
the weight grows, like those of a new optimizer. The result no longer depends on ``t`` and equals that of a new
optimizer whose first step is the weight's first. RAdam needs more, see `correct_radam`.

References:
    Kingma and Ba, 2015, arXiv:1412.6980, section 3. The effect in sparse training: Xiao et al., 2026, arXiv:2606.00888.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import NAdam, Optimizer, RAdam
from torch.optim.adam import Adam
from torch.optim.adamax import Adamax

_NEGLIGIBLE = 1e-4  # relative error of the averages from which on a weight's age no longer matters
_OLDEST = 2**20


@dataclasses.dataclass(frozen=True)
class YoungStep:
    """One step of an optimizer, at the young weights of a layer; tensors are ``[young]``.

    Args:
        age: Steps that each weight has made, this one included.
        before: Its value before the step.
        gradient: Its gradient, as the user's loss gave it.
        state: The optimizer's state of each weight, after the step.
        group: The optimizer's options.
        step: The optimizer's own count of steps.
    """

    age: Tensor
    before: Tensor
    gradient: Tensor
    state: Mapping[str, Tensor]
    group: Mapping[str, Any]
    step: Tensor | float

    def look_up(self, values: Tensor, age: Tensor | None = None) -> Tensor:
        """Reads a table of values by age, from 0 on."""
        ages = (self.age if age is None else age).long().clamp(max=len(values) - 1)
        return values.to(self.before.device)[ages].to(self.before.dtype)


def find_correction(optimizer: Optimizer) -> Callable[[YoungStep], Tensor] | None:
    """Finds the function that computes how far a young weight moves, in learning rates; None if none is needed.

    Args:
        optimizer: Any optimizer.
    """
    for cls in type(optimizer).__mro__:
        if cls in _CORRECTIONS:
            return _CORRECTIONS[cls]
    return None


def compute_horizon(group: Mapping[str, Any]) -> int:
    """Computes the age from which on a weight counts as old."""
    beta = max(float(value) for value in group["betas"])
    return min(_OLDEST, math.ceil(math.log(_NEGLIGIBLE) / math.log(beta))) if beta > 0 else 1


def redo_step(young: YoungStep, correction: Callable[[YoungStep], Tensor]) -> Tensor:
    """Computes the values of young weights after the step, as a new optimizer would have left them."""
    rate, before = young.group["lr"], young.before
    if young.group.get("decoupled_weight_decay"):
        before = before * (1 - rate * young.group["weight_decay"])
    return before.sub(rate * correction(young))


def correct_adam(young: YoungStep) -> Tensor:
    """Adam, AdamW and AMSGrad: ``(m / (1 - beta1**a)) / (sqrt(v / (1 - beta2**a)) + eps)``."""
    coverage1, coverage2 = _compute_coverage(young)
    square = young.state["max_exp_avg_sq" if young.group.get("amsgrad") else "exp_avg_sq"]
    size = (square / coverage2).sqrt() + float(young.group["eps"])
    return young.state["exp_avg"] / coverage1 / size


def correct_adamax(young: YoungStep) -> Tensor:
    """Adamax: ``(m / (1 - beta1**a)) / u``; the largest gradient needs no correction."""
    coverage1, _ = _compute_coverage(young)
    return young.state["exp_avg"] / coverage1 / young.state["exp_inf"]


def correct_nadam(young: YoungStep) -> Tensor:
    """NAdam, whose momentum follows a schedule that also starts with the weight."""
    group = young.group
    beta, decay = float(group["betas"][0]), float(group["momentum_decay"])
    now, product = _tabulate_momentum(beta, decay, compute_horizon(group))
    later = young.age + 1
    gradient = -young.gradient if group["maximize"] else young.gradient
    if group["weight_decay"] and not group["decoupled_weight_decay"]:
        gradient = gradient.add(young.before, alpha=group["weight_decay"])
    ahead = young.look_up(now, later) / (1 - young.look_up(product, later)) * young.state["exp_avg"]
    here = (1 - young.look_up(now)) / (1 - young.look_up(product)) * gradient
    _, coverage2 = _compute_coverage(young)
    size = (young.state["exp_avg_sq"] / coverage2).sqrt() + float(group["eps"])
    return (here + ahead) / size


def correct_radam(young: YoungStep) -> Tensor:
    """RAdam: a new optimizer's step, but no larger than the step of older weights.

    RAdam starts with five steps of plain momentum, whose size is that of the gradients. In a new network all weights
    make them together; a weight that grows later would move further than the others by the size of its gradient.
    Therefore the step is bounded by that of the whole tensor's age.
    """
    coverage1, coverage2 = _compute_coverage(young)
    beta, horizon = float(young.group["betas"][1]), compute_horizon(young.group)
    rectification = _tabulate_rectification(beta, horizon)
    momentum = young.state["exp_avg"] / coverage1
    adaptive = momentum * coverage2.sqrt() / (young.state["exp_avg_sq"].sqrt() + float(young.group["eps"]))
    own = young.look_up(rectification)
    fresh = torch.where(own > 0, own * adaptive, momentum)
    count = torch.as_tensor(young.step, device=young.before.device)
    common = young.look_up(rectification, count)
    bound = common * adaptive
    return torch.where((common > 0) & (fresh.abs() > bound.abs()), bound, fresh)


def _compute_coverage(young: YoungStep) -> tuple[Tensor, Tensor]:
    """Computes ``1 - beta**age`` of both averages."""
    first, second = (float(beta) for beta in young.group["betas"])
    horizon = compute_horizon(young.group)
    return young.look_up(_tabulate_coverage(first, horizon)), young.look_up(_tabulate_coverage(second, horizon))


@functools.lru_cache(maxsize=16)
def _tabulate_coverage(beta: float, horizon: int) -> Tensor:
    """Tabulates ``1 - beta**age`` by age."""
    return 1 - beta ** torch.arange(horizon + 2, dtype=torch.float64)


@functools.lru_cache(maxsize=16)
def _tabulate_momentum(beta: float, decay: float, horizon: int) -> tuple[Tensor, Tensor]:
    """Tabulates NAdam's momentum by age, and its cumulative products."""
    now = beta * (1 - 0.5 * 0.96 ** (decay * torch.arange(horizon + 2, dtype=torch.float64)))
    now[0] = 1.0
    return now, now.cumprod(0)


@functools.lru_cache(maxsize=16)
def _tabulate_rectification(beta: float, horizon: int) -> Tensor:
    """Tabulates RAdam's rectification by age; 0 where it makes plain momentum steps."""
    age = torch.arange(horizon + 2, dtype=torch.float64)
    longest = 2 / (1 - beta) - 1
    length = longest - 2 * age * beta**age / (1 - beta**age)
    square = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return torch.where(length > 5, square.clamp(min=0).sqrt(), 0.0)  # at age 0 length is nan, which is not above 5


_CORRECTIONS: dict[type, Callable[[YoungStep], Tensor]] = {
    Adam: correct_adam,
    Adamax: correct_adamax,
    NAdam: correct_nadam,
    RAdam: correct_radam,
}
