"""Layers to test topologies with."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from rarefy.engines import use_engine
from rarefy.sparsity import Sparsity, sparsify
from rarefy.topology import Layer, Topology

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


Training = tuple[nn.Module, Sparsity, torch.optim.Optimizer]


def _start_training(
    engine: str, topology: Topology, build_optimizer: Callable[..., torch.optim.Optimizer], steps: int
) -> Training:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    sparsity = sparsify(model, density=0.25, topology=topology)
    use_engine(model, sparsity, engine, inputs=torch.randn(8, 12))
    optimizer = build_optimizer(model.parameters())
    sparsity.attach(optimizer, steps=steps)
    return model, sparsity, optimizer


def _train_steps(model: nn.Module, sparsity: Sparsity, optimizer: torch.optim.Optimizer, steps: range) -> list[int]:
    kept = []
    for step in steps:
        kept.append(sparsity.kept)
        inputs = torch.randn(8, 12, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), torch.arange(8) % 4).backward()
        optimizer.step()
        weights = sparsity.dense_weights()
        assert all(not weights[name][~mask].any() for name, mask in sparsity.masks.items())
    return kept


def _check_resumes(start: Callable[[], Training], stop: int, steps: int) -> None:
    whole, first, second = start(), start(), start()
    _train_steps(*whole, range(1, steps + 1))
    _train_steps(*first, range(1, stop + 1))
    for part, saved in zip(second, copy.deepcopy([part.state_dict() for part in first]), strict=True):
        part.load_state_dict(saved)
    _train_steps(*second, range(stop + 1, steps + 1))
    assert second[1].masks == whole[1].masks
    assert all(torch.equal(a, b) for a, b in zip(second[0].parameters(), whole[0].parameters(), strict=True))


@pytest.fixture
def start_training() -> Callable[..., Training]:
    """``start_training(engine, topology, build_optimizer, steps)``: a small network that is about to be trained."""
    return _start_training


@pytest.fixture
def train_steps() -> Callable[..., list[int]]:
    """``train_steps(model, sparsity, optimizer, steps)``: trains, and returns the weights kept before each step."""
    return _train_steps


@pytest.fixture
def check_resumes() -> Callable[..., None]:
    """``check_resumes(start, stop, steps)``: asserts that a training stopped after a step goes on bit for bit."""
    return _check_resumes
