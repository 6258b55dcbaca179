"""What a message says to install, for every way in which rarefy can have been installed, and the files in a wheel."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rarefy import installation
from rarefy.errors import MissingPackage
from rarefy.installation import find_shipped_file, format_install_command, import_extra, list_shipped_files
from rarefy.pipeline import list_published, load_run

ROOT = Path(__file__).parents[1]
# PEP 610's own kinds of direct_url.json, and what pip's documentation says such a requirement with an extra looks like.
GIT = {"url": "https://example.org/rarefy.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}
WHEEL = {"url": "file:///tmp/my%20wheels/rarefy-0.1.0-py3-none-any.whl", "archive_info": {}}
ORIGINS: list[tuple[dict[str, Any] | None, str]] = [
    (None, 'pip install "rarefy[ood]"'),
    ({"url": "file:///home/me/rare%20fy", "dir_info": {"editable": True}}, 'pip install -e "/home/me/rare fy[ood]"'),
    ({"url": "file:///home/me/rarefy", "dir_info": {}}, 'pip install "/home/me/rarefy[ood]"'),
    (GIT, 'pip install "rarefy[ood] @ git+https://example.org/rarefy.git@c0ffee"'),
    (WHEEL, 'pip install "rarefy[ood] @ file:///tmp/my%20wheels/rarefy-0.1.0-py3-none-any.whl"'),
]


class Distribution:
    def __init__(self, origin: dict[str, Any] | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


@pytest.mark.parametrize(("origin", "command"), ORIGINS)
@pytest.mark.skipif(sys.platform == "win32", reason="the paths above are those of POSIX")
def test_a_command_installs_from_where_this_came(
    origin: dict[str, Any] | None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution(origin))
    assert format_install_command("ood") == command
    assert "'" not in format_install_command("ood,attacks")  # cmd knows double quotes only


def test_a_clone_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    assert format_install_command("vision") == f'pip install -e "{ROOT}[vision]"'


def test_a_missing_package_has_its_extra_and_the_command() -> None:
    with pytest.raises(MissingPackage) as caught:
        import_extra("no_such_package.part", "vision", needed_by="This")
    assert (caught.value.package, caught.value.extra) == ("no_such_package", "vision")
    assert format_install_command("vision") in str(caught.value)


def test_a_file_of_the_user_comes_before_one_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = ROOT / "experiments" / "vgg.yaml"
    monkeypatch.chdir(tmp_path)
    for name in ("vgg", "vgg.yaml"):
        assert find_shipped_file(Path(name), "experiments", ".yaml") == shipped
    (tmp_path / "vgg").mkdir()  # a folder is not a sweep file
    assert find_shipped_file(Path("vgg"), "experiments", ".yaml") == shipped
    (tmp_path / "vgg.yaml").touch()
    assert find_shipped_file(Path("vgg.yaml"), "experiments", ".yaml") == Path("vgg.yaml")
    assert find_shipped_file(Path("none"), "experiments", ".yaml") == Path("none")


def test_a_wheel_has_the_files_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAREFY_REPOSITORY", "https://example.org/me/rarefy")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    source = {path.relative_to(ROOT / "src") for path in (ROOT / "src" / "rarefy").rglob("*") if path.is_file()}
    source = {path for path in source if "__pycache__" not in path.parts}
    top = [*ROOT.glob("examples/*.py"), *ROOT.glob("examples/*.sh"), *ROOT.glob("experiments/*.yaml")]
    top += ROOT.glob("experiments/*.csv")
    results = ROOT / "experiments" / "results"
    top += [*results.glob("*/record.json"), *results.glob("*/model.safetensors")]
    shipped = {Path("rarefy", "_shipped") / path.relative_to(ROOT) for path in top}
    found = {
        path.relative_to(tmp_path / "site") for path in (tmp_path / "site" / "rarefy").rglob("*") if path.is_file()
    }
    assert found == source | shipped
    monkeypatch.setattr(installation, "_PACKAGE", site / "rarefy")
    assert list_shipped_files("experiments", ".yaml").keys() == {path.stem for path in ROOT.glob("experiments/*.yaml")}
    metadata = next(site.glob("*.dist-info/METADATA")).read_text(encoding="utf-8")
    assert "Project-URL: Repository, https://example.org/me/rarefy\n" in metadata
    assert "](https://example.org/me/rarefy/blob/main/docs/install.md)" in metadata and "](docs/" not in metadata
    assert list_shipped_files("examples", ".sh")["slurm_train"].parent == site / "rarefy/_shipped/examples"
    published = list_published()
    assert published["cifar10/resnet20-erk-0.1"].is_relative_to(site)
    assert load_run("cifar10/resnet20-erk-0.1").folder == published["cifar10/resnet20-erk-0.1"]
