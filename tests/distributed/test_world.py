"""Collective operations over real ranks, against hand-written results."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rarefy.distributed import SINGLE_PROCESS, RanksDiffer, World, detect_world, join_process_group

OnRanks = Callable[[int, Callable[[World], Any]], list[Any]]


def everything(world: World) -> dict[str, Any]:
    def fail() -> None:
        raise FileNotFoundError(f"said by {world.rank}")

    error = ""
    try:
        world.on_rank0(fail)
    except FileNotFoundError as found:
        error = str(found)
    spread = torch.full((2,), float(world.rank))
    world.broadcast_([spread])
    part = torch.arange(world.rank * 2.0).view(world.rank, 2) if world.rank else torch.zeros(0, 0)
    same = ""
    try:
        world.require_same("The masks", ("ab" if world.rank == 1 else "cd") * 16)
    except RanksDiffer as found:
        same = str(found)
    world.require_same("The masks", "ef" * 16)
    return {
        "first": world.on_rank0(lambda: ("of", world.rank)),
        "error": error,
        "any": (world.any_rank(world.rank == 1), world.any_rank(False)),
        "total": world.all_reduce(torch.tensor([1.0, world.rank])).tolist(),
        "joined": world.all_gather(part).tolist(),
        "spread": spread.tolist(),
        "differ": same,
    }


def test_three_ranks_agree(on_ranks: OnRanks) -> None:
    found = on_ranks(3, everything)
    assert found[0] == found[1] == found[2]
    told = found[0]
    assert told["first"] == ("of", 0)
    assert told["error"] == "said by 0"
    assert told["any"] == (True, False)
    assert told["total"] == [3.0, 3.0]
    assert told["joined"] == [[0.0, 1.0], [0.0, 1.0], [2.0, 3.0]]  # nothing from 0, a row from 1, two from 2
    assert told["spread"] == [0.0, 0.0]
    assert told["differ"].startswith(f"The masks differ between ranks. ranks 0, 2: {'cd' * 16}; rank 1: {'ab' * 16}.")


@pytest.mark.parametrize(("count", "ranks"), [(0, 2), (1, 3), (7, 3), (8, 2)])
def test_shares_are_a_partition_in_order(count: int, ranks: int) -> None:
    shares = [World(rank, ranks).local_range(count) for rank in range(ranks)]
    assert [thing for share in shares for thing in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_environment_says_who_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert detect_world() == SINGLE_PROCESS
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert detect_world() == World(2, 4)


def test_alone_nothing_is_joined() -> None:
    with join_process_group(torch.device("cpu")) as world:
        assert world == SINGLE_PROCESS
        assert not torch.distributed.is_initialized()


def test_there_is_no_rank_beyond_the_last() -> None:
    with pytest.raises(ValueError, match="Among 2 processes there is no rank 2"):
        World(2, 2)


WITHOUT = """
import builtins
has = builtins.hasattr  # torch asks so whether it was built with what several processes need
built = ("_c10d_init", "_rpc_init", "_dist_autograd_init", "_faulty_agent_init")
builtins.hasattr = lambda thing, name: name not in built and has(thing, name)
import torch
assert not torch.distributed.is_available()
from rarefy.cli import main
main("train --data synthetic --model mlp_8 --epochs 1 --device cpu --engine masked --sparse --fix".split())
"""


def test_a_torch_without_distribution_trains_alone(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
