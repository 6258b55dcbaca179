"""The command line's flags as one table: flag -> place in the config.

Sweeps use the same names, so that what one can type is what one can sweep. The paper's released spelling works
(``--sparse_init``, ``--epoch``, ``--l2``); ``-`` and ``_`` are one.
"""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag.

    Args:
        names: Its spellings, the first one canonical.
        place: Dotted path in the config that it sets; empty for one that `build_config` itself understands.
        kind: Type of its value; bool flags take none.
        help: What `--help` says.
        value: For a bool flag: what it sets when given.
        moot: For a flag of the paper's code that nothing here needs: why it has no effect.

    Example:
        >>> Flag(("--lr",), "training.lr", float, "Learning rate.").name
        'lr'
    """

    names: tuple[str, ...]
    place: str
    kind: type
    help: str
    value: Any = True
    moot: str = ""

    @property
    def name(self) -> str:
        """The flag's name in Python and in sweep files: ``sparse_init``."""
        return self.names[0].lstrip("-").replace("-", "_")


_MOOT = "Accepted from the paper's commands, without effect"

FLAGS: tuple[Flag, ...] = (
    Flag(("--recipe",), "", str, "Settings that belong together, below all other flags: {config/recipes}."),
    Flag(("--data",), "data.name", str, "Data set: {data}."),
    Flag(("--resolution",), "data.resolution", int, "Pixels of a side of an image (imagenet)."),
    Flag(("--valid-split",), "data.valid_split", float, "Fraction of training images held out (imagenet)."),
    Flag(("--skip-bad-images",), "data.skip_bad_images", bool, "Skip images that cannot be decoded (imagenet)."),
    Flag(
        ("--model", "--arch", "-a"),
        "model.name",
        str,
        "cifar_resnet_D[_W], vgg11/13/16/19, mlp_W_W, resnet18/34/50/101/152, WideResNet50_2/101_2, torchvision/NAME, "
        "timm/NAME.",
    ),
    Flag(("--model-config", "-c"), "model.init", str, "Initial weights of resnet*, WideResNet*: fanin or classic."),
    Flag(("--sparse",), "", bool, "Train a sparse network; without it the network is dense."),
    Flag(("--density",), "density", float, "Fraction of weights kept, in (0, 1]."),
    Flag(("--sparse-init",), "allocation.name", str, "How many weights each layer keeps: {allocation}."),
    Flag(("--fc-density",), "allocation.fc_density", float, "Density of the classifier (erk_plus)."),
    Flag(("--fix",), "", bool, "Keep the topology static; without it masks move."),
    Flag(("--topology",), "topology.name", str, "How masks move: {topology}."),
    Flag(("--growth",), "topology.grow", str, "Grow rule: {topology/_grows}."),
    Flag(("--death",), "topology.drop", str, "Drop rule: {topology/_drops}."),
    Flag(("--redistribution",), "topology.redistribute", str, "Between layers: {topology/_redistributions}."),
    Flag(("--death-rate",), "topology.fraction", float, "Fraction of a layer's weights dropped at first."),
    Flag(("--update-frequency",), "topology.interval", int, "Steps between updates of the masks."),
    Flag(("--decay-schedule",), "topology.schedule", str, "How the dropped fraction falls: {topology/_schedules}."),
    Flag(("--scaled",), "scaled", bool, "Scale each layer's initial weights by its own fan-in density."),
    Flag(("--pattern",), "pattern", str, "Which weights: unstructured, or 2:4 where a layer keeps half (engine nm)."),
    Flag(("--seed",), "seed", int, "Root seed of masks, weights, order and augmentation."),
    Flag(("--epochs", "--epoch"), "training.epochs", int, "Passes over the training split."),
    Flag(("--multiplier",), "", int, "Multiplies the number of epochs."),
    Flag(("--batch-size", "-b"), "training.batch_size", int, "Images a step, those of all processes together."),
    Flag(("--accumulate",), "training.accumulate", int, "Passes a step: each process takes its images in so many."),
    Flag(("--optimizer",), "training.optimizer.name", str, "{training/optimizers}."),
    Flag(("--lr",), "training.lr", float, "Learning rate."),
    Flag(("--momentum",), "training.optimizer.momentum", float, "Momentum of sgd."),
    Flag(("--weight-decay", "--wd", "--l2"), "training.weight_decay", float, "Weight decay."),
    Flag(("--no-norm-decay",), "training.norm_weight_decay", bool, "No weight decay on norms and biases.", False),
    Flag(("--schedule",), "training.schedule.name", str, "Learning rate: {training/schedules} (x0.1 at 1/2, 3/4)."),
    Flag(("--warmup",), "training.warmup_epochs", float, "Epochs of linear warm-up."),
    Flag(("--label-smoothing",), "training.label_smoothing", float, "Label smoothing in [0, 1)."),
    Flag(("--clip-norm",), "training.clip_norm", float, "Largest gradient norm, over kept weights."),
    Flag(("--precision",), "training.precision", str, "fp32, tf32 (on GPUs), bf16 or fp16."),
    Flag(("--bf16",), "training.precision", bool, "Short for --precision bf16.", "bf16"),
    Flag(("--fp16",), "training.precision", bool, "Short for --precision fp16.", "fp16"),
    Flag(("--channels-last",), "training.channels_last", bool, "Keep activations in channels-last order."),
    Flag(("--compile",), "training.compile", bool, "Compile the model with torch.compile."),
    Flag(("--sync-norms", "--sync-bn"), "training.sync_norms", bool, "Batch norm over all processes' images."),
    Flag(("--recompute", "--gradient-checkpointing"), "training.recompute", bool, "Less memory for more time."),
    Flag(("--compression",), "training.compression", str, "Gradients travel as they are (none), fp16 or bf16."),
    Flag(("--select",), "training.select", str, "Weights that are kept: last epoch, or best on validation."),
    Flag(("--diagnostics",), "training.diagnostics", bool, "Overlap, gradient norms, active units in the history."),
    Flag(("--engine",), "engine.name", str, "How masked layers compute: {engines}."),
    Flag(("--device",), "device", str, "auto, cpu, cuda or cuda:N."),
    Flag(("--no-cuda",), "device", bool, "Short for --device cpu.", "cpu"),
    Flag(("--print-freq", "-p"), "", int, f"{_MOOT}.", moot="progress is shown after every step"),
    Flag(("--static-loss-scale",), "", float, f"{_MOOT}.", moot="fp16 finds the scale of the loss itself"),
    Flag(("--dynamic-loss-scale",), "", bool, f"{_MOOT}.", moot="fp16 always finds the scale of the loss itself"),
    Flag(("--master-port",), "", int, f"{_MOOT}.", moot="the launcher sets it: torchrun --master-port PORT"),
    Flag(("--local-rank",), "", int, f"{_MOOT}.", moot="torchrun tells each process its rank"),
    Flag(("--gather-checkpoints",), "", bool, f"{_MOOT}.", moot="a run keeps its last checkpoint and its final model"),
)
"""Every flag of `rarefy train` that is part of the config."""
