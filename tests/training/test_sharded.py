"""Two processes that share the weights out, against one that holds them all."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rarefy.config import Training
from rarefy.data import Augment, Batches, Spec, Split
from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.rng import Streams
from rarefy.shards import is_sharded, to_local
from rarefy.sparsity import sparsify
from rarefy.topology import TOPOLOGIES
from rarefy.training import OPTIMIZERS, SCHEDULES, Event, Interrupted, Settings, State, shard, sync_batch_norms, train

OnRanks = Callable[[int, Callable[[World], Any]], list[Any]]
SPEC = Spec("dots", classes=3, channels=1, height=4, width=4, mean=(0.5,), std=(0.25,))
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def imported() -> None:
    """Once in the parent, not in each of its forks."""
    pytest.importorskip("torch.distributed.fsdp")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(7, 7, 3, padding=1), nn.BatchNorm2d(7)  # odd: shares of 4 and 3

    def forward(self, images: Tensor) -> Tensor:
        return images + self.norm(self.conv(images)).relu()


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stem = (nn.Conv2d(1, 7, 3, padding=1), nn.BatchNorm2d(7), nn.ReLU())
        return nn.Sequential(*stem, nn.Sequential(Block(), Block()), nn.Flatten(), nn.Linear(112, 3))


def split() -> Split:
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(3, (49,), generator=generator)  # the last batch of 16 has one image: a rank gets none
    images = torch.randint(256, (49, 1, 4, 4), generator=generator) // 2 + labels.view(-1, 1, 1, 1) * 40
    return Split(images.to(torch.uint8), labels)


class Look:
    """Looks between steps, saves what the first rank would, and asks to stop after some steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.step = stop_after, 0
        self.saved: dict[str, Any] | None = None
        self.nonzero, self.bytes = 0, 0

    def __call__(self, event: Event, state: State) -> None:
        self.step = state.step
        if event is Event.STEP:
            pruned = state.sparsity.masks
            self.nonzero += sum(
                int(full(weight)[~pruned[name]].count_nonzero()) for name, weight in state.sparsity.weights().items()
            )
        if event is Event.STOP:
            self.saved = state.state_dict()
        if event is Event.END:
            self.bytes = held(state)

    def should_stop(self) -> bool:
        return self.step == self.stop_after


def full(weight: Tensor) -> Tensor:
    return weight.full_tensor() if is_sharded(weight) else weight.detach()


def held(state: State) -> int:
    """Bytes of memory behind weights, gradients, optimizer state and the masks beside the weights."""
    tensors = [*state.model.parameters(), *(p.grad for p in state.model.parameters())]
    tensors += [value for kept in state.optimizer.state.values() for value in kept.values()]
    tensors += [value for cached in state.sparsity.masks._kept.values() for value in cached.values()]
    storages = {s.data_ptr(): s.nbytes() for s in (to_local(t).untyped_storage() for t in tensors if t is not None)}
    return sum(storages.values())


def trained(
    world: World, *, sharded: bool = True, topology: str = "static", look: Any = None, resume: Any = None, **values: Any
) -> Any:
    look = look or Look()
    chosen = Training(**{"epochs": 2, "batch_size": 16, "lr": 0.02, "sync_norms": True, **values})
    options = {"interval": 3} if topology != "static" else {}
    model = sync_batch_norms(network(), world)
    sparsity = sparsify(model, density=0.4, topology=TOPOLOGIES.build(topology, **options))
    if sharded:
        shard(model, world, CPU, compression=chosen.compression)
    batches = Batches(
        split(), SPEC, 16, streams=Streams(17), augment=Augment(flip=True), rank=world.rank, ranks=world.ranks
    )
    settings = Settings(chosen, OPTIMIZERS.build("sgd"), SCHEDULES.build("step"))
    state = train(
        model,
        sparsity,
        batches,
        settings,
        seed=17,
        world=world,
        callbacks=[look],
        should_stop=look.should_stop,
        resume=copy.deepcopy(resume),  # as if read from a file each time
    )
    state.load_best()
    return {
        "curve": [row["train_loss"] for row in state.history],
        "weights": {name: full(value).clone() for name, value in model.state_dict().items()},
        "masks": sparsity.masks.checksum(),
        "kept": sparsity.kept,
        "nonzero": look.nonzero,
        "bytes": look.bytes,
        "diagnostics": {name: value for name, value in state.history[-1].items() if "gradient" in name},
    }


def alike(found: Any, wanted: Any) -> None:
    assert found["curve"] == pytest.approx(wanted["curve"], rel=1e-4)
    assert (found["masks"], found["kept"]) == (wanted["masks"], wanted["kept"])
    assert found["nonzero"] == 0
    assert found["diagnostics"] == pytest.approx(wanted["diagnostics"], rel=1e-3)
    for name, value in wanted["weights"].items():
        torch.testing.assert_close(found["weights"][name], value, rtol=2e-3, atol=2e-3)


CASES: list[dict[str, Any]] = [
    {"clip_norm": 0.5, "diagnostics": True, "topology": "rigl"},
    {"topology": "set", "recompute": True, "label_smoothing": 0.1, "select": "best"},
]
MORE: list[dict[str, Any]] = [
    {},
    {"topology": "snfs"},
    {"topology": "gmp"},
    {"topology": "granet"},
    {"topology": "srigl"},
    {"topology": "top_kast"},
    {"norm_weight_decay": False, "channels_last": True},
]


@pytest.mark.parametrize(
    ("ranks", "cases"),
    [(2, CASES), pytest.param(2, MORE, marks=pytest.mark.slow), pytest.param(3, CASES + MORE, marks=pytest.mark.slow)],
)
def test_they_train_what_one_trains_and_hold_a_part_of_it(
    on_ranks: OnRanks, ranks: int, cases: list[dict[str, Any]]
) -> None:
    found = on_ranks(ranks, lambda world: [trained(world, **values) for values in cases])
    for number, values in enumerate(cases):
        alone = trained(SINGLE_PROCESS, **values)
        for rank in found:
            alike(rank[number], alone)
            assert same_bits(rank[number], found[0][number])
            assert 0.7 < rank[number]["bytes"] / alone["bytes"] * ranks < 1.3  # 7 outputs are 4 and 3, or 3, 2 and 2


def same_bits(first: Any, second: Any) -> bool:
    return all(torch.equal(value, second["weights"][name]) for name, value in first["weights"].items())


def stopped(world: World, after: int, **values: Any) -> Any:
    """What the first rank would save when training is stopped."""
    look = Look(stop_after=after)
    with pytest.raises(Interrupted):
        trained(world, look=look, **values)
    if world.ranks > 1 and not world.is_rank0:
        assert look.saved is not None
        assert set(look.saved["model"].values()) >= {None}  # it has handed its part over
    return world.on_rank0(lambda: look.saved)


def test_stopped_it_goes_on_on_any_number_whole_or_shared_out(on_ranks: OnRanks) -> None:
    values: dict[str, Any] = {"topology": "rigl", "select": "best"}
    begun_alone = stopped(SINGLE_PROCESS, 5, **values)

    def act(world: World) -> Any:
        begun = stopped(world, 5, **values)
        goes_on = {"resumed": begun, "taken over": begun_alone}
        found = {name: trained(world, resume=state, **values) for name, state in goes_on.items()}
        found["copied"] = trained(world, sharded=False, resume=begun, **values)
        return found | {"whole": trained(world, **values), "state": begun}

    first, second = on_ranks(2, act)
    alone = trained(SINGLE_PROCESS, **values)
    plain = stopped(SINGLE_PROCESS, 5, **values)
    assert type_tree(first["state"]) == type_tree(plain)
    for rank in (first, second):
        assert same_bits(rank["resumed"], rank["whole"])
        for name in ("resumed", "taken over", "copied"):
            alike(rank[name], alone)
    alike(trained(SINGLE_PROCESS, resume=first["state"], **values), alone)


def type_tree(value: Any) -> Any:
    """Names, types and shapes of nested values: what a file would hold."""
    if isinstance(value, dict):
        return {name: type_tree(part) for name, part in value.items()}
    if isinstance(value, list):
        return [type_tree(part) for part in value]
    return (type(value), value.shape, value.dtype, value.device) if isinstance(value, Tensor) else type(value)


@pytest.mark.slow
def test_fewer_bits_are_those_of_copies(on_ranks: OnRanks) -> None:
    cases: list[dict[str, Any]] = [
        {"precision": "bf16"},
        {"precision": "fp16", "clip_norm": 0.5},
        {"compression": "bf16"},
        {"compression": "fp16", "accumulate": 2},
    ]

    def act(world: World) -> Any:
        return [(trained(world, **values), trained(world, sharded=False, **values)) for values in cases]

    for rank in on_ranks(2, act):
        for shared, copied in rank:
            assert shared["curve"] == pytest.approx(copied["curve"], rel=0.02)
            assert shared["nonzero"] == 0
