from __future__ import annotations

import pytest

from rarefy.topology import TOPOLOGIES, HasDormantWeights, UpdateStep, update

FULL = [0.5, -3.0, 2.0, 1.0, -0.1, 0.2, 0.3, 0.4, 1.5, 0.0]


def test_the_used_weights_are_the_largest_of_all(layer) -> None:
    kept = layer(FULL, mask=[1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    mask = update(TOPOLOGIES.build("top_kast"), [kept], UpdateStep(100, None, 17))["fc.weight"]
    assert mask.int().tolist() == [0, 1, 1, 0, 0, 0, 0, 0, 0, 0]


def test_the_trained_weights_are_the_used_and_the_next_largest(layer) -> None:
    used = layer(FULL, mask=[0, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    backward = TOPOLOGIES.build("top_kast", backward=0.2).backward_masks([used])["fc.weight"]
    assert backward.int().tolist() == [0, 1, 1, 1, 0, 0, 0, 0, 1, 0]
    everything = TOPOLOGIES.build("top_kast", backward=0.99).backward_masks([used])["fc.weight"]
    assert everything.all()
    assert TOPOLOGIES.build("top_kast", backward=0).backward_masks([used])["fc.weight"].equal(used.mask)


def test_it_has_dormant_weights_and_needs_no_number_of_steps() -> None:
    top_kast = TOPOLOGIES.build("top_kast")
    assert isinstance(top_kast, HasDormantWeights)
    assert top_kast.is_due(100, None) and not top_kast.is_due(101, None)


@pytest.mark.parametrize("options", [{"backward": 1}, {"backward": -0.1}, {"interval": 0}])
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
        TOPOLOGIES.build("top_kast", **options)
