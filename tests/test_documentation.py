"""The front page, the notebooks and what a package index shows."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("docs/*.ipynb"))
nbformat = pytest.importorskip("nbformat", reason="nbformat, of the extra docs, is not installed")


@pytest.fixture(scope="module")
def hook() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "hatch_build.py"))


def test_the_front_page_is_what_the_records_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "docs" / "front", tmp_path / "docs" / "front")
    shutil.copy(ROOT / "README.md", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the script adds its folder
    monkeypatch.setattr(sys, "argv", ["front.py", "--root", str(tmp_path)])
    runpy.run_path(str(ROOT / "docs" / "plots" / "front.py"), run_name="__main__")
    written, kept = ((root / "README.md").read_text(encoding="utf-8") for root in (tmp_path, ROOT))
    assert written == kept, "run make reproduction-page"
    assert "| 10%, ERK | 27,090 |" in written and "| 87.79% | 134 kB" in written  # the paper's number, by hand
    assert (tmp_path / "docs" / "front" / "accuracy.svg").stat().st_size > 1000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_holds_its_results(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run make notebooks"
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert not re.search(r"/(home|root|tmp|work)/", path.read_text(encoding="utf-8")), "a path of a machine"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs(path: Path) -> None:
    pytest.importorskip("ipykernel", reason="ipykernel, of the extra docs, is not installed")
    execute = runpy.run_path(str(ROOT / "docs" / "plots" / "notebooks.py"))["execute"]
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:  # the same cells on less
        cell.source = cell.source.replace("epochs: 20", "epochs: 1").replace("[1, 2, 3]", "[1, 2]")
    cells = [cell for cell in execute(notebook).cells if cell.cell_type == "code"]
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)


def test_links_on_a_package_index(hook: dict[str, Any]) -> None:
    text = "![p](docs/a.svg) [L](docs/a.md#x) [w](https://e.org/x) [h](#here) [two\nlines](LICENSE)"
    change = hook["make_links_absolute"]
    address = "https://example.org/me/rarefy"
    assert change(text, address) == (
        f"![p]({address}/raw/main/docs/a.svg) [L]({address}/blob/main/docs/a.md#x) [w](https://e.org/x) [h](#here) "
        f"[two\nlines]({address}/blob/main/LICENSE)"
    )
    assert change(text, "") == " L [w](https://e.org/x) [h](#here) two\nlines"


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, ""),
        ({"RAREFY_REPOSITORY": "https://example.org/me/rarefy/"}, "https://example.org/me/rarefy"),
        ({"GITHUB_REPOSITORY": "me/rarefy"}, "https://github.com/me/rarefy"),
        ({"GITHUB_REPOSITORY": "me/r", "GITHUB_SERVER_URL": "https://git.example.org"}, "https://git.example.org/me/r"),
    ],
)
def test_the_address_of_the_repository(
    variables: dict[str, str], address: str, hook: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAREFY_REPOSITORY", "GITHUB_REPOSITORY", "GITHUB_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hook["find_repository"]() == address
    urls = hook["list_urls"](address)
    assert "Paper" in urls and urls.get("Repository", "") == address


def test_pages_link_to_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("RAREFY_REPOSITORY", "https://example.org/me/rarefy")
    options = runpy.run_path(str(ROOT / "docs" / "conf.py"))["html_theme_options"]
    edit = "https://example.org/me/rarefy/edit/main/docs/masks.md"
    assert options["source_edit_link"].format(filename="masks.md") == edit


def test_every_extra_is_on_the_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "docs" / "install.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == project["optional-dependencies"].keys() - {"fast"}  # which only keeps old commands working


def test_every_relative_link_of_the_readme_is_a_file() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", target)]
    assert targets and [target for target in targets if not (ROOT / target.partition("#")[0]).is_file()] == []
