"""What others do to a model after sparsify is noticed: when attached, at the next step, and before it is saved."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from rarefy.sparsity import CheckpointMismatch, ModelChanged, Sparsity, load, save, sparsify
from rarefy.topology import TOPOLOGIES


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 8)
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 10, bias=False)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.table(words)))


def make_net() -> tuple[Net, Sparsity]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net()
    return model, sparsify(model, density=0.25)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.arange(10)).square().mean().backward()
    optimizer.step()


def replace_head(model: Net) -> None:
    model.head = nn.Linear(8, 10, bias=False)


def replace_block(model: Net) -> None:
    model.body = copy.deepcopy(model.body)


def tie(model: Net) -> None:
    model.head.weight = model.table.weight


def parametrise(model: Net) -> None:
    parametrizations.weight_norm(model.head)


def prune_by_torch(model: Net) -> None:
    prune.random_unstructured(model.head, "weight", 0.5)


CHANGES = [replace_head, replace_block, tie, parametrise, prune_by_torch]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_is_not_attached_stepped_or_saved(change: Callable[[Net], None], tmp_path: Path) -> None:
    model, sparsity = make_net()
    change(model)
    with pytest.raises(ModelChanged) as caught:
        sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    assert caught.value.name in {"head.weight", "body.0.weight"}
    with pytest.raises(ModelChanged):
        save(model, sparsity, tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()

    model, sparsity = make_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsity.attach(optimizer)
    step(model, optimizer)
    change(model)
    with pytest.raises(ModelChanged):
        step(model, optimizer)


def test_untied_weights_are_noticed() -> None:
    model = Net()
    model.head.weight = model.table.weight
    sparsity = sparsify(model, density=0.5, embeddings=True)
    model.head.weight = nn.Parameter(torch.randn(10, 8))
    with pytest.raises(ModelChanged) as caught:
        sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    assert caught.value.name == "table.weight"


def test_a_layer_that_is_wrapped_in_its_place_is_still_there() -> None:
    model, sparsity = make_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsity.attach(optimizer)
    model.head = nn.Sequential(model.head, nn.Identity())
    for _ in range(2):
        step(model, optimizer)
    assert not model.head[0].weight[~sparsity.masks["head.weight"]].any()


def initialise_again(model: Net) -> None:
    nn.init.normal_(model.head.weight)


def load_dense(model: Net) -> None:
    model.load_state_dict(Net().state_dict())


@pytest.mark.parametrize("write", [initialise_again, load_dense])
def test_weights_written_by_others_are_noticed_once(
    write: Callable[[Net], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, sparsity = make_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    write(model)
    with pytest.raises(CheckpointMismatch):
        save(model, sparsity, tmp_path / "model.safetensors")
    with caplog.at_level(logging.WARNING, "rarefy"):
        sparsity.attach(optimizer)
    assert len(caplog.records) == 1
    caplog.clear()

    model, sparsity = make_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with caplog.at_level(logging.WARNING, "rarefy"):
        sparsity.attach(optimizer)
        step(model, optimizer)
        assert not caplog.records
        for _ in range(3):
            write(model)
            step(model, optimizer)
    assert len(caplog.records) == 1


def test_writes_to_kept_weights_are_nobodys_business(caplog: pytest.LogCaptureFixture) -> None:
    model, sparsity = make_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsity.attach(optimizer)
    with caplog.at_level(logging.WARNING, "rarefy"):
        for _ in range(3):
            step(model, optimizer)
            with torch.no_grad():
                model.head.weight.clamp_(-0.1, 0.1)
    assert not caplog.records


def test_what_is_merged_is_not_lost_in_a_file(tmp_path: Path) -> None:
    model, sparsity = make_net()
    model.head.weight.data += torch.randn(10, 2) @ torch.randn(2, 8)
    with pytest.raises(CheckpointMismatch):
        save(model, sparsity, tmp_path / "model.safetensors")
    sparsity.mask_weights_()
    save(model, sparsity, tmp_path / "model.safetensors")
    again = Net()
    load(again, tmp_path / "model.safetensors")
    assert torch.equal(again.head.weight, model.head.weight)


def test_a_second_sparsify_with_another_seed_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    model, first = make_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    first.attach(optimizer)
    with caplog.at_level(logging.WARNING, "rarefy"):
        second = sparsify(model, density=0.25, seed=18)
    assert "from_weights" in caplog.text
    with pytest.raises(ValueError, match="detach"):
        second.attach(optimizer)
    first.detach()
    second.attach(optimizer)


def test_less_of_the_same_seed_is_fine(caplog: pytest.LogCaptureFixture) -> None:
    model, _ = make_net()
    with caplog.at_level(logging.WARNING, "rarefy"):
        sparsify(model, density=0.1, allocation="uniform")
        sparsify(Net(), density=0.25)
    assert not caplog.records


# --- atomic, and states of other topologies


def test_an_attach_that_fails_changes_nothing() -> None:
    model, sparsity = make_net()
    with pytest.raises(ValueError, match="steps="):
        sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1), topology="rigl")
    assert sparsity.topology == TOPOLOGIES.build("static")
    with pytest.raises(ValueError, match="none of the masked"):
        sparsity.attach(torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1), topology="set", steps=1000)
    assert sparsity.topology == TOPOLOGIES.build("static")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsity.attach(optimizer)
    assert len(optimizer._optimizer_step_pre_hooks) == 1


@pytest.mark.parametrize(
    ("topology", "seed"), [("static", 17), (TOPOLOGIES.build("rigl", interval=7), 17), ("rigl", 18), ("set", 17)]
)
def test_a_state_of_another_topology_or_seed_is_refused(topology: object, seed: int) -> None:
    def make(topology: object, seed: int) -> Sparsity:
        model = nn.Linear(20, 10)
        sparsity = sparsify(model, density=0.25, topology=topology, seed=seed)  # type: ignore[arg-type]
        sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1), steps=1000)
        return sparsity

    state = make("rigl", 17).state_dict()
    make("rigl", 17).load_state_dict(state)
    with pytest.raises(ValueError, match=r"topology|seed"):
        make(topology, seed).load_state_dict(state)
    old = {key: value for key, value in state.items() if key not in ("topology", "seed")}
    make(topology, seed).load_state_dict(old)  # of a version that did not write them


# --- optimizers change, too


def test_a_group_that_is_added_later_is_masked() -> None:
    model, sparsity = make_net()
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1, momentum=0.9)
    sparsity.attach(optimizer, topology=TOPOLOGIES.build("set", interval=2), steps=100)
    step(model, optimizer)
    optimizer.add_param_group({"params": model.body.parameters(), "lr": 0.05})
    before = {name: mask.clone() for name, mask in sparsity.masks.items()}
    for _ in range(3):
        step(model, optimizer)
    for name, weight in sparsity.weights().items():
        assert not weight[~sparsity.masks[name]].any()
        assert not torch.equal(before[name], sparsity.masks[name])


def test_a_group_that_is_added_before_the_first_step_is_nothing_to_warn_of(caplog: pytest.LogCaptureFixture) -> None:
    model, sparsity = make_net()
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1)
    with caplog.at_level(logging.WARNING, "rarefy"):
        sparsity.attach(optimizer)
        model(torch.arange(10)).square().mean().backward()
        optimizer.add_param_group({"params": model.body.parameters()})
        optimizer.step()
    assert not caplog.records
    assert not any(weight._backward_hooks for weight in model.parameters())


def test_a_group_that_is_exchanged_is_masked() -> None:
    model, sparsity = make_net()
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1)
    sparsity.attach(optimizer)
    optimizer.param_groups[0]["params"] = [model.body[0].weight]
    step(model, optimizer)
    assert not model.body[0].weight[~sparsity.masks["body.0.weight"]].any()


def test_every_group_has_its_own_momentum() -> None:
    """SNFS grows by the dense momentum; here that of two layers by hand, with 0.5 and 0.9."""
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 4, bias=False))
    topology = TOPOLOGIES.build("snfs", interval=100)
    sparsity = sparsify(model, density=0.5, topology=topology)
    groups = [{"params": model[0].parameters(), "momentum": 0.5}, {"params": model[1].parameters(), "momentum": 0.9}]
    optimizer = torch.optim.SGD(groups, lr=0.0)
    sparsity.attach(optimizer, steps=1000)
    gradients = [[torch.randn_like(layer.weight) for layer in model] for _ in range(3)]
    for of_step in gradients:
        for layer, gradient in zip(model, of_step, strict=True):
            layer.weight.grad = gradient.clone()
        optimizer.step()
    found = sparsity.state_dict()["attachments"][0]["momentum"]
    for n, decay in enumerate((0.5, 0.9)):
        a, b, c = (of_step[n] for of_step in gradients)
        torch.testing.assert_close(found[f"{n}.weight"], (a * decay + b) * decay + c)


@pytest.mark.parametrize("name", ["rigl", "granet", "snfs", "dynamic"])
def test_an_unused_layer_is_skipped_and_told_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    model = nn.ModuleList([nn.Linear(20, 10), nn.Linear(20, 10)])
    options = {"grow": "gradient"} if name == "dynamic" else {}
    sparsity = sparsify(model, density=0.25, topology=TOPOLOGIES.build(name, interval=1, **options))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    sparsity.attach(optimizer, steps=50)
    before = sparsity.masks["1.weight"].clone()
    with caplog.at_level(logging.WARNING, "rarefy"):
        for seed in range(4):
            optimizer.zero_grad()
            model[0](torch.randn(6, 20, generator=torch.Generator().manual_seed(seed))).square().sum().backward()
            optimizer.step()
    assert [record.args for record in caplog.records] == [("1.weight",)]
    assert sparsity.updates == 4
    if name != "granet":  # whose counts follow a schedule
        assert torch.equal(before, sparsity.masks["1.weight"])
        assert sparsity.kept == round(0.25 * 400)
