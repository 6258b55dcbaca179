"""How many kept weights lie on a path from an input to an output."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rarefy.evaluation.flow._kept import kept_of, replica, weights_of

IDENTITIES = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.Tanh, nn.Sigmoid, nn.Dropout),
    *(nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm),
)
# Sums of ones, or averages of them over the pixels of an image: far above what rounding could make of zeros.
ALIVE = 1e-6


def effective_density(
    model: nn.Module, shape: tuple[int, ...], masks: Mapping[str, Tensor] | None = None
) -> dict[str, object]:
    """Kept weights that an input can reach and that can reach an output; the others cannot change what is computed.

    In a copy every kept weight is 1, every other 0 and every bias 0; activations and normalisation are the identity and
    maximum pooling is average pooling; the input is all ones. All numbers are then at least 0 and nothing cancels: a
    weight is effective if and only if the gradient of the summed output with respect to it is above 0. After each layer
    what is above 0 is scaled to 1, there and back, so that no network is too deep. This is exact for
    sequential and residual networks; padding counts as no input. It is not for networks with attention or gates.

    Args:
        model: The network.
        shape: Shape of one input without the batch, ``(C, H, W)``.
        masks: Which weights are kept.
    Returns:
        ``total``, ``kept`` and ``effective`` numbers of weights, ``density`` = kept / total, ``effective_density`` =
        effective / total, and ``layers``, name to the number of effective weights.
    Raises:
        ValueError: If the masks are of another model.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> first, last = torch.tensor([[True, True], [False, False]]), torch.tensor([[False, True]])
        >>> found = effective_density(net, (2,), {"0.weight": first, "2.weight": last})  # no path at all
        >>> found["kept"], found["effective"]
        (3, 0)

    References:
        Vysogorets and Kempe, 2023, arXiv:2107.02306, section 3 (effective sparsity).
    """
    kept, twin = kept_of(model, masks), replica(model).double()
    weights = weights_of(twin, kept)
    _open(twin, weights, kept)
    hooks = [module.register_forward_hook(_binary) for module in twin.modules() if _owns(module, weights)]
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
def _open(network: nn.Module, weights: Mapping[str, nn.Parameter], kept: Mapping[str, Tensor]) -> None:
    """Makes everything that is not a masked weight let through what comes."""
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


def _owns(module: nn.Module, weights: Mapping[str, nn.Parameter]) -> bool:
    ours = {id(weight) for weight in weights.values()}
    return any(id(parameter) in ours for parameter in module.parameters(recurse=False))


def _binary(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    """Live numbers scaled to 1, each by itself, in the output and in the gradient that comes back to it."""
    if output.requires_grad:
        output.register_hook(lambda flow: (flow > ALIVE).to(flow))  # type: ignore[no-untyped-call, unused-ignore]
    live = output.detach() > ALIVE
    return output * torch.where(live, 1 / output.detach().where(live, 1.0), 0.0)
