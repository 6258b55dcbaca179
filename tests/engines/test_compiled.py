"""Captured networks: every batch in the fastest way, with the outputs of the network, and fixed."""

from __future__ import annotations

import copy
import logging
import pickle

import pytest
import torch
from torch import Tensor, nn

from rarefy.engines import compile_inference, use_engine
from rarefy.engines._batches import GroupCost, LineCost, make_plan
from rarefy.engines._compiled import CompiledNetwork, Ways
from rarefy.engines._cpu.planes import PlanesNetwork
from rarefy.sparsity import sparsify

pytestmark = pytest.mark.kernels


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("engine", ["masked", "cpu"])
@pytest.mark.parametrize("size", [1, 20])
def test_outputs_are_those_of_the_network_in_evaluation_mode(trained_network, engine, size) -> None:
    model, sparsity = trained_network
    wanted = {count: model.eval()(images(count)).detach() for count in (size, 1, 3, 17, 70)}
    model.train()
    use_engine(model, sparsity, engine, inputs=images(4))
    compiled = compile_inference(model, images(size))
    assert isinstance(compiled, CompiledNetwork)
    for count, outputs in wanted.items():
        result = compiled(images(count))
        assert not result.requires_grad
        torch.testing.assert_close(result, outputs, rtol=1e-5, atol=1e-5)
    assert model.training, "the network itself is left as it is"
    assert bool(sparsity.masked_model.sparse_layers()) == (engine == "cpu")


@pytest.mark.parametrize("way", ["dense", "channels_last", "blocked", "planes 1", "planes 4"])
def test_every_way_gives_the_outputs(trained_network, way) -> None:
    model, _ = trained_network
    compiled = compile_inference(model, images(16))
    ways = compiled._ways
    costs = {way: GroupCost(1, 1.0, 1.0, 1) if way.startswith("planes") else LineCost(1, {1: 1.0})}
    if way == "blocked":  # whatever is faster here
        ways = Ways(ways.dense, ways.channels_last, ways.dense, ways.planes)
    for count in (1, 6):
        result = CompiledNetwork(ways, costs)(images(count))
        torch.testing.assert_close(result, model.eval()(images(count)), rtol=1e-5, atol=1e-5)


def test_other_inputs_go_through_the_layers() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    sparsify(model, density=0.4)
    compiled = compile_inference(model, images(2))
    model.eval()
    strided = images(8)[::2]
    torch.testing.assert_close(compiled(strided), model(strided), rtol=1e-5, atol=1e-5)
    last = images(3).to(memory_format=torch.channels_last)
    torch.testing.assert_close(compiled(last), model(last), rtol=1e-5, atol=1e-5)
    larger = torch.randn(2, 3, 6, 6).repeat(1, 1, 2, 2)
    torch.testing.assert_close(compiled(larger), model(larger), rtol=1e-5, atol=1e-5)
    assert compiled(images(2)[:0]).shape == model(images(2)[:0]).shape
    with torch.autocast("cpu", torch.bfloat16):
        assert compiled(images(2)).dtype == model(images(2)).dtype == torch.bfloat16
    with pytest.raises(RuntimeError, match="type"):
        compiled(images(2).double())
    leaf = images(2).requires_grad_()
    assert not compiled(leaf).requires_grad


def test_it_is_fixed(trained_network) -> None:
    model, _ = trained_network
    compiled = compile_inference(model, images(2))
    before = compiled(images(2))
    with torch.no_grad():
        model.fc.weight.zero_()
    assert torch.equal(compiled(images(2)), before)
    with pytest.raises(AttributeError, match="fc"):
        compiled.fc = nn.Identity()
    with pytest.raises(RuntimeError, match="type and device"):
        compiled.double()
    assert compiled.float() is compiled
    assert not compiled.train().training
    assert torch.equal(compiled(images(2)), before)


def test_copies_and_pickles(trained_network) -> None:
    compiled = compile_inference(trained_network[0], images(2))
    for twin in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert torch.equal(twin(images(2)), compiled(images(2)))
        assert twin.plan(5) == compiled.plan(5)


def test_a_capture_that_computes_something_else_is_not_used(trained_network, monkeypatch, caplog) -> None:
    model, _ = trained_network

    def predict(self: PlanesNetwork, inputs: Tensor, group: int, out: Tensor) -> None:
        out.zero_()

    monkeypatch.setattr(PlanesNetwork, "predict", predict)
    with caplog.at_level(logging.INFO, "rarefy"):
        compiled = compile_inference(model, images(2))
    assert not isinstance(compiled, CompiledNetwork)
    assert "differ" in caplog.text
    torch.testing.assert_close(compiled(images(2)), model.eval()(images(2)), rtol=1e-5, atol=1e-5)


def test_a_dense_network_takes_what_is_fastest_and_says_so(caplog) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 4))
    sparsify(model, density=0.5)
    with caplog.at_level(logging.INFO, "rarefy"):
        compiled = compile_inference(model, images(3))
    pieces = compiled.plan(3)
    best = min(cost.estimate(3) for cost in compiled.costs.values())
    assert sum(compiled.costs[piece.way].estimate(piece.images) for piece in pieces) <= best
    assert pieces[0].way in caplog.text


def test_a_batch_is_divided_where_that_is_faster() -> None:
    plan = make_plan(
        {
            "dense": LineCost(1, {1: 3.0, 16: 20.0}),
            "blocked": LineCost(16, {16: 8.0, 64: 32.0}),
            "planes": GroupCost(1, together=0.6, parallel=1.0, threads=2),
        }
    )
    assert plan(1) == (("planes", 1),)
    assert plan(15) == (("planes", 15),)
    assert plan(16) == (("blocked", 16),) or plan(16) == (("planes", 16),)
    assert sum(piece.images for piece in plan(17)) == 17
    slow = make_plan({"blocked": LineCost(16, {16: 8.0}), "planes": GroupCost(1, 1.0, 1.0, 1)})
    assert slow(17) == (("blocked", 16), ("planes", 1))
    assert slow(31) == (("blocked", 31),), "two blocks take 16 ms, a block and 15 images 23 ms"
    assert slow(7) == (("planes", 7),)


def test_few_images_are_not_computed_as_a_large_group() -> None:
    plan = make_plan({"planes 1": GroupCost(1, 2.0, 2.0, 1), "planes 16": GroupCost(16, 1.0, 1.0, 1)})
    assert plan(1) == (("planes 1", 1),), "though the machine was busy when that was measured"
    assert plan(8) == (("planes 1", 8),)
    assert plan(9) == (("planes 16", 9),)
    assert plan(17) == (("planes 16", 17),)


def test_costs_between_and_beyond_what_was_measured() -> None:
    line = LineCost(16, {16: 10.0, 64: 34.0})
    assert line.estimate(1) == line.estimate(16) == 10.0
    assert line.estimate(17) == line.estimate(32) == 18.0
    assert line.estimate(128) == 66.0
    assert LineCost(1, {1: 2.0}).estimate(5) == 10.0
    group = GroupCost(4, together=3.0, parallel=5.0, threads=2)
    assert [group.estimate(n) for n in (1, 4, 5, 8, 9)] == [3.0, 3.0, 5.0, 5.0, 8.0]
