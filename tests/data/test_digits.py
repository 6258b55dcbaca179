"""Digits against scikit-learn's own arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from rarefy.data import DATASETS, Splits, load


@pytest.fixture
def splits() -> Splits:
    return load(DATASETS.build("digits"), Path("unused"), torch.Generator())


def test_every_digit_is_in_one_split_and_its_ink_can_be_read_back(splits: Splits) -> None:
    parts = (splits.train, splits.validation, splits.test)
    ours = np.concatenate([np.c_[part.images.reshape(-1, 64).numpy() / 15, part.labels.numpy()] for part in parts])
    dots, labels = load_digits(return_X_y=True)
    theirs = np.c_[dots, labels]
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


def test_the_first_digits_of_a_class_go_where_the_rule_says(splits: Splits) -> None:
    dots, labels = load_digits(return_X_y=True)
    zeros = torch.tensor(dots[labels == 0] * 15, dtype=torch.uint8).reshape(-1, 1, 8, 8)
    assert torch.equal(splits.train.images[splits.train.labels == 0][:3], zeros[:3])
    assert torch.equal(splits.validation.images[splits.validation.labels == 0][0], zeros[3])
    assert torch.equal(splits.test.images[splits.test.labels == 0][0], zeros[4])


def test_splits_are_stratified(splits: Splits) -> None:
    total = np.bincount(load_digits(return_X_y=True)[1])
    for part, share in ((splits.train, 0.6), (splits.validation, 0.2), (splits.test, 0.2)):
        assert np.abs(part.labels.bincount().numpy() - share * total).max() <= 2


def test_mean_and_deviation_are_those_of_the_training_images(splits: Splits) -> None:
    pixels = splits.train.images.double() / 255
    assert pixels.mean().item() == pytest.approx(splits.spec.mean[0], abs=1e-4)
    assert pixels.std().item() == pytest.approx(splits.spec.std[0], abs=1e-4)


def test_a_linear_model_learns_them(splits: Splits, fits: Callable[[Splits], float]) -> None:
    assert fits(splits) > 0.85
