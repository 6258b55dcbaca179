"""What a topology looks at: dense gradients of the step under way, and their momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from rarefy.shards import placed, whole
from rarefy.sparsity._compact import DenseGradients
from rarefy.sparsity._diagnostics import Watch
from rarefy.sparsity._holding import Holding
from rarefy.sparsity._passes import Passes

if TYPE_CHECKING:
    from rarefy.sparsity._sparsity import Sparsity

_DECAY = 0.9  # of the dense momentum that growth looks at, where the optimizer names none of its own


class Signals:
    """Gradients and momentum of the layers of one optimizer, kept only where they will be looked at.

    Args:
        sparsity: Whose topology looks.
        passes: Where gradients are that were masked as they were computed.

    Attributes:
        momentum: Layer name to the dense momentum, where the topology needs one.
    """

    def __init__(self, sparsity: Sparsity, passes: Passes) -> None:
        self.momentum: dict[str, Tensor] = {}
        self._sparsity = sparsity
        self._passes = passes
        self._gradients: dict[str, Tensor] = {}
        self._seen = False  # whether this step's gradients were noted
        self._full: dict[str, nn.Parameter] = {}
        self._moved: list[str] = []
        self._dense = DenseGradients({})

    def follow(self, holding: Holding) -> None:
        """Takes the layers that the optimizer holds now."""
        self._full, self._moved = holding.full_weights(), holding.names
        self._dense.want(False)
        self._dense = DenseGradients(self._sparsity.compact(holding.masked))

    def expect(self, step: int, steps: int | None, *, watched: bool = False) -> None:
        """Has compact layers compute dense gradients in the step to come, if they will be looked at."""
        self._dense.want(watched or self._is_wanted(step, steps))

    def stop(self) -> None:
        """Asks for no more dense gradients."""
        self._dense.want(False)

    def forget(self) -> None:
        """Forgets the gradients of a step that is over."""
        self._gradients, self._seen = {}, False

    def read_gradients(self) -> dict[str, Tensor]:
        """Reads the gradients of the layers that have all weights."""
        return {name: grad for name, weight in self._full.items() if (grad := weight.grad) is not None}

    def keep(self, step: int, steps: int | None, watch: Watch | None, scale: Tensor | None) -> None:
        """Notes the gradients that an update will look at, as they are before they are masked.

        Called twice in a step, the second time finds nothing where weights are pruned and keeps what the first saw;
        gradients of a step that never came (skipped by a `GradScaler`, or by the user) are replaced.

        Args:
            step: The step under way.
            steps: Steps planned.
            watch: Also sees them, if there is one.
            scale: What a fused optimizer will divide them by.
        """
        wanted = self._is_wanted(step, steps)
        if not (wanted or watch):
            return
        gradients = {name: _densify(gradient) for name, gradient in self.read_gradients().items()}
        if self._seen and self._are_masked(gradients) and not self._dense.fresh:
            return
        gradients |= self._dense.read() | self._passes.read(self._sparsity.weights())
        self._seen = True
        if watch:
            watch.see_gradients(gradients, self._sparsity.masks)
        own = {name: gradients[name].detach() for name in self._moved if name in gradients} if wanted else {}
        self._gradients = {name: grad.clone() if scale is None else grad / scale for name, grad in own.items()}

    def accumulate(self, groups: Mapping[int, Mapping[str, Any]]) -> None:
        """Adds the step's gradients to the dense momentum; the optimizer's own is 0 where weights are pruned.

        Args:
            groups: Id of a weight to its group, whose momentum counts.
        """
        weights = self._sparsity.weights()
        for name, gradient in self._gradients.items():
            before = self.momentum.get(name)
            decay = _read_decay(groups.get(id(weights[name]), {}))
            self.momentum[name] = gradient if before is None else before.mul_(decay).add_(gradient)

    def gather_gradient(self, name: str) -> Tensor | None:
        """The whole gradient of a layer, if it was kept."""
        return _gather(self._gradients.get(name))

    def gather_momentum(self, name: str) -> Tensor | None:
        """The whole momentum of a layer, if there is one."""
        return _gather(self.momentum.get(name))

    def _is_wanted(self, step: int, steps: int | None) -> bool:
        """Whether the topology looks at the gradients of that step."""
        topology = self._sparsity.topology
        return bool(topology.needs) and ("momentum" in topology.needs or topology.is_due(step, steps))

    def _are_masked(self, gradients: Mapping[str, Tensor]) -> bool:
        masks = self._sparsity.masks
        pruned = (grad.masked_fill(placed(masks[name], grad), 0) for name, grad in gradients.items())
        return not any(bool(whole(values.any())) for values in pruned)


def _read_decay(group: Mapping[str, Any]) -> float:
    return float(group.get("momentum") or group.get("betas", (_DECAY,))[0])


def _densify(gradient: Tensor) -> Tensor:
    return gradient.to_dense() if gradient.is_sparse else gradient


def _gather(signal: Tensor | None) -> Tensor | None:
    return None if signal is None else whole(signal)
