"""``fully_shard`` in somebody's own loop: before or after sparsify, against the same loop on one process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rarefy
from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.topology import TOPOLOGIES

OnRanks = Callable[[int, Callable[[World], Any]], list[Any]]
IMAGES = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))


def network() -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 1, generator=generator)
    return model


def shared_out(model: nn.Module, world: World) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if world.ranks > 1:
        mesh = init_device_mesh("cpu", (world.ranks,))
        fully_shard(model[0], mesh=mesh)  # type: ignore[index]
        fully_shard(model, mesh=mesh)
    return model


def full(value: Tensor) -> Tensor:
    return value.full_tensor() if hasattr(value, "full_tensor") else value.detach()


def in_a_loop(world: World, *, first: str, folder: Path, topology: str = "rigl") -> dict[str, Any]:
    model = network()
    moves = TOPOLOGIES.build(topology, interval=2)
    if first == "shard":
        shared_out(model, world)
    sparsity = rarefy.sparsify(model, density=0.4, topology=moves, scaled=True)
    if first == "sparsify":
        shared_out(model, world)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    sparsity.attach(optimizer, steps=10)
    own = IMAGES.tensor_split(world.ranks)[world.rank]
    for _ in range(5):
        optimizer.zero_grad()
        model(own).square().mean().backward()
        sparsity.mask_gradients_()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        model(own)  # the outermost weights stay gathered
    path = folder / f"{first}-{world.ranks}.safetensors"
    size = rarefy.save(model, sparsity, path)
    again = shared_out(network(), world)
    loaded = rarefy.load(again, path)
    weights = {name: full(value) for name, value in model.state_dict().items()}
    same = all(torch.equal(full(value), weights[name]) for name, value in again.state_dict().items())
    taken = rarefy.sparsify(again, from_weights=True)
    counts = {name: int(weights[name].count_nonzero()) for name in sparsity.masks}
    return {
        "weights": weights,
        "masks": sparsity.masks.checksum(),
        "counts": counts == sparsity.masks.counts() == taken.masks.counts(),
        "loaded": same and loaded.masks == sparsity.masks,
        "bytes": (size.file_bytes, size.dense_bytes),
        "file": path.read_bytes() if world.is_rank0 else b"",
    }


def refused(model: nn.Module) -> str:
    try:
        rarefy.sparsify(model, density=0.5, allocation="snip", sample=(IMAGES, torch.zeros(6, dtype=torch.int64)))
    except ValueError as error:
        return str(error)
    return ""


def test_in_either_order_it_is_the_loop_of_one_process(on_ranks: OnRanks, tmp_path: Path) -> None:
    pytest.importorskip("torch.distributed.fsdp")

    def act(world: World) -> Any:
        orders = [in_a_loop(world, first=first, folder=tmp_path) for first in ("sparsify", "shard")]
        return *orders, refused(shared_out(network(), world))

    alone = in_a_loop(SINGLE_PROCESS, first="sparsify", folder=tmp_path)
    ranks = on_ranks(2, act)
    for *orders, words in ranks:
        assert "Call sparsify before fully_shard" in words
        for found in orders:
            assert found["masks"] == alone["masks"]
            assert found["counts"] is found["loaded"] is True
            for name, value in alone["weights"].items():
                torch.testing.assert_close(found["weights"][name], value, rtol=1e-4, atol=1e-4)
    sizes = [found["bytes"] for *orders, _ in ranks for found in orders]
    assert sizes == [(len(ranks[0][0]["file"]), alone["bytes"][1])] * 4
