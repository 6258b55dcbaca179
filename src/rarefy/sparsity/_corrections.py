"""How far an optimizer that corrects its moments by a count of steps would move a weight of another age than its own.

Adam's averages start at 0, and after ``k`` steps hold ``1 - beta**k`` of what they would hold had they run for ever:
``m_k = (1 - beta) * sum(beta**(k - i) * g_i for i in 1..k)`` has the weights' sum ``1 - beta**k``. Adam divides by it.
A weight that grows after step ``s`` has averages that start at 0 there, so at step ``t`` they hold
``1 - beta**(t - s)``, but the optimizer, which counts steps for the whole tensor, divides by ``1 - beta**t``: nearly 1.
With beta 0.9 and 0.999 the first step is ``0.1 * g / sqrt(0.001 * g**2)`` = 3.2 learning rates instead of one, and more
after that.

So the step of a weight of age ``a = t - s`` is made again from the averages as they are after the optimizer's step, by
the optimizer's own formula, with ``a`` in the place of ``t``. The averages themselves need no correction: they start at
0 at birth, as those of a new optimizer do. Nothing depends on ``t`` any more, and the result is that of a new optimizer
whose first step is the weight's first. RAdam alone asks for more, see `correct_radam`.

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

_NEGLIGIBLE = 1e-4  # what averages may lack before a weight's age does not matter any more
_OLDEST = 2**20


@dataclasses.dataclass(frozen=True)
class YoungStep:
    """One step of an optimizer at the weights that are young, ``[young]`` each.

    Args:
        age: Steps the weight has made, this one included.
        before: Its value before the step.
        gradient: Its gradient, as the user's loss gave it.
        state: What the optimizer keeps of it, after the step.
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


def make_move(optimizer: Optimizer) -> Callable[[YoungStep], Tensor] | None:
    """The function that says how far a young weight moves, in learning rates; None if none is known or needed.

    Args:
        optimizer: Any optimizer.
    """
    for cls in type(optimizer).__mro__:
        if cls in _MOVES:
            return _MOVES[cls]
    return None


def find_horizon(group: Mapping[str, Any]) -> int:
    """Finds the age from which on it does not matter any more."""
    beta = max(float(value) for value in group["betas"])
    return min(_OLDEST, math.ceil(math.log(_NEGLIGIBLE) / math.log(beta))) if beta > 0 else 1


def step_again(young: YoungStep, move: Callable[[YoungStep], Tensor]) -> Tensor:
    """The values of young weights after the step, had the optimizer begun with them."""
    rate, before = young.group["lr"], young.before
    if young.group.get("decoupled_weight_decay"):
        before = before * (1 - rate * young.group["weight_decay"])
    return before.sub(rate * move(young))


def correct_adam(young: YoungStep) -> Tensor:
    """Adam, AdamW and AMSGrad: ``(m / (1 - beta1**a)) / (sqrt(v / (1 - beta2**a)) + eps)``."""
    held1, held2 = _list_held(young)
    square = young.state["max_exp_avg_sq" if young.group.get("amsgrad") else "exp_avg_sq"]
    size = (square / held2).sqrt() + float(young.group["eps"])
    return young.state["exp_avg"] / held1 / size


def correct_adamax(young: YoungStep) -> Tensor:
    """Adamax: ``(m / (1 - beta1**a)) / u``; the largest gradient needs no correction."""
    held1, _ = _list_held(young)
    return young.state["exp_avg"] / held1 / young.state["exp_inf"]


def correct_nadam(young: YoungStep) -> Tensor:
    """NAdam, whose momentum grows on a schedule of its own, which also begins with the weight."""
    group = young.group
    beta, decay = float(group["betas"][0]), float(group["momentum_decay"])
    now, product = _schedule_momentum(beta, decay, find_horizon(group))
    later = young.age + 1
    gradient = -young.gradient if group["maximize"] else young.gradient
    if group["weight_decay"] and not group["decoupled_weight_decay"]:
        gradient = gradient.add(young.before, alpha=group["weight_decay"])
    ahead = young.look_up(now, later) / (1 - young.look_up(product, later)) * young.state["exp_avg"]
    here = (1 - young.look_up(now)) / (1 - young.look_up(product)) * gradient
    _, held2 = _list_held(young)
    size = (young.state["exp_avg_sq"] / held2).sqrt() + float(group["eps"])
    return (here + ahead) / size


def correct_radam(young: YoungStep) -> Tensor:
    """RAdam: a new optimizer's step, but never more than a step as the older weights make it.

    RAdam begins with five steps of plain momentum, as large as the gradients are. All weights of a new network make
    them together; one weight that grows later would outrun the others by as much as its gradient is larger than 1.
    Rectification is therefore the smaller of the weight's own and that of the whole tensor's age.
    """
    held1, held2 = _list_held(young)
    beta, horizon = float(young.group["betas"][1]), find_horizon(young.group)
    rectification = _rectify(beta, horizon)
    momentum = young.state["exp_avg"] / held1
    adaptive = momentum * held2.sqrt() / (young.state["exp_avg_sq"].sqrt() + float(young.group["eps"]))
    own = young.look_up(rectification)
    fresh = torch.where(own > 0, own * adaptive, momentum)
    count = torch.as_tensor(young.step, device=young.before.device)
    common = young.look_up(rectification, count)
    bound = common * adaptive
    return torch.where((common > 0) & (fresh.abs() > bound.abs()), bound, fresh)


def _list_held(young: YoungStep) -> tuple[Tensor, Tensor]:
    """What the two averages hold of what they would hold had they run for ever."""
    first, second = (float(beta) for beta in young.group["betas"])
    horizon = find_horizon(young.group)
    return young.look_up(_hold(first, horizon)), young.look_up(_hold(second, horizon))


@functools.lru_cache(maxsize=16)
def _hold(beta: float, horizon: int) -> Tensor:
    """``1 - beta**age`` by age."""
    return 1 - beta ** torch.arange(horizon + 2, dtype=torch.float64)


@functools.lru_cache(maxsize=16)
def _schedule_momentum(beta: float, decay: float, horizon: int) -> tuple[Tensor, Tensor]:
    """NAdam's momentum by age, and its products from the first on."""
    now = beta * (1 - 0.5 * 0.96 ** (decay * torch.arange(horizon + 2, dtype=torch.float64)))
    now[0] = 1.0
    return now, now.cumprod(0)


@functools.lru_cache(maxsize=16)
def _rectify(beta: float, horizon: int) -> Tensor:
    """RAdam's rectification by age; 0 while it has none and makes plain momentum steps."""
    age = torch.arange(horizon + 2, dtype=torch.float64)
    longest = 2 / (1 - beta) - 1
    length = longest - 2 * age * beta**age / (1 - beta**age)
    square = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return torch.where(length > 5, square.clamp(min=0).sqrt(), 0.0)  # nan at age 0 is not above 5


_MOVES: dict[type, Callable[[YoungStep], Tensor]] = {
    Adam: correct_adam,
    Adamax: correct_adamax,
    NAdam: correct_nadam,
    RAdam: correct_radam,
}
