"""Data that a program gave are named by their fingerprint; see tests/pipeline/test_own_data.py for a run with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rarefy.data import MissingData, load, parse, read_settings


def test_they_can_be_named_and_not_loaded() -> None:
    dataset = parse("given:b9810cf288727668", pad=2)
    assert read_settings(dataset)["name"] == "given:b9810cf288727668"
    with pytest.raises(MissingData, match="b9810cf288727668 were given by a program"):
        load(dataset, Path("unused"), torch.Generator())
