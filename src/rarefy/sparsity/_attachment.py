"""Keeps the steps of one optimizer to the masks, by its own pre- and post-step hooks and nothing else."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.shards import mask_device, shard_like
from rarefy.sparsity._changes import WriteWatcher
from rarefy.sparsity._checks import check_fixed, check_plan, check_sparse_layers
from rarefy.sparsity._diagnostics import Diagnostics
from rarefy.sparsity._gradient_hooks import GradientHooks
from rarefy.sparsity._held_weights import HeldWeights
from rarefy.sparsity._mask_updates import MaskUpdates
from rarefy.sparsity._masked_model import MaskedModel
from rarefy.sparsity._optimizers import find_stepped, list_groups, unwrap_optimizer
from rarefy.sparsity._signals import Signals
from rarefy.sparsity._value_storage import list_fixed


class Attachment:
    """Hooks of one optimizer, its count of steps, and what the topology needs from one step to the next.

    Args:
        masked: The masked model.
        optimizer: The optimizer whose steps are kept to the masks; what it wraps is found out.
        explored: Layer name to bool tensor, which weights were ever kept; of layers whose masks moved before.
        taken: Layers whose masks another optimizer moves; here they are only masked.
        steps: Optimizer steps planned in all.
        diagnostics: Collects diagnostics; None for none.
    """

    def __init__(
        self,
        masked: MaskedModel,
        optimizer: torch.optim.Optimizer,
        *,
        explored: Mapping[str, Tensor],
        taken: set[str],
        steps: int | None,
        diagnostics: Diagnostics | None,
    ) -> None:
        self.optimizer = optimizer
        self.steps = steps
        self.diagnostics = diagnostics
        self.step = 0
        self._masked = masked
        self._chain = unwrap_optimizer(optimizer)
        self._writes = WriteWatcher()
        self._is_skipped = False  # whether the current step will change nothing
        self.held = HeldWeights(masked, self._chain, taken)
        self._check_other_masks()
        self._gradient_hooks = GradientHooks(masked, self._chain)
        self._signals = Signals(masked, self._gradient_hooks, diagnostics)
        self._signals.follow(self.held)
        check_plan(masked.topology, steps)
        check_fixed(masked.topology, list_fixed(masked.modules()))
        check_sparse_layers(masked.topology, self._chain[-1], masked.sparse_layers(self.held.names))
        self.updates = MaskUpdates(masked, self.held, self._chain, self._signals, explored)
        self._signals.arm(1, steps)
        self._hooks = self._register()
        self._gradient_hooks.start(self.held.dense)
        self._writes.warn(self.held.dense, masked.masks)  # of a checkpoint whose masks are not loaded yet
        _ATTACHED.add(self)

    def _register(self) -> list[Any]:
        stepped, inner = find_stepped(self._chain, self.held.weights), self._chain[-1]
        hooks = [stepped.register_step_pre_hook(self._before), stepped.register_step_post_hook(self._after)]
        if stepped is inner:
            return hooks
        return [  # the inner one steps only some of the weights, which are exchanged between processes after its step
            *hooks,
            inner.register_step_pre_hook(lambda *_: self.updates.ages.record(self.held.weights)),
            inner.register_step_post_hook(lambda *_: self._correct_young()),
        ]

    def remove(self) -> None:
        """Removes the hooks from the optimizer, and asks for no more dense gradients."""
        self._signals.disarm()
        self._gradient_hooks.stop()
        for hook in self._hooks:
            hook.remove()
        _ATTACHED.discard(self)

    def record_gradients(self) -> None:
        """Records the gradients that an update will look at, as they are before they are masked."""
        self._signals.record(self.step + 1, self.steps, getattr(self._chain[-1], "grad_scale", None))

    def state_dict(self) -> dict[str, Any]:
        """Returns steps made and planned, which weights were ever kept, ages of those that grew, dense momentum."""
        ages, momentum = self.updates.ages.state_dict(), self._signals.momentum
        moving = {"explored": self.updates.explored, "momentum": momentum, "ages": ages}
        return {
            "step": self.step,
            "steps": self.steps,
            "watch": self.diagnostics and self.diagnostics.state_dict(),
            **moving,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Loads what `state_dict` returned; `steps` given to ``attach`` win over the saved ones."""
        weights = self._masked.weights()
        self.step = state["step"]
        self.steps = state["steps"] if self.steps is None else self.steps
        if self.diagnostics and state["watch"]:
            self.diagnostics.load_state_dict(state["watch"])
        devices = {name: mask_device(weight) for name, weight in weights.items()}
        self.updates.explored = {name: seen.to(devices[name], copy=True) for name, seen in state["explored"].items()}
        momentum = {name: shard_like(value, weights[name]) for name, value in state["momentum"].items()}
        self._signals.momentum = {name: value.clone() for name, value in momentum.items()}
        self.updates.ages.load_state_dict(state.get("ages", {}), weights)
        self._signals.arm(self.step + 1, self.steps)

    def shares_optimizer(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether an optimizer, or one that it wraps, is this one or wrapped by it."""
        return any(own is other for own in self._chain for other in unwrap_optimizer(optimizer))

    def _check_other_masks(self) -> None:
        """Raises InvalidInput if another sparsity keeps this optimizer to other masks of the same weights."""
        own = set(map(id, self.held.weights.values()))
        others = [other for other in _ATTACHED if other._masked is not self._masked]
        rivals = [other for other in others if other.shares_optimizer(self.optimizer)]
        if any(not own.isdisjoint(map(id, rival.held.weights.values())) for rival in rivals):
            raise InvalidInput(
                "This optimizer keeps these weights to the masks of another sparsity: sparsify was called twice. Call "
                "detach() on the first one."
            )

    def _before(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Masks gradients before a step; a closure, which computes them again inside the step, does so itself."""
        self._is_skipped = bool(getattr(self._chain[-1], "found_inf", None) or 0)  # a fused one skips inside its step
        if self.held.refresh():
            self._signals.follow(self.held)
            self._gradient_hooks.start(self.held.dense)
            self._check_other_masks()
        self._writes.check(self.held.unsharded, self._masked.masks)
        if self._gradient_hooks.is_watching:
            self._gradient_hooks.check_moved(self.held.dense)
        self._prepare_step()
        if self.updates.ages.by_layer and optimizer is self._chain[-1]:
            self.updates.ages.record(self.held.weights)
        if kwargs.get("closure") is not None:
            return args, {**kwargs, "closure": self._wrap_closure(kwargs["closure"])}
        if len(args) > 1 and callable(args[1]):  # args[0] is the optimizer itself
            return (args[0], self._wrap_closure(args[1]), *args[2:]), kwargs
        return None

    def _wrap_closure(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        def call_masked() -> Any:
            self._signals.arm(self.step + 1, self.steps)
            self._finish_step()
            loss = closure()
            self._prepare_step()
            return loss

        return call_masked

    def _prepare_step(self) -> None:
        """Puts dormant values into the model for the optimizer's step, and masks gradients."""
        dormant, names = self._masked.dormant, self.held.names
        if dormant is not None:
            dormant.put_in_(self.held.weights, self.held.weights)
            if not dormant.trained.keys() >= set(names):
                self.updates.choose_trained(dormant)
        if self.diagnostics or self._masked.topology.needs:
            self.record_gradients()
        self._masked.mask_gradients_(self._signals.read_gradients())

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if optimizer is self._chain[-1] and self.updates.ages.by_layer:
            self._correct_young()
        self._finish_step(advance=not self._is_skipped)
        if self.diagnostics or self._masked.topology.needs or self._signals.is_armed:
            self._signals.arm(self.step + 1, self.steps)
        self._writes.record(self.held.unsharded)

    def _correct_young(self) -> None:
        """Corrects the step of weights that grew not long ago."""
        if not self._is_skipped:
            self.updates.ages.correct_(self.held.weights)

    def _finish_step(self, *, advance: bool = False) -> None:
        """Undoes what the step did to weights that are not trained, and sets pruned weights to exactly 0."""
        masked, dormant = self._masked, self._masked.dormant
        if dormant is not None:
            dormant.restore_untrained_(self.held.weights, self.held.weights)
            self.updates.clear_untrained(dormant)
        if advance:
            self._advance()
        if dormant is None:
            masked.masks.apply_(self.held.dense)
        else:
            dormant.take_out_(self.held.weights, masked.masks, self.held.weights)

    def _advance(self) -> None:
        """Counts a step, and moves the masks if an update is due."""
        topology = self._masked.topology
        self.step += 1
        if "momentum" in topology.needs:
            self._signals.accumulate_momentum(self.held.weights, list_groups(self._chain))
        if topology.is_due(self.step, self.steps):
            self.updates.update(self.step, self.steps, self.diagnostics)


_ATTACHED: weakref.WeakSet[Attachment] = weakref.WeakSet()  # optimizers keep their attachments alive, by their hooks
