"""The schema is a contract: a frozen record stays readable, and no field changes unnoticed."""

from __future__ import annotations

import json

import pydantic
import pytest

from rarefy.records import SCHEMA_VERSION, Record, read, write


def shape(schema: dict) -> dict:
    """Names, types and what is required; descriptions and titles may change."""
    drop = ("title", "description")
    if isinstance(schema, dict):
        return {name: shape(value) for name, value in schema.items() if name not in drop or isinstance(value, dict)}
    return [shape(value) for value in schema] if isinstance(schema, list) else schema


def test_the_schema_is_the_frozen_one(golden):
    """It fails? A new field: add it here (with a default, for old records). A changed one: a new schema version."""
    assert shape(Record.model_json_schema()) == json.loads((golden / f"schema{SCHEMA_VERSION}.json").read_text())


def test_a_record_of_version_1_reads_for_ever(golden):
    record = read(golden / "record1.json")
    assert (record.schema_version, record.id, record.selected_epoch) == (1, "c0ffee123456", 2)
    assert [(layer.name, layer.shape, layer.kept) for layer in record.layers] == [
        ("fc1.weight", (16, 64), 103),
        ("fc2.weight", (10, 16), 15),
    ]
    assert (record.params.total, record.params.kept, record.params.all) == (1184, 118, 1210)
    assert record.density == 118 / 1184
    assert [epoch.train_accuracy for epoch in record.history] == [0.25, 0.5]
    assert record.history[0].validation_accuracy == 0.3125
    assert record.metrics["test"] == {"accuracy": 0.4375, "loss": 1.75}
    assert record.timing.images_per_second == 4000.0
    assert record.files == {"model.safetensors": 4096}
    assert record.config["allocation"] == {"name": "erk"}


def test_writing_it_again_loses_nothing(golden, tmp_path):
    write(read(golden / "record1.json"), tmp_path / "record.json")
    before, after = (json.loads(file.read_text()) for file in (golden / "record1.json", tmp_path / "record.json"))
    assert contains(after, before), "a newer rarefy may add fields, and nothing else"


def contains(whole: object, part: object) -> bool:
    if isinstance(part, dict):
        return all(name in whole and contains(whole[name], value) for name, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part


def test_the_promised_fields_are_there():
    needed = {"id", "config", "versions", "environment", "layers", "density", "params", "history", "metrics", "timing"}
    assert needed <= set(Record.model_fields)


def test_every_field_is_described():
    schema = Record.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        assert [name for name, field in model["properties"].items() if "description" not in field] == []


def test_records_are_frozen(record):
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        record.density = 0.5


def test_a_field_that_a_newer_rarefy_added_is_passed_over(record, make):
    assert make(surprise=1) == record
