"""The factors against table 3 of Yang et al. (2022), written out for a network four times as wide."""

from __future__ import annotations

import pytest

from rarefy.errors import UnknownOption
from rarefy.scaling import SCALINGS, Factors, LayerRatio

M = 4.0
INPUT, HIDDEN, OUTPUT = LayerRatio(outputs=M), LayerRatio(inputs=M, outputs=M), LayerRatio(inputs=M)
# variance (relative to that of the base network), rate of SGD, rate of Adam
TABLE = {"input": (INPUT, 1, M, 1), "hidden": (HIDDEN, 1 / M, 1, 1 / M), "output": (OUTPUT, 1 / M**2, 1 / M, 1 / M)}


@pytest.mark.parametrize(("ratio", "variance", "sgd", "adam"), TABLE.values(), ids=TABLE)
def test_factors_are_those_of_the_table(ratio, variance, sgd, adam) -> None:
    constant, fan_in = (SCALINGS.build("mup", initialiser=name) for name in ("constant", "fan_in"))
    assert constant(ratio, "sgd").initial ** 2 == pytest.approx(variance)
    assert fan_in(ratio, "sgd").initial ** 2 / ratio.inputs == pytest.approx(variance)
    assert (fan_in(ratio, "sgd").rate, fan_in(ratio, "adam").rate) == pytest.approx((sgd, adam))


@pytest.mark.parametrize("ratio", [INPUT, HIDDEN, OUTPUT], ids=TABLE)
def test_density_is_not_looked_at(ratio) -> None:
    rule = SCALINGS.build("mup")
    sparse = LayerRatio(0.01, ratio.inputs, ratio.outputs)
    assert rule(sparse, "adam") == rule(ratio, "adam")
    assert rule(LayerRatio(0.01), "sgd") == Factors()


def test_decay_and_eps_are_those_of_complete_p() -> None:
    """Dey et al. (2025), table 1: hidden decay times m, eps of hidden layers over m."""
    factors = SCALINGS.build("mup")(HIDDEN, "adam")
    assert (factors.decay, factors.eps) == (M, 1 / M)


def test_an_option_that_cannot_be_is_refused() -> None:
    for option, value in (("base_width", 0), ("initialiser", "kaiming"), ("decay", "never")):
        with pytest.raises(UnknownOption):
            SCALINGS.build("mup", **{option: value})
