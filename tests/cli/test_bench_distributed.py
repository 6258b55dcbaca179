"""``rarefy bench --distributed``: its table, its files, its mistakes; processes are started once, slowly."""

from __future__ import annotations

import csv
import json

import pytest
import torch.distributed as dist

from rarefy.benchmarking import ScalingResult

TINY = (
    "bench --distributed --data synthetic --model mlp_8 -b 16 --density 0.2 --engine masked --device cpu --rounds 1 "
    "--seconds 0.01 --set data.height=4 --set data.width=4 --set data.train=32 --set data.validation=8 "
    "--set data.test=8"
)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun starts the one process of a world of one."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line[:1].isdigit() and "%  " not in line[:6]]


@pytest.mark.usefixtures("launched")
def test_under_a_launcher_its_processes_are_measured(rarefy, tmp_path):
    done = rarefy(TINY, "--json", tmp_path / "b.json", "--csv", tmp_path / "b.csv")
    assert done.code == 0, done.err
    assert "mlp_8 on synthetic, erk, density 20.00%, 16 images a step of all processes, fp32" in done.out
    assert [(row[0], row[1], row[4], row[5]) for row in rows(done.out)] == [
        ("1", "dense", "100.00%", "-"),
        ("1", "masked", "100.00%", "-"),
    ]
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["config"]["topology"]["name"] == "static"
    assert content["config"]["training"]["lr"] == 0.1  # what would be trained, not how it is timed
    with (tmp_path / "b.csv").open() as file:
        lines = list(csv.DictReader(file))
    for line, speed in zip(lines, content["speeds"], strict=True):
        assert float(line["images_per_second"]) == speed["images_per_second"] == speed["rounds"][0]


@pytest.mark.usefixtures("launched")
def test_flags_are_those_of_train(rarefy, train, tmp_path):
    moving = rarefy(TINY, "--sparse", "--topology", "set", "--bf16", "--quiet", "--json", tmp_path / "b.json")
    assert moving.code == 0, moving.err
    assert "bf16" in moving.out
    assert json.loads((tmp_path / "b.json").read_text())["config"]["topology"]["name"] == "set"
    assert train("--sparse --fix --density 0.5").code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    done = rarefy(f"bench --distributed {folder} --rounds 1 --seconds 0.01 --quiet")
    assert "mlp_8 on synthetic, erk, density 50.00%, 16 images" in done.out


def test_speed_ups_are_over_the_fewest_processes(rarefy, monkeypatch):
    def fake(count, device, act, *given, threads):
        assert (str(device), threads) == ("cpu", 3)
        return tuple(
            ScalingResult(count, what, 100.0 * count**0.5, 1, 1, 0, 1, None, ()) for what in ("dense", "masked")
        )

    monkeypatch.setattr("rarefy.benchmarking.spawn_ranks", fake)
    done = rarefy(f"{TINY} --ranks 4,1 --threads 3")
    assert [(row[0], row[5]) for row in rows(done.out)] == [("1", "1.00x")] * 2 + [("4", "2.00x")] * 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("bench --model mlp_8 --bf16 --ranks 2", "--bf16, --ranks: only `rarefy bench --distributed` reads that"),
        ("bench --model mlp_8 --set a=1", "--set: only `rarefy bench --distributed`"),
        (f"{TINY} --size 8 --batches 3", "--size, --batches: with --distributed the data set gives"),
        (f"{TINY} --ranks 2,x", "--ranks cannot be '2,x'"),
        (f"{TINY} nowhere", "There is no settings file nowhere"),
        (f"{TINY} --config here.yaml nowhere", "both say everything"),
    ],
)
def test_mistakes_are_sentences(rarefy, words, told):
    assert told in rarefy(words).sentence


@pytest.mark.usefixtures("launched")
def test_a_launcher_has_started_its_processes(rarefy):
    assert "here are 1 of a launcher. Leave it out." in rarefy(f"{TINY} --ranks 2").sentence


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo")
def test_one_command_starts_them(rarefy):
    done = rarefy(f"{TINY} --ranks 1,2")
    assert done.code == 0, done.err
    assert [row[:2] for row in rows(done.out)] == [[n, what] for n in "12" for what in ("dense", "masked")]
    assert float(rows(done.out)[2][4].rstrip("%")) != 100
