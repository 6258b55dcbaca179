"""Tensors shared out over processes, against plain ones divided by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rarefy.distributed import World
from rarefy.masks import Masks
from rarefy.shards import (
    gather_tree,
    is_sharded,
    layout_key,
    mask_device,
    shard_like,
    shard_tree_like,
    to_full,
    to_local,
)

OnRanks = Callable[[int, Callable[[World], Any]], list[Any]]
VALUES = torch.arange(15.0).view(5, 3)


def test_each_process_holds_its_rows_and_all_together_the_whole(on_ranks: OnRanks) -> None:
    pytest.importorskip("torch.distributed.tensor")

    def act(world: World) -> dict[str, Any]:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.tensor import Shard, distribute_tensor

        like = distribute_tensor(torch.ones(5, 3), init_device_mesh("cpu", (2,)), [Shard(0)], src_data_rank=None)
        part = shard_like(VALUES, like)
        masks = Masks({"fc.weight": VALUES % 2 == 0})
        masks.apply_({"fc.weight": VALUES.clone()})
        masks.apply_({"fc.weight": part})
        tree = {"state": [part, "word"], "whole": VALUES}
        spread_out = shard_tree_like({"a": VALUES, "b": VALUES, "c": 3}, {"a": like, "b": VALUES, "c": like})
        return {
            "rows": to_local(part).tolist(),
            "bytes": to_local(part).untyped_storage().nbytes(),
            "again": shard_like(part, like) is part,
            "whole": to_full(part).tolist(),
            "collected": gather_tree(tree, keep=world.is_rank0),
            "home": mask_device(part).type,
            "layouts": layout_key(part) == layout_key(like) != layout_key(VALUES),
            "spread": [is_sharded(value) for value in spread_out.values()],
            "beside": [p.shape for p in masks._kept["fc.weight"].values() if p is not None],
        }

    kept = torch.where(VALUES % 2 == 0, VALUES, 0)
    first, second = on_ranks(2, act)
    assert (first["rows"], second["rows"]) == (kept[:3].tolist(), kept[3:].tolist())
    assert (first["bytes"], second["bytes"]) == (3 * 3 * 4, 2 * 3 * 4)
    assert [first["beside"], second["beside"]] == [[(3, 3)], [(2, 3)]]  # the whole one is gone
    for rank in (first, second):
        assert rank["whole"] == kept.tolist()
        assert rank["again"] is rank["layouts"] is True
        assert rank["home"] == "cpu"
        assert rank["spread"] == [True, False, False]
        assert torch.equal(rank["collected"]["whole"], VALUES)
    assert first["collected"]["state"][0].tolist() == kept.tolist()
    assert first["collected"]["state"][1] == "word"
    assert second["collected"]["state"] == [None, "word"]
