"""One optimizer kept to the masks, by its own pre- and post-step hooks and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rarefy.shards import home, placed, whole
from rarefy.sparsity._ages import Ages
from rarefy.sparsity._changes import Writes
from rarefy.sparsity._checks import check_compact, check_fixed, check_plan, skip_unused
from rarefy.sparsity._compact import Compact, expanded, fixed, move_
from rarefy.sparsity._diagnostics import Watch
from rarefy.sparsity._holding import Holding
from rarefy.sparsity._optimizers import Cleaner, find_states, find_stepped, list_groups, unwrap_optimizer
from rarefy.sparsity._passes import Passes
from rarefy.sparsity._signals import Signals
from rarefy.topology import Layer, Moment, Reserved, update

if TYPE_CHECKING:
    from rarefy.sparsity._sparsity import Sparsity


class Attachment:
    """Hooks of one optimizer, its count of steps, and what the topology needs from one step to the next.

    Args:
        sparsity: Whose masks hold.
        optimizer: Whose steps are watched; what it wraps is found.
        taken: Layers whose topology another optimizer moves; here they are only masked.
        steps: Optimizer steps planned in all.
        watch: Notes diagnostics; None computes none.
    """

    def __init__(
        self,
        sparsity: Sparsity,
        optimizer: torch.optim.Optimizer,
        *,
        taken: set[str],
        steps: int | None,
        watch: Watch | None,
    ) -> None:
        self.optimizer = optimizer
        self.steps = steps
        self.watch = watch
        self.step = 0
        self.updates = 0
        self.explored: dict[str, Tensor] = {}
        self._sparsity = sparsity
        self._chain = unwrap_optimizer(optimizer)
        self._cleaner = Cleaner(self._chain)
        self._passes = Passes(sparsity, self._chain)
        self._signals = Signals(sparsity, self._passes)
        self._ages = Ages(self._chain[-1])
        self._writes = Writes(sparsity)
        self._skipped = False  # whether the step under way will change nothing
        self._told: set[str] = set()  # layers that were unused in an update
        self.holding = Holding(sparsity, self._chain, taken)
        self._signals.follow(self.holding)
        check_plan(sparsity.topology, steps)
        check_fixed(sparsity.topology, fixed(sparsity.owners()))
        check_compact(sparsity.topology, self._chain[-1], sparsity.compact(self.holding.names))
        before = sparsity.explored()
        self.explored = {n: before[n].clone() for n in self.holding.names if before[n] is not sparsity.masks[n]}
        self._expect()
        self._hooks = self._register()
        self._passes.start(self.holding.full_weights())
        self._writes.tell(self.holding.full_weights())  # a checkpoint may be loaded whose masks are still to come

    def _register(self) -> list[Any]:
        stepped, inner = find_stepped(self._chain, self.holding.weights()), self._chain[-1]
        hooks = [stepped.register_step_pre_hook(self._before), stepped.register_step_post_hook(self._after)]
        if stepped is inner:
            return hooks
        return [  # the inner one holds a part of the weights only, which are exchanged after its step
            *hooks,
            inner.register_step_pre_hook(lambda *_: self._ages.note(self.holding.weights())),
            inner.register_step_post_hook(lambda *_: self._correct()),
        ]

    def remove(self) -> None:
        """Takes the hooks off the optimizer, and asks for no more dense gradients."""
        self._signals.stop()
        self._passes.stop()
        for hook in self._hooks:
            hook.remove()

    def keep_dense_gradients(self) -> None:
        """Notes the gradients that an update will look at, as they are before they are masked."""
        self._signals.keep(self.step + 1, self.steps, self.watch, getattr(self._chain[-1], "grad_scale", None))

    def state_dict(self) -> dict[str, Any]:
        """Steps done, steps planned, which weights were ever kept, ages of those that grew, and the dense momentum."""
        moving = {"explored": self.explored, "momentum": self._signals.momentum, "ages": self._ages.state_dict()}
        return {"step": self.step, "steps": self.steps, "watch": self.watch and self.watch.state_dict(), **moving}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        weights = self._sparsity.weights()
        self.step = state["step"]
        self.steps = state["steps"] if self.steps is None else self.steps  # who attached for longer goes on for longer
        if self.watch and state["watch"]:
            self.watch.load_state_dict(state["watch"])
        explored, momentum = state["explored"], state["momentum"]
        self.explored = {name: value.to(home(weights[name]), copy=True) for name, value in explored.items()}
        self._signals.momentum = {name: placed(value, weights[name]).clone() for name, value in momentum.items()}
        self._ages.load_state_dict(state.get("ages", {}), weights)
        self._expect()

    def _expect(self) -> None:
        self._signals.expect(self.step + 1, self.steps, watched=bool(self.watch))

    def steps_same(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether an optimizer, or what it wraps, is attached by this already."""
        return any(own is other for own in self._chain for other in unwrap_optimizer(optimizer))

    def owns(self, weight: Tensor) -> bool:
        """Whether this attachment masks a weight."""
        return any(weight is own for own in self.holding.weights().values())

    def _before(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Masks gradients; a closure, which computes them anew inside the step, is followed by the same."""
        self._skipped = bool(getattr(self._chain[-1], "found_inf", None) or 0)  # a fused one skips inside its step
        if self.holding.follow():
            self._signals.follow(self.holding)
            self._passes.start(self.holding.full_weights())
        self._writes.look(self.holding.full_weights())
        self._passes.look(self.holding.weights())
        self._open_reserve()
        self._mask_gradients()
        if self._ages and optimizer is self._chain[-1]:
            self._ages.note(self.holding.weights())
        if kwargs.get("closure") is not None:
            return args, {**kwargs, "closure": self._then_mask(kwargs["closure"])}
        if len(args) > 1 and callable(args[1]):  # args[0] is the optimizer itself
            return (args[0], self._then_mask(args[1]), *args[2:]), kwargs
        return None

    def _then_mask(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        def masked() -> Any:
            self._signals.forget()
            self._expect()
            self._freeze()
            self._close()
            loss = closure()
            self._open_reserve()
            self._mask_gradients()
            return loss

        return masked

    def _mask_gradients(self) -> None:
        self.keep_dense_gradients()
        self._sparsity.mask_gradients_(self._signals.read_gradients())

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if optimizer is self._chain[-1]:
            self._correct()
        self._freeze()
        if not self._skipped:
            self._advance()
        self._close()
        self._signals.forget()
        self._expect()
        self._writes.note(self.holding.full_weights())

    def _correct(self) -> None:
        """Makes the step right for weights that have grown not long ago."""
        if self._ages and not self._skipped:
            self._ages.correct_(self.holding.weights())

    def _advance(self) -> None:
        """Counts a step that was made, and moves the masks if it is time."""
        self.step += 1
        if "momentum" in self._sparsity.topology.needs:
            self._signals.accumulate(list_groups(self._chain))
        if self._sparsity.topology.is_due(self.step, self.steps):
            self._update()

    def _open_reserve(self) -> None:
        """Puts the values of pruned weights that are trained into the model, for as long as the optimizer steps."""
        reserve = self._sparsity.reserve
        if not reserve:
            return
        reserve.open_(self._sparsity.weights(), self.holding.masked)
        if not reserve.trained.keys() >= set(self.holding.names):
            self._choose_trained()

    def _freeze(self) -> None:
        """Undoes what decay and momentum did to weights that are not trained, and to the optimizer's state of them."""
        if self._sparsity.reserve:
            self._sparsity.reserve.freeze_(self._sparsity.weights(), self.holding.masked)
            self._clear_untrained()

    def _clear_untrained(self) -> None:
        weights, trained = self._sparsity.weights(), self._sparsity.reserve.trained
        for name in trained.keys() & set(self.holding.masked):
            self._cleaner.clear_(weights[name], trained[name].logical_not())

    def _close(self) -> None:
        """Leaves exact zeros where weights are pruned."""
        sparsity = self._sparsity
        if sparsity.reserve:
            sparsity.reserve.close_(sparsity.weights(), sparsity.masks, self.holding.masked)
        else:
            sparsity.masks.apply_(self.holding.full_weights())

    def _choose_trained(self) -> None:
        topology, weights = self._sparsity.topology, self._sparsity.weights()
        if isinstance(topology, Reserved):
            for name in self.holding.names:
                before = self._sparsity.reserve.trained.get(name)
                after = placed(topology.backward_masks([self._layer(name)])[name], weights[name])
                self._sparsity.reserve.trained[name] = after
                if before is not None:
                    self._ages.begin(name, weights[name], after.logical_and(before.logical_not()), after)

    def _update(self) -> None:
        """Moves the masks; where layers do not know each other one by one, so that no more sharded ones are whole."""
        sparsity, moment = self._sparsity, Moment(self.step, self.steps, self._sparsity.seed)
        alone = sparsity.topology.scope == "layer"
        before = {name: sparsity.masks[name] for name in self.holding.names}
        for names in [[name] for name in self.holding.names] if alone else [self.holding.names]:
            layers = skip_unused(sparsity.topology, map(self._layer, names), sparsity.weights(), self._told)
            for name, mask in update(sparsity.topology, layers, moment).items() if layers else ():
                self._move(name, mask)
        self.updates += 1
        if self.watch:
            self.watch.see_update(before, {name: sparsity.masks[name].to(mask.device) for name, mask in before.items()})
        if sparsity.reserve:
            self._choose_trained()
            self._clear_untrained()

    def _move(self, name: str, after: Tensor) -> None:
        """Puts a mask in place and clears the optimizer's state of every weight that is no longer trained or new."""
        sparsity, weight, compact = self._sparsity, self._sparsity.weights()[name], self._sparsity.compact([name])
        after = after.to(home(weight))
        self.explored[name] |= after
        before = sparsity.masks[name].to(after.device)
        sparsity.masks.replace(name, after)
        if compact:
            self._move_values(name, compact[name], after)
        elif not sparsity.reserve:
            self._cleaner.clear_(weight, before.logical_and(after).logical_not())
            self._ages.begin(name, weight, after.logical_and(before.logical_not()), after)

    def _move_values(self, name: str, layer: Compact, after: Tensor) -> None:
        """Moves values, and what is kept of them, to where the mask keeps them now."""
        values, age = layer.values, self._ages.of_layer(name, layer.values)
        clean = self._cleaner.look_up(values)
        states = [(state, clean) for state in find_states(self._chain, values)]
        move_(layer, after, [*states, (age, {"age": 1})])
        self._ages.take(name, age)

    def _layer(self, name: str) -> Layer:
        """The layer as the topology sees it; weights carry the reserve where there is one."""
        compact, own = self._sparsity.compact([name]), self._sparsity.weights()[name].detach()
        weight = expanded(compact[name]) if compact else whole(own)
        kept = self._sparsity.masks[name].to(home(own))
        mask = kept.to(weight.device)
        return Layer(
            name=name,
            weight=weight if self._sparsity.reserve else weight.masked_fill(mask.logical_not(), 0),
            mask=mask,
            gradient=self._signals.gather_gradient(name),
            momentum=self._signals.gather_momentum(name),
            explored=self.explored.setdefault(name, kept.clone()).to(weight.device),
            initial=self._sparsity.initial[name],
            final=self._sparsity.final[name],
            is_output=name == self._sparsity.output,
        )
