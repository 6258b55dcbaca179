"""Two processes of DistributedDataParallel over gloo: one mask everywhere, and not a word about it between them."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from rarefy.sparsity import Sparsity, sparsify
from rarefy.topology import TOPOLOGIES

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo"
)

RANKS, UPDATES, INTERVAL = 2, 50, 1
Seen = dict[str, Any]


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 16), nn.ReLU(), nn.Linear(16, 4)
    )


def batch(rank: int, step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 * rank + step)
    return torch.randn(8, 1, 4, 4, generator=generator), torch.randint(4, (8,), generator=generator)


def collectives() -> int:
    """How many collectives of any kind this process has taken part in, DDP's own included; counted by gloo."""
    return int(dist.distributed_c10d._get_default_group()._get_sequence_number_for_group())


def is_exact(sparsity: Sparsity, counts: dict[str, int]) -> bool:
    pruned = [weight.detach()[~sparsity.masks[name]] for name, weight in sparsity.weights().items()]
    return sparsity.masks.counts() == counts and not any(bool(values.any()) for values in pruned)


def train(rank: int, topology: str | None, *, wrap_first: bool) -> Seen:
    """Trains on this rank's data, dense where there is no topology, and tells what it saw."""
    torch.manual_seed(rank)  # ranks start with different weights: DDP makes them equal
    model = network()
    if wrap_first:
        model = DistributedDataParallel(model)
    if topology is not None:
        method = TOPOLOGIES.build(topology, interval=INTERVAL)
        sparsity = sparsify(model, density=0.2, topology=method, seed=17)
        start, counts = sparsity.masks.checksum(), sparsity.masks.counts()
    ddp = model if wrap_first else DistributedDataParallel(model)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.05, momentum=0.9)
    if topology is not None:
        sparsity.attach(optimizer, steps=10 * UPDATES * INTERVAL)
    before, exact = collectives(), True
    checksums = {start} if topology is not None else set()
    for step in range(UPDATES * INTERVAL):
        images, labels = batch(rank, step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(ddp(images), labels).backward()
        optimizer.step()
        if topology is not None:
            exact &= is_exact(sparsity, counts)
            checksums.add(sparsity.masks.checksum())
    seen: Seen = {"collectives": collectives() - before, "weights": [p.detach().sum().item() for p in ddp.parameters()]}
    if topology is not None:
        seen |= {"start": start, "end": sparsity.masks.checksum(), "masks": len(checksums), "exact": exact}
        seen |= {"kept": sparsity.kept, "total": sparsity.total}
    return seen


def work(rank: int, folder: str) -> None:
    """One process: the same training dense, with SET (masked before DDP) and with RigL (masked after)."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS)
    seen = {
        "dense": train(rank, None, wrap_first=False),
        "set": train(rank, "set", wrap_first=False),
        "rigl": train(rank, "rigl", wrap_first=True),
    }
    gc.collect()  # DDP's reducers go before the group they talk through
    dist.barrier()  # and no rank leaves while another still talks
    dist.destroy_process_group()
    (Path(folder) / f"{rank}.json").write_text(json.dumps(seen))
    os._exit(
        0
    )  # all is said and written: gloo's threads can outlive the interpreter's end, and abort the process there


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Seen]]:
    folder = tmp_path_factory.mktemp("ddp")
    multiprocessing.spawn(work, args=(str(folder),), nprocs=RANKS)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(RANKS)]


@pytest.fixture(params=["set", "rigl"])
def ranks(request: pytest.FixtureRequest, runs: list[dict[str, Seen]]) -> list[Seen]:
    return [run[request.param] for run in runs]


def test_masks_are_the_same_on_all_ranks_after_50_updates(ranks: list[Seen]) -> None:
    first, second = ranks
    assert not torch.equal(batch(0, 0)[0], batch(1, 0)[0])  # ranks did see different data
    assert first["start"] == second["start"] != first["end"] == second["end"]
    assert first["masks"] == UPDATES + 1  # every one of the updates moved something
    assert first["weights"] == second["weights"]


def test_nobody_sent_a_mask(runs: list[dict[str, Seen]], ranks: list[Seen]) -> None:
    assert [rank["collectives"] for rank in ranks] == [run["dense"]["collectives"] for run in runs]


def test_counts_were_exact_and_pruned_weights_zero_after_every_step_on_every_rank(ranks: list[Seen]) -> None:
    for rank in ranks:
        assert rank["exact"]
        assert rank["kept"] == round(0.2 * rank["total"])


def test_sparsify_before_and_after_wrapping_in_ddp_gives_the_same_masks(runs: list[dict[str, Seen]]) -> None:
    unwrapped = sparsify(network(), density=0.2, seed=17).masks.checksum()
    assert {run[topology]["start"] for run in runs for topology in ("set", "rigl")} == {unwrapped}
