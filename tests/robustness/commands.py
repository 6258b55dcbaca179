"""Command lines that ask for what cannot be had, each with the value that its message has to repeat."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import NamedTuple

SMALL = "--data synthetic --set data.train=32 --set data.validation=8 --set data.test=8 --model mlp_4 --engine masked"
TRAIN = f"train --sparse --fix --epochs 1 {SMALL}"
RUN = "runs/3f2a9c1b77de"
NO_INTEGERS = ("abc", "", "1.5", "nan", "inf", "1e3", "0x10", "½", "1 2", "[1]", "true")
NO_FLOATS = ("abc", "", "1,5", "0.5.1", "½", "1e", "--", "[0.5]", "none")


class Command(NamedTuple):
    """Words after ``rarefy``, and what the message repeats of them."""

    words: tuple[str, ...]
    value: str

    @property
    def name(self) -> str:
        """For people."""
        text = shlex.join(self.words).replace(shlex.join(shlex.split(SMALL)), "...")
        return text if len(text) < 150 else f"{text[:150]}... ({len(text)})"


def lines() -> list[Command]:
    """All of them, each once."""
    return list(dict.fromkeys([*_numbers(), *_names(), *_settings(), *_commands()]))


def _command(text: str, value: str, *words: str) -> Command:
    return Command((*shlex.split(text), *words), value)


INTEGERS = {
    "--epochs": ("0", "-1", str(10**30), "9" * 400),
    "--multiplier": ("0", "-3", str(10**30)),
    "--batch-size": ("0", "-1", str(10**30)),
    "--accumulate": ("0", "-2", str(10**30)),
    "--seed": (),
    "--threads": ("0", "-1", "1000000", str(10**30)),
    "--workers": ("-1", str(10**30)),
}
FLOATS = {
    "--density": ("0", "-0.1", "1.1", "nan", "inf", "1e308", "1e-300", "1e-12"),
    "--lr": ("0", "-1", "nan", "inf", "-inf", "1e308", "1e999"),
    "--momentum": ("nan", "inf", "-0.5", "1.5", "1e308"),
    "--weight-decay": ("-1", "nan", "inf", "1e308"),
    "--warmup": ("-1", "nan", "inf", "1e308"),
    "--label-smoothing": ("-0.1", "1", "nan", "2"),
    "--clip-norm": ("0", "-1", "nan", "inf"),
    "--checkpoint-seconds": ("-1", "nan"),
    "--rank-timeout": ("0", "-1", "nan", "inf", "1e308"),
}


def _numbers() -> Iterator[Command]:
    for flag, wrong in INTEGERS.items():
        for value in (*NO_INTEGERS, *wrong):
            yield _command(TRAIN, value, f"{flag}={value}")
    for flag, wrong in FLOATS.items():
        for value in (*NO_FLOATS, *wrong):
            yield _command(TRAIN, value, f"{flag}={value}")
    moving = f"train --sparse --topology rigl --epochs 1 {SMALL}"
    for value in ("abc", "-0.1", "1.5", "nan", "inf"):
        yield _command(moving, value, f"--death-rate={value}")
    for value in ("abc", "0", "-5", "1.5", str(10**30)):
        yield _command(moving, value, f"--update-frequency={value}")
    for value in ("abc", "0", "-1", "2", "nan"):
        yield _command(f"{TRAIN} --sparse-init erk_plus", value, f"--fc-density={value}")
    for value in ("abc", "0", "-32", "1.5", str(10**30)):
        yield _command("train --data imagenet --epochs 1", value, f"--resolution={value}")
    for value in ("abc", "0", "1", "-0.5", "nan"):
        yield _command("train --data imagenet --epochs 1", value, f"--valid-split={value}")


NAMES = {
    "--data": ("cifar11", "digit", "synthetc"),
    "--model": ("cifar_resnet_21", "cifar_resnet_20_0", "vgg12", "mlp", "mlp_0", "mlp_4_", "resnet19", "timm/"),
    "--sparse-init": ("erkk", "snipp", "unifrom", "er plus"),
    "--topology": ("rigll", "stati"),
    "--growth": ("randm", "gradients"),
    "--death": ("magnitud", "taylr"),
    "--redistribution": ("non", "momentm"),
    "--decay-schedule": ("cosin", "step"),
    "--optimizer": ("sdg", "adamx"),
    "--schedule": ("stp", "cosinus"),
    "--precision": ("fp8", "FP-32", "32"),
    "--pattern": ("2:5", "1:4", "4:2"),
    "--select": ("first", "bst"),
    "--compression": ("fp8", "gzip"),
    "--engine": ("cpuu", "gpu"),
    "--device": ("mps", "xla", "cuda:99", "gpu", "cpu:-1", "meta", "vulkan", "hpu:0"),
    "--recipe": ("imagenet-papr", "cifar"),
    "--model-config": ("fanout", "clasic"),
    "--track": ("tensorbord", "mlflow:x", "wandb:nope=1"),
}
MOVING = ("--topology", "--growth", "--death", "--redistribution", "--decay-schedule")  # without effect under --fix
NO_NAMES = (" ", "🙂", "../../etc/passwd", "x" * 300, "erk:x", "%s", "{0}", "nul\tl")


def _names() -> Iterator[Command]:
    for flag, near in NAMES.items():
        base = TRAIN.replace("--fix", "") if flag in MOVING else TRAIN
        base = base.replace("mlp_4", "resnet18") if flag == "--model-config" else base
        for value in (*near, *NO_NAMES):
            if not (flag == "--track" and value == " "):  # nothing is asked for
                yield _command(base, value.strip() or value, f"{flag}={value}")
    for flag in ("--denisty", "--epocs", "--sparce", "--modle", "--sparse-inti", "--lr-rate", "--no-such-flag", "-z"):
        yield _command(TRAIN, flag, flag, "1")
    for path in ("nowhere.yaml", ".", "folder", "bytes.bin", "🙂.yaml"):
        yield _command("train", path, "--config", path)
    for out in ("bytes.bin", "bytes.bin/below"):
        yield _command(TRAIN, out, "--out", out)
    yield _command("train --data imagenet", "nowhere", "nowhere")
    yield _command("train --data imagenet", "folder", "--data-dir", "folder")
    yield _command("train nowhere", "elsewhere", "--data-dir", "elsewhere")
    yield _command(TRAIN, "mlp_1_1", "--model", "mlp" + "_1" * 3001)
    for model in ("mlp_10000000000", "cifar_resnet_600002", "cifar_resnet_20_1000000", f"mlp_{10**30}", "vgg16_x"):
        yield _command(TRAIN, model, "--model", model)


SETTINGS = {
    "seed": ("true", "1.5", "abc", "null", "[1]", "{a: 1}", ".nan", "2026-11-29"),
    "density": ("true", "abc", "null", "[0.1]", ".nan", ".inf", "0", "2"),
    "training": ("1", "abc", "[1]", "null"),
    "training.epochs": ("true", "0.5", "abc", "null", "[1]", ".inf"),
    "training.lr": ("true", "abc", "null", ".nan", ".inf", "{a: 1}", "1e308"),
    "training.batch_size": ("true", "abc", "null", ".nan"),
    "training.norm_weight_decay": ("2", "maybe", "null", "[true]"),
    "training.label_smoothing": ("true", "1.0", "abc"),
    "training.lrr": ("1",),
    "training.schedule": ("{gamma: 2}", "3", "[step]", "{name: step, gama: 1}", "{name: 3}"),
    "training.schedule.gamma": ("-1", ".nan", ".inf", "abc", "true", "1e308"),
    "training.schedule.milestones": ("[.nan]", "[-1]", "[.inf]", "abc", "[[1]]", "0.5", "[1e308]"),
    "training.optimizer.momentum": ("-1", "abc", ".nan", "true"),
    "training.optimizer.nesterv": ("true",),
    "allocation.densities": ("{a: 1}",),
    "model.width": ("0", "abc", "1e30"),
    "data.train": ("0", "-1", "abc", ".nan", "true", str(10**30)),
    "data.classes": ("0", "-1", "abc", str(10**30)),
    "data.height": ("0", "-1", str(10**12)),
    "nowhere": ("1",),
    "seed.x": ("1",),
    "device": ("3", "null", "true"),
    "topology.interval": ("0", "-1", "abc", ".nan"),
}
NO_ASSIGNMENTS = ("seed", "=1", "seed = [", "seed={", "a: b=:", "seed=!!python/name:os.system", "seed=*a", "=", "")


def _settings() -> Iterator[Command]:
    for place, wrong in SETTINGS.items():
        base = f"train --sparse --topology rigl --epochs 1 {SMALL}" if place.startswith("topology") else TRAIN
        for value in wrong:
            yield _command(base, place if value == "null" else value.strip("[]{}."), "--set", f"{place}={value}")
    for text in NO_ASSIGNMENTS:
        yield _command(TRAIN, text, "--set", text)
        yield _command("sweep sweep.yaml --dry-run", text, "--set", text)
    for value in ("[" * 200, "&a [*a]", "9" * 5000):
        yield _command(TRAIN, value[:20], "--set", f"seed={value}")


def _commands() -> Iterator[Command]:
    for word in ("trian", "evaluate", "", "--verbose", "🙂", "Train"):
        yield _command("", word, word)
    yield from _densities()
    yield from _evaluations()
    yield from _tables()
    yield from _sweeps()


def _densities() -> Iterator[Command]:
    for flag, wrong in {
        "--classes": ("0", "-1", "abc", "1e3", str(10**9), str(10**30)),
        "--channels": ("0", "-1", "abc", str(10**9), str(10**30)),
        "--size": ("0", "-1", "abc", "nan", "1000000", str(10**30)),
        "--density": ("0", "-1", "2", "nan", "abc", "inf", "1e-300"),
        "--fc-density": ("0", "2", "nan", "abc"),
        "--sparse-init": ("erkk", "", "snip", "🙂"),
        "--set": ("allocation.x=1", "density", "training.lr=abc"),
    }.items():
        rule = " --sparse-init erk_plus" if flag == "--fc-density" else ""
        for value in wrong:
            yield _command(f"densities cifar_resnet_20{rule}", value.partition("=")[2] or value, f"{flag}={value}")
    huge = (f"mlp_{10**12}", "cifar_resnet_60000002")
    for model in ("cifar_resnet_21", "vgg", "", "🙂", "nowhere.py:Net", "mlp_0", *huge):
        yield _command("densities", model, model)


def _evaluations() -> Iterator[Command]:
    for place in ("nowhere", "folder", "bytes.bin", "🙂"):
        for command in ("eval", "compare", "report", "runs", "bench"):
            if (command, place) != ("runs", "folder"):  # there are none in it, which is an answer
                yield _command(command, place, place)
    for flag, wrong in {
        "--ood": ("svhnn", "/nope", "nowhere.npz", "bytes.bin", "🙂"),
        "--ood-scores": ("energyy", "knn:k=0", "knn:k=abc", "knn:x=1", "knn:k", "🙂"),
        "--attack": ("fgsmm", "pgd:steps=0", "pgd:steps=abc", "pgd:eps=2", "pgd:eps=nan", "pgd:x=1", "pgd:steps"),
        "--eps": ("abc", "2", "nan", "inf", "-0.1", "1/0", "1/255/3", "0.1;0.2"),
        "--ood-images": ("-1", "abc", "1.5"),
        "--attack-images": ("0", "-1", "abc"),
        "--curve-images": ("0", "-1", "abc"),
        "--corruption-images": ("-1", "abc"),
        "--corruptions-dir": ("nowhere",),
        "--seed": ("abc", "1.5"),
        "--device": ("mps", "cuda:99", "gpu"),
        "--threads": ("0", "-1", "abc", "1000000"),
        "--workers": ("-1", "abc"),
    }.items():
        for value in wrong:
            extra = " --ood noise" if flag == "--ood-scores" else " --attack fgsm" if flag == "--eps" else ""
            yield _command(f"eval {RUN}{extra}", value, f"{flag}={value}")
    yield _command(f"eval {RUN} --attack fgsm --eps", "", "")
    for flag, wrong in {
        "--batches": ("abc", "0", "-1", "1.5", "1,,x"),
        "--rounds": ("0", "abc"),
        "--threads": ("0", "abc", "1000000"),
        "--classes": ("0", "abc", str(10**30)),
        "--size": ("0", "abc", str(10**30)),
    }.items():
        for value in wrong:
            yield _command("bench --model mlp_4", value.split(",")[-1], f"{flag}={value}")


def _tables() -> Iterator[Command]:
    for text in (
        "history.--1=1", "history.-=1", "accuracy", "accuracy>", "accuracy>abc", "acuracy>0.5", "=1", ">", "lr=abc",
        "seed=1,x", "accuracy>0.5,0.6", "config>1", "layers>1", "history.1e5.lr=1", "accuracy>nan/0", "🙂=1",
        "history.²=1", f"history.{'9' * 5000}=1",
    ):  # fmt: skip
        yield _command("runs runs", text[:30], "--where", text)
    for flag in ("--sort", "--columns"):
        for text in ("acuracy", "-", "history.--1", "🙂", "x" * 300, "history.-0-1"):
            yield _command("runs runs", text.lstrip("-") or text, f"{flag}={text}")
    for flag, wrong in {
        "--margin": ("abc", "-1", "nan", "inf", "acuracy=1", "accuracy=abc", "accuracy="),
        "--confidence": ("0", "1", "-1", "2", "nan", "abc", "inf"),
        "--metric": ("acuracy", "", "🙂", "["),
        "--baseline": ("dens", "nobody", "", "🙂"),
    }.items():
        for value in wrong:
            yield _command("compare runs", value, f"{flag}={value}")
    for value in ("abc", "-1", "nan", "inf"):
        yield _command("report runs", value, f"--margin={value}")
    for value in ("nowhere.csv", "bytes.bin", "folder", "runs"):
        yield _command("report runs", value, "--published", value)
    for command in ("compare runs --json", "compare runs --csv", "report runs --out", "runs runs --csv"):
        yield _command(command, "folder", "folder")
        yield _command(command, "bytes.bin", "bytes.bin/below.x")
    for paths in (("nowhere", "out"), ("folder", "out"), ("bytes.bin", "out")):
        yield _command("unpack", paths[0], *paths)


SWEEPS = {
    "empty.yaml": ("", "empty.yaml"),
    "list.yaml": ("[1, 2]", "list"),
    "text.yaml": ("grid", "str"),
    "axis.yaml": ("grid: {seed: 1}", "1"),
    "no_axis.yaml": ("grid: {seed: []}", "[]"),
    "grid.yaml": ("grid: [1]", "[1]"),
    "part.yaml": ("gird: {seed: [1]}", "gird"),
    "flag.yaml": ("grid: {sed: [1]}", "sed"),
    "densities.yaml": ("grid: {density: [abc, .nan, 7]}", "abc"),
    "nan.yaml": ("grid: {density: [.nan]}", "nan"),
    "seven.yaml": ("grid: {density: [7]}", "7"),
    "sparse.yaml": ("{base: {sparse: true, fix: true}, grid: {density: [0.1, abc]}}", "abc"),
    "million.yaml": (f"grid: {{seed: {list(range(1000))}, lr: {list(range(1, 1001))}}}", "1000000"),
    "twice.yaml": ("{grid: {seed: [1]}, grid: {seed: [2]}}", "grid"),
    "date.yaml": ("grid: {seed: [2026-11-29]}", "2026-11-29"),
    "ood.yaml": ("{grid: {seed: [1]}, evaluate: {ood: /nope}}", "/nope"),
    "attack.yaml": ("{grid: {seed: [1]}, evaluate: {attack: fgsmm}}", "fgsmm"),
    "eps.yaml": ("{grid: {seed: [1]}, evaluate: {attack: fgsm, eps: ''}}", "eps"),
    "evaluate.yaml": ("{grid: {seed: [1]}, evaluate: {odd: noise}}", "odd"),
    "evaluate_list.yaml": ("{grid: {seed: [1]}, evaluate: [ood]}", "ood"),
    "none.yaml": ("{grid: {seed: [1]}, exclude: [{seed: 1}]}", "none.yaml"),
    "exclude.yaml": ("{grid: {seed: [1]}, exclude: {seed: 1}}", "seed"),
    "entry.yaml": ("list: [1]", "1"),
    "key.yaml": ("grid: {1: [1]}", "1"),
    "data.yaml": ("grid: {data: [nowhere]}", "nowhere"),
    "python.yaml": ("grid: !!python/object/apply:os.getcwd []", "python.yaml"),
    "scales.yaml": ("{grid: {seed: [1]}, scales: {one: {base: {seed: 2}}}}", "scales.yaml"),
    "rate.yaml": ("grid: {lr: [1.0e+308]}", "1e+308"),
    "boolean.yaml": ("grid: {seed: [true]}", "True"),
}


def _sweeps() -> Iterator[Command]:
    for file, (_, value) in SWEEPS.items():
        yield _command(f"sweep {file} --set epochs=1 --data-dir nowhere", value)
    for flag, wrong in {
        "--executor": ("locall", "slurm:x=1", "local:workers=0", "local:workers=abc", "", "🙂"),
        "--workers": ("0", "-1", "abc"),
        "--threads": ("0", "-1", "abc", "1000000"),
        "--retry": ("-1", "abc"),
        "--scale": ("nowhere", ""),
        "--checkpoint-seconds": ("-1", "abc", "nan"),
    }.items():
        for value in wrong:
            yield _command("sweep sweep.yaml --dry-run", value, f"{flag}={value}")
    for path in ("nowhere.yaml", "folder", "bytes.bin", "🙂"):
        yield _command("sweep", path, path)
    for flag, wrong in {
        "--margin": ("abc", "-1", "nan", "inf"),
        "--seeds": ("1", "0", "abc"),
        "--min-density": ("0", "-1", "2", "nan", "abc"),
        "--short": ("0", "-1", "2", "nan", "abc"),
        "--scale": ("nowhere",),
        "--workers": ("0", "abc"),
    }.items():
        for value in wrong:
            yield _command(f"find-density --epochs 1 {SMALL}", value, f"{flag}={value}")
