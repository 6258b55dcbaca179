from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from rarefy.evaluation.ood import ROC_FPR, compute_roc, measure_detection

few = st.lists(st.integers(-5, 5), min_size=1, max_size=50).map(lambda xs: torch.tensor(xs, dtype=torch.float64))


def test_by_hand() -> None:
    # Pairs: 3 > 1, 3 > 2, 2 > 1, 2 = 2.
    found = measure_detection(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 2.0]))
    assert found["auroc"] == 3.5 / 4
    assert found["fpr95"] == 0.5  # both of ours are reached at 2, and so is one of theirs
    assert found["aupr_in"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found["aupr_out"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_sign_and_the_ends() -> None:
    low, high = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0])
    assert measure_detection(high, low) == {"auroc": 1, "aupr_in": 1, "aupr_out": 1, "fpr95": 0}
    assert measure_detection(low, high)["auroc"] == 0 and measure_detection(low, high)["fpr95"] == 1
    same = measure_detection(torch.ones(4), torch.ones(4))
    assert same == {"auroc": 0.5, "aupr_in": 0.5, "aupr_out": 0.5, "fpr95": 1}


def test_95_percent_is_exact() -> None:
    # 19 of 20 are 95%: the lowest of ours may be missed; of 19, 18 are not enough.
    assert measure_detection(torch.arange(20.0), torch.tensor([0.5]))["fpr95"] == 0
    assert measure_detection(torch.arange(19.0), torch.tensor([0.5]))["fpr95"] == 1


@given(few, few)
def test_fpr95_is_the_first_point_of_the_roc_curve_at_95_percent(inside: torch.Tensor, outside: torch.Tensor) -> None:
    truth = np.r_[np.ones(len(inside)), np.zeros(len(outside))]
    fpr, tpr, _ = roc_curve(truth, torch.cat([inside, outside]).numpy(), drop_intermediate=False)
    assert measure_detection(inside, outside)["fpr95"] == pytest.approx(fpr[np.argmax(tpr >= 0.95)])


@given(few, few)
def test_any_monotone_map_of_the_scores_says_the_same(inside: torch.Tensor, outside: torch.Tensor) -> None:
    assert measure_detection(inside, outside) == measure_detection(inside**3 - 7, outside**3 - 7)


def test_agrees_with_pytorch_ood() -> None:
    functional = pytest.importorskip("pytorch_ood.metrics.functional", reason="needs the extra 'ood'")
    generator = torch.Generator().manual_seed(0)
    inside, outside = torch.randn(300, generator=generator) + 1, torch.randn(200, generator=generator)
    outlier, labels = -torch.cat([inside, outside]), torch.cat([torch.zeros(300), -torch.ones(200)]).long()
    found = measure_detection(inside, outside)
    assert found["auroc"] == pytest.approx(float(functional.auroc(outlier, labels)), abs=1e-6)


def test_the_grid_of_the_curve() -> None:
    assert ROC_FPR[0] == 0 and ROC_FPR[-1] == 1 and len(ROC_FPR) == 26
    assert list(ROC_FPR) == sorted(set(ROC_FPR))
    assert {0.001, 0.01, 0.05, 0.15, 0.3, 0.95} < set(ROC_FPR)


def test_the_curve_by_hand() -> None:
    # Thresholds 4, 3, 2, 1 accept (ours, theirs): (1, 0), (2, 1), (3, 1), (3, 2) of 4 and 2; 0 accepts all.
    curve = dict(zip(ROC_FPR, compute_roc(torch.tensor([4.0, 3.0, 2.0, 0.0]), torch.tensor([3.0, 1.0])), strict=True))
    assert curve[0.0] == 0.25  # nothing of theirs is above 3
    assert curve[0.1] == pytest.approx(0.25 + 0.25 * 0.1 / 0.5)  # one of each at 3: a straight line
    assert curve[0.5] == curve[0.75] == 0.75  # at a jump the upper end; then theirs at 1 comes alone
    assert curve[1.0] == 1


def test_the_curve_of_perfect_useless_and_wrong_scores() -> None:
    low, high = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0])
    assert compute_roc(high, low) == [1.0] * len(ROC_FPR)
    assert compute_roc(torch.ones(4), torch.ones(5)) == pytest.approx(ROC_FPR)
    assert compute_roc(low, high) == [0.0] * (len(ROC_FPR) - 1) + [1.0]


@given(few, few)
def test_the_curve_is_sklearn_s_at_its_own_points(inside: torch.Tensor, outside: torch.Tensor) -> None:
    truth = np.r_[np.ones(len(inside)), np.zeros(len(outside))]
    fpr, tpr, _ = roc_curve(truth, torch.cat([inside, outside]).numpy(), drop_intermediate=False)
    curve = compute_roc(inside, outside)
    assert curve == sorted(curve) and curve[0] >= 0 and curve[-1] == 1
    for rate, found in zip(ROC_FPR, curve, strict=True):
        at = np.flatnonzero(fpr == rate)
        if len(at):
            assert found == pytest.approx(tpr[at[-1]])
        assert tpr[fpr <= rate].max() - 1e-12 <= found <= tpr[fpr >= rate].max() + 1e-12


def test_the_area_under_a_long_curve_is_the_auroc() -> None:
    generator = torch.Generator().manual_seed(0)
    inside, outside = torch.randn(3000, generator=generator) + 1, torch.randn(2000, generator=generator)
    area = np.trapezoid(compute_roc(inside, outside), ROC_FPR)
    assert area == pytest.approx(measure_detection(inside, outside)["auroc"], abs=5e-3)


@pytest.mark.parametrize(
    ("inside", "outside", "message"),
    [
        (torch.zeros(0), torch.zeros(1), "at least one in-distribution image"),
        (torch.zeros(1), torch.zeros(0), "at least one out-of-distribution image"),
        (torch.zeros(1), torch.tensor([float("nan"), 1.0]), "1 of 2 out-of-distribution scores are not finite"),
        (torch.tensor([float("inf")]), torch.zeros(1), "1 of 1 in-distribution scores are not finite"),
    ],
)
def test_what_cannot_be_scored(inside: torch.Tensor, outside: torch.Tensor, message: str) -> None:
    for verb in (measure_detection, compute_roc):
        with pytest.raises(ValueError, match=message):
            verb(inside, outside)
