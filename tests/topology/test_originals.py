"""Updates number by number against the authors' released code, which was run on these layers; here are its results.

Fractions are chosen so that no rounding differs: the code of ITOP, SNFS, GraNet and of Liu et al. rounds up.
"""

from __future__ import annotations

import pytest

from rarefy.topology import REDISTRIBUTIONS, TOPOLOGIES, UpdateStep, update

STEADY = {"schedule": "constant", "stop": 1}
UPDATE_STEP = UpdateStep(100, None, 17)
WEIGHT = [[0.05, 0.9, -0.4, 0, 0, 0], [-0.1, 0, 0.6, 0, 0.3, 0]]
GRADIENT = [[0.8, 0.1, 0.2, -0.7, 0.05, 0.3], [-0.6, 0.5, 0.9, 0.02, 0.4, -0.04]]
REGROWN = [[1, 1, 1, 1, 0, 0], [1, 0, 1, 0, 0, 0]]  # 0.05 and -0.1 are dropped and come back, for 0.3 comes another


def next_mask(kept, name: str, update_step: UpdateStep = UPDATE_STEP, **options) -> list[list[int]]:
    return update(TOPOLOGIES.build(name, **options), [kept], update_step)["fc.weight"].int().tolist()


@pytest.mark.parametrize("name", ["rigl", "itop"])
def test_rigl(layer, name: str) -> None:
    """nollied/rigl-torch, its copy in calgaryml/condensed-sparsity, and ITOP's growth by gradient agree."""
    grow = {"grow": "gradient"} if name == "itop" else {}
    kept = layer(WEIGHT, gradient=GRADIENT)
    assert next_mask(kept, name, fraction=0.5, regrow=True, **STEADY, **grow) == REGROWN
    without = next_mask(kept, name, fraction=0.5, **STEADY, **grow)
    assert without == [[0, 1, 1, 1, 0, 1], [0, 1, 1, 0, 0, 0]], "by default what is dropped stays away"


def test_rigl_also_drops_where_there_is_no_room_to_grow_elsewhere(layer) -> None:
    kept = layer([[0.1, -0.5, 0.3, -0.2]], gradient=[[1.0, 2.0, 3.0, 4.0]])
    assert next_mask(kept, "rigl", fraction=0.5, regrow=True, **STEADY) == [[1, 1, 1, 1]]


def test_granet(layer) -> None:
    """Prunes 10 weights to 6, drops 3 and grows the 3 of largest gradient, -0.1 that it has just pruned among them."""
    kept = layer(
        [[0.9, -0.1, 0.6, 0.35], [0.2, -0.75, 0, 0.5], [-0.3, 0.8, 0, -0.45]],
        gradient=[[0.1, 0.95, 0.3, 0.2], [0.6, 0.4, 0.7, 0.05], [0.25, 0.15, 0.9, 0.5]],
        initial=10,
        final=5,  # half way: 5 + 5 / 8, rounded 6
    )
    options = {"interval": 100, "prune_stop": 1, "schedule": "constant", "fraction": 0.5}
    found = next_mask(kept, "granet", UpdateStep(500, 1000, 17), regrow=True, **options)
    assert found == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]]
    found = next_mask(kept, "granet", UpdateStep(500, 1000, 17), **options)
    assert found == [[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0]], "by default only the two that were pruned before grow"


@pytest.mark.parametrize(
    ("gradient_weight", "stay"),
    [
        (0.1, [[1, 1, 1, 0, 0, 0], [0, 0, 1, 0, 1, 0], [0, 1, 1, 0, 0, 0]]),
        (0.01, [[0, 1, 1, 0, 0, 0], [1, 0, 1, 0, 1, 0], [0, 1, 1, 0, 0, 0]]),
        (0.0, [[0, 1, 1, 0, 0, 0], [1, 0, 1, 0, 1, 0], [0, 1, 1, 0, 0, 0]]),
    ],
)
def test_mest(layer, gradient_weight: float, stay: list[list[int]]) -> None:
    """Which of 10 kept weights stay when 7 do; what grows is random there, too."""
    weight = [*WEIGHT, [0.07, 0.08, -0.5, 0.06, 0, 0]]
    kept = layer(weight, gradient=[[2.0, 0.1, 0.2, 0, 0, 0], [-0.1, 0, 0.9, 0, 0.4, 0], [0.1, -1.0, 0.3, 0.9, 0, 0]])
    mest = TOPOLOGIES.build("mest", gradient_weight=gradient_weight, fraction=0.3, **STEADY)
    mask = update(mest, [kept], UPDATE_STEP)["fc.weight"]
    assert (mask & kept.mask).int().tolist() == stay and int(mask.sum()) == 10


@pytest.mark.parametrize(("momentum", "expected"), [(3.0, 0.1), (0.5, 0.5)])
def test_snfs_drops_less_where_a_layer_is_nearly_full_and_takes_more_than_the_mean(
    layer, momentum: float, expected: float
) -> None:
    layers = [
        layer([0.1 * i for i in range(1, 10)] + [0.0], momentum=[momentum] * 10, name="full"),
        layer([0.4, 0.3, 0.2, 0.1, 0, 0, 0, 0], momentum=[1.0] * 8, name="b"),
        layer([0.5, 0.6, 0.7, 0.8, 0, 0, 0, 0], momentum=[1.0] * 8, name="c"),
    ]
    fractions = REDISTRIBUTIONS.build("momentum").fractions(layers, 0.5)
    assert fractions == pytest.approx({"full": expected, "b": 0.5, "c": 0.5})


def test_snfs_counts_a_layer_with_a_fifth_pruned_as_not_full(layer) -> None:
    layers = [layer([1.0] * 8 + [0.0] * 2, momentum=[3.0] * 10, name="a"), layer([1.0, 0.0], momentum=[1.0] * 2)]
    assert REDISTRIBUTIONS.build("momentum").fractions(layers, 0.5)["a"] == 0.5


def test_snfs_exchanges_in_a_nearly_full_layer_no_more_than_it_has_pruned(layer) -> None:
    full = layer([0.01 * i for i in range(1, 91)] + [0.0] * 10, momentum=[2.0] * 100, name="full")
    sparse = layer([1.0] * 10 + [0.0] * 90, momentum=[1.0] * 100, name="sparse")
    masks = update(TOPOLOGIES.build("snfs", fraction=0.5, **STEADY), [full, sparse], UPDATE_STEP)
    assert not masks["full"][:9].any() and masks["full"][9:90].all(), "10% of 90, instead of half"


# SRigL, calgaryml/condensed-sparsity, with use_sparse_const_fan_in_for_ablation (gamma of the sparse fan-in, as in the
# paper). In 2,571 random updates whose counts divide, it and `srigl` agree in 2,514; in the other 57 ablation leaves
# fewer kept weights than its code means to keep, and it fills up with any pruned ones instead of by gradient.
SMALL = [[5.0, 4, 0, 0], [3, 2, 0, 0], [0.1, 0.2, 0, 0]], [[0, 0, 9.0, 8], [0, 0, 0, 1], [7, 7, 0, 0]]
GONE = [[5.0, 4, 3.5, 0], [3, 2, 1, 0], [0, 0, 0, 0]], [[0.1, 0.2, 0.3, 0.4], [0.3, 0.2, 0.1, 0.5], [9.0, 8, 1, 2]]
LARGE = (
    [[-0.71, 0, 0, 0.35, 0, -0.28], [0, 0.63, -0.52, 0, 0.09, 0], [0.04, 0, 0.05, 0, 0, -0.02],
     [0, -0.88, 0, 0.47, -0.41, 0]],
    [[0.30, -0.92, 0.15, 0.44, 0.61, -0.08], [0.77, 0.12, -0.36, -0.85, 0.20, 0.05],
     [0.03, 0.07, -0.02, 0.06, -0.01, 0.04], [-0.58, 0.33, 0.99, -0.25, 0.10, 0.69]],
)  # fmt: skip


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (SMALL, {"gamma": 0.3}, [[1, 1, 1, 0], [1, 1, 0, 1], [0, 0, 0, 0]]),
        (SMALL, {"gamma": 0}, [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]),  # what the last neuron dropped comes back
        (GONE, {"gamma": 0.3}, [[1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 0]]),  # an ablated neuron comes back
        (LARGE, {"gamma": 0.3}, [[1, 1, 0, 1, 0, 1], [1, 1, 1, 1, 0, 0], [0] * 6, [0, 1, 1, 1, 1, 0]]),
    ],
    ids=["ablates", "without ablation", "comes back", "larger"],
)
def test_srigl(layer, values, options, expected: list[list[int]]) -> None:
    weight, gradient = values
    assert next_mask(layer(weight, gradient=gradient), "srigl", fraction=0.34, **STEADY, **options) == expected


def test_srigl_ablates_none_if_too_few_neurons_would_be_left(layer) -> None:
    """Salient are 4, 1 and 1 of the 1.98 that are needed; the largest could not hold the layer's 6 weights."""
    kept = layer([[9.0, 8, 7, 6], [1, 0, 0, 0], [1.1, 0, 0, 0]], gradient=[[0.4, 0.3, 0.2, 0.1]] * 3)
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert next_mask(kept, "srigl", fraction=0.1, gamma=0.99, **STEADY) == expected
