"""Descriptions of metrics, read from their files and from records."""

from __future__ import annotations

import subprocess
import sys

import pydantic
import pytest

from rarefy.evaluation import METRICS, describe_metric
from rarefy.records import MetricInfo, describe_metrics


def test_what_is_read_from_the_files_is_what_the_classes_say():
    """A metric that is described otherwise than by constants of its class would be shown wrongly."""
    assert describe_metrics({}) == {name: describe_metric(name) for name in METRICS.names()}


def test_every_metric_has_a_title_of_its_own():
    titles = [info.title for info in describe_metrics({}).values()]
    assert all(titles)
    assert len(set(titles)) == len(titles)


def test_a_record_describes_metrics_of_plug_ins():
    found = describe_metrics({"described": {"mine": {"title": "Mine", "unit": "fraction", "later": 1}}})
    assert found["mine"] == MetricInfo(title="Mine", unit="fraction")
    assert found.keys() - {"mine"} == describe_metrics({}).keys()
    with pytest.raises(pydantic.ValidationError):
        describe_metrics({"described": {"mine": {"unit": "parsec"}}})


def test_torch_is_not_imported():
    code = "import sys, rarefy.records as r; r.describe_metrics({}); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
