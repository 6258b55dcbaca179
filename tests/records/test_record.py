"""Writing, reading and finding records."""

from __future__ import annotations

import json
import math

import pytest

from rarefy.records import SCHEMA_VERSION, RecordDamaged, RecordError, find, read, write


@pytest.fixture
def path(tmp_path):
    return tmp_path / "3f2a9c1b77de" / "record.json"


def test_what_is_written_reads_back(record, path):
    assert write(record, path) is record
    assert read(path) == record
    assert read(path.parent) == record, "a run's folder will do"
    assert read(path).history[1].of_a_callback == 3


def test_the_file_is_plain_json_and_alone(record, path):
    write(record, path)
    text = path.read_text()
    assert text.endswith("}\n")
    assert json.loads(text) == record.model_dump(mode="json")
    assert json.loads(text)["history"][1]["train_loss"] == 0.1 + 0.2, "not a digit is lost"
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["metrics", "history", "density"])
def test_a_number_that_is_not_finite_is_refused_and_nothing_is_written(make, path, number, place):
    epoch = make().history[0].model_copy(update={"train_loss": number})
    wrong = {"metrics": {"test": {"loss": number}}, "history": (epoch,), "density": number}
    with pytest.raises(ValueError):
        write(make(**{place: wrong[place]}), path)
    assert not path.exists()


def test_a_refused_record_leaves_the_old_one(make, path):
    write(make(), path)
    with pytest.raises(ValueError):
        write(make(metrics={"test": {"loss": math.nan}}), path)
    assert read(path) == make()


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_a_missing_record_says_where_one_would_be(tmp_path, place):
    with pytest.raises(RecordError, match=r"There is no record at .*<out>/<id>/record\.json"):
        read(tmp_path / place)


@pytest.mark.parametrize("content", [b"", b'{"id": "3f', b"not json", b"\xff\xfe\x00\x80"])
def test_a_damaged_record_is_named_with_what_to_do(record, path, content):
    write(record, path)
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"record\.json is damaged: .*Give the run's command again"):
        read(path)


def changed(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 999])
def test_a_newer_record_asks_for_a_newer_rarefy(record, path, version):
    write(record, path)
    changed(path, schema_version=version, something_new=1)
    with pytest.raises(
        RecordError, match=rf"schema version {version}; this rarefy reads up to {SCHEMA_VERSION}\. Upgrade"
    ):
        read(path)


@pytest.mark.parametrize("version", [None, "1", 1.5, [1]])
def test_a_version_that_is_no_number_is_refused(record, path, version):
    write(record, path)
    changed(path, schema_version=version)
    with pytest.raises(RecordError, match="schema version"):
        read(path)


@pytest.mark.parametrize("content", ["[]", "3", '"record"', "null"])
def test_json_that_is_no_record_is_refused(path, content):
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(RecordError, match=r"record\.json"):
        read(path)


@pytest.mark.parametrize(
    ("values", "problem"),
    [({"density": "much"}, "density: "), ({"layers": [{"name": "fc"}]}, r"layers\.0\.shape: "),
     ({"params": {"total": 1, "kept": 0.5, "all": 1}}, r"params\.kept: ")],
)  # fmt: skip
def test_a_record_that_breaks_the_schema_says_where(record, path, values, problem):
    write(record, path)
    changed(path, **values)
    with pytest.raises(RecordError, match=rf"record\.json does not follow the schema: {problem}"):
        read(path)


def test_find_reads_every_record_below_a_folder_by_name(make, tmp_path):
    for name in ("b", "a", "c"):
        write(make(name), tmp_path / name / "record.json")
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / ".record-x.json").write_text("half")
    assert [record.id for record in find(tmp_path)] == ["a", "b", "c"]
    assert [record.id for record in find(tmp_path / "b")] == ["b"]


def test_find_in_an_empty_folder_finds_nothing(tmp_path):
    assert find(tmp_path) == []


def test_find_without_a_folder_says_so(tmp_path):
    with pytest.raises(RecordError, match=r"There is no folder .*none\. Give the folder that `rarefy train --out`"):
        find(tmp_path / "none")


def test_find_names_records_that_cannot_be_read_and_gives_the_others(make, tmp_path, caplog):
    for name in "abc":
        write(make(name), tmp_path / name / "record.json")
    (tmp_path / "b" / "record.json").write_text("{")
    changed(tmp_path / "c" / "record.json", schema_version=SCHEMA_VERSION + 1)
    assert [record.id for record in find(tmp_path)] == ["a"]
    assert [str(tmp_path / name / "record.json") in caplog.text for name in "abc"] == [False, True, True]
    (tmp_path / "a" / "record.json").unlink()
    with pytest.raises(RecordDamaged, match=r"b.record\.json"):
        find(tmp_path)
