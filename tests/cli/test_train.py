"""``rarefy train``: from flags to a folder, and what is said on the way."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shlex
from pathlib import Path

import pytest
import yaml

from rarefy.config import Config, build_config
from rarefy.cores import count_cores
from rarefy.distributed import SINGLE_PROCESS
from rarefy.pipeline import resolve
from rarefy.training import Interrupted

PAPER = (
    "train --sparse --seed 17 --sparse_init ERK --fix --lr 0.1 --density 0.05 "
    "--model cifar_resnet_20_16 --data cifar10 --epoch 160"
)


@pytest.fixture
def asked(monkeypatch) -> list[Config]:
    """The configs that commands would run; nothing is run."""
    configs: list[Config] = []

    def note(config: Config, **places: object) -> None:
        configs.append(config)
        raise Interrupted("Not run.")

    monkeypatch.setattr("rarefy.pipeline.run", note)
    return configs


def test_the_paper_s_command_as_it_is_written(rarefy, asked):
    assert rarefy(PAPER).code == 130
    expected = {
        "data": "cifar10", "model": "cifar_resnet_20_16", "density": 0.05, "allocation": "ERK", "topology": "static",
        "seed": 17, "training": {"lr": 0.1, "epochs": 160},
    }  # fmt: skip
    assert asked == [Config.from_values(expected)]


def test_the_paper_s_imagenet_command_as_it_is_written(rarefy, asked):
    """The released command less its launcher, and with the flags that say here what its code always did."""
    done = rarefy(
        "train --sparse --fix --sparse_init ERK_plus --fc_density 1.0 --multiplier 1 --seed 17 --master_port 4545 -j5 "
        "-p 500 --arch WideResNet50_2 -c fanin --fp16 --static-loss-scale 256 --label-smoothing 0.1 -b 192 --lr 0.4 "
        "--warmup 5 --epochs 100 --density 0.2 --save save/ ../data/"
    )
    training = {
        "lr": 0.4, "epochs": 100, "warmup_epochs": 5, "label_smoothing": 0.1, "batch_size": 192, "precision": "fp16"
    }  # fmt: skip
    expected = {
        "data": "imagenet", "model": {"name": "WideResNet50_2", "init": "fanin"}, "density": 0.2, "seed": 17,
        "allocation": {"name": "ERK_plus", "fc_density": 1.0}, "topology": "static", "training": training,
    }  # fmt: skip
    assert asked == [Config.from_values(expected)]
    told = (done.out + done.err).replace("\n", " ")
    for flag in ("--print-freq", "--static-loss-scale", "--master-port"):
        assert f"note: {flag} has no effect: " in told
    assert "processes together" not in told


def test_the_headline_s_command_as_the_documentation_has_it(rarefy, asked):
    words = (
        "train --data imagenet --data-dir DIR --model WideResNet50_2 --sparse --sparse_init ERK_plus --fc_density 1.0 "
        "--fix --fp16 --label-smoothing 0.1 -b 192 --lr 0.4 --warmup 5 --epochs 100 --density 0.2 -j 10 --save DIR"
    )
    assert rarefy(words).code == 130
    rarefy(
        "train DIR --sparse --fix --sparse_init ERK_plus --fc_density 1.0 --arch WideResNet50_2 -c fanin --fp16 "
        "--label-smoothing 0.1 -b 192 --lr 0.4 --warmup 5 --epochs 100 --density 0.2"
    )
    assert resolve(asked[0]).id == resolve(asked[1]).id


def test_the_commands_of_the_page_on_imagenet_are_one_run(rarefy, asked):
    page = (Path(__file__).parents[2] / "docs" / "imagenet.md").read_text().replace("\\\n", " ")
    for line in re.findall(r"^torchrun .*-m rarefy (train .*)$", page, flags=re.MULTILINE):
        assert rarefy("", *shlex.split(line)).code == 130
    recipe, flags = asked
    assert resolve(recipe).id == resolve(flags).id


def test_what_a_command_leaves_unsaid_is_said_of_imagenet(rarefy, asked):
    note = "settings you omit are those for CIFAR"
    assert note in rarefy("train DIR").err
    assert note not in rarefy("train DIR --recipe imagenet-paper").err
    assert note not in rarefy("train").err
    training = resolve(asked[0]).config.training  # what the note claims
    assert (training.weight_decay, training.norm_weight_decay) == (5e-4, True)
    assert training.optimizer.options["nesterov"] is True
    assert training.schedule.options["milestones"] == [0.5, 0.75]


def test_whose_batch_it_is_is_said_where_several_share_it(rarefy, asked, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr(
        "rarefy.distributed.join_process_group", lambda *_, **__: contextlib.nullcontext(SINGLE_PROCESS)
    )
    told = " ".join(rarefy("train -b 192").err.split())
    assert "note: -b 192 is a step of all 4 processes together, 48 images each;" in told
    assert "the same is -b 768 here" in told
    assert "together" not in rarefy("train").err
    monkeypatch.setenv("RANK", "1")
    assert "together" not in rarefy("train -b 192").err  # the first process speaks for all


def test_the_folder_of_the_data_is_said_once(rarefy, asked):
    assert "give one of them" in rarefy("train here --data-dir there").sentence
    rarefy("train here --data digits")
    assert [config.data.name for config in asked] == ["digits"]


def test_underscores_and_hyphens_are_one(rarefy, asked):
    words = "train --sparse --sparse_init=erk_plus --fc_density 0.5 --batch_size 64 --weight_decay 0 --no_norm_decay"
    rarefy(words)
    rarefy(words.replace("_", "-").replace("erk-plus", "erk_plus"))
    assert asked[0] == asked[1]
    assert (asked[0].allocation.name, asked[0].training.batch_size) == ("erk_plus", 64)


def test_every_flag_works_in_both_spellings(rarefy, asked):
    from rarefy.flags import FLAGS

    values = {int: "3", float: "0.5", str: "cpu"}
    named = {"precision": "bf16", "select": "best", "model": "mlp_8", "data": "digits", "sparse_init": "er",
             "optimizer": "sgd", "schedule": "cosine", "engine": "masked", "topology": "rigl"}  # fmt: skip
    several = [flag for flag in FLAGS if any("-" in name.lstrip("-") for name in flag.names)]
    assert several
    for flag in several:
        value = [] if flag.kind is bool else [named.get(flag.name, values[flag.kind])]
        for name in (flag.names[0], "--" + flag.name):
            assert "No such option" not in rarefy("train", name, *value).err


def test_a_run_leaves_the_documented_files(train, tmp_path):
    done = train("--sparse --fix --density 0.25")
    assert done.code == 0, done.err
    (folder,) = (tmp_path / "runs").iterdir()
    names = {"config.yaml", "record.json", "history.jsonl", "last.ckpt", "model.safetensors", "log.txt", "curves.png"}
    assert names <= {file.name for file in folder.iterdir()}
    record = json.loads((folder / "record.json").read_text())
    assert record["id"] == folder.name
    assert record["params"]["kept"] == round(0.25 * record["params"]["total"]) == 102
    assert record["config"] == yaml.safe_load((folder / "config.yaml").read_text())
    assert len((folder / "history.jsonl").read_text().splitlines()) == 2


def test_plain_lines_where_there_is_no_terminal(train, tmp_path):
    done = train("--sparse --fix --density 0.25")
    (folder,) = (tmp_path / "runs").iterdir()
    assert "\x1b" not in done.out
    assert "\r" not in done.out
    lines = done.out.splitlines()
    assert "density 0.25 erk, static" in lines[0]
    assert [line.split()[1] for line in lines if line.startswith("epoch ") and "loss" in line] == ["1/2", "2/2"]
    assert "102 of 408 (25.00%)" in done.out
    assert str(folder / "record.json") in done.out.replace("\n", "")
    assert done.err == "note: synthetic: 32 training, 16 validation and 16 test images of 3 classes\n"


def test_tracked_runs_are_the_same_runs(train, tmp_path):
    pytest.importorskip("tensorboard", reason="needs the package tensorboard: the extra of that name")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain = train("-q", "--out", tmp_path / "plain")
    tracked = train("-q --track tensorboard")
    assert (tracked.code, tracked.err) == (0, "")
    folder, other = Path(tracked.out.strip()), Path(plain.out.strip())
    assert folder.name == other.name, "a tracker is no part of the id"
    assert (folder / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    record = json.loads((folder / "record.json").read_text())
    scalars = EventAccumulator(str(folder / "tensorboard")).Reload().Scalars
    for name in ("train_loss", "validation_accuracy"):
        wanted = [(row["epoch"], pytest.approx(row[name], rel=1e-6)) for row in record["history"]]
        assert [(event.step, event.value) for event in scalars(name)] == wanted
    assert scalars("test_accuracy")[0].value == pytest.approx(record["metrics"]["test"]["accuracy"])


def test_a_finished_run_can_be_tracked_afterwards(train, steps):
    pytest.importorskip("tensorboard", reason="needs the package tensorboard: the extra of that name")
    folder = Path(train("-q").out.strip())
    taken = len(steps)
    assert not (folder / "tensorboard").exists()
    train("-q --track tensorboard")
    assert len(list((folder / "tensorboard").iterdir())) == 1
    assert len(steps) == taken


def test_a_tracker_that_cannot_be_had_is_said_before_training(train, tmp_path, monkeypatch):
    assert "Did you mean 'tensorboard'?" in train("--track tensorbord").sentence
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert '[wandb]" adds it' in train("--track wandb").sentence
    assert not (tmp_path / "runs").exists()


def test_a_tracker_that_fails_fails_no_training(train, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="needs the package tensorboard: the extra of that name")

    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", full)
    done = train("--track tensorboard")
    assert done.code == 0
    assert done.err.count("note: the tracker tensorboard failed, the run continues: OSError") == 2
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "record.json").is_file()
    assert "the tracker tensorboard failed" in (folder / "log.txt").read_text()


def test_quiet_prints_the_folder_alone(train, tmp_path):
    done = train("--quiet")
    (folder,) = (tmp_path / "runs").iterdir()
    assert done.out == f"{folder}\n"
    assert done.err == ""


def test_quiet_keeps_notices_off_the_standard_output(train, tmp_path):
    done = train("-q --density 0.25")
    (folder,) = (tmp_path / "runs").iterdir()
    assert done.out == f"{folder}\n"


def test_a_flag_without_effect_is_told(train):
    assert "--density has no effect" in (done := train("--density 0.25")).out + done.err


def test_the_same_command_again_reports_and_does_not_train(train, steps, tmp_path):
    first = train()
    assert len(steps) == 4
    (folder,) = (tmp_path / "runs").iterdir()
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    again = train()
    assert again.code == 0
    assert len(steps) == 4
    assert {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()} == before
    table = first.out[first.out.index("\nrun ") :]
    assert table in again.out
    assert "epoch 1/2" not in again.out


def test_another_config_gets_another_folder(train, steps, tmp_path):
    for words in ("", "--seed 18", "--sparse --fix", "--sparse"):
        assert train(words + " -q").code == 0
    assert len(list((tmp_path / "runs").iterdir())) == 4
    assert len(steps) == 16


def test_a_run_s_config_file_is_the_same_run(rarefy, train, steps, tmp_path):
    train("--sparse --fix --density 0.25")
    (folder,) = (tmp_path / "runs").iterdir()
    done = rarefy("train -q", "--config", folder / "config.yaml", "--out", tmp_path / "runs")
    assert (done.code, done.out) == (0, f"{folder}\n")
    assert len(steps) == 4


def test_a_stopped_run_goes_on(train, steps, monkeypatch, tmp_path):
    train("-q")
    (folder,) = (tmp_path / "runs").iterdir()
    whole = (folder / "model.safetensors").read_bytes()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    steps.clear()

    import rarefy.cli._progress as progress

    stoppable = progress.stoppable

    class AfterThree:
        def __enter__(self):
            return lambda: len(steps) == 3

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(progress, "stoppable", AfterThree)
    done = train()
    assert done.code == 130
    assert f"Saved in {folder}" in done.out.replace("\n", "")
    assert not (folder / "record.json").exists()
    monkeypatch.setattr(progress, "stoppable", stoppable)
    done = train()
    assert done.code == 0
    assert "continuing after epoch 1, batch 1 of 2" in done.out
    assert len(steps) == 4
    assert (folder / "model.safetensors").read_bytes() == whole


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--model nothing", "Unknown model 'nothing'"),
        ("--model cifar_resnet_19", "19"),
        ("--sparse --sparse-init erkk", "Unknown allocation 'erkk'. Did you mean 'erk'?"),
        ("--optimizer sgdd", "Unknown optimizer 'sgdd'. Did you mean 'sgd'?"),
        ("--schedule cosin", "Unknown schedule 'cosin'. Did you mean 'cosine'?"),
        ("--engine nothing", "Unknown engine 'nothing'"),
        ("--sparse --set topology.name=rigll", "Unknown topology 'rigll'. Did you mean 'rigl'?"),
        ("--sparse --density 2", "density cannot be 2.0"),
        ("--lr 0", "training.lr cannot be 0.0"),
        ("--precision fp8", "'fp32', 'tf32', 'bf16' or 'fp16'"),
        ("--device nowhere", "device cannot be 'nowhere'"),
        ("--set data.nothing=1", "has no option 'nothing'"),
        ("--set training.rate=1", "There is no setting 'training.rate'"),
        ("--set lr", "is not an assignment"),
        ("--set seed=[1", "seed"),
        ("--config none.yaml", "There is no settings file none.yaml"),
        ("--momentum -1", "momentum"),
        ("--optimizer adam --set training.optimizer.beta1=2", "beta1"),
        ("--multiplier 2 --set training.epochs=many", "training.epochs"),
    ],
)
def test_mistakes_are_sentences_and_leave_no_folder(train, tmp_path, words, told):
    assert told in train(words).sentence
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("data", ["imagenet", "cifar10", "cifar100", "mnist", "fashion_mnist", "svhn"])
def test_missing_data_says_where_it_looked_and_what_to_do(rarefy, tmp_path, data):
    words = f"train --recipe imagenet-paper --model mlp_8 --data {data} --device cpu"
    done = rarefy(words, "--data-dir", tmp_path, "--out", tmp_path / "runs")
    assert str(tmp_path) in done.sentence
    assert "--data-dir" in done.sentence
    assert not (tmp_path / "runs").exists()


def test_a_loss_that_is_not_finite_is_a_sentence(train):
    done = train("--lr 1e6 --schedule constant --epochs 20")
    assert done.code == 2
    assert "Traceback" not in done.err
    assert all(word in done.err for word in ("rarefy: The loss became", "step", "checkpoint"))


def test_a_place_that_cannot_be_written_is_a_sentence(rarefy, train, tmp_path):
    (tmp_path / "runs").write_text("a file in the place of the folder")
    assert str(tmp_path / "runs") in train().sentence


def test_a_forbidden_place_is_a_sentence(train, monkeypatch):
    def forbidden(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", forbidden)
    assert "Permission denied" in train().sentence


def test_a_full_disk_is_a_sentence_and_leaves_no_half_file(train, monkeypatch, tmp_path):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        assert "No space left on device" in train().sentence
    assert not (tmp_path / "runs").exists(), "it had not begun"
    assert train().code == 0, "with space again the same command does it"


def test_a_bug_keeps_its_traceback(train, monkeypatch):
    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("rarefy.engines.use_engine", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train()


def test_a_folder_with_brackets_is_printed_as_it_is(rarefy, tmp_path):
    out = tmp_path / "x[b]"
    words = "train --data synthetic --model mlp_8 --epochs 1 --device cpu --set data.height=4 --set data.width=4"
    done = rarefy(words, "--set", "data.train=16", "--set", "data.validation=4", "--set", "data.test=4", "--out", out)
    assert done.code == 0
    assert str(out) in done.out.replace("\n", "")


def test_the_command_of_the_help_s_first_example_is_dense_on_digits(rarefy, asked):
    rarefy("train")
    assert asked == [build_config({})]
    assert asked[0].data.name == "digits"


def test_words_as_a_shell_gives_them(rarefy, asked):
    rarefy("train", *shlex.split("--set 'training.schedule={name: step, gamma: 0.5}'"))
    assert asked[0].training.schedule.options == {"gamma": 0.5}


@pytest.mark.parametrize("threads", [8 * count_cores() + 1, 1_000_000])
@pytest.mark.parametrize("command", ["train --epochs 1", "bench --model mlp_8", "sweep runs.yaml"])
def test_threads_that_no_machine_bears_are_refused_at_once(rarefy, tmp_path, monkeypatch, command, threads):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.yaml").write_text("base: {data: synthetic}\ngrid: {seed: [1]}\n")
    done = rarefy(f"{command} --threads {threads}")
    assert done.code == 2
    assert str(threads) in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["runs.yaml"]


def test_more_threads_than_cores_train_and_are_warned_of(train):
    import torch

    before = torch.get_num_threads()
    try:
        done = train("--sparse --fix --density 0.3", "--threads", count_cores() + 1)
    finally:
        torch.set_num_threads(before)
    assert done.code == 0
    assert f"{count_cores() + 1} threads on {count_cores()} core" in done.err


def test_print_config_prints_what_config_reads(rarefy, train, tmp_path):
    printed = train("--sparse --fix --density 0.25 --seed 3 --print-config")
    first, *lines = printed.out.splitlines()
    assert not (tmp_path / "runs").exists()
    file = tmp_path / "settings.yaml"
    file.write_text("\n".join(lines))
    assert rarefy("train --print-config --config", file).out == printed.out
    folder = rarefy("train -q --config", file, "--out", tmp_path / "runs").out.strip()
    assert folder.endswith(first.removeprefix("# run "))
