"""A sparse model: the model, its masks, and the optimizers that are kept to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.masks import Masks
from rarefy.scaling import SCALINGS, OptimizerKind
from rarefy.sparsity._attachment import Attachment
from rarefy.sparsity._checks import check_current, check_start
from rarefy.sparsity._diagnostics import Diagnostics, summarize
from rarefy.sparsity._masked_model import MaskedModel
from rarefy.sparsity._network_scaling import NetworkScaling, check_counts_stay
from rarefy.sparsity._parameter_groups import build_parameter_groups
from rarefy.sparsity._sparsity_state import load_state_, pack_state
from rarefy.sparsity._summary import LayerSummary
from rarefy.topology import TOPOLOGIES, Topology, compute_exploration_rate


class Sparsity:
    """Keeps a model sparse in your own training loop. Make one with `sparsify`.

    Args:
        model: The model whose weights are masked; they are set to zero where pruned.
        masks: Which weights are kept.
        topology: How the masks move while training.
        seed: Root of every random choice of the topology.
        final: Counts at the end of training, by layer, where the topology changes them; default the masks' own.
        names: Mask's name to the weight's name in the model, where they differ: in a model that holds the one for which
            the masks were drawn.

    Attributes:
        masked_model: What engines use: the modules that hold the weights.
        scaling: How learning rates follow density and width; `sparsify` sets it.

    Example:
        >>> import rarefy
        >>> model = nn.Linear(20, 10)
        >>> sparsity = rarefy.sparsify(model, density=0.1, seed=17)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        >>> sparsity.attach(optimizer)
        >>> model(torch.ones(4, 20)).sum().backward()
        >>> optimizer.step()
        >>> int(model.weight.count_nonzero()), sparsity.kept
        (20, 20)
    """

    def __init__(
        self,
        model: nn.Module,
        masks: Masks,
        *,
        topology: Topology,
        seed: int,
        final: Mapping[str, int] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.masked_model = MaskedModel(model, masks, topology=topology, seed=seed, final=final, names=names)
        self.scaling = NetworkScaling(SCALINGS.build("none"), base_densities={})
        self._attachments: list[Attachment] = []
        self._explored: dict[str, Tensor] = {}

    @property
    def model(self) -> nn.Module:
        """The model whose weights are masked."""
        return self.masked_model.model

    @property
    def masks(self) -> Masks:
        """Which weights are kept."""
        return self.masked_model.masks

    @property
    def topology(self) -> Topology:
        """How the masks move."""
        return self.masked_model.topology

    @property
    def seed(self) -> int:
        """Root of every random choice of the topology."""
        return self.masked_model.seed

    @property
    def final(self) -> dict[str, int]:
        """Layer name to the number of weights kept when training ends."""
        return self.masked_model.final

    def weights(self) -> dict[str, nn.Parameter]:
        """Returns name to masked weight, looked up in the model at every call (an engine may have replaced some).

        Where an engine stores kept values only, these are what is trained: ``[kept]``, in flat order.

        Raises:
            ModelChanged: If one is computed from other parameters by now.
        """
        return self.masked_model.weights()

    def dense_weights(self) -> dict[str, Tensor]:
        """Returns name to weight in its own shape, 0 where pruned: the weight itself, or a copy of stored values.

        Example:
            >>> import rarefy
            >>> model = nn.Linear(8, 4)
            >>> rarefy.sparsify(model, density=0.25).dense_weights()["weight"].shape
            torch.Size([4, 8])
        """
        return self.masked_model.dense_weights()

    def param_groups(
        self,
        *,
        lr: float,
        weight_decay: float = 0.0,
        eps: float | None = None,
        optimizer: OptimizerKind | None = None,
        decays_vectors: bool = True,
    ) -> list[dict[str, Any]]:
        """Groups the model's trained parameters for an optimizer, each with the rate that its density asks for.

        Args:
            lr: Learning rate of the base network: the dense one, unless the scaling says otherwise.
            weight_decay: Its weight decay.
            eps: Its eps, of Adam; None to leave eps to the optimizer, the same for all.
            optimizer: ``"adam"`` or ``"sgd"``; needed only if `sparsify` was given a `base_model`.
            decays_vectors: Whether biases, norm layers and other vectors decay as well.

        Returns:
            Groups with ``params``, ``lr``, ``weight_decay`` and, where its rate is another, ``rate_factor``: rate / lr.

        Example:
            >>> import rarefy
            >>> sparsity = rarefy.sparsify(nn.Linear(20, 10), density=0.1, scaling="supar")
            >>> optimizer = torch.optim.AdamW(sparsity.param_groups(lr=1e-3, weight_decay=0.1))
            >>> [(round(group["lr"], 6), round(group["weight_decay"], 6)) for group in optimizer.param_groups]
            [(0.01, 0.01), (0.001, 0.1)]
        """
        factors = self.scaling.compute_factors(self.masked_model, optimizer)
        return build_parameter_groups(
            self.model, factors, lr=lr, weight_decay=weight_decay, eps=eps, decays_vectors=decays_vectors
        )

    def attach(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        topology: str | Topology | None = None,
        steps: int | None = None,
        diagnostics: bool = False,
    ) -> None:
        """Keeps every step of an optimizer to the masks, through its pre- and post-step hooks.

        Before the step, gradients of pruned weights are set to 0: momentum and norms see only kept weights. After
        it, pruned weights are exactly 0, whatever the optimizer did. Closures work too.

        Args:
            optimizer: Any torch optimizer over some or all of the model's weights, or a wrapper of one (SAM, Lookahead,
                ``ZeroRedundancyOptimizer``, ``accelerator.prepare``). Groups may be added to it later.
            topology: How masks move from now on, by name or as a value; default the one given to `sparsify`.
            steps: Total number of optimizer steps planned; topologies with an end (cosine, cubic) need it.
            diagnostics: Compute gradient norms at every step and mask overlap at every update, for `diagnose`.

        Raises:
            InvalidInput: If the optimizer holds none of the masked weights or was made before an engine was installed,
                is attached already, or the topology needs `steps` or other initial masks than `sparsify` drew.
        """
        if any(attachment.shares_optimizer(optimizer) for attachment in self._attachments):
            raise InvalidInput("This optimizer is attached already. Call detach() first to attach it again.")
        masked, before = self.masked_model, self.topology
        if topology is not None:
            moves = TOPOLOGIES.build(topology) if isinstance(topology, str) else topology
            check_counts_stay(self.scaling.rule, moves)
            masked.topology = check_start(moves, self.masks, has_dormant=masked.dormant is not None)
        taken = {name for attachment in self._attachments for name in attachment.held.names}
        explored = {name: seen for name, seen in self.explored().items() if seen is not self.masks[name]}
        own = Diagnostics() if diagnostics else None
        try:
            check_current(optimizer, masked.replaced_parameters())
            masked.check()
            attachment = Attachment(masked, optimizer, explored=explored, taken=taken, steps=steps, diagnostics=own)
        except Exception:
            masked.topology = before
            raise
        self._attachments.append(attachment)
        masked.is_attached = True

    def check_model(self) -> None:
        """Checks that the model still holds every masked weight as it did when the masks were drawn.

        Raises:
            ModelChanged: If a layer was replaced, or a weight was tied, untied or computed from others since.

        Example:
            >>> import rarefy
            >>> rarefy.sparsify(nn.Linear(8, 4), density=0.5).check_model()  # raises nothing
        """
        self.masked_model.check()

    def detach(self) -> None:
        """Removes every hook. Masks and diagnostics stay, but nothing keeps pruned weights at zero any more."""
        self._explored |= {
            n: seen for attachment in self._attachments for n, seen in attachment.updates.explored.items()
        }
        for attachment in self._attachments:
            attachment.remove()
        self._attachments.clear()
        self.masked_model.is_attached = False

    def mask_weights_(self, model: nn.Module | None = None) -> None:
        """Sets pruned weights to exactly 0, in the own model or in another of the same structure (an EMA copy)."""
        self.masked_model.zero_pruned_(model)

    def mask_gradients_(self, gradients: Mapping[str, Tensor] | None = None) -> None:
        """Sets gradients of pruned weights to 0, e.g. before clipping; growth still sees them as they were.

        Call it after ``scaler.unscale_(optimizer)`` and before ``clip_grad_norm_``: the norm then counts kept weights.

        Args:
            gradients: Layer name to gradient; default the gradients of all masked weights.
        """
        if gradients is None:
            for attachment in self._attachments:
                attachment.record_gradients()
            sparse = self.masked_model.sparse_layers()
            weights = {name: weight for name, weight in self.weights().items() if name not in sparse}
            gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
        self.masked_model.mask_gradients_(gradients)

    def layers(self) -> list[LayerSummary]:
        """Returns one summary per layer, counted from the masks, in registration order."""
        shapes = self.masks.shapes
        return [LayerSummary(name, shapes[name], kept) for name, kept in self.masks.counts().items()]

    @property
    def kept(self) -> int:
        """Number of prunable weights kept."""
        return self.masks.kept

    @property
    def total(self) -> int:
        """Number of prunable weights."""
        return self.masks.total

    @property
    def density(self) -> float:
        """Kept / total, counted from the masks."""
        return self.masks.density

    @property
    def updates(self) -> int:
        """Number of mask updates since optimizers were attached."""
        return sum(attachment.updates.count for attachment in self._attachments)

    def explored(self) -> dict[str, Tensor]:
        """Returns name to bool tensor, True where the weight was ever kept, those kept now included."""
        moved = {name: mask for attachment in self._attachments for name, mask in attachment.updates.explored.items()}
        return {**self.masks, **self._explored, **moved}

    def __getstate__(self) -> dict[str, Any]:
        """A copy has no optimizer attached, because torch does not copy hooks: attach the copied optimizer."""
        explored = {name: seen for name, seen in self.explored().items() if seen is not self.masks[name]}
        return {**self.__dict__, "_attachments": [], "_explored": explored}

    def diagnose(self) -> dict[str, float]:
        """Returns fractions and norms of the last step, by name, for plots.

        Returns:
            ``exploration_rate``: share of weights ever kept (ITOP's R_s). ``active_outputs``, ``active_inputs``: share
            of units with a kept weight. With ``attach(..., diagnostics=True)`` also ``gradient_norm_kept`` and
            ``gradient_norm_pruned`` of the dense gradient of the last step, and ``mask_overlap``, the Jaccard index of
            the masks before and after the last update.
        """
        diagnosed = [attachment.diagnostics for attachment in self._attachments if attachment.diagnostics]
        return {"exploration_rate": compute_exploration_rate(self.explored())} | summarize(diagnosed, self.masks)

    def __repr__(self) -> str:
        """Shows layers, counts and topology."""
        moves = TOPOLOGIES.name_of(self.topology)
        return f"Sparsity({len(self.masks)} layers, {self.kept} of {self.total} weights kept, topology={moves})"

    def state_dict(self) -> dict[str, Any]:
        """Returns masks and step counters as tensors, strings and numbers, for your own checkpoints.

        Where weights are sharded, dense momentum and dormant values are sharded too.
        """
        return pack_state(self.masked_model, self._attachments)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads what `state_dict` returned; attach the same optimizers in the same order first.

        Raises:
            ValueError: If layers, topology, seed or the number of attached optimizers differ; MaskMismatch if the masks
                are damaged.
        """
        load_state_(self.masked_model, self._attachments, state)
