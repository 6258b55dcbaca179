"""One optimizer kept to the masks, by its own pre- and post-step hooks and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.shards import home, placed, whole
from rarefy.sparsity._checks import check_compact, check_fixed, check_plan
from rarefy.sparsity._compact import DenseGradients, expanded, fixed, move_
from rarefy.sparsity._diagnostics import Watch
from rarefy.topology import Layer, Moment, Reserved, update

if TYPE_CHECKING:
    from rarefy.sparsity._sparsity import Sparsity

_DECAY = 0.9  # of the dense momentum that growth looks at, where the optimizer names none of its own


class Attachment:
    """Hooks of one optimizer, its count of steps, and what the topology needs from one step to the next.

    Args:
        sparsity: Whose masks hold.
        optimizer: Whose steps are watched.
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
        held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
        self.masked = [name for name, weight in sparsity.weights().items() if id(weight) in held]
        if not self.masked:
            raise InvalidInput(
                "This optimizer holds none of the masked weights. Make it from the parameters of the model that was "
                "given to sparsify (after moving or wrapping that model, not before)."
            )
        self.names = [name for name in self.masked if name not in taken]
        self.optimizer = optimizer
        self.steps = steps
        self.watch = watch
        self.step = 0
        self.updates = 0
        before = sparsity.explored()
        moved = [name for name in self.names if before[name] is not sparsity.masks[name]]
        self.explored = {name: before[name].clone() for name in moved}
        self._sparsity = sparsity
        self._seen = False  # whether this step's gradients were noted
        self._skipped = False  # whether the step under way will change nothing
        self._gradients: dict[str, Tensor] = {}
        self._momentum: dict[str, Tensor] = {}
        self._dense = DenseGradients(sparsity.compact(self.masked))
        check_plan(sparsity.topology, steps)
        check_fixed(sparsity.topology, fixed(sparsity.owners()))
        check_compact(sparsity.topology, optimizer, sparsity.compact(self.names))
        self._expect()
        self._hooks = [optimizer.register_step_pre_hook(self._before), optimizer.register_step_post_hook(self._after)]

    def remove(self) -> None:
        """Takes the hooks off the optimizer, and asks for no more dense gradients."""
        self._dense.want(False)
        for hook in self._hooks:
            hook.remove()

    def keep_dense_gradients(self) -> None:
        """Notes the gradients that an update will look at, as they are before they are masked.

        Called twice in a step, the second time finds nothing where weights are pruned and keeps what the first saw;
        gradients of a step that never came (skipped by a `GradScaler`, or by the user) are replaced.
        """
        wanted = self._is_wanted(self.step + 1)
        if not (wanted or self.watch):
            return
        gradients = dict(self._grads(self.masked))
        if self._seen and self._are_masked(gradients) and not self._dense.fresh:
            return
        gradients |= self._dense.read()
        self._seen = True
        if self.watch:
            self.watch.see_gradients(gradients, self._sparsity.masks)
        scale = getattr(self.optimizer, "grad_scale", None)  # a fused optimizer unscales inside its step
        own = {name: gradients[name].detach() for name in self.names if name in gradients} if wanted else {}
        self._gradients = {name: grad.clone() if scale is None else grad / scale for name, grad in own.items()}

    def _is_wanted(self, step: int) -> bool:
        """Whether the topology looks at the gradients of that step."""
        needs = self._sparsity.topology.needs
        return bool(needs) and ("momentum" in needs or self._is_due(step))

    def _expect(self) -> None:
        """Has compact layers compute dense gradients in the step to come, if they will be looked at."""
        self._dense.want(bool(self.watch) or self._is_wanted(self.step + 1))

    def _are_masked(self, gradients: dict[str, Tensor]) -> bool:
        masks = self._sparsity.masks
        pruned = (grad.masked_fill(placed(masks[name], grad), 0) for name, grad in gradients.items())
        return not any(bool(whole(values.any())) for values in pruned)

    def state_dict(self) -> dict[str, Any]:
        """Steps done, steps planned, which weights were ever kept, and the dense momentum."""
        moving = {"explored": self.explored, "momentum": self._momentum}
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
        self._momentum = {name: placed(value, weights[name]).clone() for name, value in momentum.items()}
        self._expect()

    def _is_due(self, step: int) -> bool:
        return self._sparsity.topology.is_due(step, self.steps)

    def _grads(self, names: Iterable[str]) -> list[tuple[str, Tensor]]:
        """Gradients of the layers that have all weights."""
        weights, compact = self._sparsity.weights(), self._sparsity.compact()
        full = [name for name in names if name not in compact]
        return [(name, grad) for name in full if (grad := weights[name].grad) is not None]

    def _before(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Masks gradients; a closure, which computes them anew inside the step, is followed by the same."""
        self._skipped = bool(getattr(optimizer, "found_inf", None) or 0)  # a fused optimizer skips inside its step
        self._open_reserve()
        self._mask_gradients()
        if kwargs.get("closure") is not None:
            return args, {**kwargs, "closure": self._then_mask(kwargs["closure"])}
        if len(args) > 1 and callable(args[1]):  # args[0] is the optimizer itself
            return (args[0], self._then_mask(args[1]), *args[2:]), kwargs
        return None

    def _then_mask(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        def masked() -> Any:
            self._gradients, self._seen = {}, False
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
        self._sparsity.mask_gradients_(dict(self._grads(self.masked)))

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._freeze()
        if not self._skipped:
            self._advance()
        self._close()
        self._gradients, self._seen = {}, False
        self._expect()

    def _advance(self) -> None:
        """Counts a step that was made, and moves the masks if it is time."""
        self.step += 1
        if "momentum" in self._sparsity.topology.needs:
            self._accumulate_momentum()
        if self._is_due(self.step):
            self._update()

    def _open_reserve(self) -> None:
        """Puts the values of pruned weights that are trained into the model, for as long as the optimizer steps."""
        reserve = self._sparsity.reserve
        if not reserve:
            return
        reserve.open_(self._sparsity.weights(), self.masked)
        if not reserve.trained.keys() >= set(self.names):
            self._choose_trained()

    def _freeze(self) -> None:
        """Undoes what decay and momentum did to weights that are not trained, and to the optimizer's state of them."""
        self._sparsity.reserve.freeze_(self._sparsity.weights(), self.masked)
        self._clear_untrained()

    def _clear_untrained(self) -> None:
        weights, trained = self._sparsity.weights(), self._sparsity.reserve.trained
        for name in trained.keys() & set(self.masked):
            self._clear_state(weights[name], trained[name].logical_not())

    def _close(self) -> None:
        """Leaves exact zeros where weights are pruned."""
        sparsity, weights = self._sparsity, self._sparsity.weights()
        if sparsity.reserve:
            sparsity.reserve.close_(weights, sparsity.masks, self.masked)
        else:
            compact = sparsity.compact(self.masked)
            sparsity.masks.apply_({name: weights[name] for name in self.masked if name not in compact})

    def _choose_trained(self) -> None:
        topology, weights = self._sparsity.topology, self._sparsity.weights()
        if isinstance(topology, Reserved):
            for name in self.names:
                trained = topology.backward_masks([self._layer(name)])[name]
                self._sparsity.reserve.trained[name] = placed(trained, weights[name])

    def _accumulate_momentum(self) -> None:
        """Dense momentum of the gradients; the optimizer's own is 0 where weights are pruned."""
        group = self.optimizer.param_groups[0]
        decay = group.get("momentum") or group.get("betas", (_DECAY,))[0]
        for name, gradient in self._gradients.items():
            before = self._momentum.get(name)
            self._momentum[name] = gradient if before is None else before.mul_(decay).add_(gradient)

    def _update(self) -> None:
        """Moves the masks; where layers do not know each other one by one, so that no more sharded ones are whole."""
        sparsity, moment = self._sparsity, Moment(self.step, self.steps, self._sparsity.seed)
        alone = sparsity.topology.scope == "layer"
        before = {name: sparsity.masks[name] for name in self.names}
        for names in [[name] for name in self.names] if alone else [self.names]:
            for name, mask in update(sparsity.topology, [self._layer(name) for name in names], moment).items():
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
            move_(compact[name], after, [self.optimizer.state.get(weight, {})])
        elif not sparsity.reserve:
            self._clear_state(weight, before.logical_and(after).logical_not())

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
            gradient=_whole(self._gradients.get(name)),
            momentum=_whole(self._momentum.get(name)),
            explored=self.explored.setdefault(name, kept.clone()).to(weight.device),
            initial=self._sparsity.initial[name],
            final=self._sparsity.final[name],
            is_output=name == self._sparsity.output,
        )

    def _clear_state(self, weight: Tensor, stale: Tensor) -> None:
        """Zeroes what any optimizer keeps for these elements: every tensor of the parameter's shape, by shape alone."""
        for value in self.optimizer.state.get(weight, {}).values():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                value.masked_fill_(placed(stale, value), 0)


def _whole(signal: Tensor | None) -> Tensor | None:
    return None if signal is None else whole(signal)
