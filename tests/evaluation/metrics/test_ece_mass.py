"""ECE over bins of equal counts: `ece` with that mode, which is tested against a loop there."""

from __future__ import annotations

import pytest

from rarefy.evaluation import METRICS
from rarefy.evaluation.metrics.ece import Ece
from rarefy.evaluation.metrics.ece_mass import EceMass


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_it_is_ece_with_bins_of_equal_counts(predictions, bins):
    assert EceMass(bins)(predictions) == Ece(bins, mode="mass")(predictions) != 0
    assert METRICS.build("ece_mass") == EceMass(15)
