"""Layers to test topologies with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from rarefy.topology import Layer

MakeLayer = Callable[..., Layer]


def _tensor(values: object, like: torch.Tensor | None = None) -> torch.Tensor | None:
    if values is None or isinstance(values, torch.Tensor):
        return values
    return torch.tensor(values, dtype=None if like is None else like.dtype)


def _layer(
    weight, *, mask=None, gradient=None, momentum=None, explored=None, initial=None, final=None, name="fc.weight"
):
    """A layer from lists; by default kept where the weight is not 0."""
    weight = _tensor(weight)
    mask = weight != 0 if mask is None else _tensor(mask).bool()
    explored = mask if explored is None else _tensor(explored).bool()
    kept = int(mask.sum())
    return Layer(
        name,
        weight,
        mask,
        _tensor(gradient, weight),
        _tensor(momentum, weight),
        explored,
        kept if initial is None else initial,
        kept if final is None else final,
    )


@pytest.fixture(scope="session")
def layer() -> MakeLayer:
    return _layer


@pytest.fixture(scope="session")
def random_layer() -> MakeLayer:
    def make(shape, kept, seed, *, name="fc.weight", final=None, ties=False, explored=None, mask=None, reserve=False):
        """A layer of random values; with ``ties`` they take few different values, 0 among them."""
        generator = torch.Generator().manual_seed(seed)

        def draw() -> torch.Tensor:
            values = torch.randn(shape, generator=generator)
            return values.round() if ties else values

        size = torch.Size(shape).numel()
        if mask is None:
            mask = torch.zeros(size, dtype=torch.bool)
            mask[torch.randperm(size, generator=generator)[:kept]] = True
            mask = mask.view(shape)
        weight = draw() if reserve else draw() * mask
        return _layer(
            weight,
            mask=mask,
            gradient=draw(),
            momentum=draw(),
            explored=explored,
            initial=kept,
            final=final,
            name=name,
        )

    return make


@pytest.fixture(scope="session")
def list_marked() -> Callable[[torch.Tensor], list[int]]:
    """Lists the flat indices that are True."""
    return lambda marked: marked.nonzero().flatten().tolist()
