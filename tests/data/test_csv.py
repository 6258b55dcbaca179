"""Tables of one's own; scikit-learn's iris is the oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from sklearn.datasets import load_iris

from rarefy.data import Batches, CorruptData, Splits, load, parse

NAMES = ("setosa", "versicolor", "virginica")


def read(file: Path, **options: Any) -> Splits:
    return load(parse(f"csv:{file}", **options), Path("unused"), torch.Generator())


@pytest.fixture
def flowers() -> pandas.DataFrame:
    frame = load_iris(as_frame=True).frame
    return frame.assign(target=[NAMES[label] for label in frame["target"]])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_are_read_as_they_are_written(separator: str, flowers: pandas.DataFrame, file: Path) -> None:
    flowers.to_csv(file, index=False, sep=separator)
    splits = read(file)
    images = torch.cat([splits.train.images, splits.validation.images, splits.test.images]).flatten(1).numpy()
    labels = torch.cat([splits.train.labels, splits.validation.labels, splits.test.labels]).tolist()
    found = sorted((*row, NAMES[label]) for row, label in zip(images.tolist(), labels, strict=True))
    rows = flowers.astype(dict.fromkeys(flowers.columns[:4], np.float32)).itertuples(index=False, name=None)
    assert found == sorted(rows)
    assert splits.spec.class_names == NAMES


def test_columns_are_normalised_by_the_training_rows(flowers: pandas.DataFrame, file: Path) -> None:
    flowers.assign(constant=7.0).to_csv(file, index=False)
    splits = read(file)
    rows, _ = next(Batches(splits.train, splits.spec, len(splits.train)).epoch(0))
    values = splits.train.images.flatten(1).double()
    expected = (values - values.mean(0)) / values.std(0, correction=0).where(values.std(0) > 0, torch.ones(()).double())
    assert torch.allclose(rows.flatten(1).double(), expected, atol=1e-5)
    assert rows[:, 4].abs().max() < 1e-6


def test_a_column_says_which_rows_are_held_out(flowers: pandas.DataFrame, file: Path) -> None:
    flowers.assign(split=["train"] * 110 + ["test"] * 30 + ["val"] * 10).sample(frac=1, random_state=1).to_csv(
        file, index=False
    )
    with pytest.raises(CorruptData, match="'virginica' in "):  # rows are ordered by class: it is never trained
        flowers.assign(split=["train"] * 100 + ["test"] * 50).to_csv(other := file.with_name("other.csv"), index=False)
        read(other)
    splits = read(file)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (110, 10, 30)


def test_a_table_says_nothing_else_about_its_label(flowers: pandas.DataFrame, file: Path) -> None:
    flowers.rename(columns={"target": "species"}).assign(town="Rome").to_csv(file, index=False)
    with pytest.raises(CorruptData, match=r"no columns called.*'species', 'town'.*--set data.label=NAME"):
        read(file)
    with pytest.raises(CorruptData, match=r"'town' of .* has 'Rome', which is no number, in row 1"):
        read(file, label="species")
    assert read(file, label="species", drop=["town"]).train.shape == (4, 1, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 columns and 0 rows"),
        ("a,label\n", "2 columns and 0 rows"),
        ("a\n1\n", "1 columns"),
        ("a,a,label\n1,2,0\n", "two columns 'a'"),
        ("a,label\n1,0\n1,2,3\n", "Row 2 of .* has 3 values"),
        ("a,label\n,0\n2,1\n", "no value, in row 1"),
        ("a,label\n1,\n2,1\n", "no class in row 1"),
        ("a,label\nnan,0\n2,1\n", "'nan' in row 1"),
        ("a,label\n1e300,0\n2,1\n", "'1e300' in row 1"),
        ("a,label,y\n1,0,1\n", "2 columns called"),
        ("label,split\n1,train\n", "nothing to learn from"),
        ("a,label,split\n1,0,later\n", "'later'; it says train"),
        ("a,label,split\n1,0,test\n", "no row for train"),
        ("a,label\n1,0\n2,0\n", "one class only"),
        ('a,label\n1,"0\n', "no table"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(text: str, message: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(CorruptData, match=message):
        read(file)


def test_other_files_are_refused(file: Path) -> None:
    file.write_bytes(b"\x93NUMPY\xff\xfe")
    with pytest.raises(CorruptData, match="no text in UTF-8"):
        read(file)
