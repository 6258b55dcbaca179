"""What a narrow terminal leaves out."""

from __future__ import annotations

import pytest

from rarefy.cli._fit import fit_columns, fit_line

PARTS = [(1, "epoch 1/3"), (3, "lr 0.1"), (2, "left 1:20"), (4, "")]


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (80, "epoch 1/3  lr 0.1  left 1:20"),
        (28, "epoch 1/3  lr 0.1  left 1:20"),
        (27, "epoch 1/3  left 1:20"),
        (19, "epoch 1/3"),
        (3, "epoch 1/3"),
    ],
)
def test_the_least_important_part_goes_first(width, line):
    assert fit_line(PARTS, width) == line


@pytest.mark.parametrize(("width", "kept"), [(27, [0, 1, 2]), (26, [0, 1]), (9, [0])])
def test_columns_go_in_the_given_order_until_the_rest_fits(width, kept):
    rows = [["3f2a9c1b", 17, "cifar_resnet"], ["aa", 5, "mlp_8"]]  # 8, 4 and 12 columns wide, and 2 between them
    assert fit_columns(["run", "seed", "model"], rows, width + 1, drop=["model", "seed"]) == kept


def test_columns_that_nobody_may_leave_out_stay():
    assert fit_columns(["run", "seed"], [], 3, drop=["seed"]) == [0]
    assert fit_columns(["run"], [], 1, drop=[]) == [0]
