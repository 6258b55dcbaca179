from __future__ import annotations

from rarefy.topology import TOPOLOGIES, UpdateStep, update

OPTIONS = {"fraction": 0.5, "schedule": "constant", "stop": 1}


def test_by_hand(layer) -> None:
    layers = [
        layer([4.0, 3.0, 2.0, 1.0, 0, 0, 0, 0], momentum=[3.0, -3.0, 3.0, -3.0, 0.1, -0.4, 0.2, 0.3], name="a"),
        layer([1.0, 2.0, 3.0, 4.0, 0, 0, 0, 0], momentum=[1.0, 1.0, -1.0, -1.0, 0.1, 0.2, -0.9, 0.3], name="b"),
    ]
    masks = update(TOPOLOGIES.build("snfs", **OPTIONS), layers, UpdateStep(100, None, 17))
    # each drops 2; momentum 3 : 1 shares out the 4: three grow in a, one in b
    assert masks["a"].int().tolist() == [1, 1, 0, 0, 0, 1, 1, 1]
    assert masks["b"].int().tolist() == [0, 0, 1, 1, 0, 0, 1, 0]


def test_a_dense_layer_can_give_weights_away(layer) -> None:
    layers = [
        layer([4.0, 3.0, 2.0, 1.0], momentum=[0.01] * 4, name="dense"),
        layer([1.0, 1.0, 0, 0, 0, 0, 0, 0], momentum=[1.0] * 8, name="sparse"),
    ]
    masks = update(TOPOLOGIES.build("snfs", **OPTIONS), layers, UpdateStep(100, None, 17))
    assert masks["dense"].int().tolist() == [1, 1, 0, 0]
    assert masks["sparse"].int().tolist() == [0, 1, 1, 1, 1, 0, 0, 0]


def test_what_a_dense_layer_takes_back_is_what_it_dropped(layer) -> None:
    dense = layer([4.0, 3.0, 2.0, 1.0], momentum=[1.0] * 4)
    masks = update(TOPOLOGIES.build("snfs", **OPTIONS), [dense], UpdateStep(100, None, 17))
    assert masks["fc.weight"].all()


def test_without_redistribution_layers_keep_their_counts() -> None:
    assert TOPOLOGIES.build("snfs").scope == "network"
    assert TOPOLOGIES.build("snfs", redistribute="none").scope == "layer"
    assert TOPOLOGIES.build("snfs", redistribute="magnitude").needs == {"momentum"}
