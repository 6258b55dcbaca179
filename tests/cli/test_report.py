"""``rarefy report``: the page and its files from runs that the command line trained."""

from __future__ import annotations

import socket

import pytest

SVG = b'<svg viewBox="0 0 1 1" xmlns="http://www.w3.org/2000/svg"></svg>'


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Figures are drawn by a stand-in; how they are drawn is tested elsewhere."""
    drawn = {"png": b"", "pdf": b"", "svg": SVG}
    monkeypatch.setattr("rarefy.reports.pages._write_page.draw_files", lambda figure, formats: drawn)
    monkeypatch.setattr("rarefy.reports.pages._write_page.draw_panels", lambda figures, formats: {})


def test_a_page_of_real_runs(rarefy, train, tmp_path):
    train()
    train("--sparse --fix --density 0.5")
    page = tmp_path / "paper" / "report.html"
    done = rarefy("report", tmp_path / "runs", "-o", page)
    assert done.code == 0
    assert f"page: {page}" in done.out
    text = page.read_text("utf-8")
    assert "2 runs in 2 groups" in text
    assert "MLP 8 on synthetic images" in text
    assert (tmp_path / "paper" / "report_files" / "accuracy-MLP-8-on-synthetic-images.pdf").is_file()
    assert rarefy("report --quiet", tmp_path / "runs", "-o", page).out.strip() == str(page)


def test_mistakes_are_sentences(rarefy, train, tmp_path):
    assert "There is no folder" in rarefy("report", tmp_path / "none").sentence
    train()
    page = tmp_path / "report.html"
    for words, told in (
        ("--margin 0", "margin has to be"),
        ("--baseline nobody", "Unknown baseline"),
        ("--published none.csv", "There is no file none.csv"),
    ):
        assert told in rarefy(f"report {words}", tmp_path / "runs", "-o", page).sentence
    assert "has no suffix" in rarefy("report", tmp_path / "runs", "-o", tmp_path / "page").sentence
    assert not page.exists()


def test_a_port_in_use_and_a_folder_that_is_not_there_are_mistakes(rarefy, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = rarefy(f"report --serve --port {port}", tmp_path)
    assert done.code == 2
    assert f"--port {port + 1}" in " ".join(done.err.split())
    assert rarefy("report --serve", tmp_path / "none").code == 2
