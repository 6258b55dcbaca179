"""Pictures of out-of-distribution images that a network noticed, and of those it was sure of."""

from __future__ import annotations

import io

from torch import Tensor

from rarefy import data
from rarefy.paths import replacing
from rarefy.pipeline._evaluate._subject import Subject

_SHOWN = 8
_GAP = 2  # white pixels between two images


def write_examples(subject: Subject, source: str, split: data.Split, logits: Tensor) -> None:
    """Writes two strips: the images with the lowest maximum softmax (detected) and with the highest (missed).

    Args:
        subject: The run; the strips go into its folder.
        source: Where the images are from.
        split: The images.
        logits: What the run's network says of them.
    """
    order = logits.double().softmax(1).amax(1).argsort(stable=True).tolist()
    for kind, chosen in {"detected": order[:_SHOWN], "missed": order[::-1][:_SHOWN]}.items():
        with replacing(subject.paths.example(source, kind)) as partial:
            partial.write_bytes(_strip(split.images[chosen].cpu()))


def _strip(images: Tensor) -> bytes:
    """Images [N, C, H, W] side by side, as PNG."""
    from matplotlib.image import imsave

    colour = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
    count, channels, height, width = colour.shape
    strip = colour.new_full((height, count * (width + _GAP) - _GAP, channels), 255)
    for place, image in enumerate(colour):
        start = place * (width + _GAP)
        strip[:, start : start + width] = image.permute(1, 2, 0)
    png = io.BytesIO()
    imsave(png, strip.numpy(), format="png")
    return png.getvalue()
