"""One name of a weight, whatever wraps the model when it is saved and when it is loaded."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.optim.swa_utils import AveragedModel

from rarefy.sparsity import CheckpointMismatch, ModelChanged, load, save, sparsify


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.BatchNorm1d(4))


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.net = nn.LayerNorm(8), network()


def compiled(model: nn.Module) -> nn.Module:
    wrapped = torch.compile(model, backend="eager")
    assert isinstance(wrapped, nn.Module)
    return wrapped


def compiled_inside(model: nn.Module) -> nn.Module:
    model[2] = compiled(model[2])  # type: ignore[index,operator]
    return model


def checkpointed_inside(model: nn.Module) -> nn.Module:
    model[0] = checkpoint_wrapper(model[0])  # type: ignore[index,operator]
    return model


@pytest.fixture
def process(tmp_path: Path) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gloo warns about host names
        torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


WRAPPERS: list[Callable[[Any], nn.Module]] = [
    compiled,
    nn.DataParallel,
    nn.parallel.DistributedDataParallel,
    compiled_inside,
    checkpointed_inside,
    lambda model: nn.DataParallel(compiled(model)),
]


@pytest.mark.usefixtures("process")
@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("first", ["sparsify", "wrap"])
def test_wrapped_or_not_it_is_one_file(wrap: Callable[[Any], nn.Module], first: str, tmp_path: Path) -> None:
    model = network()
    if first == "sparsify":
        sparsity = sparsify(model, density=0.25)
        saved = wrap(model)
    else:
        saved = wrap(model)
        sparsity = sparsify(saved, density=0.25)
    save(saved, sparsity, tmp_path / "wrapped")
    plain = network()
    loaded = load(plain, tmp_path / "wrapped")
    values = [value.clone() for value in model.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), values, strict=True))
    assert (loaded.masks, loaded.masks.seed) == (sparsity.masks, 17)
    save(plain, loaded, tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "wrapped").read_bytes()
    again = wrap(network())
    load(again, tmp_path / "plain")
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), values, strict=True))


def test_a_module_that_holds_the_model(tmp_path: Path) -> None:
    outer = Outer()
    sparsity = sparsify(outer.net, density=0.25)
    save(outer, sparsity, tmp_path / "outer")
    assert "rarefy.values/net.0.weight" in load_file(tmp_path / "outer")
    again = Outer()
    loaded = load(again, tmp_path / "outer")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in outer.state_dict().items())
    assert (loaded.masks, loaded.masks.seed) == (sparsity.masks, 17)
    loaded.attach(torch.optim.SGD(again.parameters(), lr=0.1))
    twin = copy.deepcopy(again)
    with torch.no_grad():
        twin.net[0].weight.fill_(1)
    loaded.mask_weights_(twin)
    assert int(twin.net[0].weight.count_nonzero()) == int(loaded.masks["0.weight"].sum())
    save(again, loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "outer").read_bytes()
    with pytest.raises(CheckpointMismatch):
        load(network(), tmp_path / "outer")


def test_a_part_that_has_all_masked_weights(tmp_path: Path) -> None:
    outer = Outer()
    sparsity = sparsify(outer, density=0.25)
    save(outer.net, sparsity, tmp_path / "net")
    again = network()
    loaded = load(again, tmp_path / "net")
    assert torch.equal(again[0].weight, outer.net[0].weight)
    assert loaded.masks == sparsity.masks
    with pytest.raises(ModelChanged):
        save(outer.net[0], sparsity, tmp_path / "part")


def test_a_masked_average_is_saved_like_the_model(tmp_path: Path) -> None:
    model = network()
    sparsity = sparsify(model, density=0.25)
    average = AveragedModel(model)
    save(average, sparsity, tmp_path / "average")
    assert (tmp_path / "average").stat().st_size == save(model, sparsity, tmp_path / "model").file_bytes
    load(network(), tmp_path / "average")
    with torch.no_grad():
        average.module[0].weight.fill_(1)
    with pytest.raises(CheckpointMismatch):
        save(average, sparsity, tmp_path / "average")


class Counting(nn.Linear):
    """A layer with a state of its own."""

    def __init__(self, state: Any = None) -> None:
        super().__init__(4, 3)
        self.extra = state

    def get_extra_state(self) -> Any:
        return self.extra

    def set_extra_state(self, state: Any) -> None:
        self.extra = state


@pytest.mark.parametrize(
    "state",
    [
        {"steps": 3, "ratio": 0.5, "name": "a", "none": None, "flag": True},
        {"shape": (1, 2), "list": [1, {"deep": (3.5,)}], 7: "a number as a key"},
        torch.arange(3),
        {"table": torch.arange(6).view(2, 3), "names": ["a"]},
        5,
    ],
)
def test_an_extra_state_comes_back(state: Any, tmp_path: Path) -> None:
    model = nn.Sequential(Counting(state))
    save(model, sparsify(model, density=0.5), tmp_path / "model")
    again = nn.Sequential(Counting())
    load(again, tmp_path / "model")
    assert repr(again[0].extra) == repr(state)


def test_an_extra_state_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(Counting({"what": object()}))
    with pytest.raises(ValueError, match="_extra_state"):
        save(model, sparsify(model, density=0.5), tmp_path / "model")
    assert not (tmp_path / "model").exists()
