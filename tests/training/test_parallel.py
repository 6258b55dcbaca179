"""Two processes against one: the same steps, to the order in which sums are taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from rarefy.config import Training
from rarefy.data import Augment, Batches, Spec, Split
from rarefy.distributed import SINGLE_PROCESS, RanksDiffer, World
from rarefy.rng import Streams
from rarefy.sparsity import sparsify
from rarefy.topology import TOPOLOGIES
from rarefy.training import OPTIMIZERS, SCHEDULES, Event, Interrupted, Settings, State, sync_batch_norms, train

OnRanks = Callable[[int, Callable[[World], Any]], list[Any]]
SPEC = Spec("dots", classes=3, channels=1, height=4, width=4, mean=(0.5,), std=(0.25,))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + self.norm(self.conv(images)).relu()


def network(*, dropout: float = 0.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stem = (nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        blocks = nn.Sequential(Block(), Block())
        return nn.Sequential(*stem, blocks, nn.Dropout(dropout), nn.Flatten(), nn.Linear(96, 3))


def split() -> Split:
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(3, (49,), generator=generator)  # the last batch of 16 has one image: a rank gets none
    images = torch.randint(256, (49, 1, 4, 4), generator=generator) // 2 + labels.view(-1, 1, 1, 1) * 40
    return Split(images.to(torch.uint8), labels)


def trained(
    world: World,
    *,
    topology: str = "static",
    dropout: float = 0.0,
    dtype: torch.dtype = torch.float32,
    act: Any = None,
    **values: Any,
) -> Any:
    """A short training: its history, its weights and masks; `act` gets events and may ask to stop."""
    chosen = Training(**{"epochs": 3, "batch_size": 16, "lr": 0.02, **values})
    options = {"interval": 3} if topology != "static" else {}
    model = network(dropout=dropout).to(dtype)
    model.register_forward_pre_hook(lambda module, inputs: (inputs[0].to(dtype),))
    model = sync_batch_norms(model, world) if chosen.sync_norms else model
    sparsity = sparsify(model, density=0.4, topology=TOPOLOGIES.build(topology, **options))
    batches = Batches(
        split(), SPEC, 16, streams=Streams(17), augment=Augment(flip=True), rank=world.rank, ranks=world.ranks
    )
    settings = Settings(chosen, OPTIMIZERS.build("sgd"), SCHEDULES.build("step"))
    callbacks, stop, resume = act or ((), lambda: False, None)
    state = train(
        model, sparsity, batches, settings, seed=17, world=world, callbacks=callbacks, should_stop=stop, resume=resume
    )
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return {"history": state.history, "weights": weights, "masks": sparsity.masks.checksum()}


def curve(run: Any) -> list[float]:
    return [row["train_loss"] for row in run["history"]]


def same_bits(first: Any, second: Any) -> bool:
    return all(torch.equal(first["weights"][name], second["weights"][name]) for name in first["weights"])


def test_in_float64_they_differ_by_rounding_alone(on_ranks: OnRanks) -> None:
    """In float32 three epochs of flipping ReLUs make 1e-4 of a rounding error; here there is nothing to make it of."""
    alone = trained(SINGLE_PROCESS, sync_norms=True, dtype=torch.float64)
    for rank in on_ranks(3, lambda world: trained(world, sync_norms=True, dtype=torch.float64)):
        assert curve(rank) == pytest.approx(curve(alone), rel=1e-12)
        for name, weight in alone["weights"].items():
            torch.testing.assert_close(rank["weights"][name], weight, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("values", [{}, {"topology": "set"}, {"accumulate": 1, "clip_norm": 0.5}], ids=str)
@pytest.mark.parametrize("ranks", [2, 3])
def test_with_synced_norms_ranks_train_what_one_process_trains(
    on_ranks: OnRanks, values: dict[str, Any], ranks: int
) -> None:
    alone = trained(SINGLE_PROCESS, **values)
    found = on_ranks(ranks, lambda world: trained(world, sync_norms=True, **values))
    for rank in found:
        assert curve(rank) == pytest.approx(curve(alone), rel=1e-4)
        assert [row["train_accuracy"] for row in rank["history"]] == pytest.approx(
            [row["train_accuracy"] for row in alone["history"]], abs=0.03
        )
        assert rank["masks"] == alone["masks"]
        assert same_bits(rank, found[0])
        for name, value in alone["weights"].items():
            torch.testing.assert_close(rank["weights"][name], value, rtol=2e-3, atol=2e-3)


def test_without_them_each_rank_normalises_by_its_own_images(on_ranks: OnRanks) -> None:
    first, second = on_ranks(2, trained)
    assert same_bits(first, second)  # what norms remember is the first rank's, in the end on all
    assert all(torch.isfinite(value).all() for value in first["weights"].values())
    assert curve(first) == curve(second) != pytest.approx(curve(trained(SINGLE_PROCESS)), rel=1e-4)


def test_accumulated_passes_make_the_step_of_the_whole_batch(on_ranks: OnRanks) -> None:
    def plain(world: World) -> Any:  # no norms: they see the passes one by one
        return without_norms(world, accumulate=1), without_norms(world, accumulate=3)

    whole, passes = plain(SINGLE_PROCESS)
    assert curve(passes) == pytest.approx(curve(whole), rel=1e-5)
    for _, rank in on_ranks(2, plain):
        assert curve(rank) == pytest.approx(curve(whole), rel=1e-5)


def without_norms(world: World, **values: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "network", lambda dropout: seeded(nn.Sequential(nn.Flatten(), nn.Linear(16, 3))))
        return trained(world, **values)


def seeded(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.1, generator=generator)
    return model


def stopping(world: World, after: int, resume: Any = None, **values: Any) -> Any:
    """Stops after some steps because the last rank says so; the state that the first one would save."""
    saved: list[Any] = []
    steps: list[int] = []

    def note(event: Event, state: State) -> None:
        steps.extend([state.step] if event is Event.STEP else [])
        saved.extend([state.state_dict()] if event is Event.STOP else [])

    asks = world.rank == world.ranks - 1
    try:
        trained(world, act=([note], lambda: asks and len(steps) >= after, resume), **values)
    except Interrupted:
        return len(steps), world.on_rank0(lambda: saved[0])
    return len(steps), None


@pytest.mark.parametrize("values", [{"sync_norms": True}, {"dropout": 0.5}, {"topology": "rigl"}], ids=str)
def test_stopped_by_one_rank_all_stop_and_go_on_to_the_same_bits(on_ranks: OnRanks, values: dict[str, Any]) -> None:
    def both(world: World) -> Any:
        whole = trained(world, **values)
        steps, state = stopping(world, 5, **values)
        return steps, whole, trained(world, act=((), lambda: False, state), **values)

    for steps, whole, resumed in on_ranks(2, both):
        assert steps == 5
        assert same_bits(whole, resumed)
        assert curve(whole) == curve(resumed)
        assert whole["masks"] == resumed["masks"]


def test_what_two_began_one_finishes(on_ranks: OnRanks) -> None:
    (_, state), _ = on_ranks(2, lambda world: stopping(world, 5, sync_norms=True))
    rest = trained(SINGLE_PROCESS, act=((), lambda: False, state), sync_norms=True)
    assert curve(rest) == pytest.approx(curve(trained(SINGLE_PROCESS)), rel=1e-4)


def test_masks_that_moved_apart_stop_all_ranks_and_are_named(on_ranks: OnRanks) -> None:
    def act(world: World) -> Any:
        def tamper(event: Event, state: State) -> None:
            if event is Event.STEP and state.step == 2 and world.rank == 1:
                name, mask = next(iter(state.sparsity.masks.items()))
                state.sparsity.masks.replace(name, mask.flip(0))

        return trained(world, topology="set", act=([tamper], lambda: False, None))

    for error in on_ranks(3, act):
        assert isinstance(error, RanksDiffer)
        assert "ranks 0, 2: " in str(error)
        assert "; rank 1: " in str(error)


def test_compressed_gradients_are_those_of_fewer_bits(on_ranks: OnRanks) -> None:
    def both(world: World) -> Any:
        return trained(world, sync_norms=True), trained(world, sync_norms=True, compression="bf16")

    for whole, compressed in on_ranks(2, both):
        assert curve(compressed) == pytest.approx(curve(whole), rel=0.02)
        assert not same_bits(whole, compressed)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2), (4, 3, 2, 5)])
def test_a_synced_norm_is_torchs_over_all_images(on_ranks: OnRanks, shape: tuple[int, ...]) -> None:
    images = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 3 + 5
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(2))

    def act(world: World) -> Any:
        kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
        norm = sync_batch_norms(kind(3), world)
        own = images[: 1 + world.rank] if world.ranks > 1 and not world.rank else images[world.ranks > 1 :]
        part = own.clone().requires_grad_()
        out = norm(part)
        (out * (weights[: len(own)] if len(own) == 1 else weights[-len(own) :])).sum().backward()
        sums = [world.all_reduce(parameter.grad) for parameter in norm.parameters()]
        return [world.all_gather(out.detach()), world.all_gather(part.grad), *sums, norm.running_mean, norm.running_var]

    for rank in on_ranks(2, act):
        for ours, theirs in zip(rank, act(SINGLE_PROCESS), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_recomputing_changes_no_bit_and_computes_blocks_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def counted(self: Block, images: torch.Tensor) -> torch.Tensor:
        calls.append(self.training)
        return images + self.norm(self.conv(images)).relu()

    monkeypatch.setattr(Block, "forward", counted)
    plain = trained(SINGLE_PROCESS, topology="set", dropout=0.3)
    once = len(calls)
    again = trained(SINGLE_PROCESS, topology="set", dropout=0.3, recompute=True)
    assert len(calls) == 3 * once
    assert same_bits(plain, again)
    assert curve(plain) == curve(again)
