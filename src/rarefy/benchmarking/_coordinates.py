"""The coordinate check: whether outputs, and their changes in the first steps, have one size at all densities."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.scaling import OptimizerKind
from rarefy.sparsity import sparsify

BuildNetwork = Callable[[int | None, int], nn.Module]


@dataclasses.dataclass(frozen=True)
class LayerCoordinates:
    """Sizes of a layer's outputs, as root mean squares, averaged over seeds.

    Args:
        scaling: Name of the scaling.
        density: Density of the network.
        width: Width of the network; None if only one is checked.
        layer: Name of the layer.
        size: Size of its outputs before the first step.
        changes: Size of the outputs' difference from those before the first step, after step 1, 2, ...

    Example:
        >>> LayerCoordinates("none", 0.25, None, "fc1", 0.5, (0.01, 0.02)).change
        0.02
    """

    scaling: str
    density: float
    width: int | None
    layer: str
    size: float
    changes: tuple[float, ...]

    @property
    def change(self) -> float:
        """Size of the difference after the last step."""
        return self.changes[-1]


@dataclasses.dataclass(frozen=True)
class Slopes:
    """Exponents with which a layer's outputs and their changes follow density or width: 0 is flat, 1 is proportional.

    Example:
        >>> Slopes("none", "fc1", size=0.5, change=1.0).change
        1.0
    """

    scaling: str
    layer: str
    size: float
    change: float


@dataclasses.dataclass(frozen=True)
class Trial:
    """What the networks of a coordinate check are trained on and how.

    Args:
        inputs: One batch, used in every step.
        targets: Its targets.
        optimizer: ``"adam"`` or ``"sgd"`` (with momentum 0.9).
        lr: Learning rate of the dense network.
        steps: Optimizer steps.
        seeds: Number of networks and masks to average over.
        allocation: Allocation of the sparse networks.
        exclude: Layers that stay dense, as in `rarefy.sparsify`.
        loss: ``loss(outputs, targets)`` -> scalar.

    Example:
        >>> Trial(torch.zeros(2, 3), torch.tensor([0, 1]), "sgd", 0.1).steps
        5
    """

    inputs: Tensor
    targets: Tensor
    optimizer: OptimizerKind
    lr: float
    steps: int = 5
    seeds: int = 2
    allocation: str = "uniform"
    exclude: tuple[Any, ...] = ()
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy


def check_scaling(
    build: BuildNetwork,
    trial: Trial,
    *,
    scalings: Sequence[str] = ("none", "supar"),
    densities: Sequence[float] = (1.0, 1 / 4, 1 / 16, 1 / 64),
    widths: Sequence[int] = (),
    progress: Callable[[str], None] = lambda what: None,
) -> list[LayerCoordinates]:
    """Trains networks of all densities and widths for some steps, and measures the outputs of their masked layers.

    Under a scaling that transfers hyper-parameters the sizes and changes do not depend on density and width.

    Args:
        build: ``build(width, seed)`` -> a network with fresh weights that are a function of the seed; the width is None
            where `widths` is empty.
        trial: The data and the optimizer.
        scalings: Names of scalings.
        densities: Densities in (0, 1].
        widths: Widths, the first one the base width; empty: one network as it is.
        progress: Called with each network's description before it is trained.

    Returns:
        One entry for each scaling, density, width and layer.

    Raises:
        InvalidInput: If there is nothing to compare, or a number is out of range.

    Example:
        >>> def build(width, seed):
        ...     with torch.random.fork_rng():
        ...         _ = torch.random.manual_seed(seed)
        ...         return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> trial = Trial(torch.ones(4, 64), torch.arange(4), "sgd", 0.1, allocation="erk")
        >>> found = check_scaling(build, trial, scalings=["supar"], densities=[1, 0.25])
        >>> [(entry.density, entry.layer) for entry in found]
        [(1, '0'), (1, '2'), (0.25, '0'), (0.25, '2')]

    References:
        Yang et al., 2022, arXiv:2203.03466, appendix D.1. Dey et al., 2024, arXiv:2405.15743.
    """
    if not scalings or not densities or trial.steps < 1 or trial.seeds < 1:
        raise InvalidInput("A coordinate check needs a scaling, a density, a step and a seed, one or more of each.")
    found = []
    for scaling, density, width in itertools.product(scalings, densities, widths or (None,)):
        progress(f"{scaling}, density {density:g}" + ("" if width is None else f", width {width}"))
        base = widths[0] if widths else None
        runs = [_train(build, trial, scaling, density, width, base, seed) for seed in range(trial.seeds)]
        for layer in runs[0]:
            sizes = torch.tensor([run[layer] for run in runs], dtype=torch.float64).mean(0).tolist()
            found.append(LayerCoordinates(scaling, density, width, layer, sizes[0], tuple(sizes[1:])))
    return found


def fit_slopes(coordinates: Iterable[LayerCoordinates], *, by: Literal["density", "width"] = "density") -> list[Slopes]:
    """Fits exponents by least squares, for each scaling and layer.

    Args:
        coordinates: What `check_scaling` returned.
        by: ``"density"``, at the first width; or ``"width"``, at the first density.

    Raises:
        InvalidInput: If there are not two densities or widths.

    Example:
        >>> of = lambda density: LayerCoordinates("none", density, None, "fc1", density**0.5, (density,))
        >>> [slopes] = fit_slopes([of(1.0), of(0.25), of(0.0625)])
        >>> round(slopes.size, 6), round(slopes.change, 6)
        (0.5, 1.0)
    """
    other = "width" if by == "density" else "density"
    grouped: dict[tuple[str, str], list[LayerCoordinates]] = {}
    for entry in coordinates:
        group = grouped.setdefault((entry.scaling, entry.layer), [])
        if not group or getattr(entry, other) == getattr(group[0], other):
            group.append(entry)
    return [
        Slopes(
            *key,
            _fit_slope({getattr(e, by): e.size for e in group}),
            _fit_slope({getattr(e, by): e.change for e in group}),
        )
        for key, group in grouped.items()
    ]


def _fit_slope(values: Mapping[float, float]) -> float:
    if len(values) < 2:
        raise InvalidInput(f"A slope needs two densities or widths, or more; got {list(values)}.")
    x = torch.tensor([math.log(value) for value in values], dtype=torch.float64)
    y = torch.tensor([math.log(max(value, 1e-30)) for value in values.values()], dtype=torch.float64)
    x = x - x.mean()
    return float(x @ y / (x @ x))


def _train(
    build: BuildNetwork, trial: Trial, scaling: str, density: float, width: int | None, base: int | None, seed: int
) -> dict[str, list[float]]:
    """Trains one network; returns each layer's size of outputs, and of changes after every step."""
    model = build(width, seed)
    sparsity = sparsify(
        model,
        density=density,
        allocation="dense" if density == 1 else trial.allocation,
        seed=seed,
        exclude=trial.exclude,
        scaling=scaling,
        base_model=None if base is None else build(base, seed),
    )
    groups = sparsity.param_groups(lr=trial.lr, optimizer=trial.optimizer)
    optimizer = _make_optimizer(trial, groups)
    sparsity.attach(optimizer)
    outputs: dict[str, Tensor] = {}
    for name, module in sparsity.masked_model.modules().items():
        module.register_forward_hook(_make_hook(outputs, name.removesuffix(".weight")))
    found: dict[str, list[float]] = {}
    for step in range(trial.steps + 1):
        optimizer.zero_grad()
        loss = trial.loss(model(trial.inputs), trial.targets)
        if step == 0:
            first = dict(outputs)
            found = {name: [_compute_size(output)] for name, output in first.items()}
        else:
            for name, sizes in found.items():
                sizes.append(_compute_size(outputs[name] - first[name]))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return found


def _make_optimizer(trial: Trial, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    if trial.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=trial.lr, momentum=0.9)
    return torch.optim.Adam(groups, lr=trial.lr)


def _make_hook(outputs: dict[str, Tensor], name: str) -> Callable[..., None]:
    def record(module: nn.Module, inputs: Any, output: Tensor) -> None:
        outputs[name] = output.detach().double()

    return record


def _compute_size(values: Tensor) -> float:
    return float(values.square().mean().sqrt())
