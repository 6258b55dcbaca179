"""The flags of the command line, declared once: those that set a value of the config, and those of several commands.

Sweep files use the names of the config's flags, so that whatever can be typed can be swept. The spellings of the
paper's released code work (``--sparse_init``, ``--epoch``, ``--l2``); ``-`` and ``_`` are the same.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag of the command line.

    Args:
        names: Its spellings, the first one canonical.
        config_path: Dotted path of the config value that it sets; empty if it sets none, or more than one.
        kind: Type of its value. A flag of kind bool takes no value; one of kind list can be repeated.
        help: What `--help` says. ``{allocation.ALLOCATIONS}`` stands for the names in that registry.
        value: What a flag of kind bool writes to the config.
        no_effect: Why the flag has no effect, if it is only accepted because the paper's code has it.
        default: Value when the flag is not given.
        minimum: Smallest value allowed.
        maximum: Largest value allowed.
        parameter: Name of the command's parameter; default: the first spelling.

    Example:
        >>> Flag(("--lr",), "training.lr", float, "Learning rate.").name
        'lr'
    """

    names: tuple[str, ...]
    config_path: str
    kind: type
    help: str
    value: Any = True
    no_effect: str = ""
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    parameter: str = ""

    @property
    def name(self) -> str:
        """The flag's name in Python and in sweep files: ``sparse_init``."""
        return self.parameter or self.names[0].lstrip("-").replace("-", "_")


_PAPER_ONLY = "Accepted because the paper's commands use it; it has no effect"

FLAGS: tuple[Flag, ...] = (
    Flag(("--recipe",), "", str, "Named settings that other flags override: {recipes}."),
    Flag(("--data",), "data.name", str, "Data set: {data.DATASETS}."),
    Flag(
        ("--resolution",), "data.resolution", int, "Height and width of the images, in pixels (imagenet, folder, hf)."
    ),
    Flag(
        ("--valid-split",),
        "data.valid_split",
        float,
        "Fraction of the training images held out for validation (imagenet, own data).",
    ),
    Flag(
        ("--skip-bad-images",),
        "data.skip_bad_images",
        bool,
        "Skip images that cannot be decoded (imagenet, folder, hf).",
    ),
    Flag(
        ("--model", "--arch", "-a"),
        "model.name",
        str,
        "Model: {models.MODELS}.",
    ),
    Flag(("--model-config", "-c"), "model.init", str, "Initial weights of resnet and WideResNet: fanin or classic."),
    Flag(("--sparse",), "", bool, "Train a sparse network; without this flag the network is dense."),
    Flag(("--density",), "density", float, "Fraction of weights kept, in (0, 1]."),
    Flag(
        ("--sparse-init",),
        "allocation.name",
        str,
        "Allocation, the rule for how many weights each layer keeps: {allocation.ALLOCATIONS}.",
    ),
    Flag(("--fc-density",), "allocation.fc_density", float, "Density of the classifier (erk_plus, smart_ratio)."),
    Flag(("--fix",), "", bool, "Keep the masks as they are drawn; without this flag they change during training."),
    Flag(
        ("--topology",),
        "topology.name",
        str,
        "Topology, the method by which masks change during training: {topology.TOPOLOGIES}.",
    ),
    Flag(("--growth",), "topology.grow", str, "Rule for which weights are grown: {topology._grows.GROWS}."),
    Flag(("--death",), "topology.drop", str, "Rule for which weights are dropped: {topology._drops.DROPS}."),
    Flag(
        ("--redistribution",),
        "topology.redistribute",
        str,
        "How weights are redistributed between layers: {topology._redistributions.REDISTRIBUTIONS}.",
    ),
    Flag(("--death-rate",), "topology.fraction", float, "Fraction of a layer's weights dropped at the first update."),
    Flag(("--update-frequency",), "topology.interval", int, "Optimizer steps between updates of the masks."),
    Flag(
        ("--decay-schedule",),
        "topology.schedule",
        str,
        "Schedule of the dropped fraction: {topology._schedules.SCHEDULES}.",
    ),
    Flag(
        ("--scaling",),
        "scaling.name",
        str,
        "Scaling, how initial weights and learning rates follow density and width: {scaling.SCALINGS}.",
    ),
    Flag(("--scaled",), "scaling.name", bool, "Short for --scaling fan_in.", "fan_in"),
    Flag(("--base-density",), "scaling.base_density", float, "Density for which the given --lr is good (supar)."),
    Flag(("--base-width",), "scaling.base_width", int, "Width for which the given --lr is good (mup, supar)."),
    Flag(
        ("--pattern",),
        "pattern",
        str,
        "Pattern, the weights that are drawn together: {masks._patterns.PATTERNS} (2:4 where half is kept).",
    ),
    Flag(("--connect",), "connect", bool, "Leave no unit of a layer without an input or an output."),
    Flag(
        ("--initialiser",),
        "initialiser.name",
        str,
        "Initialiser, the initial weights of sparse layers: {sparsity._initialisers.INITIALISERS}.",
    ),
    Flag(("--seed",), "seed", int, "Root seed of masks, initial weights, data order and augmentation."),
    Flag(("--epochs", "--epoch"), "training.epochs", int, "Passes over the training split."),
    Flag(("--multiplier",), "", int, "Multiplies the number of epochs."),
    Flag(
        ("--batch-size", "-b"),
        "training.batch_size",
        int,
        "Global batch size: images per optimizer step, over all processes.",
    ),
    Flag(
        ("--accumulate",),
        "training.accumulate",
        int,
        "Gradient-accumulation steps: forward and backward passes per optimizer step.",
    ),
    Flag(("--optimizer",), "training.optimizer.name", str, "Optimizer: {training.optimizers.OPTIMIZERS}."),
    Flag(("--lr",), "training.lr", float, "Learning rate."),
    Flag(("--momentum",), "training.optimizer.momentum", float, "Momentum of sgd."),
    Flag(("--weight-decay", "--wd", "--l2"), "training.weight_decay", float, "Weight decay."),
    Flag(("--no-norm-decay",), "training.norm_weight_decay", bool, "No weight decay on norm layers and biases.", False),
    Flag(
        ("--schedule",),
        "training.schedule.name",
        str,
        "Learning-rate schedule: {training.schedules.SCHEDULES} (step: x0.1 at 1/2 and 3/4).",
    ),
    Flag(("--warmup",), "training.warmup_epochs", float, "Epochs of linear warm-up."),
    Flag(("--label-smoothing",), "training.label_smoothing", float, "Label smoothing in [0, 1)."),
    Flag(("--clip-norm",), "training.clip_norm", float, "Largest gradient norm, computed over the kept weights."),
    Flag(("--precision",), "training.precision", str, "fp32, tf32 (on GPUs), bf16 or fp16."),
    Flag(("--bf16",), "training.precision", bool, "Short for --precision bf16.", "bf16"),
    Flag(("--fp16",), "training.precision", bool, "Short for --precision fp16.", "fp16"),
    Flag(("--channels-last",), "training.channels_last", bool, "Keep activations in channels-last order."),
    Flag(("--compile",), "training.compile", bool, "Compile the model with torch.compile."),
    Flag(
        ("--sync-norms", "--sync-bn"), "training.sync_norms", bool, "Compute batch-norm statistics over all processes."
    ),
    Flag(
        ("--recompute", "--gradient-checkpointing"),
        "training.recompute",
        bool,
        "Recompute activations in the backward pass: less memory, more time.",
    ),
    Flag(
        ("--compression",),
        "training.compression",
        str,
        "Precision of gradients sent between processes: none (unchanged), fp16 or bf16.",
    ),
    Flag(
        ("--select",),
        "training.select",
        str,
        "Which weights are tested and saved: last (epoch), or best (on validation).",
    ),
    Flag(
        ("--diagnostics",),
        "training.diagnostics",
        bool,
        "Record mask overlap, gradient norms and active units in the history.",
    ),
    Flag(("--engine",), "engine.name", str, "Engine, the way masked layers compute: {engines.ENGINES}."),
    Flag(("--device",), "device", str, "auto, cpu, cuda or cuda:N."),
    Flag(("--no-cuda",), "device", bool, "Short for --device cpu.", "cpu"),
    Flag(("--print-freq", "-p"), "", int, f"{_PAPER_ONLY}.", no_effect="progress is shown after every step"),
    Flag(("--static-loss-scale",), "", float, f"{_PAPER_ONLY}.", no_effect="fp16 chooses the loss scale itself"),
    Flag(("--dynamic-loss-scale",), "", bool, f"{_PAPER_ONLY}.", no_effect="fp16 always chooses the loss scale itself"),
    Flag(("--master-port",), "", int, f"{_PAPER_ONLY}.", no_effect="the launcher sets it: torchrun --master-port PORT"),
    Flag(("--local-rank",), "", int, f"{_PAPER_ONLY}.", no_effect="torchrun tells each process its rank"),
    Flag(
        ("--gather-checkpoints",),
        "",
        bool,
        f"{_PAPER_ONLY}.",
        no_effect="a run keeps its last checkpoint and its final model",
    ),
)
"""Every flag of `rarefy train` that is part of the config."""

EVAL_FLAGS: tuple[Flag, ...] = (
    Flag(
        ("--ood",),
        "",
        str,
        "Out-of-distribution images: cifar100,svhn,tiny_imagenet,noise, folders, file.npz.",
        default="",
    ),
    Flag(
        ("--ood-scores",),
        "",
        str,
        "Scores, with options as in energy,knn:k=200: {evaluation.ood.SCORES}; default: all.",
        default="",
    ),
    Flag(
        ("--attack",),
        "",
        str,
        "Attacks, with options as in pgd:steps=50:restarts=5:eps=4/255: {evaluation.attacks.ATTACKS}.",
        default="",
    ),
    Flag(
        ("--eps",),
        "",
        str,
        "Perturbation sizes of the curve of accuracy against eps, in [0, 1].",
        default="0.5/255,1/255,2/255,4/255,8/255",
    ),
    Flag(("--corruptions",), "", bool, "Accuracy under the 15 + 4 corruptions of CIFAR-C."),
    Flag(("--corruptions-dir",), "", Path, "Folder of the official corrupted images; without it they are generated."),
    Flag(("--calibration",), "", bool, "Calibration error (ECE), NLL and Brier score, also after temperature scaling."),
    Flag(("--cost",), "", bool, "Parameters, FLOPs, bytes, latency and memory."),
    Flag(("--hessian",), "", bool, "Largest eigenvalue of the Hessian of the loss."),
    Flag(("--landscape",), "", bool, "Loss along a random direction."),
    Flag(("--ood-images",), "", int, "Images per out-of-distribution source; 0: all.", default=4000, minimum=0),
    Flag(("--attack-images",), "", int, "Test images attacked.", default=256, minimum=1),
    Flag(("--curve-images",), "", int, "Test images for the curve over eps.", default=128, minimum=1),
    Flag(("--corruption-images",), "", int, "Test images corrupted, each in 95 ways; 0: all.", default=500, minimum=0),
    Flag(("--seed",), "", int, "Root seed of noise, random starts and corruptions.", default=0),
)
"""Flags of `rarefy eval`, which a sweep file can also name under ``evaluate``."""

CONFIG_FILE = Flag(("--config",), "", Path, "YAML file of settings; other flags override it.")
SET = Flag(("--set",), "", list, "Any setting, as in --set training.lr=0.05; can be repeated.", parameter="assignments")
OUT = Flag(("--out", "--save"), "", Path, "Folder of the runs: each one is OUT/<id>/.", default=Path("runs"))
DATA_DIR = Flag(("--data-dir",), "", Path, "Folder where data sets are looked for.", default=Path("data"))
THREADS = Flag(("--threads",), "", int, "CPU threads; default: one per core.", minimum=1, maximum=1024)
RUN_THREADS = dataclasses.replace(THREADS, help="CPU threads of each run.")
WORKERS = Flag(
    ("--workers", "-j"), "", int, "Processes that decode images (imagenet, folder, hf).", minimum=0, maximum=1024
)
RUN_WORKERS = Flag(("--workers",), "", int, "Runs at the same time.", minimum=1)
RETRY = Flag(("--retry",), "", int, "How often a failed run is started again.", default=0, minimum=0)
CHECKPOINT_SECONDS = Flag(
    ("--checkpoint-seconds",), "", float, "Longest time between checkpoints within an epoch.", default=60.0, minimum=0
)
BASELINE = Flag(
    ("--baseline",), "", str, "A group's name, a run's id or folder, or dense: the dense group.", default="dense"
)
JSON = Flag(("--json",), "", Path, "Also write all numbers to this JSON file.", parameter="json_file")
CSV = Flag(("--csv",), "", Path, "Also write the table to this CSV file.", parameter="csv_file")
QUIET = Flag(("--quiet", "-q"), "", bool, "Print only the result.")
CLASSES = Flag(("--classes",), "", int, "Number of classes.", default=10, minimum=1)
CHANNELS = Flag(("--channels",), "", int, "Channels of an image.", default=3, minimum=1)
SIZE = Flag(("--size",), "", int, "Height and width of an image, in pixels.", default=32, minimum=1)
