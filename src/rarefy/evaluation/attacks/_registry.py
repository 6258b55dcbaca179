"""What an attack is, the registry of them, and the verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from rarefy.data import Spec
from rarefy.errors import InvalidInput
from rarefy.evaluation._frozen import device_of, frozen
from rarefy.registry import Registry
from rarefy.rng import Streams
from rarefy.statistics import wilson_interval

Function = Callable[[Tensor], Tensor]  # pixels in [0, 1], [B, C, H, W] -> logits [B, classes]


class Attack(Protocol):
    """Looks for pixels near an image that a function gets wrong: in [0, 1], each at most ``eps`` from the image's.

    A class attribute ``costly = True`` says that it is no attack for drawing curves with.
    """

    def __call__(self, function: Function, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """The attacked pixels, ``[B, C, H, W]``; ``generator`` is a CPU generator, drawn from image by image."""
        ...


ATTACKS: Registry[Attack] = Registry("attack", "attacks")


def attacked(model: nn.Module, spec: Spec) -> Function:
    """The function that is attacked: pixels are normalised, then go through the model.

    Example:
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.5,), std=(0.5,))
        >>> attacked(nn.Flatten(), spec)(torch.tensor([[[[0.0, 1.0]]]]))
        tensor([[-1.,  1.]])
    """
    return lambda pixels: model(spec.normalize(pixels))


def robust_accuracy(
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
    """Accuracy before and after an attack.

    An image counts as robust if it is classified right both as it is and attacked. The model is in evaluation mode,
    its parameters gather no gradients, and it is left as it was. Random starts depend on the seed and an image's
    position, not on the batch size (`autoattack` seeds itself once a batch).

    Args:
        model: Maps normalised images to logits.
        spec: The data set; its normalisation is part of what is attacked.
        images: uint8 ``[N, C, H, W]``.
        labels: int64 ``[N]``.
        attack: Built by ``ATTACKS.build``.
        batch_size: Images at once.
        seed: Root of random starts.
        progress: Told how many images are done, after every batch.
    Returns:
        ``clean`` and ``robust`` accuracy, in [0, 1]; ``clean_interval`` and ``robust_interval``, Wilson's 95% intervals
        [low, high]; ``images``, how many there were.
    Raises:
        ValueError: If there are no images, not one label an image, or no bytes.

    Example:
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.0,), std=(1.0,))
        >>> images = torch.tensor([[[[128, 127]]], [[[0, 255]]]], dtype=torch.uint8)
        >>> found = robust_accuracy(nn.Flatten(), spec, images, torch.tensor([0, 1]), ATTACKS.build("fgsm"))
        >>> found["clean"], found["robust"]
        (1.0, 0.5)
    """
    if images.dtype != torch.uint8 or not len(images) == len(labels) > 0:
        raise InvalidInput(
            "An attack needs uint8 images [N, C, H, W], one label each and at least one; "
            f"{images.dtype} {list(images.shape)} and {len(labels)} labels came."
        )
    device, function, generator = device_of(model), attacked(model, spec), Streams(seed)("attack")
    clean = robust = 0
    with frozen(model):
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
