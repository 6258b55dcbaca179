"""JSON and YAML of strangers: what is read is what other readers read, what is hostile is refused within bounds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rarefy.documents import DocumentError, parse_json, parse_yaml, read_json, read_text, read_yaml

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x7f\x85\ufeff"), max_size=8)
PRINTABLE = TEXT.filter(str.isprintable)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def values(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | NUMBERS | text
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4))


@given(values(TEXT))
def test_any_json_is_read_as_the_library_reads_it(value: Any) -> None:
    text = json.dumps(value)
    assert parse_json(text, "a") == json.loads(text)


@given(values(PRINTABLE))
def test_any_plain_yaml_is_read_as_the_library_reads_it(value: Any) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    assert parse_yaml(text, "a") == yaml.safe_load(text)


def test_yaml_that_people_write_is_read() -> None:
    text = "base: &base {lr: 0.1, seed: 1}\nsame: *base\nover: {<<: *base, seed: 2}\ndate: 2026-11-29\ntext: !!str 2:4"
    assert parse_yaml(text, "a") == {
        "base": {"lr": 0.1, "seed": 1},
        "same": {"lr": 0.1, "seed": 1},
        "over": {"lr": 0.1, "seed": 2},
        "date": "2026-11-29",
        "text": "2:4",
    }
    assert parse_yaml("", "a") is None
    assert math.isinf(parse_yaml(".inf", "a"))


def bomb(first: str, line: str, levels: int = 30) -> str:
    """Ten aliases a level: 10 ** levels values in a kilobyte."""
    return first + "".join(line.format(i, ",".join([f"*a{i - 1}"] * 10)) for i in range(1, levels))


BAD_YAML = {
    "aliases": bomb("a0: &a0 [x, y]\n", "a{0}: &a{0} [{1}]\n"),
    "merges": bomb("a0: &a0 {x: 1, y: 2}\n", "a{0}: &a{0} {{<<: [{1}]}}\n"),
    "itself": "&a [*a]",
    "itself, in a key": "? &a [*a]\n: 1",
    "deep lists": "[" * 100_000,
    "deep mappings": "{a: " * 10_000,
    "deep blocks": "".join(f"{' ' * depth}a:\n" for depth in range(1000)),
    "many values": "[" + "0," * 250_000 + "]",
    "code": "!!python/object/apply:os.system [exit]",
    "tagged": "!!binary aGk=",
    "a tag of one's own": "!mine 3",
    "wrong tag": "!!bool maybe",
    "two documents": "--- 1\n--- 2",
    "twice": "a: 1\nb: 2\na: 3",
    "twice, deeper": "a: {b: 1, b: 1}",
    "merged twice": "a: &a {x: 1}\nb: {<<: *a, <<: *a}",
    "a list as key": "? [1]\n: 2",
    "digits": "a: " + "9" * 5000,
    "no digits": "a: 0b_",
    "control": "a: \x1b[2J",
    "no alias": "a: *b",
    "not closed": "[1, 2",
    "two colons": "a: b: c",
}
BAD_JSON = {
    "empty": "",
    "cut": '{"a": [1, 2',
    "deep lists": "[" * 100_000,
    "deep and closed": "[" * 500 + "]" * 500,
    "deep mappings": '{"a":' * 100_000,
    "nan": '{"a": NaN}',
    "infinite": "[-Infinity]",
    "too large": "[1e999]",
    "digits": "9" * 5000,
    "twice": '{"a": 1, "a": 2}',
    "half a pair": '["\\ud800"]',
    "half a pair as key": '{"\\udfff": 1}',
    "more": "{} {}",
}


def refused(read: Any, *arguments: Any) -> DocumentError:
    """The error, in one line."""
    with pytest.raises(DocumentError) as caught:
        read(*arguments)
    error = caught.value
    assert str(error).startswith(error.source) and error.fault in str(error)
    assert "\n" not in str(error) and len(str(error)) < 400
    return error


@pytest.mark.parametrize("name", BAD_YAML)
@pytest.mark.timeout(10)
def test_hostile_yaml_is_refused(name: str) -> None:
    assert refused(parse_yaml, BAD_YAML[name], "that file").source == "that file"


@pytest.mark.parametrize("name", BAD_JSON)
@pytest.mark.timeout(10)
def test_hostile_json_is_refused(name: str) -> None:
    assert refused(parse_json, BAD_JSON[name], "that file").source == "that file"


@pytest.mark.parametrize("read", [read_text, read_json, read_yaml])
def test_files_that_are_no_text_are_refused_by_name(tmp_path: Path, read: Any) -> None:
    (tmp_path / "bytes").write_bytes(b"a: \xff\xfe")
    (tmp_path / "huge").touch()
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(10 * 2**30)  # takes no room on the disk
    for name in ("bytes", "huge", "none", "."):
        assert refused(read, tmp_path / name).source == str(tmp_path / name)
    assert "0xff" in refused(read, tmp_path / "bytes").fault


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a") == read_yaml(tmp_path / "a") == [1]
