"""Effective density: kept weights that lie on a path from an input to an output."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rarefy.evaluation.flow._kept import copy_model, find_kept_weights, select_weights

IDENTITIES = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.Tanh, nn.Sigmoid, nn.Dropout),
    *(nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm),
)
# Live values are sums or averages of ones, far above rounding errors of zeros.
ALIVE = 1e-6


def compute_effective_density(
    model: nn.Module, shape: tuple[int, ...], masks: Mapping[str, Tensor] | None = None
) -> dict[str, object]:
    """Computes the fraction of weights that are kept and lie on a path from an input to an output.

    In a copy of the model every kept weight is 1, every other weight and bias 0; activations and normalisation are the
    identity, maximum pooling is average pooling, and the input is all ones. All values are then at least 0 and nothing
    cancels: a weight is effective if and only if the gradient of the summed output with respect to it is above 0. After
    each layer positive values are scaled to 1, forward and backward, so that deep networks neither overflow nor
    underflow. The result is exact for sequential and residual networks, where padding is not an input; it is not
    defined for networks with attention or gates.

    Args:
        model: The network.
        shape: Shape of one input without the batch, ``(C, H, W)``.
        masks: Masks of the kept weights; None: the weights that are not 0.
    Returns:
        ``total``, ``kept`` and ``effective`` numbers of weights, ``density`` = kept / total, ``effective_density`` =
        effective / total, and ``layers``, the numbers of effective weights by name.
    Raises:
        ValueError: If the masks do not fit the model.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> first, last = torch.tensor([[True, True], [False, False]]), torch.tensor([[False, True]])
        >>> result = compute_effective_density(net, (2,), {"0.weight": first, "2.weight": last})  # no path at all
        >>> result["kept"], result["effective"]
        (3, 0)

    References:
        Vysogorets and Kempe, 2023, arXiv:2107.02306, section 3 (effective sparsity).
    """
    kept, twin = find_kept_weights(model, masks), copy_model(model).double()
    weights = select_weights(twin, kept)
    _remove_nonlinearities(twin, weights, kept)
    hooks = [module.register_forward_hook(_binarize) for module in twin.modules() if _has_weight(module, weights)]
    with torch.enable_grad():
        device = next(twin.parameters()).device
        out = twin(torch.ones(1, *shape, dtype=torch.float64, device=device)).sum()
        flows = torch.autograd.grad(out, list(weights.values()), materialize_grads=True)
    for hook in hooks:
        hook.remove()
    layers = {name: int(((flow > ALIVE) & kept[name]).sum()) for name, flow in zip(weights, flows, strict=True)}
    total, held = (sum(count(mask) for mask in kept.values()) for count in (Tensor.numel, lambda m: int(m.sum())))
    effective = sum(layers.values())
    return {
        "total": total,
        "kept": held,
        "effective": effective,
        "density": held / total,
        "effective_density": effective / total,
        "layers": layers,
    }


@torch.no_grad()
def _remove_nonlinearities(network: nn.Module, weights: Mapping[str, nn.Parameter], kept: Mapping[str, Tensor]) -> None:
    """Replaces activations, norms and poolings, and sets kept weights to 1, all others and biases to 0."""
    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, IDENTITIES):
                setattr(parent, name, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
    for name, parameter in network.named_parameters():
        parameter.fill_(0.0 if name.rpartition(".")[2] == "bias" else 1.0)
    for name, weight in weights.items():
        weight.copy_(kept[name])


def _has_weight(module: nn.Module, weights: Mapping[str, nn.Parameter]) -> bool:
    ours = {id(weight) for weight in weights.values()}
    return any(id(parameter) in ours for parameter in module.parameters(recurse=False))


def _binarize(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    """Scales each positive value to 1, in the output and in its gradient."""
    if output.requires_grad:
        output.register_hook(lambda flow: (flow > ALIVE).to(flow))  # type: ignore[no-untyped-call, unused-ignore]
    live = output.detach() > ALIVE
    return output * torch.where(live, 1 / output.detach().where(live, 1.0), 0.0)
