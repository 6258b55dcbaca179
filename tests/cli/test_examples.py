"""`rarefy examples`: what comes with rarefy is listed with its own words, and copied whole."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_file_is_listed_with_a_description(rarefy) -> None:
    lines = rarefy("examples").out.splitlines()
    for path in [*ROOT.glob("examples/*.*"), *ROOT.glob("experiments/*.*")]:
        if path.suffix != ".md":
            (line,) = [line for line in lines if line.split()[:1] == [path.stem]]
            assert len(line.split()) > 3, line


def test_files_are_copied_whole_and_never_replaced(rarefy, tmp_path) -> None:
    out = tmp_path / "new" / "folder"
    assert rarefy("examples own_loop vgg.yaml --to", out).code == 0
    assert (out / "own_loop.py").read_bytes() == (ROOT / "examples" / "own_loop.py").read_bytes()
    assert (out / "vgg.yaml").read_bytes() == (ROOT / "experiments" / "vgg.yaml").read_bytes()
    (out / "vgg.yaml").write_text("mine")
    assert "vgg.yaml" in rarefy("examples vgg --to", out).sentence
    assert (out / "vgg.yaml").read_text() == "mine"


def test_an_unknown_name_writes_nothing(rarefy, tmp_path) -> None:
    assert "own_loop" in rarefy("examples ema own_lop --to", tmp_path).sentence
    assert not list(tmp_path.iterdir())


def test_a_sweep_is_named_from_anywhere(rarefy, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "0 of 12 done" in rarefy("sweep vgg --scale smoke --dry-run").out
    assert "cifar10_depth" in rarefy("sweep cifar10_dept --dry-run").sentence
