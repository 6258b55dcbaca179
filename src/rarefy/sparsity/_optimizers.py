"""Inspects optimizers: what they wrap, their state of a weight, and the initial state of a new one."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rarefy.errors import InvalidInput
from rarefy.masks import fill_

_LOG = logging.getLogger("rarefy")


def unwrap_optimizer(optimizer: Optimizer) -> list[Optimizer]:
    """Unwraps an optimizer (SAM, ZeroRedundancyOptimizer, Lookahead, accelerate's, Lightning's).

    Args:
        optimizer: The optimizer that the user attaches.

    Returns:
        The wrappers, outermost first, and the optimizer itself, which is last.

    Raises:
        InvalidInput: If no optimizer inside calls hooks, or there are several.
    """
    chain = [optimizer]
    while inner := {name: value for name, value in _list_inside(chain[-1]) if not any(value is o for o in chain)}:
        if len(inner) > 1:
            raise InvalidInput(
                f"{type(optimizer).__name__} keeps several optimizers. Attach each of them: {', '.join(inner)}."
            )
        chain += inner.values()
    try:
        chain[-1].register_step_post_hook(lambda *_: None).remove()
    except AttributeError:
        raise InvalidInput(
            f"{type(optimizer).__name__} calls no hooks of torch.optim.Optimizer, so masks cannot follow its steps. "
            "Attach the torch.optim.Optimizer that it steps."
        ) from None
    return chain


def _list_inside(optimizer: object) -> Iterator[tuple[str, Optimizer]]:
    for name, value in getattr(optimizer, "__dict__", {}).items():
        if isinstance(value, Optimizer):
            yield f".{name}", value
        elif isinstance(value, (list, tuple)):
            yield from ((f".{name}[{n}]", item) for n, item in enumerate(value) if isinstance(item, Optimizer))


def list_groups(optimizers: list[Optimizer]) -> dict[int, dict[str, Any]]:
    """Maps the id of each parameter to its group in the innermost optimizer that holds it."""
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    return {id(weight): group for group in groups for weight in group["params"]}


def find_states(optimizers: list[Optimizer], weight: Tensor) -> list[MutableMapping[str, Any]]:
    """Finds the optimizers' states of a weight, each mapping once."""
    states = {id(state): state for optimizer in optimizers if (state := optimizer.state.get(weight))}
    return list(states.values())


def find_stepped(chain: list[Optimizer], weights: Mapping[str, Tensor]) -> Optimizer:
    """Finds the optimizer after whose step all these weights have their final values.

    That is the innermost one, which steps whatever its wrappers do (SAM's two steps call no hooks of SAM). For wrappers
    that distribute the weights over processes it is the outermost one, which exchanges them.

    Args:
        chain: As `unwrap_optimizer` gives it.
        weights: The masked weights.
    """
    inside = list_groups(chain[-1:])
    return chain[-1] if all(id(weight) in inside for weight in weights.values()) else chain[0]


class StateCleaner:
    """Resets the optimizers' state of single weights to that of a new weight.

    Args:
        chain: The optimizers, the one that keeps moments last.
    """

    def __init__(self, chain: list[Optimizer]) -> None:
        self._chain = chain
        self._clean: dict[tuple[Any, ...], tuple[float, dict[str, float]]] = {}

    def clear_(self, weight: Tensor, stale: Tensor) -> None:
        """Resets these elements in every state tensor of the weight's shape.

        Args:
            weight: The parameter.
            stale: Bool tensor of its shape, True where the weight is new or no longer trained.
        """
        for state in find_states(self._chain, weight):
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    fill_(value, stale, self.look_up(weight).get(name, 0))

    def look_up(self, weight: Tensor) -> dict[str, float]:
        """Returns name in the state to initial value; computed again when the learning rate changes."""
        group = list_groups(self._chain).get(id(weight))
        if group is None or not find_states(self._chain, weight):
            return {}
        key, rate = (id(group), weight.ndim, weight.dtype, weight.device), float(group.get("lr", 0))
        if self._clean.get(key, (None, {}))[0] != rate:
            self._clean[key] = rate, make_clean_state(self._chain[-1], group, weight)
        return self._clean[key][1]


def make_clean_state(optimizer: Optimizer, group: dict[str, Any], weight: Tensor) -> dict[str, float]:
    """Finds the state of a new weight by a step of a new optimizer on a single 0 with gradient 0.

    Not everything starts at 0: Rprop has a step size, Adagrad an accumulator with any initial value.

    Args:
        optimizer: Its class is used.
        group: The options.
        weight: Gives number of dimensions, dtype and device.

    Returns:
        Name in the state to value, for elementwise state.
    """
    parameter = nn.Parameter(torch.zeros((1,) * weight.ndim, dtype=weight.dtype, device=weight.device))
    parameter.grad = torch.zeros_like(parameter)
    try:
        fresh = remake_optimizer(optimizer, group, [parameter])
        fresh.step()
    except Exception as error:  # the constructor may need other arguments
        name = type(optimizer).__name__
        _LOG.warning("The initial state of a weight in %s is unknown, 0 is used: %s", name, error)
        return {}
    state = fresh.state.get(parameter, {}).items()
    return {name: float(v) for name, v in state if isinstance(v, Tensor) and v.shape == parameter.shape}


def depends_on_shape(optimizer: Optimizer, group: Mapping[str, Any]) -> bool:
    """Tests whether an optimizer treats the kept values of a matrix differently when they are a vector.

    Adafactor averages over rows and columns, Muon takes only matrices. The test uses a small matrix.

    Args:
        optimizer: Its class is used.
        group: The options.
    """
    generator = torch.Generator().manual_seed(0)
    kept = torch.rand(8, 6, generator=generator) < 0.5
    start, options = torch.randn(8, 6, generator=generator) * kept, {**group, "lr": 1e-2}
    matrix, vector = nn.Parameter(start.clone()), nn.Parameter(start[kept])
    gradients = [torch.randn(8, 6, generator=generator) * kept for _ in range(2)]
    try:
        _step(remake_optimizer(optimizer, options, [matrix]), matrix, gradients)
    except Exception:  # it cannot be tested
        return False
    try:
        _step(remake_optimizer(optimizer, options, [vector]), vector, [gradient[kept] for gradient in gradients])
    except Exception:  # it does not take vectors
        return True
    return not torch.allclose(matrix[kept], vector, rtol=1e-3, atol=1e-5)


def _step(optimizer: Optimizer, parameter: nn.Parameter, gradients: list[Tensor]) -> None:
    for gradient in gradients:
        parameter.grad = gradient
        optimizer.step()


def remake_optimizer(optimizer: Optimizer, group: Mapping[str, Any], parameters: list[nn.Parameter]) -> Optimizer:
    """Makes another optimizer of the class over other parameters, with the options of a group."""
    cls = type(optimizer)
    options = _list_options(cls)
    return cls(parameters, **{name: value for name, value in group.items() if name in options})


def _list_options(cls: type) -> set[str]:
    """Lists the options of a class's constructor; if it has ``**kwargs``, those of the next base class too."""
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            names |= {parameter.name for parameter in parameters}
            if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
                break
    return names - {"self", "params"}
