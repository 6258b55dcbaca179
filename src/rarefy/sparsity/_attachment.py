"""One optimizer kept to the masks, by its own pre- and post-step hooks and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rarefy.topology import Layer, Moment, update

if TYPE_CHECKING:
    from rarefy.sparsity._sparsity import Sparsity


class Attachment:
    """Hooks of one optimizer, its count of steps, and what the topology needs from one step to the next.

    Args:
        sparsity: Whose masks hold.
        optimizer: Whose steps are watched.
        taken: Layers whose topology another optimizer moves; here they are only masked.
        steps: Optimizer steps planned in all.
    """

    def __init__(
        self, sparsity: Sparsity, optimizer: torch.optim.Optimizer, *, taken: set[str], steps: int | None
    ) -> None:
        held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
        self.masked = [name for name, weight in sparsity.weights().items() if id(weight) in held]
        if not self.masked:
            raise ValueError(
                "This optimizer holds none of the masked weights. Make it from the parameters of the model that was "
                "given to sparsify (after moving or wrapping that model, not before)."
            )
        self.names = [name for name in self.masked if name not in taken]
        self.optimizer = optimizer
        self.steps = steps
        self.step = 0
        self._sparsity = sparsity
        self._gradients: dict[str, Tensor] = {}
        self._explored: dict[str, Tensor] = {}
        sparsity.topology.is_due(1, steps)  # a topology that needs `steps` says so now, not in the middle of training
        self._hooks = [optimizer.register_step_pre_hook(self._before), optimizer.register_step_post_hook(self._after)]

    def remove(self) -> None:
        """Takes the hooks off the optimizer."""
        for hook in self._hooks:
            hook.remove()

    def keep_dense_gradients(self) -> None:
        """Before an update copies the gradients that growth looks at, as they are before they are masked."""
        topology = self._sparsity.topology
        if "gradient" not in topology.needs or self._gradients or not topology.is_due(self.step + 1, self.steps):
            return
        self._gradients = {n: g.clone() for n, g in self._grads(self.names)}

    def state_dict(self) -> dict[str, Any]:
        """Steps done, steps planned and which weights were ever kept."""
        return {"step": self.step, "steps": self.steps, "explored": dict(self._explored)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        self.step, self.steps = state["step"], state["steps"]
        self._explored = dict(state["explored"])

    def _grads(self, names: Iterable[str]) -> list[tuple[str, Tensor]]:
        weights = self._sparsity.weights()
        return [(name, grad) for name in names if (grad := weights[name].grad) is not None]

    def _mask_gradients(self) -> None:
        self.keep_dense_gradients()
        self._sparsity.masks.apply_(dict(self._grads(self.masked)))

    def _before(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Masks gradients; a closure, which computes them anew inside the step, is followed by the same."""
        self._mask_gradients()
        if kwargs.get("closure") is not None:
            return args, {**kwargs, "closure": self._then_mask(kwargs["closure"])}
        if len(args) > 1 and callable(args[1]):  # args[0] is the optimizer itself
            return (args[0], self._then_mask(args[1]), *args[2:]), kwargs
        return None

    def _then_mask(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        def masked() -> Any:
            self._gradients = {}
            loss = closure()
            self._mask_gradients()
            return loss

        return masked

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self.step += 1
        if self._sparsity.topology.is_due(self.step, self.steps):
            self._update()
        weights = self._sparsity.weights()
        self._sparsity.masks.apply_({name: weights[name] for name in self.masked})
        self._gradients = {}

    def _update(self) -> None:
        """Moves the masks and clears the optimizer's state of every weight that is pruned or new."""
        masks, weights = self._sparsity.masks, self._sparsity.weights()
        moment = Moment(self.step, self.steps, self._sparsity.seed)
        for name, after in update(self._sparsity.topology, [self._layer(name) for name in self.names], moment).items():
            self._explored[name] |= after
            stale = masks[name].logical_not() | after.logical_not()
            self._clear_state(weights[name], stale)
            masks.replace(name, after)

    def _layer(self, name: str) -> Layer:
        weight, mask = self._sparsity.weights()[name], self._sparsity.masks[name]
        return Layer(
            name=name,
            weight=weight.detach().masked_fill(mask.logical_not(), 0),
            mask=mask,
            gradient=self._gradients.get(name),
            momentum=self.optimizer.state.get(weight, {}).get("momentum_buffer"),
            explored=self._explored.setdefault(name, mask.clone()),
            initial=self._sparsity.initial[name],
            final=self._sparsity.final[name],
        )

    def _clear_state(self, weight: Tensor, stale: Tensor) -> None:
        """Zeroes what any optimizer keeps for these elements: every tensor of the parameter's shape, by shape alone."""
        for value in self.optimizer.state.get(weight, {}).values():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                value.masked_fill_(stale, 0)
