"""The verb: make a model sparse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from rarefy.allocation import ALLOCATIONS, Probe, allocate
from rarefy.masks import sample as draw_masks
from rarefy.models import prunable, rescale
from rarefy.sparsity._sparsity import Sparsity
from rarefy.topology import TOPOLOGIES, Topology


def sparsify(
    model: nn.Module,
    *,
    density: float,
    allocation: str | Any = "erk",
    topology: str | Topology = "static",
    seed: int = 17,
    sample: tuple[Tensor, Tensor] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    scaled: bool = False,
    embeddings: bool = False,
) -> Sparsity:
    """Prunes a model at random, before training, and returns what keeps it sparse.

    The masks are a function of (seed, layer name, count): the same on every machine, rank and version, nested across
    densities, and exact: ``sum(kept) == round(density * total)``.

    Args:
        model: Any module. Its convolution and linear weights are masked, found by module type; biases and norms never.
        density: Fraction of those weights kept, in (0, 1].
        allocation: How many weights each layer keeps: a registered name (``"erk"``, ``"uniform"``, ...) or a rule.
        topology: How the masks move while training: a registered name or a value. ``"static"`` never moves them.
        seed: Seed of the masks.
        sample: ``(inputs, targets)``, for allocations that look at data (snip, grasp, synflow).
        loss: ``loss(outputs, targets)`` -> scalar, for the same allocations.
        scaled: Also divide each layer's weights by the square root of its density, so that activations keep the
            variance that the initialisation gave them with every weight present.
        embeddings: Also mask embedding tables.
    Returns:
        The `Sparsity`; call its ``attach(optimizer)`` before training.
    Raises:
        ValueError: If the model has nothing to prune, the density cannot be had, or the allocation needs a `sample`.

    Example:
        >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        >>> sparsity = sparsify(model, density=0.1, allocation="uniform", seed=17)
        >>> sparsity.kept == round(0.1 * (64 * 32 + 32 * 10))
        True
    References:
        Liu et al., 2022, arXiv:2202.02643, section 3.
    """
    weights = prunable(model, embeddings=embeddings)
    if not weights:
        raise ValueError(f"{type(model).__name__} has no convolution or linear weight to prune.")
    rule = ALLOCATIONS.build(allocation) if isinstance(allocation, str) else allocation
    moves = TOPOLOGIES.build(topology) if isinstance(topology, str) else topology
    probe = (
        None if sample is None else Probe(model=model, weights=weights, inputs=sample[0], targets=sample[1], loss=loss)
    )
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    final = allocate(rule, shapes, density, probe=probe)
    start = moves.initial_density(density)
    initial = (
        final
        if start == density
        else allocate(rule if start < 1 else ALLOCATIONS.build("dense"), shapes, start, probe=probe)
    )
    sparsity = Sparsity(model, draw_masks(initial, shapes, seed), topology=moves, seed=seed, final=final)
    if scaled:
        rescale(model, {layer.name: layer.density for layer in sparsity.layers() if layer.kept})
    return sparsity
