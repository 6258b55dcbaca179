"""Protocol and registry of attacks; measures robust accuracy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from rarefy.data import Spec
from rarefy.errors import InvalidInput
from rarefy.evaluation._frozen import freeze_model, get_device
from rarefy.registry import Registry
from rarefy.rng import Streams
from rarefy.statistics import wilson_interval

Function = Callable[[Tensor], Tensor]  # pixels in [0, 1], [B, C, H, W] -> logits [B, classes]


class Attack(Protocol):
    """Search for misclassified pixels near an image: in [0, 1], each at most ``eps`` from the image's.

    A class attribute ``costly = True`` excludes the attack from curves of accuracy against eps.
    """

    def __call__(self, function: Function, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Computes attacked pixels, ``[B, C, H, W]``; draws image by image from ``generator``, a CPU generator."""
        ...


ATTACKS: Registry[Attack] = Registry("attack", "attacks")


def make_pixel_function(model: nn.Module, spec: Spec) -> Function:
    """Makes the function to attack: it normalises pixels and runs the model.

    Example:
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.5,), std=(0.5,))
        >>> make_pixel_function(nn.Flatten(), spec)(torch.tensor([[[[0.0, 1.0]]]]))
        tensor([[-1.,  1.]])
    """
    return lambda pixels: model(spec.normalize(pixels))


def compute_robust_accuracy(
    model: nn.Module,
    spec: Spec,
    images: Tensor,
    labels: Tensor,
    attack: Attack,
    *,
    batch_size: int = 256,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, float | int | list[float]]:
    """Computes the accuracy with and without an attack.

    An image counts as robust if it is classified correctly both with and without the attack. The model is used in
    evaluation mode without parameter gradients and not changed. Random starts depend on the seed and an image's
    position, not on the batch size (but `autoattack` seeds itself once per batch).

    Args:
        model: Maps normalised images to logits.
        spec: The data set; its normalisation is part of the attacked function.
        images: uint8 ``[N, C, H, W]``.
        labels: int64 ``[N]``.
        attack: Built by ``ATTACKS.build``.
        batch_size: Images per batch.
        seed: Root seed of random starts.
        progress: Called after every batch with the number of images done.
    Returns:
        ``clean`` and ``robust`` accuracy, in [0, 1]; ``clean_interval`` and ``robust_interval``, Wilson's 95% intervals
        [low, high]; ``images``, their number.
    Raises:
        ValueError: If there are no images, they are not uint8, or do not have one label each.

    Example:
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.0,), std=(1.0,))
        >>> images = torch.tensor([[[[128, 127]]], [[[0, 255]]]], dtype=torch.uint8)
        >>> result = compute_robust_accuracy(nn.Flatten(), spec, images, torch.tensor([0, 1]), ATTACKS.build("fgsm"))
        >>> result["clean"], result["robust"]
        (1.0, 0.5)
    """
    if images.dtype != torch.uint8 or not len(images) == len(labels) > 0:
        raise InvalidInput(
            "An attack needs uint8 images [N, C, H, W], one label each and at least one; "
            f"got {images.dtype} {list(images.shape)} and {len(labels)} labels."
        )
    device, function, generator = get_device(model), make_pixel_function(model, spec), Streams(seed)("attack")
    clean = robust = 0
    with freeze_model(model):
        for start in range(0, len(images), batch_size):
            pixels = images[start : start + batch_size].to(device).float() / 255
            truth = labels[start : start + batch_size].to(device)
            moved = attack(function, pixels, truth, generator)
            with torch.no_grad():
                right = function(pixels).argmax(1) == truth
                still = right & (function(moved).argmax(1) == truth)
            clean, robust = clean + int(right.sum()), robust + int(still.sum())
            progress(start + len(truth))
    return {
        "clean": clean / len(images),
        "clean_interval": wilson_interval(clean, len(images)),
        "robust": robust / len(images),
        "robust_interval": wilson_interval(robust, len(images)),
        "images": len(images),
    }
