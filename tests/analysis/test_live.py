"""Folders of runs -> the page of what is being trained, over a real server and in a real browser."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from rarefy.analysis import CompareError, LivePages, LiveServer
from rarefy.analysis._live import read_live_runs, read_live_sweeps
from rarefy.records import Record, SweepPlan, write, write_sweep_plan

TESTS = Path(__file__).parents[1]
GOLDEN = json.loads((TESTS / "records" / "golden" / "record1.json").read_text())
spec = importlib.util.spec_from_file_location("live_browser", TESTS / "reports" / "study" / "browser.py")
browser = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = browser
spec.loader.exec_module(browser)


def begin(runs: Path, name: str, epochs: int, *, density: float = 0.1) -> Path:
    """Writes a run's settings and some lines of its history."""
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    config = copy.deepcopy(GOLDEN["config"]) | {"density": density, "allocation": {"name": "erk"}, "seed": 5}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    lines = [json.dumps(GOLDEN["history"][0] | {"epoch": number + 1}) for number in range(epochs)]
    (folder / "history.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def finish(runs: Path, name: str, accuracy: float = 0.9) -> None:
    values = copy.deepcopy(GOLDEN) | {"id": name, "metrics": {"test": {"accuracy": accuracy, "loss": 0.3}}}
    write(Record(**values), runs / name / "record.json")


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def server(runs, tmp_path):
    runs.mkdir(exist_ok=True)
    with LiveServer(LivePages([runs], tmp_path / "report"), 0) as opened:
        threading.Thread(target=opened.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield opened
        opened.shutdown()


def get(server, path="", **headers):
    return urllib.request.urlopen(urllib.request.Request(server.address + path, headers=headers), timeout=60)


def test_runs_without_a_record_are_read_with_their_last_sign_of_life(runs):
    folder = begin(runs, "one", 2)
    begin(runs, "two", 0, density=0.2)
    finish(runs, "three")
    (folder / "failure.txt").write_text("Traceback\nMemoryError: none left\n\n")
    (runs / "odd").mkdir()
    (runs / "odd" / "config.yaml").write_text("density: [")
    newest = max(path.stat().st_mtime for path in runs.rglob("*"))
    found = {run.id: run for run in read_live_runs([runs], now=newest + 500)}
    assert sorted(found) == ["one", "two"], "a damaged file of settings hides no other run"
    assert (found["one"].name, found["one"].seed, len(found["one"].history)) == ("ERK 10%", 5, 2)
    assert found["one"].failure == "MemoryError: none left"
    assert 499 < found["two"].silent_seconds < 600
    assert found["two"].epochs == GOLDEN["config"]["training"]["epochs"]


def test_a_sweep_counts_its_own_runs(runs):
    begin(runs, "one", 1)
    begin(runs, "alone", 1)
    finish(runs, "two")
    write_sweep_plan(SweepPlan(name="grid", title="A grid", runs={"one": "", "two": "", "three": ""}), runs)
    (sweep,) = read_live_sweeps([runs], read_live_runs([runs]))
    assert (sweep.title, sweep.done, [run.id for run in sweep.unfinished], sweep.waiting) == ("A grid", 1, ["one"], 1)


def test_the_server_answers_this_machine_and_says_when_nothing_is_new(server, runs):
    begin(runs, "one", 1)
    with get(server) as answer:
        tag, text = answer.headers["ETag"], answer.read().decode()
    assert server.address.startswith("http://127.0.0.1:")
    assert "1 run without a record" in text
    for headers, path, code in (
        ({"If-None-Match": tag}, "", 304),
        ({"Host": "evil.example"}, "", 403),
        ({}, "report.html", 404),
        ({}, "report_files/../../runs/one/config.yaml", 404),
        ({}, "one/config.yaml", 404),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(server, path, **headers)
        assert caught.value.code == code, path
    begin(runs, "one", 2)
    with get(server, **{"If-None-Match": tag}) as answer:
        assert answer.status == 200
        assert "2 of" in answer.read().decode()


def test_finished_runs_have_an_answer_and_a_report(server, runs, monkeypatch):
    drawn = {"png": b"", "pdf": b"", "svg": b'<svg viewBox="0 0 1 1" xmlns="http://www.w3.org/2000/svg"></svg>'}
    monkeypatch.setattr("rarefy.reports.pages._write_page.draw_files", lambda figure, formats: drawn)
    monkeypatch.setattr("rarefy.reports.pages._write_page.draw_panels", lambda figures, formats: {})
    finish(runs, "one")
    with get(server) as answer:
        text = answer.read().decode()
    assert 'href="report.html"' in text
    assert "reaches 90.00%" in text or "reach 90.00%" in text
    with get(server, "report.html") as answer:
        assert "1 run in 1 group" in answer.read().decode()
    with get(server, "report_files/table-runs.csv") as answer:
        assert answer.headers["Content-Type"].startswith("text/csv")


def test_a_folder_has_to_exist(tmp_path):
    with pytest.raises(CompareError):
        LivePages([tmp_path / "none"], tmp_path)


@pytest.mark.skipif(not browser.PROGRAM, reason="needs a browser: apt install chromium")
@pytest.mark.timeout(300)
@pytest.mark.slow
def test_in_a_browser_the_page_follows_the_runs(server, runs, tmp_path):
    begin(runs, "one", 1)
    with browser.browser(tmp_path / "profile") as window:
        window.ask("Page.navigate", url=server.address)
        window.wait("document.body?.textContent.includes('1 of ') && document.querySelector('input') !== null")
        window.run("document.querySelector('input').click(); document.querySelector('details').open = true")
        begin(runs, "one", 3)
        window.wait("document.body.textContent.includes('3 of ')")
        assert window.run("document.querySelector('input').checked") is False, "what was unticked stays so"
        assert window.run("getComputedStyle(document.querySelector('figure .s0')).display") == "none"
        assert window.run("document.querySelector('details').open") is True
        begin(runs, "two", 1)
        window.wait("document.body.textContent.includes('2 runs without a record')")
        assert window.complaints == []
        assert all(url.startswith((server.address, "data:")) for url in window.requests)
        server.shutdown()
        server.server_close()
        window.wait("document.getElementById('lost').hidden === false")
