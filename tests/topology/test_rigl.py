from __future__ import annotations

import pytest
import torch

from rarefy.topology import TOPOLOGIES, UpdateStep, update

WEIGHT = [0.1, -0.5, 0.3, -0.2, 0.0, 0.0, 0.0, 0.0]
GRADIENT = [9.0, 9.0, 9.0, 9.0, 1.0, -4.0, 2.0, 4.0]


def next_mask(kept, step: int = 100, steps: int | None = None, **options) -> list[int]:
    return update(TOPOLOGIES.build("rigl", **options), [kept], UpdateStep(step, steps, 17))["fc.weight"].int().tolist()


def test_by_hand(layer) -> None:
    kept = layer(WEIGHT, gradient=GRADIENT)
    # drops 0.1 and -0.2, although their gradients are the largest; grows |-4| and |4|
    assert next_mask(kept, fraction=0.5, schedule="constant", stop=1) == [0, 1, 1, 0, 0, 1, 0, 1]


def test_the_papers_cosine_decides_how_many(layer) -> None:
    kept = layer(WEIGHT, gradient=GRADIENT)
    # 0.9 / 2 * (1 + cos(pi * t / 750)) * 4: t = 0 -> 3.6, 250 -> 2.7, 375 -> 1.8, 500 -> 0.9
    dropped = [4 - sum(next_mask(kept, step, 1000, fraction=0.9)[:4]) for step in (0, 250, 375, 500)]
    assert dropped == [3, 2, 1, 0]


def test_defaults_are_the_papers() -> None:
    rigl = TOPOLOGIES.build("RigL")
    assert (rigl.fraction, rigl.interval, rigl.schedule, rigl.stop) == (0.3, 100, "cosine", 0.75)
    assert rigl.needs == {"gradient"} and rigl.scope == "layer" and rigl.initial_density(0.1) == 0.1


def test_it_drops_no_more_than_there_is_to_grow(layer) -> None:
    kept = layer([0.4, 0.3, 0.2, 0.1, 0.0], gradient=[9.0, 9.0, 8.0, 9.0, 0.0])
    assert next_mask(kept, fraction=0.5, schedule="constant", stop=1) == [1, 1, 1, 0, 1]


def test_a_dense_layer_stays_dense(layer) -> None:
    assert next_mask(layer([1.0, 2.0], gradient=[1.0, 1.0]), fraction=0.5, schedule="constant", stop=1) == [1, 1]


def test_a_single_weight_stays(layer) -> None:
    kept = layer([0.1, 0.0], gradient=[0.0, 9.0])
    assert next_mask(kept, fraction=0.9, schedule="constant", stop=1) == [1, 0]


def test_half_precision_and_channels_last(layer) -> None:
    weight = torch.tensor(WEIGHT, dtype=torch.bfloat16).view(2, 1, 2, 2).to(memory_format=torch.channels_last)
    gradient = torch.tensor(GRADIENT, dtype=torch.bfloat16).view(2, 1, 2, 2)
    rigl = TOPOLOGIES.build("rigl", fraction=0.5, schedule="constant", stop=1)
    mask = update(rigl, [layer(weight, gradient=gradient)], UpdateStep(100, None, 17))["fc.weight"]
    assert mask.flatten().int().tolist() == [0, 1, 1, 0, 0, 1, 0, 1]


@pytest.mark.gpu
def test_the_same_on_a_gpu(random_layer) -> None:
    rigl = TOPOLOGIES.build("rigl")
    here = random_layer((64, 32, 3, 3), 2000, 1, ties=True)
    tensors = {field: getattr(here, field).cuda() for field in ("weight", "mask", "gradient", "momentum", "explored")}
    there = type(here)(here.name, initial=here.initial, final=here.final, **tensors)
    masks = [update(rigl, [kept], UpdateStep(100, 1000, 17))[here.name].cpu() for kept in (here, there)]
    assert torch.equal(*masks)
