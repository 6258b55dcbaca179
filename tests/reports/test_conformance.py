"""What every report promises, and what `render` does with it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rarefy.reports import REPORTS, ReportError, render

Make = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("name", REPORTS.names())
class TestEveryReport:
    @pytest.mark.parametrize(("layers", "epochs"), [(3, 4), (112, 160), (1, 1), (0, 0)])
    def test_any_size(self, name: str, layers: int, epochs: int, make_record: Make) -> None:
        files = REPORTS.build(name)(make_record(layers=layers, epochs=epochs))
        assert files
        assert all(files.values())

    def test_same_record_same_bytes_and_untouched(self, name: str, record: dict[str, Any]) -> None:
        before = copy.deepcopy(record)
        assert REPORTS.build(name)(record) == REPORTS.build(name)(json.loads(json.dumps(record)))
        assert record == before

    def test_file_names_stay_in_the_folder(self, name: str, record: dict[str, Any]) -> None:
        assert all(file == Path(file).name for file in REPORTS.build(name)(record))


def test_no_two_reports_write_one_file(record: dict[str, Any]) -> None:
    files = [file for name in REPORTS.names() for file in REPORTS.build(name)(record)]
    assert len(files) == len(set(files))


def test_one_record_is_reported_in_its_folder(record: dict[str, Any], tmp_path: Path) -> None:
    written = render([record], tmp_path)
    assert set(written) == {tmp_path / file for file in ("curves.png", "curves.csv", "layers.csv")}
    assert set(tmp_path.iterdir()) == set(written)


def test_several_records_are_reported_in_a_folder_each(make_record: Make, tmp_path: Path) -> None:
    written = render([make_record(id="a"), make_record(id="b")], tmp_path)
    assert {path.parent for path in written} == {tmp_path / "a", tmp_path / "b"}
    assert all(path.stat().st_size for path in written)


def test_a_failed_report_leaves_the_old_file(record: dict[str, Any], tmp_path: Path) -> None:
    old = {path: path.read_bytes() for path in render([record], tmp_path)}
    del record["layers"][0]["shape"]  # curves do not need it, tables do
    record["history"][0]["train_loss"] = 3.0
    with pytest.raises(KeyError, match="shape"):
        render([record], tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == old


def test_what_cannot_be_reported_is_named(record: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no records to report"):
        render([], tmp_path)
    with pytest.raises(ReportError, match="More than one record has the id 3f2a9c1b77de"):
        render([record, record], tmp_path)
    del record["layers"], record["history"]
    with pytest.raises(ReportError, match="record 3f2a9c1b77de has no layers, history"):
        render([record], tmp_path)
    assert list(tmp_path.iterdir()) == []
